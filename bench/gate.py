"""How often the load gate is right on the real stage, beside rules that look at one side after the other.

`python -m bench.gate [decisions]` copies this project, gives its sample a service time of some 10 ms, and builds it
four times: as it is, and with every answer taking 10, 25 and 100 % longer. Production's part is always the first. Each
decision is what staging does: both sides at the same time until the looks decide, then each alone. On the very same
measurements the other rules decide too: an absolute limit, and the two alone one after the other. More equal sides come
out of the same loads: what was measured of two equal ones is dealt to them anew, half second by half second.
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.model.baseline import Baseline
from pipeline.model.digest import Digest, ImageRef
from pipeline.model.load import LoadSummary
from pipeline.model.looks import Looks
from pipeline.model.relative_rules import RelativeRules
from pipeline.model.side_by_side import conclude
from pipeline.model.sides import Block, PairSummary, Sides
from pipeline.model.verdict import Outcome
from pipeline.ports import Candidate, Source
from pipeline.terminal import Terminal
from pipeline.wiring import Asked, Project, make_stages
from stages.side_by_side import Opponent
from stages.staging import StagingStage
from tests.e2e.conftest import Copy, copy_of_this
from tests.fakes.load import RecordedProgress

FACTORS = {"A/A": 1.0, "+10 %": 1.10, "+25 %": 1.25, "+100 %": 2.0}
SHARE = {"A/A": 1.0, "+10 %": 0.5, "+25 %": 1.0, "+100 %": 0.25}
"""How many decisions of each there are, as a share of what is asked for."""

DEALT = 20
SEED = 20261128
SLOWLY = '''"""Answers as slowly as it is told, in proportion."""

import asyncio
import random
import time

FACTOR = {factor}


class Slowly:
    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        began = time.monotonic()

        async def later(message):
            if message["type"] == "http.response.start":
                await asyncio.sleep((FACTOR - 1) * (time.monotonic() - began))
            await send(message)

        await asyncio.sleep(random.lognormvariate(-4.6, 0.35))
        return await self.app(scope, receive, later)
'''


@dataclass(frozen=True)
class Decision:
    """One run of the gate, and each side alone in the same run."""

    outcome: Outcome
    judged: Outcome
    pair: PairSummary
    looks: Looks
    candidate: LoadSummary
    baseline: LoadSummary
    seconds: float

    def ratio(self, label: str, *, together: bool) -> float:
        """Candidate to baseline: measured at the same time, or one after the other."""
        sides = (self.pair.candidate, self.pair.baseline) if together else (self.candidate, self.baseline)
        mine, theirs = (side.total.quantiles.get(label, float("nan")) for side in sides)
        return mine / theirs


def measure(decisions: int) -> int:
    """Prints the table; 0 when the gate raised no false alarm beyond 1 % and found at least 95 % of +25 %."""
    with releases() as (project, images), standing(project, images["A/A"]) as decide:
        found: dict[str, list[Decision]] = {name: [] for name in FACTORS}
        for name, number in turns(decisions):
            found[name] += decide(images[name], number)
            told = ", ".join(f"{n} {len(d)}" for n, d in found.items())
            print(f"so far: {told}", file=sys.stderr, flush=True)
    return report(found)


def turns(decisions: int) -> Iterator[tuple[str, int]]:
    """Some decisions of each kind, then of the next, twice round: a machine that changes changes for all of them."""
    wanted = {name: max(1, round(decisions * share)) for name, share in SHARE.items()}
    halves = {name: -(-number // 2) for name, number in wanted.items()}
    yield from halves.items()
    yield from ((name, wanted[name] - halves[name]) for name in wanted if wanted[name] > halves[name])


@contextmanager
def releases() -> Iterator[tuple[Copy, Mapping[str, ImageRef]]]:
    """A copy of this project with a cloud of its own, and an image for each of `FACTORS`."""
    with tempfile.TemporaryDirectory(prefix="onedigest-bench-") as folder:
        project = copy_of_this(Path(folder))
        project.change(
            "app/server.py",
            "AccessLayer(create_app(settings), drain)",
            "AccessLayer(Slowly(create_app(settings)), drain)",
        )
        project.change(
            "app/server.py", "from app.web import", "from app.slowly import Slowly\nfrom app.web import"
        )
        project.change("pipeline.toml", 'baseline = "none"', 'baseline = "prod"')
        project.change("pipeline.toml", "users = 10", "users = 16")
        try:
            yield project, {name: built(project, factor) for name, factor in FACTORS.items()}
        finally:
            project.pipeline("local", "reset", "--yes")


def built(project: Copy, factor: float) -> ImageRef:
    """The image of the sample that takes `factor` times as long."""
    (project.root / "app" / "slowly.py").write_text(SLOWLY.format(factor=factor), "utf-8")
    done = project.pipeline("--json", "stage", "build")
    if done.code:
        raise SystemExit(f"error: the build ended with {done.code}\nnext:  see what it said above")
    repository, _, digest = str(done.answer["image"]).partition("@")
    return ImageRef(repository, Digest(digest))


Decide = Callable[[ImageRef, int], Sequence[Decision]]


@contextmanager
def standing(project: Copy, baseline: ImageRef) -> Iterator[Decide]:
    """Staging with production's part beside it; gives what rolls a candidate out and decides so many times on it."""
    progress = RecordedProgress()
    with Project.open(project.root, Terminal(quiet=True)).session(("staging",), asked=Asked()) as session:
        stage = next(s for s in make_stages(session) if isinstance(s, StagingStage))
        opponent = stage.opponent
        assert opponent is not None
        with stage.target.held("bench of the load gate") as held:
            try:
                deployed(stage, baseline, held, progress)
                opponent.begin(Baseline(baseline), held, progress)
                opponent.await_healthy(Baseline(baseline), held, progress)

                def decide(image: ImageRef, number: int) -> Sequence[Decision]:
                    deployed(stage, image, held, progress)
                    return [decision(stage, opponent, session.directory, progress) for _ in range(number)]

                yield decide
            finally:
                opponent.end(held, progress)


