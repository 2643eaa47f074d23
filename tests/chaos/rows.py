"""The truth table: what goes wrong with a promotion to production, and what must be true afterwards."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import docker

from pipeline.local.cloud import cloud_id
from tests.chaos.aftermath import unclean_after
from tests.chaos.project import APP, Mayhem, Told
from tests.chaos.screen import Screen, Visitor

KILLED = -9
VERDICT = ("going back to", "alike", "ECS went back", "ECS calls deployment")


@dataclass
class Case:
    """One row under way: `old` serves, `new` is promoted."""

    mayhem: Mayhem
    old: str
    new: str
    screen: Screen | None = None
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def running(self) -> Screen:
        assert self.screen is not None
        return self.screen

    def kill(self) -> None:
        self.running.kill()

    def paused_until_ecs_is_done(self) -> None:
        """The client sleeps until ECS has come to an end by itself."""
        self.running.pause()
        self.mayhem.in_background(self._wake)

    def _wake(self) -> None:
        time.sleep(2.0)
        self.mayhem.settled()
        self.running.go_on()


Arrange = Callable[[Case], object]


@dataclass(frozen=True, slots=True)
class Row:
    """What goes wrong, and what must be true: the exit `codes` that fit, what the screen `says` (a pattern), who
    `serves` afterwards, which `record` is kept ("" none). `again` promotes once more: it must succeed, and the digest
    must have been deployed exactly once in all.
    """

    name: str
    codes: frozenset[int]
    says: str
    record: frozenset[str]
    told: Told = field(default_factory=Told)
    serves: str = "old"
    arrange: Arrange = lambda _: None
    candidate: Callable[[Mayhem], str] | None = None
    forced: bool = False
    again: bool = False
    quick: bool = True


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of a row."""

    row: Row
    case: Case
    code: int
    screen: Screen
    serves: frozenset[str]
    record: str
    verdict: float | None
    failed: int
    sent: int
    unclean: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """Which digest serves, in words."""
        names = {self.case.old: "old", self.case.new: "new"}
        return " and ".join(sorted(names.get(digest, digest) for digest in self.serves))

    @property
    def first_line(self) -> str:
        """What the screen says first of why, as short as people say it."""
        text = self.screen.reason or "(nothing: it was killed)"
        return re.sub(r"arn:aws:[a-z]+:[^ )]*[:/]", "", text.replace("|", "/"))[:140]

    def wrong(self) -> list[str]:
        """What is not as it must be; empty when all is."""
        row, said = self.row, self.screen.said
        found = []
        if self.label != row.serves:
            found.append(f"{self.label} serves, not {row.serves}")
        if self.code not in row.codes:
            found.append(f"exit code {self.code}, not of {sorted(row.codes)}")
        if row.says and not re.search(row.says, said, re.DOTALL):
            found.append(f"the screen does not say {row.says!r}")
        if self.record not in row.record:
            found.append(f"recorded is {self.record or 'nothing'}, not of {sorted(row.record)}")
        if self.verdict is not None and self.verdict > 60:
            found.append(f"{self.verdict:.0f} s from the second failure to the verdict")
        return [*found, *self.unclean]


def run(row: Row, mayhem: Mayhem) -> Seen:
    """Runs one row: sees to it that one good digest serves, promotes the other with the fault, and looks."""
    old = mayhem.good()
    new = row.candidate(mayhem) if row.candidate else mayhem.passed(mayhem.other(old))
    mayhem.tell(row.told)
    case = Case(mayhem, old, new)
    began = time.time()
    with mayhem.proxy.mended(), Visitor(mayhem.urls["prod"]) as visitor:
        row.arrange(case)
        case.screen = mayhem.promote(new, forced=row.forced)
        code = case.screen.wait()
        mayhem.joined()
    unclean: tuple[str, ...] = ()
    last = case.screen
    if row.again:
        last = mayhem.promote(new)
        last.wait()
        unclean = tuple(unclean_after(mayhem, new, last, began))
    mayhem.settled()
    return Seen(
        row=row,
        case=case,
        code=code,
        screen=case.screen,
        serves=frozenset(mayhem.serving()),
        record=_recorded(mayhem, new, last),
        verdict=_verdict(mayhem, case.screen, visitor),
        failed=len(visitor.failed),
        sent=visitor.sent,
        unclean=unclean,
    )


