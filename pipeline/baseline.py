"""The service beside a service of staging: what production runs of it is there while both are loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from pipeline.adapters.clock import SystemClock
from pipeline.adapters.ecs import EcsService
from pipeline.adapters.http_probe import FreshConnectionProbe
from pipeline.beside import Beside
from pipeline.errors import ConfigurationError, DeniedError, PipelineError
from pipeline.model.baseline import WITHOUT, require_comparable, shown, sizes
from pipeline.model.check import Check, State
from pipeline.model.digest import ImageRef
from pipeline.model.rollout import Busy, RolloutPolicy
from pipeline.model.service import ServiceState, digests_run
from pipeline.names import BASELINE, baseline_key, baseline_service_name
from pipeline.places import Place
from pipeline.ports import Candidate, Service, Source
from pipeline.rollout import Check as RolloutCheck
from pipeline.rollout import DeploySpec, Rollout
from pipeline.way_back import aws_command


@dataclass(frozen=True, slots=True)
class Left:
    """What runs in the baseline service now: how many tasks it should have, and their digests."""

    desired: int
    running: int
    digests: Sequence[str]

    @property
    def text(self) -> str:
        """The same in one line."""
        count = max(self.desired, self.running)
        return (
            f"{count} task{'s' * (count != 1)} of {', '.join(self.digests) or 'nothing yet'} beside staging"
        )


@dataclass(frozen=True)
class BaselineService:
    """The service beside one of staging's. Nothing is asked of the cloud beforehand.

    `unused` says why nothing of it is ever compared, as pipeline.toml is; empty: it may be.
    """

    staging: Place
    unused: str = ""

    @cached_property
    def service(self) -> EcsService:
        """The ECS service, in staging's cluster."""
        name = baseline_service_name(self.staging.settings)
        return replace(self.staging.service, service=name, _definitions={})

    def url(self) -> str:
        """The front that leads to it. Raises ConfigurationError where that is staging's: it leads to the candidate."""
        found = self.staging.cloud.url(BASELINE, self.staging.region, self.staging.site.service)
        if found.rstrip("/") == self.staging.url().rstrip("/"):
            raise ConfigurationError(
                f"{found} is staging's own address: the candidate would be compared with itself",
                hint=f"name the baseline's in {self._key}.url",
            )
        return found

    def beside(self, others: frozenset[str]) -> Beside:
        """What has production's image run there, which calls those of the `others` that it names beside staging too."""
        return Beside(
            staging=self.staging.service,
            service=self.service,
            first=self.staging.own.desired,
            rollout=self._rollout,
            spec=lambda image: self._spec(image, others),
            delivered=self.staging.delivered,
            clock=SystemClock(),
        )

    def _rollout(self, service: Service) -> Rollout:
        live, told = self.described(), self.staging.own.rollout
        group = live.target_group
        return Rollout(
            service=service,
            targets=self.staging.targets(group, live.alternate_target_group) if group else None,
            probe=FreshConnectionProbe(),
            clock=SystemClock(),
            policy=RolloutPolicy(
                deadline=told.timeout, drain=told.drain_timeout, stay_up=0.0, busy=Busy.SUPERSEDE
            ),
        )

    def _spec(self, image: ImageRef, others: frozenset[str]) -> DeploySpec:
        """As for a candidate, without a command before it; the version path must name its digest."""
        spec = replace(self.staging, beside=others).spec(Candidate(Source(""), image))
        version = RolloutCheck(self.staging.settings.app.version, expect_digest=True)
        return replace(spec, before=(), checks=(version,), base_url=self.url(), alarms=())

    def described(self) -> ServiceState:
        """Its service as it stands. Raises ConfigurationError when there is none, with the way to have one."""
        try:
            return self.service.describe()
        except DeniedError:
            raise
        except ConfigurationError as error:
            raise ConfigurationError(
                f"there is no baseline service: {error.message}", hint=self._way_to_have_one
            ) from error

    @property
    def _way_to_have_one(self) -> str:
        if self.staging.settings.cloud.provider == "local":
            return f"`python -m pipeline local up` makes it; {WITHOUT}"
        name = f"name one of yours in {self._key}.service"
        return f"`python -m pipeline setup staging` makes it, or {name}; {WITHOUT}"

    @property
    def _key(self) -> str:
        return baseline_key(self.staging.site.service)

    def left(self) -> Left | None:
        """What runs there now, None where nothing does. During a load that is as it should be.

        Where nothing is compared any more it may still run, left by a killed run; there need not be a service then.
        """
        try:
            live = self.service.describe()
        except ConfigurationError:
            if not self.unused:
                raise
            return None
        if not live.desired and not live.running:
            return None
        digests = digests_run(self.service.tasks(), self.service.container)
        return Left(live.desired, live.running, sorted(map(str, digests)))

    def checks(self) -> Sequence[Check]:
        """What the comparison needs of its service, without changing anything."""
        return (self._unused() if self.unused else self._compared(),)

    def _unused(self) -> Check:
        try:
            left = self.left()
        except PipelineError as error:
            return Check("baseline", State.SKIP, f"{self.unused}; {error.message}")
        if left is None:
            return Check("baseline", State.SKIP, self.unused)
        by_hand = aws_command("update-service", self.service.describe(), "--desired-count", "0")
        text = f"{left.text}, left by a killed run, and {self.unused}"
        return Check("baseline", State.NG, text, f"end it: {by_hand}")

    def _compared(self) -> Check:
        try:
            live, staging = self.described(), self.staging.service.describe()
            require_comparable(staging, live)
            url, left = self.url(), self.left()
            definition = self.staging.service.task_definition(staging.task_definition)
        except PipelineError as error:
            return Check("baseline", State.NG, error.message, error.hint)
        if left:
            text = f"{left.text}: a staging run is under way, or was killed and the next one takes it over"
            return Check("baseline", State.SKIP, text)
        size = shown(sizes(definition, self.service.container))
        text = f"{self.service.service} at {url}, no task; it will have {size}, as the candidate"
        return Check("baseline", State.OK, text)
