"""What a test suite's JUnit file says of each test."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SuiteCase:
    """One test. `outcome` is passed, failed, error or skipped; `text` is what pytest printed of a failure.

    `seconds` is None where the file does not tell.
    """

    suite: str
    name: str
    outcome: str
    seconds: float | None = None
    message: str = ""
    text: str = ""

    @property
    def bad(self) -> bool:
        """Whether it failed, or could not be run."""
        return self.outcome in ("failed", "error")
