"""An integration sandbox that starts nothing: it is told what the suite would find."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pipeline.errors import ConfigurationError, UndecidedError
from pipeline.model.digest import ImageRef
from pipeline.ports import Progress, SuiteResult, TestFailure

_JUNIT = '<testsuites><testsuite tests="{tests}" failures="{failed}"/></testsuites>'


@dataclass
class FakeSandbox:
    """`pipeline.ports.IntegrationSandbox` with a set outcome. `ran` holds every image it was given.

    `passed`, `skipped` and `failures` are what the suite finds; `broken_service` and `missing_suite` name what is
    wrong instead.
    """

    passed: int = 1
    skipped: int = 0
    failures: tuple[TestFailure, ...] = ()
    broken_service: str = ""
    missing_suite: Path | None = None
    ran: list[ImageRef] = field(default_factory=list)

    def run_suite(self, image: ImageRef, directory: Path, progress: Progress) -> SuiteResult:
        if self.missing_suite:
            raise ConfigurationError(
                f"there is no integration suite at {self.missing_suite}", hint="create it"
            )
        self.ran.append(image)
        directory.mkdir(parents=True, exist_ok=True)
        if self.broken_service:
            raise UndecidedError(
                f"the service {self.broken_service} did not come up", hint="correct its settings"
            )
        progress.step("running the tests")
        total = self.passed + self.skipped + len(self.failures)
        if total:
            progress.share(1.0, f"{total}/{total} tests")
        junit = directory / "junit.xml"
        junit.write_text(_JUNIT.format(tests=total, failed=len(self.failures)))
        logs = {} if self.passed and not self.failures else {"app": ("asked for /",)}
        return SuiteResult(self.passed, len(self.failures), self.skipped, self.failures, junit, "", logs)
