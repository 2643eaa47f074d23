"""Candidate and baseline under one load: side by side first, then each alone; what was measured, and what follows.

1. Side by side decides whether the candidate is slower, or fails more often, than what production runs.
2. Alone, with all users, decides what a shared backend hides when both wait for it. Where the candidate looks much
   slower alone, both are measured alone once more; a second time refuses.
3. The candidate's part alone is held against the absolute limits.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from pipeline.errors import PipelineError
from pipeline.model.alone import candidate_metrics, judge_alone, judge_relative_limits, strictest
from pipeline.model.baseline import Baseline
from pipeline.model.comparison import compare_together
from pipeline.model.comparison_facts import comparison_facts, relative_metrics
from pipeline.model.limits import show
from pipeline.model.load import (
    GeneratorLimits,
    LoadLimits,
    LoadShape,
    LoadSummary,
    facts_of,
    health_of,
    starved,
)
from pipeline.model.looks import Looks
from pipeline.model.relative_rules import RelativeRules
from pipeline.model.side_by_side import conclude
from pipeline.model.sides import Block, PairSummary, Side, Sides
from pipeline.model.solo import Solo, conclude_solo, judge_solo
from pipeline.model.stored_blocks import blocks_to_json
from pipeline.model.verdict import Outcome, Verdict
from pipeline.ports import Candidate, Held, LoadGenerator, Progress, Say
from pipeline.rollout import RolloutResult

BLOCKS = "blocks.json.gz"
"""The file with what was measured side by side, within the run's folder `load`."""

_SHORT_WARMUP = 2.0
_SKIPPED = "refused side by side already"


class Opponent(Protocol):
    """What the candidate is compared with: production's release, in services of its own beside staging's."""

    def choose(self, candidate: Candidate, say: Say) -> Baseline:
        """What that is; says so where there is nothing. Raises when that is not clear. Nothing has begun then."""
        ...

    def begin(self, against: Baseline, held: Held, progress: Progress) -> None:
        """Has it started, while the lease is ours, and does not wait."""
        ...

    def await_healthy(self, against: Baseline, held: Held, progress: Progress) -> Mapping[str, RolloutResult]:
        """Waits until it serves, in as many and as large tasks as the candidate.

        How that ended by service, up to the first that failed; a service without a name where there is only one.
        """
        ...

    def url(self) -> str:
        """Where it is asked."""
        ...

    def runs(self, against: Baseline) -> Verdict:
        """Whether it runs that, and nothing else."""
        ...

    def end(self, held: Held, progress: Progress) -> None:
        """Takes it down. Raises nothing; says so when it cannot."""
        ...


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """What is offered, and within which limits. `directory` takes the raw records.

    `shape` is what is offered to the candidate where there is no baseline; with one its duration is that of `rules`
    side by side, and then `solo` seconds for each side alone. `workers` is what the tasks that load are made
    of, as JSON values; None: this machine loads. `front` is the service of several that the load is sent to.
    """

    shape: LoadShape
    root: Path
    limits: LoadLimits
    generator: GeneratorLimits
    directory: Path
    rules: RelativeRules = field(default_factory=RelativeRules)
    solo: float = 10.0
    workers: Mapping[str, Any] | None = None
    front: str = ""

    @property
    def alone(self) -> LoadShape:
        """What is offered to each side alone. Both have been warm for long."""
        return replace(self.shape, duration=self.solo, warmup=min(self.shape.warmup, _SHORT_WARMUP))


@dataclass(frozen=True, slots=True)
class Measured:
    """What a load gave: the verdict, and facts and metrics for the record."""

    verdict: Verdict
    facts: dict[str, Any]
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Alone:
    """One round of both sides alone, one after the other."""

    candidate: LoadSummary
    baseline: LoadSummary

    def judged(self, rules: RelativeRules) -> Solo:
        """What the two say of each other."""
        return judge_solo(self.candidate, self.baseline, rules)

    @property
    def facts(self) -> Mapping[str, Any]:
        """Both as JSON values."""
        return {"candidate": facts_of(self.candidate), "baseline": facts_of(self.baseline)}


