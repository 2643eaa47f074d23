"""Production's digest beside the candidate on staging: started, followed until it is healthy, and ended again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pipeline.errors import ConfigurationError, DeniedError, PipelineError, StuckError, UndecidedError
from pipeline.fencing import FencedService
from pipeline.model.baseline import require_comparable, shown, sizes
from pipeline.model.deployment import RolloutOutcome
from pipeline.model.digest import ImageRef
from pipeline.model.rollout import RolloutPolicy
from pipeline.model.service import ServiceState, attachable, digests_run
from pipeline.model.task_definition import definition_for, differs
from pipeline.model.verdict import Outcome, Reason, Verdict
from pipeline.ports import Clock, Held, Progress, Say, Service
from pipeline.rollout import DeploySpec, Rollout, RolloutResult
from pipeline.watching import Patience
from pipeline.way_back import aws_command


@dataclass(frozen=True, slots=True)
class Beside:
    """The baseline's service while a candidate is loaded.

    `staging` is the candidate's service, `service` the baseline's, `first` the number of tasks where staging has none
    yet. `rollout` makes how to roll out on the baseline's service as it is given, over whatever goes on there, `spec`
    what to roll out of a release, `delivered` takes the release to where staging pulls from, and gives the image that
    is to run there.
    """

    staging: Service
    service: Service
    first: int
    rollout: Callable[[Service], Rollout]
    spec: Callable[[ImageRef], DeploySpec]
    delivered: Callable[[ImageRef, Say], ImageRef]
    clock: Clock

    def begin(self, release: ImageRef, held: Held, progress: Progress) -> None:
        """Has ECS start the release's image, in as many tasks as staging has, by staging's own task definition.

        Both sides are of one size by that, and have the same variables, secrets and roles. What an ended run left is
        taken over. Returns at once; `await_healthy` follows it. Raises ConfigurationError, before anything is changed,
        when the two services are not apart, or not alike.
        """
        spec, image = self.spec(release), self.delivered(release, progress.note)
        fenced, patience = FencedService(self.service, held), self._patience(progress)
        live, candidate = patience.ask(self.service.describe), patience.ask(self.staging.describe)
        require_comparable(candidate, live)
        count = candidate.desired or self.first
        current = patience.ask(lambda: self.service.task_definition(live.task_definition))
        told = patience.ask(lambda: self.staging.task_definition(candidate.task_definition))
        wanted = dict(definition_for(told, image, spec.container, spec.environment, spec.secrets))
        wanted |= {key: current[key] for key in ("family", "tags") if key in current}
        progress.note(f"beside it: {image.digest.short}, which production runs")
        if differs(current, wanted) or not attachable(live, live.task_definition):
            fenced.update(patience.ask(lambda: fenced.register(wanted)), desired=count)
        elif live.desired != count:
            fenced.update(live.task_definition, desired=count)

    def _patience(self, progress: Progress) -> Patience:
        return Patience(self.clock, RolloutPolicy(), progress)

    def await_healthy(self, release: ImageRef, held: Held, progress: Progress) -> RolloutResult:
        """Follows what `begin` began until its image serves through the load balancer; the result says how it ended.

        Raises UndecidedError when its tasks are not as many and as large as the candidate's, and as `Rollout.deploy`
        does; what needs a person there needs none here, where nothing serves anybody, and is an UndecidedError too.
        """
        spec, image = self.spec(release), self.delivered(release, progress.note)
        try:
            result = self.rollout(FencedService(self.service, held)).deploy(image, spec, progress)
        except StuckError as error:
            raise UndecidedError(f"the baseline is not healthy: {error.message}", hint=error.hint) from error
        if result.outcome is RolloutOutcome.SUCCEEDED:
            self._require_equal(spec.container)
        return result

    def _require_equal(self, container: str) -> None:
        ours, theirs = (self._size(service, container) for service in (self.staging, self.service))
        if ours != theirs:
            raise UndecidedError(
                f"the candidate has {ours}, the baseline {theirs}: they cannot be compared",
                hint="see who changes one of the two services while they are loaded (autoscaling?), then run it again",
            )

    @staticmethod
    def _size(service: Service, container: str) -> str:
        live = service.describe()
        size = shown(sizes(service.task_definition(live.task_definition), container))
        return f"{live.desired} task{'s' * (live.desired != 1)} of {size}"

    def runs(self, release: ImageRef) -> Verdict:
        """Whether every running task of the baseline's service runs its image, and they are as many as staging's."""
        spec, desired = self.spec(release), self.service.describe().desired
        candidates = self.staging.describe().desired
        if candidates != desired:
            text = f"the candidate had {candidates} tasks, the baseline {desired} (autoscaling?)"
            return Verdict("baseline", Outcome.UNDECIDED, (Reason(text),))
        tasks = [task for task in self.service.tasks() if task.alive]
        running = digests_run(tasks, spec.container)
        if running and running <= {release.digest, *spec.platform_digests} and len(tasks) == desired:
            return Verdict("baseline", Outcome.PASSED)
        text = ", ".join(sorted(map(str, running))) or "nothing"
        reason = Reason(f"the baseline ran {text} in {len(tasks)} of {desired} tasks")
        return Verdict("baseline", Outcome.UNDECIDED, (reason,))

    def end(self, held: Held, progress: Progress) -> None:
        """Scales it to zero, whatever it runs, where there is one.

        What fails is said with the command that does it, and raises nothing.
        """
        fenced, by_hand = FencedService(self.service, held), "the next run of staging takes it over"
        try:
            live = self._standing()
            if live is None:
                return
            by_hand = f"to end it: {aws_command('update-service', live, '--desired-count', '0')}"
            if live.desired:
                self._patience(progress).ask(lambda: fenced.update(live.task_definition, desired=0))
        except PipelineError as error:
            progress.note(f"the baseline beside staging perhaps still runs: {error.message}; {by_hand}")

    def _standing(self) -> ServiceState | None:
        """Its service; None where there is none."""
        try:
            return self.service.describe()
        except DeniedError:
            raise
        except ConfigurationError:
            return None
