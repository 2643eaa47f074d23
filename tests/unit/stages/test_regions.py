"""One environment in several regions, as the stages have it: all are looked at first, and judged as one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from pipeline.errors import (
    BusyError,
    ConfigurationError,
    ExitCode,
    PipelineError,
    ShortCredentialError,
    StuckError,
    UnavailableError,
    UnfitError,
)
from pipeline.logbook import Ended, HalfwayInterrupt
from pipeline.model.digest import ImageRef
from pipeline.model.verdict import Outcome, Reason
from pipeline.model.waves import OnFailure
from pipeline.ports import Candidate, Progress
from pipeline.rollout import RolloutOutcome
from stages.deployment import Deployed
from stages.prod import ProdStage
from stages.regions import Regions
from stages.rollback import RollbackStage
from tests.fakes.environment import CANDIDATE, IMAGE, FakeRollout, Foreseen, World
from tests.fakes.load import InterruptingProgress, RecordedProgress

WAVES = (("eu",), ("us", "ap"))


class Undoing(FakeRollout):
    """A rollout that can be taken back."""

    undone: int = 0

    def undo(
        self, done: Any, container: str, why: Reason, progress: Progress
    ) -> tuple[RolloutOutcome, Reason]:
        self.undone += 1
        return RolloutOutcome.ROLLED_BACK, Reason("went back")


@dataclass
class Fleet:
    """Three regions, each a world of its own, and one log."""

    worlds: dict[str, World] = field(
        default_factory=lambda: {name: World(Undoing()) for wave in WAVES for name in wave}
    )
    log: list[tuple[ImageRef, Ended]] = field(default_factory=list)
    on_failure: OnFailure = OnFailure.ROLL_BACK
    kind: str = "region"
    front: str = ""

    def kept(
        self, image: ImageRef, act: Callable[[], tuple[Deployed, Ended]], _progress: Progress
    ) -> Deployed:
        deployed, ended = act()
        self.log.append((image, ended))
        return deployed

    @property
    def target(self) -> Regions:
        environments = {name: world.environment("prod", name) for name, world in self.worlds.items()}
        return Regions(environments, WAVES, self.on_failure, self.kept, lambda: None, self.kind, self.front)

    def fail(self, name: str, outcome: RolloutOutcome = RolloutOutcome.ROLLED_BACK) -> None:
        self.worlds[name].rollout.outcome = outcome

    def deployed(self) -> dict[str, int]:
        return {name: len(world.rollout.deployed) for name, world in self.worlds.items()}

    def settled(self) -> dict[str, int]:
        return {name: len(world.settled) for name, world in self.worlds.items()}

    def run(self) -> Any:
        return ProdStage(self.target).run(CANDIDATE, RecordedProgress())


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()


def test_every_region_gets_it_and_one_record_tells_of_all(fleet: Fleet) -> None:
    result = fleet.run()
    assert result.outcome is Outcome.PASSED
    assert result.error_code is None
    facts = result.facts["deployment"]
    assert set(facts["regions"]) == {"eu", "us", "ap"}
    assert facts["regions"]["eu"]["predicted"] == {"healthy_s": 1.0}
    assert facts["regions"]["ap"]["order"] == {"order": "newer"}
    assert fleet.settled() == {"eu": 1, "us": 1, "ap": 1}
    (entry,) = fleet.log
    assert (entry[0], entry[1].word) == (IMAGE, "succeeded")
    assert (ProdStage(fleet.target).environment, ProdStage(fleet.target).plan(CANDIDATE).stage) == (
        "prod",
        "prod",
    )


def test_one_bad_region_takes_all_of_them_back(fleet: Fleet) -> None:
    fleet.fail("ap")
    result = fleet.run()
    assert (result.outcome, result.error_code, result.began) == (Outcome.REFUSED, ExitCode.ROLLED_BACK, True)
    assert [world.rollout.undone for world in fleet.worlds.values()] == [1, 1, 0]  # type: ignore[attr-defined]
    assert fleet.settled() == {"eu": 0, "us": 0, "ap": 0}
    assert fleet.log[0][1].word == "rolled_back"


def test_regions_that_succeeded_are_left_where_that_is_configured(fleet: Fleet) -> None:
    fleet.on_failure = OnFailure.STOP
    fleet.fail("us")
    result = fleet.run()
    assert (result.outcome, result.error_code) == (Outcome.REFUSED, ExitCode.STUCK)
    assert fleet.settled() == {"eu": 1, "us": 0, "ap": 1}
    assert fleet.log[0][1].word == "stopped"


def test_what_one_region_raises_is_its_part_of_the_record(fleet: Fleet) -> None:
    fleet.worlds["ap"].rollout.error = StuckError("neither", hint="look")
    result = fleet.run()
    assert (result.outcome, result.error_code) == (Outcome.UNDECIDED, ExitCode.STUCK)
    assert Reason("ap: neither", "look") in result.verdict.reasons
    assert result.facts["deployment"]["regions"]["ap"] == {"outcome": "stuck"}


def test_ctrl_c_between_two_waves_tells_what_runs_where(fleet: Fleet) -> None:
    with pytest.raises(HalfwayInterrupt) as caught:
        ProdStage(fleet.target).run(CANDIDATE, InterruptingProgress(word="wave 2"))
    ended = caught.value.ended
    assert ended.word == "stopped"
    assert ended.reasons[0].text == (
        "interrupted: eu runs it; us runs what it ran, its wave was not begun; "
        "ap runs what it ran, its wave was not begun"
    )
    assert "run the same command again" in ended.reasons[0].remedy
    assert {name: one["outcome"] for name, one in ended.facts["regions"].items()} == {
        "eu": "succeeded",
        "us": "waiting",
        "ap": "waiting",
    }
    assert fleet.deployed() == {"eu": 1, "us": 0, "ap": 0}
    assert fleet.settled() == {"eu": 1, "us": 0, "ap": 0}, "what runs there now is kept from expiring"


def test_ctrl_c_before_the_first_wave_is_just_that(fleet: Fleet) -> None:
    with pytest.raises(KeyboardInterrupt) as caught:
        ProdStage(fleet.target).run(CANDIDATE, InterruptingProgress(word="wave 1"))
    assert not isinstance(caught.value, HalfwayInterrupt)
    assert fleet.deployed() == {"eu": 0, "us": 0, "ap": 0}


def test_nothing_is_changed_where_the_first_region_is_busy(fleet: Fleet) -> None:
    fleet.worlds["eu"].rollout.error = BusyError("held", hint="wait")
    result = fleet.run()
    assert (result.outcome, result.error_code, result.began) == (Outcome.UNDECIDED, ExitCode.BUSY, False)


@pytest.mark.parametrize("name", ["eu", "ap"])
def test_a_region_that_is_not_fit_keeps_all_from_being_touched(fleet: Fleet, name: str) -> None:
    fleet.worlds[name].unfit = "no secret"
    with pytest.raises(UnfitError, match=f"{name}: no secret"):
        fleet.run()
    assert fleet.deployed() == {"eu": 0, "us": 0, "ap": 0}
    assert fleet.log == []


def test_a_region_where_something_newer_runs_keeps_all_from_being_touched(fleet: Fleet) -> None:
    fleet.worlds["us"].older = True
    result = fleet.run()
    assert (result.outcome, result.began) == (Outcome.REFUSED, False)
    assert result.verdict.reasons == (Reason("us: prod runs something newer", "promote that"),)
    assert fleet.deployed() == {"eu": 0, "us": 0, "ap": 0}


@dataclass
class Failing:
    """Raises what it is told, in place of a look."""

    error: PipelineError

    def __call__(self, *_: Any) -> Any:
        raise self.error


@pytest.mark.parametrize("where", ["foresee", "deliver"])
def test_a_region_that_cannot_be_asked_keeps_all_from_being_touched(
    fleet: Fleet, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet.worlds["us"], where, Failing(UnavailableError("no answer", hint="try again")))
    result = fleet.run()
    assert (result.outcome, result.error_code, result.began) == (
        Outcome.UNDECIDED,
        ExitCode.UNAVAILABLE,
        False,
    )
    assert result.verdict.reasons == (Reason("us: no answer", "try again"),)
    assert fleet.deployed() == {"eu": 0, "us": 0, "ap": 0}


def test_a_credential_must_last_for_the_waves_before_too(fleet: Fleet) -> None:
    eu, us, ap = fleet.worlds.values()
    eu.takes, us.takes, us.lasts, ap.lasts = 60.0, 30.0, 90.0, 60.9
    with pytest.raises(ShortCredentialError) as caught:
        fleet.run()
    assert caught.value.message == "ap: too short"
    assert fleet.deployed() == {"eu": 0, "us": 0, "ap": 0}


def test_all_regions_are_looked_at_at_once(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(3, timeout=20)

    def met(world: World, candidate: Candidate) -> Foreseen:
        together.wait()
        return World.foresee(world, candidate)

    for world in fleet.worlds.values():
        monkeypatch.setattr(world, "foresee", partial(met, world))
    progress = RecordedProgress()
    assert ProdStage(fleet.target).run(CANDIDATE, progress).outcome is Outcome.PASSED
    expected = [f"{name}: expected: at once" for name in ("eu", "us", "ap")]
    assert [note for note in progress.notes if "expected" in note] == expected


def test_the_mistakes_of_every_region_are_told(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet.worlds["eu"], "foresee", Failing(UnavailableError("no answer", hint="wait")))
    fleet.worlds["us"].unfit, fleet.worlds["ap"].unfit = "no secret", "no role"
    result = fleet.run()
    assert [reason.text for reason in result.verdict.reasons] == [
        "eu: no answer",
        "us: no secret",
        "ap: no role",
    ]


def test_ctrl_c_does_not_wait_for_a_look(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    answered, looking = threading.Event(), threading.Event()

    def silent(_candidate: Candidate) -> Foreseen:
        looking.set()
        answered.wait()
        raise UnavailableError("too late", hint="")

    def press(main: int) -> None:
        looking.wait()
        signal.pthread_kill(main, signal.SIGINT)

    monkeypatch.setattr(fleet.worlds["eu"], "foresee", silent)
    threading.Thread(target=press, args=(threading.get_ident(),)).start()
    with pytest.raises(KeyboardInterrupt):
        fleet.run()
    assert not answered.is_set()
    answered.set()


def test_it_still_stands_only_where_every_region_serves_it(fleet: Fleet) -> None:
    assert fleet.target.serves(CANDIDATE).passed
    fleet.worlds["ap"].rollout.service.running = []
    verdict = fleet.target.serves(CANDIDATE)
    assert not verdict.passed
    assert verdict.reasons == (Reason("ap: prod runs nothing"),)


def back(fleet: Fleet) -> Any:
    definitions = {"eu": "td:1", "us": "td:2"}
    return RollbackStage(fleet.target, definitions, "leaks", "ann").run(CANDIDATE, RecordedProgress())


def test_a_rollback_takes_all_regions_back_each_by_its_own_definition(fleet: Fleet) -> None:
    result = back(fleet)
    assert result.outcome is Outcome.PASSED
    assert {name: world.rollout.definitions for name, world in fleet.worlds.items()} == {
        "eu": ["td:1"],
        "us": ["td:2"],
        "ap": [""],
    }
    assert result.facts["deployment"]["waves"] == [["eu", "us", "ap"]]
    assert all(world.rollout.supersedes == [True] for world in fleet.worlds.values())


def test_a_rollback_that_fails_in_one_region_does_not_go_forward_in_the_others(fleet: Fleet) -> None:
    fleet.fail("us")
    result = back(fleet)
    assert (result.outcome, result.error_code) == (Outcome.REFUSED, ExitCode.STUCK)
    assert [world.rollout.undone for world in fleet.worlds.values()] == [0, 0, 0]  # type: ignore[attr-defined]
    assert fleet.settled() == {"eu": 1, "us": 0, "ap": 1}


def test_a_rollback_begins_nowhere_where_one_region_cannot_be_asked(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet.worlds["us"], "deliver", Failing(ConfigurationError("no registry", hint="")))
    assert back(fleet).began is False
    assert fleet.deployed() == {"eu": 0, "us": 0, "ap": 0}


# -- several services -------------------------------------------------------------------------------------------------


@pytest.fixture
def services() -> Fleet:
    return Fleet(kind="service", front="ap")


def test_services_are_recorded_under_their_names_and_called_that(services: Fleet) -> None:
    services.fail("ap")
    result = services.run()
    assert set(result.facts["deployment"]["services"]) == {"eu", "us", "ap"}
    assert result.verdict.reasons[0].text.endswith("every service runs what it ran before")


def test_the_settings_of_each_service_make_another_plan(services: Fleet, fleet: Fleet) -> None:
    assert services.target.shape == {"services": {key: {"cluster": "c"} for key in ("eu", "us", "ap")}}
    assert fleet.target.shape == {"cluster": "c"}


def test_the_load_is_sent_to_the_front(services: Fleet, fleet: Fleet) -> None:
    assert services.target.base_url() == fleet.target.base_url() == "http://127.0.0.1:1"


def test_what_was_loaded_must_still_run_everywhere(services: Fleet) -> None:
    assert services.target.runs(CANDIDATE).passed
    services.worlds["us"].rollout.service.running = []
    assert services.target.runs(CANDIDATE).reasons == (Reason("us: prod runs nothing"),)


def test_a_rehearsal_puts_all_services_back_and_forward_again(services: Fleet) -> None:
    with services.target.held("rehearsal", str(IMAGE.digest)) as held:
        deployed = services.target.restore(CANDIDATE, "", held, RecordedProgress())
    assert deployed.verdict.passed
    assert services.deployed() == {"eu": 1, "us": 1, "ap": 1}
    assert all(world.rollout.supersedes == [False] for world in services.worlds.values())


def test_a_rehearsal_begins_nowhere_where_one_service_cannot_be_asked(
    services: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services.worlds["us"], "deliver", Failing(UnavailableError("no answer", hint="")))
    with services.target.held("rehearsal", str(IMAGE.digest)) as held:
        deployed = services.target.restore(CANDIDATE, "", held, RecordedProgress())
    assert not deployed.began
    assert services.deployed() == {"eu": 0, "us": 0, "ap": 0}
