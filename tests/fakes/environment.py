"""An environment for tests of stages: its rollouts end as they are told to, and everything they ask is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pipeline.errors import PipelineError, ShortCredentialError, UnfitError
from pipeline.model.digest import Digest, ImageRef
from pipeline.model.lease import Claim
from pipeline.model.order import Order
from pipeline.model.service import DeploymentState, Previous, ServiceState, TargetState, TaskState
from pipeline.model.verdict import Outcome, Reason, Verdict
from pipeline.ports import Candidate, Held, Progress, Source
from pipeline.rollout import DeploySpec, RolloutOutcome, RolloutResult
from stages.deployment import Environment
from tests.fakes.clock import FakeClock
from tests.fakes.lease import FakeLease

IMAGE = ImageRef("localhost:5000/shop", Digest("sha256:" + "a" * 64))
CANDIDATE = Candidate(Source("c" * 40), IMAGE)


@dataclass
class Service:
    running: list[str] = field(default_factory=lambda: [str(IMAGE.digest)])
    desired: int = 1
    deployments: tuple[DeploymentState, ...] = ()

    def tasks(self) -> list[TaskState]:
        return [
            TaskState(str(n), "td:1", "RUNNING", "RUNNING", "", {"app": d}, ip=f"10.0.0.{n}")
            for n, d in enumerate(self.running)
        ]

    def describe(self) -> ServiceState:
        return ServiceState(
            "arn", "ACTIVE", "td:1", self.desired, len(self.running), self.deployments, "group"
        )


@dataclass
class Targets:
    health: list[str] = field(default_factory=lambda: ["healthy"])

    def states(self) -> list[TargetState]:
        return [TargetState(f"10.0.0.{n}", 8080, state) for n, state in enumerate(self.health)]


@dataclass
class FakeRollout:
    outcome: RolloutOutcome = RolloutOutcome.SUCCEEDED
    service: Service = field(default_factory=Service)
    targets: Targets | None = field(default_factory=Targets)
    deployed: list[ImageRef] = field(default_factory=list)
    definitions: list[str] = field(default_factory=list)
    supersedes: list[bool] = field(default_factory=list)
    fails: dict[ImageRef, RolloutOutcome] = field(default_factory=dict)
    error: PipelineError | None = None

    def deploy(self, image: ImageRef, spec: DeploySpec, progress: Progress) -> RolloutResult:
        if self.error:
            raise self.error
        self.deployed.append(image)
        self.definitions.append(spec.definition)
        self.supersedes.append(spec.supersedes)
        return RolloutResult(
            self.fails.get(image, self.outcome), (Reason("so it ended"),), "arn:aws:ecs:r:1:service/c/s"
        )


@dataclass
class Foreseen:
    """`stages.deployment.Foresight` of a world: whether it is `unfit`, and the credential `lasts` long enough."""

    world: World

    @property
    def at_most(self) -> float:
        return self.world.takes

    def admitted(self, after: float, say: Callable[[str], None]) -> dict[str, Any]:
        if self.world.unfit:
            raise UnfitError(self.world.unfit, hint="mend it")
        if self.world.lasts < after + self.world.takes:
            raise ShortCredentialError("too short", hint="log in")
        say("expected: at once")
        return {"predicted": {"healthy_s": 1.0}}


@dataclass
class World:
    rollout: FakeRollout = field(default_factory=FakeRollout)
    settled: list[Any] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    lease: FakeLease = field(default_factory=lambda: FakeLease(FakeClock()))
    ours: Held | None = None
    changing: list[Held | None] = field(default_factory=list)
    log: list[ImageRef] = field(default_factory=list)
    elsewhere: str = ""
    older: bool = False
    good: Previous | None = None
    replaced: list[frozenset[Digest]] = field(default_factory=list)
    recorded: Digest | None = IMAGE.digest
    unfit: str = ""
    takes: float = 1.0
    lasts: float = 3600.0

    def deliver(self, image: ImageRef, say: Callable[[str], None]) -> ImageRef:
        if not self.elsewhere:
            return image
        say(f"taken to {self.elsewhere}")
        return ImageRef(self.elsewhere, image.digest)

    def judge(self, candidate: Candidate, running: frozenset[Digest]) -> Order:
        self.replaced.append(running)
        reasons = (Reason("prod runs something newer", "promote that"),) if self.older else ()
        outcome = Outcome.REFUSED if self.older else Outcome.PASSED
        return Order(Verdict("prod", outcome, reasons), {"order": "older" if self.older else "newer"})

    def foresee(self, candidate: Candidate) -> Foreseen:
        return Foreseen(self)

    @contextmanager
    def hold(self, why: str, digest: str) -> Iterator[Held]:
        assert digest == str(IMAGE.digest)
        self.held.append(why)
        with self.lease.hold("prod", Claim("anne", "run-1", why, digest)) as held:
            self.ours = held
            yield held
        self.held.append("free")

    def rollout_while(self, held: Held | None = None) -> Any:
        """A rollout that changes things is made with what is held."""
        self.changing.append(held)
        return self.rollout

    def logged(self, rollout: Any, image: ImageRef, spec: DeploySpec, progress: Progress) -> RolloutResult:
        self.log.append(image)
        result: RolloutResult = rollout.deploy(image, spec, progress)
        return result

    def environment(self, name: str, region: str = "") -> Environment:
        return Environment(
            name,
            "app",
            lambda: "http://127.0.0.1:1",
            {"cluster": "c"},
            self.rollout_while,
            lambda _candidate: DeploySpec("app"),
            lambda: self.good,
            self.judge,
            lambda _image, result, _say: self.settled.append(result),
            self.hold,
            self.logged,
            self.deliver,
            lambda: self.recorded,
            self.foresee,
            region,
        )
