"""Production's digest beside the candidate on staging: started, followed until it is healthy, and ended again."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pipeline.adapters.clock import SystemClock
from pipeline.adapters.http_probe import FreshConnectionProbe
from pipeline.baseline import BaselineService
from pipeline.clouds import BASELINE
from pipeline.errors import PipelineError, StuckError, UndecidedError
from pipeline.fencing import FencedService
from pipeline.model.baseline import Baseline, shown, sizes
from pipeline.model.deployment import RolloutOutcome
from pipeline.model.digest import ImageRef
from pipeline.model.rollout import Busy, RolloutPolicy
from pipeline.model.service import attachable, digests_run
from pipeline.model.task_definition import definition_for, differs
from pipeline.model.verdict import Outcome, Reason, Verdict
from pipeline.ports import Candidate, Held, Progress, Say, Source
from pipeline.rollout import Check, DeploySpec, Rollout, RolloutResult
from pipeline.watching import Patience

_POLICY = RolloutPolicy()


@dataclass(frozen=True)
class Beside:
    """The baseline's service while a candidate is loaded; see `stages.side_by_side.Opponent`."""

    at: BaselineService

    def choose(self, candidate: Candidate, say: Say) -> Baseline:
        """See `BaselineService.choose`."""
        return self.at.choose(candidate, say)

    def url(self) -> str:
        """The front that leads to it."""
        return self.at.url()

    def begin(self, image: ImageRef, held: Held, progress: Progress) -> None:
        """Has ECS start the image beside staging, in as many tasks as staging has, by staging's own task definition.

        What an ended run left is taken over. Returns at once; `await_healthy` follows it.
        """
        image = self.at.staging.delivered(image, progress.note)
        fenced, staging = FencedService(self.at.service, held), self.at.staging.service
        patience = Patience(SystemClock(), _POLICY, progress)
        live = patience.ask(self.at.described)
        spec, count = self._spec(image), self._count()
        current = self.at.service.task_definition(live.task_definition)
        told = staging.task_definition(staging.describe().task_definition)
        wanted = {
            **definition_for(told, image, spec.container, spec.environment, spec.secrets),
            "family": current["family"],
        }
        if "tags" in current:
            wanted["tags"] = current["tags"]
        progress.note(f"beside it: {image.digest.short}, which production runs")
        if not differs(current, wanted) and attachable(live, live.task_definition):
            if live.desired != count:
                fenced.update(live.task_definition, desired=count)
            return
        fenced.update(patience.ask(lambda: fenced.register(wanted)), desired=count)

    def _count(self) -> int:
        return self.at.staging.service.describe().desired or self.at.staging.own.desired

    def _spec(self, image: ImageRef) -> DeploySpec:
        spec = self.at.staging.spec(Candidate(Source(""), image))
        version = Check(self.at.staging.settings.app.version, expect_digest=True)
        return replace(
            spec,
            before=(),
            checks=(version,),
            base_url=self.at.url(),
            alarms=(),
            last_good=None,
            supersedes=True,
        )

    def await_healthy(self, image: ImageRef, held: Held, progress: Progress) -> RolloutResult:
        """Follows what `begin` began until the image serves through the load balancer; the result says how it ended.

        Raises UndecidedError when its tasks are not as many and as large as the candidate's, and as `Rollout.deploy`
        does; what needs a person there needs none here, where nothing serves anybody, and is an UndecidedError too.
        """
        image = self.at.staging.records.destined("staging", self.at.staging.region, image)
        spec = self._spec(image)
        try:
            result = self._rollout(held).deploy(image, spec, progress)
        except StuckError as error:
            raise UndecidedError(f"the baseline is not healthy: {error.message}", hint=error.hint) from error
        if result.outcome is RolloutOutcome.SUCCEEDED:
            self._require_equal(spec.container)
        return result

    def _rollout(self, held: Held) -> Rollout:
        live, told = self.at.described(), self.at.staging.own.rollout
        group = live.target_group
        return Rollout(
            service=FencedService(self.at.service, held),
            targets=self.at.staging.targets(group, live.alternate_target_group) if group else None,
            probe=FreshConnectionProbe(),
            clock=SystemClock(),
            policy=RolloutPolicy(
                deadline=told.timeout, drain=told.drain_timeout, stay_up=0.0, busy=Busy.SUPERSEDE
            ),
        )

    def _require_equal(self, container: str) -> None:
        seen = []
        for service in (self.at.staging.service, self.at.service):
            live = service.describe()
            size = sizes(service.task_definition(live.task_definition), container)
            seen.append(f"{live.desired} tasks of {shown(size)}")
        ours, theirs = seen
        if ours != theirs:
            raise UndecidedError(
                f"the candidate has {ours}, the baseline {theirs}: they cannot be compared",
                hint="see who changes one of the two services while they are loaded (autoscaling?), then run it again",
            )

    def runs(self, image: ImageRef) -> Verdict:
        """Whether every running task of the baseline service runs the image, and all are there."""
        expected = {image.digest, *self._spec(image).platform_digests}
        tasks = [task for task in self.at.service.tasks() if task.alive]
        running, desired = digests_run(tasks, self.at.service.container), self.at.service.describe().desired
        if running and running <= expected and len(tasks) == desired:
            return Verdict(BASELINE, Outcome.PASSED)
        text = ", ".join(sorted(map(str, running))) or "nothing"
        reason = Reason(f"the baseline ran {text} in {len(tasks)} of {desired} tasks")
        return Verdict(BASELINE, Outcome.UNDECIDED, (reason,))

    def end(self, held: Held, progress: Progress) -> None:
        """Scales it to zero, whatever it runs. What fails is said with the command that does it, and raises nothing."""
        fenced = FencedService(self.at.service, held)
        try:
            live = self.at.service.describe()
            if live.desired:
                patience = Patience(SystemClock(), _POLICY, progress)
                patience.ask(lambda: fenced.update(live.task_definition, desired=0))
        except PipelineError as error:
            progress.note(f"the baseline beside staging still runs: {error.message}; {self._by_hand()}")

    def _by_hand(self) -> str:
        where = f"--cluster {self.at.service.cluster} --service {self.at.service.service}"
        return f"to end it: aws ecs update-service {where} --desired-count 0"
