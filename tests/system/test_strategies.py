"""ECS's own strategies against the local cloud, which rolls whatever is asked for: that is done, and said."""

from __future__ import annotations

from pathlib import Path

from pipeline.adapters.clock import SystemClock
from pipeline.adapters.http_probe import FreshConnectionProbe
from pipeline.model.digest import ImageRef
from pipeline.model.rollout import RolloutPolicy
from pipeline.model.strategy import Kind, Strategy
from pipeline.rollout import Check, DeploySpec, Rollout, RolloutOutcome, RolloutResult
from tests.releases import CONTAINER, Releases, open_releases

CANARY = Strategy(Kind.CANARY, 10.0, 600.0, 300.0, ("prod-5xx",))
POLICY = RolloutPolicy(deadline=120.0, stay_up=2.0, verify=10.0, poll=0.5, drain=60.0, strategy=CANARY)


class Said:
    def __init__(self) -> None:
        self.notes: list[str] = []

    def step(self, text: str) -> None: ...

    def share(self, done: float, text: str) -> None: ...

    def note(self, text: str) -> None:
        self.notes.append(text)


def deploy(releases: Releases, image: ImageRef, said: Said) -> RolloutResult:
    spec = DeploySpec(
        CONTAINER,
        desired=1,
        environment={"DIGEST": str(image.digest)},
        base_url=releases.url,
        checks=(Check("/version", expect_digest=True),),
    )
    service, targets = releases.service(), releases.targets()
    return Rollout(service, targets, FreshConnectionProbe(), SystemClock(), POLICY).deploy(image, spec, said)


def test_a_canary_rolls_in_the_local_cloud_says_so_and_comes_back_when_it_is_bad(tmp_path: Path) -> None:
    with open_releases(tmp_path) as releases:
        said = Said()
        assert deploy(releases, releases.image("good"), said).outcome is RolloutOutcome.SUCCEEDED
        assert any("strategy canary: the API tells no service deployments" in note for note in said.notes)
        sent = releases.service().describe().configuration
        assert (sent["strategy"], sent["canaryConfiguration"]["canaryPercent"]) == ("CANARY", 10.0)
        assert (sent["minimumHealthyPercent"], sent["alarms"]["alarmNames"]) == (100, ["prod-5xx"])

        bad = deploy(releases, releases.image("exits"), said)
        assert bad.outcome is RolloutOutcome.ROLLED_BACK
        assert bad.service_deployment == ""
        serving = {t.image_digests.get(CONTAINER) for t in releases.service().tasks() if t.alive}
        assert serving == {str(releases.image("good").digest)}
