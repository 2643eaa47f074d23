"""A load generator for tests: measures what it is told, without a request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.errors import ConfigurationError, UndecidedError
from pipeline.model.histogram import Histogram
from pipeline.model.load import EndpointSummary, GeneratorHealth, LoadShape, LoadSummary
from pipeline.ports import Progress

HEALTHY = GeneratorHealth(cpu_share=0.2, lag_share=0.02, delivered_share=1.0)


@dataclass(frozen=True)
class Measured:
    """One endpoint: how many requests, how many of them failed, and their latency in milliseconds."""

    requests: int = 1000
    latency: float = 20.0
    failures: int = 0


@dataclass
class FakeLoad:
    """`pipeline.ports.LoadGenerator`. No endpoints: not one request is measured. `ran` holds every base URL."""

    root: Path = Path()
    endpoints: Mapping[str, Measured] = field(default_factory=lambda: {"GET /": Measured()})
    health: GeneratorHealth = HEALTHY
    unfinished: int = 0
    ran: list[str] = field(default_factory=list)

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
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "locust.jsonl").write_text("")
        progress.share(0.5, "50 req/s · p95 20 ms · 0 failed")
        progress.share(1.0, "50 req/s · p95 20 ms · 0 failed")
        if not self.endpoints:
            raise UndecidedError("the load test gave no result: not one request", hint="see the log")
        parts = [
            EndpointSummary.of(name, m.requests, m.failures, Histogram.of([m.latency] * m.requests))
            for name, m in self.endpoints.items()
        ]
        whole = Histogram()
        for part in parts:
            whole = whole.merge(part.histogram)
        total = EndpointSummary.of("all", whole.count, sum(part.failures for part in parts), whole)
        return LoadSummary(total, parts, shape.duration, self.health, unfinished=self.unfinished)


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
