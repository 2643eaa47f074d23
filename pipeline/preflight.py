"""What a rollout would meet and do, looked at before anything is changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from pipeline.adapters.account import Account
from pipeline.adapters.ecs import EcsService
from pipeline.errors import ConfigurationError, PipelineError, ShortCredentialError, UnfitError
from pipeline.model.check import Check, State
from pipeline.model.definition_diff import Change, changes
from pipeline.model.dependencies import Intent
from pipeline.model.digest import ImageRef
from pipeline.model.prediction import Prediction, predict, timing_of
from pipeline.model.preflight import CREDENTIAL, check_all, refusals
from pipeline.model.service import ServiceState, attachable
from pipeline.model.strategy import UNDECLARED, Strategy, as_planned
from pipeline.model.surroundings import Image, Secret, Surroundings, questions_of
from pipeline.model.task_definition import definition_for, differs, digest_in
from pipeline.ports import Say

__all__ = ["Preflight", "Preview", "Wish"]


@dataclass(frozen=True, slots=True)
class Wish:
    """What pipeline.toml wants of an environment.

    `environment` gives the variables for an image and its labels; `secrets` are names or ARNs by variable. `strategy`
    is what is declared of ECS's own, `stay_up` is in seconds, `first` the number of tasks of a first rollout, `before`
    the command that runs first.
    """

    environment: Callable[[ImageRef, Mapping[str, str]], Mapping[str, str]]
    secrets: Mapping[str, str] = field(default_factory=dict)
    alarms: tuple[str, ...] = ()
    strategy: Strategy = UNDECLARED
    stay_up: float = 0.0
    first: int = 1
    before: str = ""


@dataclass(frozen=True, slots=True)
class Preview:
    """What was seen of an environment, and what a rollout would make of it.

    `wanted` is the task definition that would be registered, None where it cannot be made; `running` the image digests
    that run now; `underway`: the service has or gets exactly this already, and nothing would be begun. `later` gives
    the checks of a rollout that begins so many seconds from now.
    """

    service: ServiceState
    live: Mapping[str, Any]
    wanted: Mapping[str, Any] | None
    checks: tuple[Check, ...]
    prediction: Prediction
    running: tuple[str, ...]
    pinned: str
    underway: bool
    later: Callable[[float], tuple[Check, ...]] = field(repr=False)

    @property
    def changes(self) -> tuple[Change, ...]:
        """What of the task definition would change."""
        return changes(self.live, self.wanted) if self.wanted is not None else ()

    @property
    def replaced(self) -> str:
        """The image digest that would be replaced; empty where nothing runs, or what runs is not known."""
        if not self.service.desired:
            return ""
        return self.pinned or (self.running[0] if len(self.running) == 1 else "")

    @property
    def error(self) -> PipelineError | None:
        """What a rollout would end with before it began, None when it can begin."""
        bad = refusals(self.checks)
        if not bad:
            return None
        lines = [f"  {check.name}: {check.text} – {check.fix}" for check in bad]
        text = f"{len(bad)} of {len(self.checks)} checks before the rollout failed, nothing was changed:"
        expired = all(check.name == CREDENTIAL for check in bad)
        kind = ShortCredentialError if expired else UnfitError
        return kind("\n".join([text, *lines]), hint="mend that, then run the same command again")

    @property
    def at_most(self) -> float:
        """Seconds that it takes at most; 0 where nothing would be begun."""
        return 0.0 if self.underway else self.prediction.at_most

    def admitted(self, after: float, say: Say) -> Mapping[str, Any]:
        """Says what was seen and how long it should take; returns that for the record.

        The rollout begins `after` so many seconds of others, and the credential must last until then, too. Raises
        UnfitError with everything that is wrong, ShortCredentialError when only the credential is. Where nothing would
        be begun, nothing is asked for.
        """
        if self.underway:
            return {}
        preview = replace(self, checks=self.later(after)) if after else self
        if error := preview.error:
            raise error
        say(preview.summary)
        expected = preview.prediction
        say(f"expected: {expected.text}" + (f" – {expected.slow}" if expected.slow else ""))
        return preview.facts

    @property
    def facts(self) -> Mapping[str, Any]:
        """What of it goes into the record, as JSON values."""
        return {
            "predicted": dict(self.prediction.facts),
            "preflight": {
                "ok": [check.name for check in self.checks if check.state is State.OK],
                "skipped": {c.name: c.text for c in self.checks if c.state is State.SKIP},
            },
        }

    @property
    def summary(self) -> str:
        """One line on the checks: how many are OK, and what was not looked at."""
        skipped = [check.name for check in self.checks if check.state is State.SKIP]
        fine = sum(check.state is State.OK for check in self.checks)
        return f"preflight: {fine} OK" + (f", not known: {', '.join(skipped)}" if skipped else "")


@dataclass(frozen=True, slots=True)
class Preflight:
    """Looks at one service and what surrounds it. `now` gives the time."""

    service: EcsService
    account: Account
    wish: Wish
    now: Callable[[], datetime]

    def look(self, image: ImageRef | None, find: Callable[[], Image | None]) -> Preview:
        """Looks once. `image` None: at the environment alone, without a digest in mind.

        `find` gives the image, None where its registry has none. Raises ConfigurationError when there is no such
        service, UnavailableError when AWS does not answer; everything else becomes a check.
        """
        live = self.service.describe()
        current = self.service.task_definition(live.task_definition)
        asked = questions_of(
            current,
            live.raw,
            container=self.service.container,
            declared=self.wish.secrets,
            alarms=self.wish.alarms,
        )
        seen = self.account.look(asked, find)
        wanted = self._wanted(current, image, seen)
        wish = self.wish
        planned = as_planned(live.raw, wish.strategy, live.desired or wish.first)
        timing = timing_of(planned, current, seen, stay_up=wish.stay_up, first=wish.first, before=wish.before)
        prediction = predict(timing)
        intent = Intent(
            service=replace(live, raw=planned),
            definition=wanted if wanted is not None else current,
            container=self.service.container,
            image=image,
            declared=wish.secrets,
            asked=asked,
            now=self.now(),
            lasts=prediction.at_most,
        )

        def later(seconds: float) -> tuple[Check, ...]:
            return check_all(replace(intent, lasts=seconds + prediction.at_most), seen)

        ours = wanted is not None and not differs(current, wanted)
        pinned = digest_in(current, self.service.container)
        return Preview(
            service=live,
            live=current,
            wanted=wanted,
            checks=check_all(intent, seen),
            later=later,
            prediction=prediction,
            running=getattr(seen.running, "digests", ()),
            pinned=str(pinned or ""),
            underway=ours and attachable(live, live.task_definition) is not None,
        )

    def _wanted(
        self, current: Mapping[str, Any], image: ImageRef | None, seen: Surroundings
    ) -> Mapping[str, Any] | None:
        """The definition to register. A secret that is not there stands in it under the name it was told by."""
        if image is None:
            return None
        found = ((variable, name, seen.secrets.get(name)) for variable, name in self.wish.secrets.items())
        secrets = {v: secret.arn if isinstance(secret, Secret) else name for v, name, secret in found}
        labels = seen.image.labels if isinstance(seen.image, Image) else {}
        told = self.wish.environment(image, labels)
        try:
            return definition_for(current, image, self.service.container, told, secrets)
        except ConfigurationError:
            return None
