"""Back to what ran before a failed rollout, or to zero where nothing did; and what to say when that fails too."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pipeline.errors import ConfigurationError, StuckError
from pipeline.model.deployment import RolloutOutcome
from pipeline.model.rollout import Action, Observation, Step
from pipeline.model.service import Previous, ServiceState, primary_of, short
from pipeline.model.service_deployment import ServiceDeployment
from pipeline.model.verdict import Reason
from pipeline.strategies import way_back
from pipeline.waiting import poll
from pipeline.watching import Calls


@dataclass(frozen=True, slots=True)
class WayBack:
    """Puts back what ran before a failed rollout; `step` says why it failed, `live` is the service as it was then."""

    calls: Calls
    step: Step
    previous: Previous | None
    container: str
    live: ServiceState

    @property
    def broken_off(self) -> str:
        """What state it is in, when we cannot go on with it."""
        to = short(self.previous.task_definition) if self.previous else "zero tasks"
        return f"{self.step.reason.text}; going back to {to} is perhaps not done"

    @property
    def look(self) -> str:
        """The commands that show where it stands, and bring it to its end."""
        back = (
            ["--task-definition", self.previous.task_definition]
            if self.previous
            else ["--desired-count", "0"]
        )
        look, then = (
            aws_command("describe-services", self.live),
            aws_command("update-service", self.live, *back),
        )
        return f"look: {look}; then: {then}"

    def to_previous(
        self, previous: Previous, mine: ServiceDeployment | None
    ) -> tuple[RolloutOutcome, Reason, Observation]:
        """Follows ECS's own way back or starts one, until the previous definition serves again.

        `mine` is the service deployment that failed, None where the API tells none.
        """
        name = short(previous.task_definition)
        self.calls.progress.note(f"going back to {name}")
        try:
            aim, since = way_back(self.calls, mine, previous, self.container)
        except ConfigurationError as error:
            raise self.stuck(self.calls.live(), f"going back to {name} failed: {error.message}") from error
        back, seen = self.calls.watch(replace(self.calls.policy, stay_up=0.0), since=since).follow(aim)
        if back.action is Action.SUPERSEDED:
            return RolloutOutcome.SUPERSEDED, back.reason, seen
        if back.action is not Action.DONE:
            raise self.stuck(seen.sight.service, f"going back to {name} failed: {back.reason.text}")
        return RolloutOutcome.ROLLED_BACK, Reason(f"went back to {name}, which serves again"), seen

    def to_zero(self, definition: str) -> Reason:
        """Scales a first rollout to zero and waits until nothing runs."""
        primary = primary_of(self.calls.live())
        current = primary.task_definition if primary else definition
        self.calls.ask(lambda: self.calls.service.update(current, desired=0))
        self.calls.progress.step("scaling to zero: nothing ran here before")
        end = self.calls.clock.monotonic() + self.calls.policy.drain
        stopped = poll(
            lambda: self.calls.live().running == 0 or None, self.calls.policy.poll, end, self.calls.clock
        )
        state = "stands at zero" if stopped else "was told to scale to zero and still stops its tasks"
        text = f"this was the first rollout: there is nothing to go back to, the service {state}"
        return Reason(text, "mend what the diagnosis names and promote again")

    def stuck(self, live: ServiceState, why: str) -> StuckError:
        """The error for a person: what state the service is in, and which commands help."""
        state = ", ".join(
            f"{d.status} {short(d.task_definition)} {d.running}/{d.desired}" for d in live.deployments
        )
        return StuckError(
            f"{self.step.reason.text}; {why}. Deployments of {live.arn} now: {state or 'none'}",
            hint=self.look,
        )


def aws_command(verb: str, live: ServiceState, *arguments: str) -> str:
    """The command line for a person: an ECS call about this service."""
    cluster = live.arn.rsplit(":", 1)[-1].split("/")[1]
    which = ["--services" if verb == "describe-services" else "--service", live.arn]
    return " ".join(["aws ecs", verb, "--cluster", cluster, *which, *arguments])
