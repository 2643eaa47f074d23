"""What it takes to decide a quantile that is still open: how much more time at the rate so far, or how much more load.

The number of requests that are missing is an estimate (`pipeline.model.findings`); so is everything here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pipeline.model.findings import MORE, RatioFinding
from pipeline.model.verdict import Reason


@dataclass(frozen=True, slots=True)
class Shortfall:
    """An open quantile that rests on what was measured for `seconds`, of `cap` at most."""

    found: RatioFinding
    seconds: float
    cap: float

    @property
    def rate(self) -> float:
        """Requests a second and side that counted so far; 0 without any."""
        return self.found.samples / self.seconds if self.seconds > 0 else 0.0

    @property
    def in_all(self) -> float:
        """Seconds of measuring that it takes at this rate, those so far included; infinite without a request."""
        return (self.found.samples + self.found.missing) / self.rate if self.rate else math.inf

    @property
    def beyond(self) -> bool:
        """Whether that is longer than may be measured; without a request nobody can tell."""
        return self.cap < self.in_all < math.inf

    @property
    def reason(self) -> Reason:
        """Why it is open, with the time that is missing; the remedy tells time and load that would do."""
        text, remedy = self.found.finding.reason.text, MORE
        if self.rate and self.found.missing:
            text += f" ({self._more})"
            remedy = self._enough if self.beyond else MORE
        return Reason(text, remedy)

    @property
    def warning(self) -> str:
        """For people who wait: that it will stay open, and what would decide it."""
        return (
            f"{self.found.finding.subject.words} will probably stay undecided ({self._more}): {self._enough}"
        )

    @property
    def _more(self) -> str:
        more = math.ceil(self.in_all - self.seconds)
        return f"at {_rate(self.rate)} requests/s a side that is about {more:,} s more"

    @property
    def _enough(self) -> str:
        factor = self.in_all / self.cap
        times = math.ceil(factor * 10) / 10
        return (
            f"raise load.max_duration to about {math.ceil(self.in_all):,} s, or load.users (load.arrivals, where it "
            f"is set) to about {times:.1f} times as many, {_rate(self.rate * times)} requests/s a side"
        )


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"