@dataclass(frozen=True, slots=True)
class SideBySide:
    """One load of both sides. `keep` takes the blocks, compressed, to where they outlast this machine."""

    generator: LoadGenerator
    plan: LoadPlan
    sides: Sides
    progress: Progress
    keep: Callable[[bytes], None]

    def measure(self) -> Measured:
        """All phases, in order. What is refused side by side is not measured alone any more.

        Raises what the generator raises.
        """
        looks = Looks(self.plan.rules)
        pair = self._pair(looks)
        looks = looks.settled(pair.blocks)
        verdict = conclude(looks, pair, self.plan.generator)
        facts = comparison_facts(looks, pair.blocks) | {"generator": health_of(pair.generator)}
        rounds: Sequence[Alone] = ()
        if verdict.outcome is not Outcome.REFUSED:
            rounds = self._alone()
            verdict = strictest([verdict, *self._judged(rounds, pair)])
        candidate = rounds[-1].candidate if rounds else pair.candidate
        metrics = candidate_metrics(candidate, pair.candidate if rounds else None)
        if looks.last:
            metrics |= relative_metrics(looks.last.comparison)
        if limited := judge_relative_limits(metrics, self.plan.limits, ""):
            verdict = strictest([verdict, limited])
        facts |= {"stored": self._kept(pair), "solo": rounds[-1].facts if rounds else {"skipped": _SKIPPED}}
        if len(rounds) > 1:
            facts["solo_before"] = rounds[0].facts
        return Measured(verdict, {"load": facts_of(candidate), "comparison": facts}, metrics)

    def _pair(self, looks: Looks) -> PairSummary:
        self.progress.step("starting the load on both sides")
        shape = replace(self.plan.shape, duration=self.plan.rules.max_duration)
        part = _Part(self.progress, 0.0, 0.7)

        def enough(blocks: Sequence[Block], seconds: float) -> bool:
            first = looks.last is None
            done = looks.look(blocks, seconds)
            if first and looks.last is not None:
                for warning in looks.warnings:
                    self.progress.note(warning)
            part.text = told(blocks, self.plan.rules) or part.text
            return done

        return self.generator.compare(shape, self.sides, self._directory("pair"), part, enough)

    def _alone(self) -> Sequence[Alone]:
        """Candidate, then baseline; on suspicion baseline, then candidate, so that what drifts helps neither."""
        first = Alone(self._run("candidate", "", 0.7), self._run("baseline", "", 0.775))
        if not first.judged(self.plan.rules).suspicious:
            return (first,)
        self.progress.note("alone the candidate looks much slower than production's digest: both once more")
        baseline = self._run("baseline", "-again", 0.85)
        return first, Alone(self._run("candidate", "-again", 0.925), baseline)

    def _run(self, side: str, suffix: str, start: float) -> LoadSummary:
        ours = side == Side.CANDIDATE.value
        who, url = (
            ("candidate", self.sides.candidate) if ours else ("production's digest", self.sides.baseline)
        )
        part = _Part(self.progress, start, start + 0.075, before=f"{who} alone: ")
        directory = self._directory(f"alone-{side}{suffix}")
        return self.generator.run(self.plan.alone, url, directory, part)

    def _judged(self, rounds: Sequence[Alone], pair: PairSummary) -> Iterator[Verdict]:
        rules, bounds = self.plan.rules, self.plan.generator
        yield conclude_solo(*(each.judged(rules) for each in rounds))
        yield from (verdict for each in rounds for verdict in starved(each.baseline.generator, bounds))
        yield judge_alone(rounds[-1].candidate, pair.candidate, self.plan.limits, bounds)

    def _kept(self, pair: PairSummary) -> Mapping[str, Any]:
        """Writes the blocks into the run's folder and beside the image; which file that is, for the record."""
        text = json.dumps(blocks_to_json(pair.blocks), separators=(",", ":"), allow_nan=False)
        content = gzip.compress(text.encode(), mtime=0)
        path = self.plan.directory / "load" / BLOCKS
        path.write_bytes(content)
        found = {"file": f"load/{BLOCKS}", "sha256": hashlib.sha256(content).hexdigest(), "attached": True}
        try:
            self.keep(content)
        except PipelineError as error:
            self.progress.note(f"the blocks were not put beside the image: {error.message}")
            found["attached"] = False
        return found

    def _directory(self, name: str) -> Path:
        directory = self.plan.directory / "load" / name
        directory.mkdir(parents=True, exist_ok=True)
        return directory


def told(blocks: Sequence[Block], rules: RelativeRules) -> str:
    """The comparison so far in one line, for people who wait; empty while there are too few requests for one.

    The last quantile that is compared is told: the one that takes longest to be clear.
    """
    for found in reversed(compare_together(blocks, rules).ratios):
        label, ratio, measured = found.finding.subject.what, found.ratio, found.measured
        if ratio is not None:
            ours, theirs = (show("p50_ms", ms) for ms in (measured.candidate_ms, measured.baseline_ms))
            # The ratio first: a narrow terminal cuts the rest off.
            seen = f"{label} {ratio.point:.2f} × ({ratio.low:.2f}–{ratio.high:.2f})"
            return f"{seen} · candidate {ours} · production {theirs}"
    return ""


@dataclass(slots=True)
class _Part:
    """A part of the bar, from `start` to `end`, of what the stage does. `text` is shown where there is one."""

    progress: Progress
    start: float
    end: float
    before: str = ""
    text: str = ""

    def step(self, text: str) -> None:
        self.progress.step(f"{self.before}{text}")

    def share(self, done: float, text: str) -> None:
        self.progress.share(self.start + done * (self.end - self.start), self.text or f"{self.before}{text}")

    def note(self, text: str) -> None:
        self.progress.note(text)