def deployed(stage: StagingStage, image: ImageRef, held: Any, progress: RecordedProgress) -> None:
    """Rolls the image out on staging, as the stage does."""
    done = stage.target.deploy(Candidate(Source(""), image), held, progress)
    if not done.verdict.passed:
        raise SystemExit(
            f"error: {[reason.text for reason in done.verdict.reasons]}\nnext:  see staging's log"
        )


def decision(
    stage: StagingStage, opponent: Opponent, directory: Path, progress: RecordedProgress
) -> Decision:
    """One load of both, as long as the looks want it; then each alone."""
    plan, sides = stage.load, Sides(stage.target.base_url(), opponent.url())
    looks = Looks(plan.rules)
    shape = replace(plan.shape, duration=plan.rules.max_duration)
    folder = directory / f"bench-{time.monotonic_ns()}"
    pair = stage.generator.compare(shape, sides, folder / "pair", progress, looks.look)
    verdict = conclude(looks, pair, plan.generator)
    alone = [
        stage.generator.run(plan.alone, url, folder / name, progress)
        for name, url in (("candidate", sides.candidate), ("baseline", sides.baseline))
    ]
    by_looks = looks.last.outcome if looks.last else Outcome.UNDECIDED
    seconds = looks.last.at if looks.last else pair.candidate.seconds
    return Decision(by_looks, verdict.outcome, pair, looks, alone[0], alone[1], seconds)


def dealt(source: Decision, rules: RelativeRules, random_: random.Random) -> Outcome:
    """What the gate says when the two equal sides change places at random, half second by half second."""
    looks, done = Looks(rules), 0
    blocks = [_swapped(block) if random_.random() < 0.5 else block for block in source.pair.blocks]
    for look in source.looks.taken:
        done = min(len(blocks), round(look.at * 2))
        if looks.look(blocks[:done], look.at):
            break
    return looks.last.outcome if looks.last else Outcome.UNDECIDED


def _swapped(block: Block) -> Block:
    return Block(block.index, block.baseline, block.candidate)


def report(found: Mapping[str, Sequence[Decision]]) -> int:
    """The figures, and whether they hold."""
    reference = found["A/A"][0].baseline.total.quantiles["p95"]
    rules: Mapping[str, Callable[[Decision], bool]] = {
        "the gate (interval and looks, both at the same time)": lambda d: d.outcome is Outcome.REFUSED,
        "p95 ratio > 1.10, both at the same time, no interval": lambda d: (
            d.ratio("p95", together=True) > 1.10
        ),
        "p95 ratio > 1.10, one after the other": lambda d: d.ratio("p95", together=False) > 1.10,
        "p50 ratio > 1.10, one after the other": lambda d: d.ratio("p50", together=False) > 1.10,
        "p95 > 1.25 × the first measurement, alone": lambda d: (
            d.candidate.total.quantiles["p95"] > 1.25 * reference
        ),
        "p95 > 1.50 × the first measurement, alone": lambda d: (
            d.candidate.total.quantiles["p95"] > 1.50 * reference
        ),
    }
    for name, refuses in rules.items():
        shares = [f"{kind} {sum(map(refuses, all_))} of {len(all_)}" for kind, all_ in found.items()]
        print(f"refused by {name}: {', '.join(shares)}")
    for kind, decisions in found.items():
        _tell(kind, decisions)
    random_ = random.Random(SEED)
    again = [dealt(d, d.looks.rules, random_) for d in found["A/A"] for _ in range(DEALT)]
    false = again.count(Outcome.REFUSED)
    print(f"A/A with sides dealt anew in each half second: refused {false} of {len(again)}")
    alarms = sum(d.outcome is Outcome.REFUSED for d in found["A/A"])
    seen = sum(d.outcome is Outcome.REFUSED for d in found["+25 %"])
    fine = alarms + false <= 0.01 * (len(found["A/A"]) + len(again)) and seen >= 0.95 * len(found["+25 %"])
    return 0 if fine else 1


def _tell(kind: str, decisions: Sequence[Decision]) -> None:
    outcomes = [d.outcome for d in decisions]
    counted = ", ".join(f"{outcome.value} {outcomes.count(outcome)}" for outcome in Outcome)
    seconds = [d.seconds for d in decisions]
    rate = statistics.median(d.pair.candidate.total.requests / d.pair.candidate.seconds for d in decisions)
    ratios = ", ".join(
        f"{label} {statistics.median(d.ratio(label, together=True) for d in decisions):.3f}"
        for label in ("p50", "p95")
    )
    starved = sum(d.judged is not d.outcome for d in decisions)
    print(
        f"{kind}: {counted}; decided after {statistics.median(seconds):.0f} s in the median, {max(seconds):.0f} s at "
        f"most; {rate:.0f} requests/s a side; measured ratios {ratios}; open because of the generator: {starved}"
    )


if __name__ == "__main__":
    sys.exit(measure(int(sys.argv[1]) if sys.argv[1:] else 24))
