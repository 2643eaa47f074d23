"""Production's release beside the candidate, one service of it or several, each on two fake services."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from pipeline.beside import Beside
from pipeline.errors import UndecidedError
from pipeline.model.baseline import Baseline
from pipeline.model.digest import Digest, ImageRef
from pipeline.model.verdict import Outcome
from pipeline.ports import Candidate, Source
from pipeline.release_beside import ReleaseBeside
from pipeline.rollout import RolloutOutcome, RolloutResult
from tests.fakes.ecs import Behaviour
from tests.fakes.load import RecordedProgress
from tests.unit.test_beside import CANDIDATE, OTHER, PRODUCTION, SPEC, Pair

RELEASE = ImageRef(PRODUCTION.repository, Digest("sha256:" + "e" * 64))
ALL = Baseline(RELEASE, services={"web": PRODUCTION.digest, "api": PRODUCTION.digest})
FRONT_ALONE = Baseline(RELEASE, services={"web": PRODUCTION.digest}, left_out={"api": "the same image"})


@dataclass
class Several:
    """Two services of staging, and what stands beside each; `asked` is which and with which others."""

    pairs: dict[str, Pair] = field(default_factory=lambda: {"web": Pair(), "api": Pair(desired=1)})
    progress: RecordedProgress = field(default_factory=RecordedProgress)
    asked: list[tuple[str, frozenset[str]]] = field(default_factory=list)
    said: tuple[str, ...] = ()

    def of(self, service: str, others: frozenset[str]) -> Beside:
        self.asked.append((service, others))
        return replace(
            self.pairs[service].beside,
            spec=lambda _release: replace(SPEC, platform_digests=(PRODUCTION.digest,)),
            delivered=lambda _release, _say: PRODUCTION,
        )

    @property
    def release(self) -> ReleaseBeside:
        return ReleaseBeside(
            tuple(self.pairs), self.of, lambda _one: (ALL, self.said), lambda: "http://front"
        )

    def up(self, against: Baseline = ALL) -> dict[str, RolloutResult]:
        with self.pairs["web"].held() as held:
            self.release.begin(against, held, self.progress)
            for pair in self.pairs.values():
                pair.clock.advance(3)
            return dict(self.release.await_healthy(against, held, self.progress))

    def end(self) -> None:
        with self.pairs["web"].held() as held:
            self.release.end(held, self.progress)

    def counts(self) -> list[list[int | None]]:
        return [[count for _, count in pair.baseline.updates] for pair in self.pairs.values()]


def test_each_service_stands_beside_its_own_as_often_and_speaks_under_its_name() -> None:
    several = Several()
    results = several.up()
    assert {name: result.outcome for name, result in results.items()} == dict.fromkeys(
        ("web", "api"), RolloutOutcome.SUCCEEDED
    )
    assert several.counts() == [[2], [1]]
    assert set(several.asked) == {(name, frozenset({"web", "api"})) for name in ("web", "api")}
    assert several.release.runs(ALL).passed
    beside = f"beside it: {PRODUCTION.digest.short}, which production runs"
    assert several.progress.notes[:2] == [f"web: {beside}", f"api: {beside}"]


def test_what_is_left_out_is_not_started_and_nobody_is_told_that_it_stands_there() -> None:
    several = Several()
    several.up(FRONT_ALONE)
    assert several.counts() == [[2], []]
    assert several.release.runs(FRONT_ALONE).passed
    assert set(several.asked) == {("web", frozenset({"web"}))}


def test_all_are_ended_those_too_that_another_run_left_there() -> None:
    several = Several()
    several.up()
    several.up(FRONT_ALONE)
    several.end()
    assert [counts[-1] for counts in several.counts()] == [0, 0]


def test_the_first_that_does_not_come_up_ends_the_waiting_and_is_named() -> None:
    several = Several()
    several.pairs["web"].baseline.behave(PRODUCTION, exits_after=0.5, log=("no licence file",))
    results = several.up()
    assert list(results) == ["web"]
    assert "no licence file" in results["web"].diagnosis


def test_what_is_undecided_of_one_service_names_it() -> None:
    several = Several()
    several.up()
    for task in several.pairs["api"].baseline._tasks.values():
        task.behaviour = Behaviour(status=500)
    with pytest.raises(UndecidedError, match=r"^api: the baseline is not healthy"):
        several.up()


def test_something_else_beside_one_of_them_is_noticed() -> None:
    several = Several()
    several.up()
    several.pairs["api"].baseline.someone_deploys(OTHER)
    several.pairs["api"].clock.advance(60)
    verdict = several.release.runs(ALL)
    assert verdict.outcome is Outcome.UNDECIDED
    assert [reason.text.startswith("api: the baseline ran ") for reason in verdict.reasons] == [True]


def test_a_release_that_is_one_image_is_one_service_without_a_name() -> None:
    one = Several(pairs={"": Pair()})
    release, against = one.release, Baseline(RELEASE)
    with one.pairs[""].held() as held:
        release.begin(against, held, one.progress)
        one.pairs[""].clock.advance(3)
        assert list(release.await_healthy(against, held, one.progress)) == [""]
    assert one.progress.notes[0].startswith("beside it: ")
    assert release.runs(against).passed


def test_what_people_should_know_of_the_choice_is_said() -> None:
    several = Several(said=("production runs what is not on record",))
    chosen = several.release.choose(Candidate(Source(""), CANDIDATE), several.progress.note)
    assert chosen == ALL
    assert several.progress.notes == list(several.said)
    assert several.release.url() == "http://front"