def _recorded(mayhem: Mayhem, digest: str, screen: Screen) -> str:
    """The result that is attested for this very run; empty when none is."""
    run_id = screen.answer.get("run_id")
    found = [record for record in mayhem.evidence(digest) if record["run"] == run_id]
    return str(found[-1]["result"]) if found else ""


def _verdict(mayhem: Mayhem, screen: Screen, visitor: Visitor) -> float | None:
    """Seconds from the second like failure, of a task or else of a request, to the verdict on screen."""
    said = screen.when(*VERDICT)
    definition = str(screen.facts.get("task_definition", ""))
    if said is None or not definition:
        return None
    failures = mayhem.failures(definition) or visitor.failed
    return max(0.0, said - failures[1]) if len(failures) > 1 else None


# -- arrangements -------------------------------------------------------------------------------------------------


def _missing(mayhem: Mayhem) -> str:
    digest = mayhem.built(Told("missing"))
    _forget(mayhem, digest)
    return digest


def _torn(mayhem: Mayhem) -> str:
    """An image whose own layer is gone, from the registry and from the engine."""
    digest = mayhem.built(Told("torn"))
    layer = mayhem.manifest(digest)["layers"][-1]["digest"]
    _forget(mayhem, layer)
    return digest


def _forget(mayhem: Mayhem, digest: str) -> None:
    name = digest.partition(":")[2]
    store = "/var/lib/registry/docker/registry/v2"
    engine = docker.from_env()
    registry = engine.containers.get(f"onedigest-{cloud_id(mayhem.root / '.pipeline' / 'local')}-registry")
    done = registry.exec_run(["rm", "-r", f"{store}/blobs/sha256/{name[:2]}/{name}"])
    assert done.exit_code == 0, done.output
    registry.restart(timeout=5)
    mayhem.registry_answers()
    for image in engine.images.list(name=f"{mayhem.registry}/{APP}"):
        if not {*mayhem.digests.values()} & {text.rpartition("@")[2] for text in image.attrs["RepoDigests"]}:
            engine.images.remove(image.id, force=True)
    engine.close()


def _foreign(mayhem: Mayhem) -> str:
    return mayhem.built(Told(foreign=True))


def at(name: str, what: Callable[[Case], Callable[[], object]], **when: Any) -> Arrange:
    """Does something at a call of the API; `when` as `FaultProxy.at` takes it."""
    return lambda case: case.mayhem.proxy.at(name, what(case), **when)


def _kill(case: Case) -> Callable[[], object]:
    return case.kill


def rows(*, throttled: float = 30.0, silent: float = 20.0) -> tuple[Row, ...]:
    """All rows. The API throttles and is silent for so many seconds in theirs."""
    return (*_bad_images(), *_bad_settings(), *_bad_times(throttled, silent), *_deaths())


BACK = frozenset({5})
EARLY_OR_BACK = frozenset({1, 3, 5})
"""For what a look beforehand may find, and ECS finds otherwise."""

FAILED, PASSED, UNDECIDED = frozenset({"FAILED"}), frozenset({"PASSED"}), frozenset({"UNDECIDED"})
NOT_PASSED = frozenset({"FAILED", "UNDECIDED", ""})


