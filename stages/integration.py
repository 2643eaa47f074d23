"""integration: that very digest runs with its real dependencies, and pytest drives it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.model.verdict import Outcome, Reason, Verdict
from pipeline.ports import Candidate, IntegrationSandbox, Plan, Progress, StageResult, SuiteResult
from stages.files import hash_suite

_SHOWN = 10
_LOG_LINES = 5


@dataclass(frozen=True, slots=True)
class IntegrationPlan:
    """What is run: the suite's folder, and everything that shapes the sandbox (JSON values)."""

    root: Path
    tests: str
    sandbox: Mapping[str, Any]
    directory: Path


@dataclass(frozen=True, slots=True)
class IntegrationStage:
    """Every test must pass; a suite that ran no test decides nothing. `sandbox` is made when it is needed."""

    settings: IntegrationPlan
    sandbox: Callable[[], IntegrationSandbox]

    @property
    def name(self) -> str:
        """`integration`."""
        return "integration"

    @property
    def environment(self) -> str:
        """None: the sandbox is gone afterwards."""
        return ""

    def plan(self, candidate: Candidate) -> Plan:
        """The suite's files and pytest's own, the services and their settings, and the image."""
        tests = hash_suite(self.settings.root, self.settings.tests, "integration suite")
        content = {"tests": tests, "sandbox": dict(self.settings.sandbox), "image": str(candidate.ref.digest)}
        return Plan(self.name, self.environment, content)

    def standing(self, candidate: Candidate) -> Verdict:  # noqa: ARG002 – the protocol's signature
        """A test that passed has passed."""
        return Verdict(self.name, Outcome.PASSED)

    def hold(self, candidate: Candidate) -> AbstractContextManager[object]:  # noqa: ARG002 – the protocol's signature
        """Nothing that others use is changed."""
        return nullcontext()

    def run(self, candidate: Candidate, progress: Progress) -> StageResult:
        """Runs the suite against the candidate."""
        result = self.sandbox().run_suite(candidate.ref, self.settings.directory / "integration", progress)
        return StageResult(
            judge_suite(self.name, result),
            facts={
                "passed": result.passed,
                "failed": result.failed,
                "skipped": result.skipped,
                "failures": [
                    {"name": failure.name, "message": failure.message} for failure in result.failures
                ],
                "logs": {name: list(lines) for name, lines in result.logs.items()} if result.failed else {},
                "junit": str(result.junit),
            },
            metrics={
                "tests": result.passed + result.failed,
                "failed": result.failed,
                "skipped": result.skipped,
            },
        )


def judge_suite(gate: str, result: SuiteResult) -> Verdict:
    """REFUSED when a test failed, UNDECIDED when none passed, else PASSED."""
    if result.failed:
        return Verdict(gate, Outcome.REFUSED, tuple(_failures(result)))
    if not result.passed:
        ran = f"{result.skipped} skipped" if result.skipped else "no test was found"
        return Verdict(
            gate, Outcome.UNDECIDED, (Reason(f"no test ran ({ran})", "see what pytest says of the suite"),)
        )
    return Verdict(
        gate, Outcome.PASSED, (Reason(f"{result.passed} {'test' if result.passed == 1 else 'tests'} passed"),)
    )


def _failures(result: SuiteResult) -> list[Reason]:
    reasons = [
        Reason(f"{failure.name}: {_first_line(failure.message)}", f"see {result.junit.parent}")
        for failure in result.failures[:_SHOWN]
    ]
    more = result.failed - len(reasons)
    if more > 0:
        reasons.append(Reason(f"{more} more failed", f"see {result.junit}"))
    return [*reasons, *_last_words(result)]


def _first_line(message: str) -> str:
    return next((line.strip() for line in message.splitlines() if line.strip()), "failed")


def _last_words(result: SuiteResult) -> list[Reason]:
    """What the sandbox's containers wrote last."""
    lines = [
        f"{name} | {line}"
        for name, lines in result.logs.items()
        for line in lines[-_LOG_LINES:]
        if line.strip()
    ]
    return [Reason("\n    ".join(["last lines of the containers:", *lines]))] if lines else []
