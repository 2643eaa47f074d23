"""A load generator for tests: measures what it is told, without a request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path

from pipeline.errors import ConfigurationError, UndecidedError
from pipeline.model.histogram import Histogram
from pipeline.model.load import EndpointSummary, GeneratorHealth, LoadShape, LoadSummary, fitting_users
from pipeline.model.sides import BLOCK_SECONDS, Block, Enough, PairSummary, Sides, Tally
from pipeline.ports import Progress

HEALTHY = GeneratorHealth(cpu_share=0.2, lag_share=0.02, delivered_share=1.0)


@dataclass(frozen=True)
class Measured:
    """One endpoint: how many requests within the shape's duration, how many failed, and their latency in milliseconds.

    `spread` is the share by which latencies lie around `latency`, evenly and always the same ones.
    """

    requests: int = 1000
    latency: float = 20.0
    failures: int = 0
    spread: float = 0.0

    def tally(self, block: int, blocks: int) -> Tally:
        """What falls to one of so many blocks."""
        first, end = (number * self.requests // blocks for number in (block, block + 1))
        failed = [number * self.failures // blocks for number in (block, block + 1)]
        around = (1 + self.spread * (2 * (number * 0.618034 % 1) - 1) for number in range(first, end))
        return Tally(end - first, failed[1] - failed[0], Histogram.of(self.latency * by for by in around))


Endpoints = Mapping[str, Measured]


@dataclass
class FakeLoad:
    """`pipeline.ports.LoadGenerator`. No endpoints: not one request is measured.

    `baseline` is what the baseline answers when both sides are compared; None, the same as the candidate. `ran` holds
    every base URL that was loaded by itself, `compared` every two that were loaded together, `asked` the seconds at
    which it was asked whether that is enough.
    """

    root: Path = Path()
    endpoints: Endpoints = field(default_factory=lambda: {"GET /": Measured()})
    health: GeneratorHealth = HEALTHY
    unfinished: int = 0
    ran: list[str] = field(default_factory=list)
    baseline: Endpoints | None = None
    compared: list[Sides] = field(default_factory=list)
    asked: list[float] = field(default_factory=list)

    def check(self, locustfile: Path) -> None:
        path = self.root / locustfile
        if not path.is_file():
            raise ConfigurationError(f"no locustfile: {path}", hint="create it")
        try:
            code = compile(path.read_text(), str(path), "exec")
        except SyntaxError as error:
            raise ConfigurationError(f"{path} does not import:\n  {error}", hint="mend it") from error
        if not any("User" in name for name in code.co_names):
            raise ConfigurationError(f"{path} has no User class", hint="define one")

    def run(self, shape: LoadShape, base_url: str, directory: Path, progress: Progress) -> LoadSummary:
        self.ran.append(base_url)
        _shares_evenly(shape, 1)
        _pretend(directory, progress)
        if not self.endpoints:
            raise UndecidedError("the load test gave no result: not one request", hint="see the log")
        tallies = {name: measured.tally(0, 1) for name, measured in self.endpoints.items()}
        return self._summary([tallies], shape.duration)

    def compare(
        self, shape: LoadShape, sides: Sides, directory: Path, progress: Progress, enough: Enough
    ) -> PairSummary:
        self.compared.append(sides)
        _shares_evenly(shape, 2)
        _pretend(directory, progress)
        other = self.endpoints if self.baseline is None else self.baseline
        if not self.endpoints and not other:
            raise UndecidedError("the load test gave no result: not one request", hint="see the log")
        blocks: list[Block] = []
        whole = max(1, round(shape.duration / BLOCK_SECONDS))
        for number in range(whole):
            ours, theirs = (
                {name: measured.tally(number, whole) for name, measured in side.items()}
                for side in (self.endpoints, other)
            )
            blocks.append(Block(number, ours, theirs))
            # Two blocks are a second.
            if number % 2 and self._enough(enough, blocks):
                break
        seconds = len(blocks) * BLOCK_SECONDS
        candidate, baseline = (
            self._summary([block.candidate for block in blocks], seconds),
            self._summary([block.baseline for block in blocks], seconds),
        )
        return PairSummary(candidate, baseline, blocks, self.health)

    def _enough(self, enough: Enough, blocks: Sequence[Block]) -> bool:
        self.asked.append(len(blocks) * BLOCK_SECONDS)
        return enough(tuple(blocks), self.asked[-1])

    def _summary(self, blocks: Sequence[Mapping[str, Tally]], seconds: float) -> LoadSummary:
        parts = []
        for name in dict.fromkeys(name for block in blocks for name in block):
            tallies = [block[name] for block in blocks if name in block]
            histogram = reduce(Histogram.merge, (tally.histogram for tally in tallies), Histogram())
            requests, failures = (sum(t.requests for t in tallies), sum(t.failures for t in tallies))
            parts.append(EndpointSummary.of(name, requests, failures, histogram))
        whole = reduce(Histogram.merge, (part.histogram for part in parts), Histogram())
        total = EndpointSummary.of("all", whole.count, sum(part.failures for part in parts), whole)
        return LoadSummary(total, parts, seconds, self.health, unfinished=self.unfinished)


def _shares_evenly(shape: LoadShape, sides: int) -> None:
    fits = fitting_users(shape.users, shape.processes, sides)
    if fits != shape.users:
        raise ConfigurationError(f"{shape.users} users do not share evenly", hint=f"set load.users = {fits}")


def _pretend(directory: Path, progress: Progress) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "locust.jsonl").write_text("")
    progress.share(0.5, "50 req/s · p95 20 ms · 0 failed")
    progress.share(1.0, "50 req/s · p95 20 ms · 0 failed")


@dataclass
class RecordedProgress:
    """`pipeline.ports.Progress` that keeps what it was told."""

    steps: list[str] = field(default_factory=list)
    shares: list[tuple[float, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def step(self, text: str) -> None:
        self.steps.append(text)

    def share(self, done: float, text: str) -> None:
        self.shares.append((done, text))

    def note(self, text: str) -> None:
        self.notes.append(text)


@dataclass
class InterruptingProgress(RecordedProgress):
    """The same; Ctrl-C comes at the moment when something with `word` in it is said."""

    word: str = ""

    def note(self, text: str) -> None:
        super().note(text)
        if self.word in text:
            raise KeyboardInterrupt