def _bad_images() -> tuple[Row, ...]:
    gone = r"404|no such image|not in the registry|has no |is gone|image missing"
    foreign = r"architecture|arm64"
    return (
        Row(
            "image that does not exist",
            frozenset({1, 3, 7}),
            gone,
            NOT_PASSED,
            candidate=_missing,
            forced=True,
        ),
        Row(
            "layer that does not exist",
            EARLY_OR_BACK,
            gone,
            NOT_PASSED,
            candidate=_torn,
            forced=True,
            quick=False,
        ),
        Row("exits at once", BACK, r"no licence file.*rule: exited", FAILED, Told(fault="exits")),
        Row("crashes after 5 s", BACK, r"lost its mind", FAILED, Told(fault="crashes", bake="8s")),
        Row("never listens", BACK, r"rule: health check", FAILED, Told(fault="deaf")),
        Row("fails its health check", BACK, r"rule: health check", FAILED, Told(fault="ill"), quick=False),
        Row("answers 500 under load after it completed", BACK, r"\b500\b", FAILED, SOUR),
        Row("too slow to become healthy", BACK, r"loading a large.*health check", FAILED, SLOW, quick=False),
        Row("out of memory", BACK, r"rule: memory", FAILED, Told(fault="greedy")),
        Row("wrong architecture", EARLY_OR_BACK, foreign, NOT_PASSED, candidate=_foreign, forced=True),
    )


SOUR, SLOW = Told(fault="sours", bake="10s"), Told(fault="slow")


def _bad_settings() -> tuple[Row, ...]:
    secret = "mayhem/prod/none"
    return (
        Row("before-task fails", frozenset({1}), r"exit code 3", FAILED, Told(before="3")),
        Row("secret missing", frozenset({1, 3}), secret, NOT_PASSED, Told(secret=secret)),
    )


def _bad_times(throttled: float, silent: float) -> tuple[Row, ...]:
    done = frozenset({0})
    waits = r"waiting for the API|no answer to UpdateService"
    somebody = at("UpdateService", lambda case: case.mayhem.somebody_deploys, after=True)
    asleep = at("UpdateService", lambda case: case.paused_until_ecs_is_done, after=True)
    throttle = at("UpdateService", lambda case: lambda: case.mayhem.proxy.throttle(throttled), after=True)
    silence = at("UpdateService", lambda case: lambda: case.mayhem.proxy.silence(silent), after=True)
    expire = at("DescribeTargetHealth", lambda case: case.mayhem.proxy.expire, once_seen="UpdateService")
    return (
        Row("somebody deploys midway", frozenset({8}), r"replaced ours", UNDECIDED, arrange=somebody),
        Row(
            "ECS rolls back by itself",
            BACK,
            r"ECS went back|ECS calls deployment \S+ failed",
            FAILED,
            Told(fault="exits"),
            arrange=asleep,
        ),
        Row(f"API throttles for {throttled:g} s", done, waits, PASSED, serves="new", arrange=throttle),
        Row(f"API is down for {silent:g} s", done, waits, PASSED, serves="new", arrange=silence),
        Row(
            "answer to UpdateService is lost",
            done,
            r"is healthy",
            PASSED,
            serves="new",
            arrange=lambda case: case.mayhem.proxy.lose_answer("UpdateService"),
            quick=False,
        ),
        Row(
            "credential expires midway",
            frozenset({7}),
            r"is expired.*detached, still running.*renew the credential",
            PASSED,
            serves="new",
            arrange=expire,
            again=True,
        ),
    )


def _deaths() -> tuple[Row, ...]:
    """The client is killed at each step of a rollout; promoting again must end well."""
    watching = {"once_seen": "UpdateService"}
    moments: tuple[tuple[str, Arrange, bool], ...] = (
        ("before it registers", at("RegisterTaskDefinition", _kill, drop=True), False),
        ("after it registered", at("RegisterTaskDefinition", _kill, after=True), True),
        ("before UpdateService arrives", at("UpdateService", _kill, drop=True), False),
        ("while UpdateService is answered", at("UpdateService", _kill, after=True), True),
        ("while it watches", at("DescribeTargetHealth", _kill, **watching), True),
        ("before it attaches evidence", at("DescribeTaskDefinition", _kill, **watching), True),
    )
    return tuple(
        Row(
            f"killed {when}",
            frozenset({KILLED}),
            "",
            PASSED,
            serves="new",
            arrange=arrange,
            again=True,
            quick=quick,
        )
        for when, arrange, quick in moments
    )
