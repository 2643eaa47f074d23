"""From values to places on a drawing, and which values an axis names."""

from __future__ import annotations

import math
from dataclasses import dataclass

_STEPS = (1, 2, 5, 10)


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps `low`…`high` to `start`…`end`; what lies beyond is put on the edge. `log`: by its logarithm."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """The place of a value."""
        low, high, at = (self._of(each) for each in (self.low, self.high, value))
        share = (at - low) / (high - low) if high > low else 0.5
        return self.start + (self.end - self.start) * min(1.0, max(0.0, share))

    def _of(self, value: float) -> float:
        return math.log(max(value, 1e-9)) if self.log else value

    def ticks(self, about: int = 5) -> list[float]:
        """Round values within the scale, some `about` of them."""
        return (
            _log_ticks(self.low, self.high, about) if self.log else _linear_ticks(self.low, self.high, about)
        )


def rounded_up(value: float) -> float:
    """The next value of the kind 1, 1.5, 2, 3, 4, 6 or 8, with zeros; 1 for what is not above zero.

    Each is among its own ticks, so that an axis up to there ends with a line that is named.
    """
    if not value > 0:
        return 1.0
    unit: float = 10.0 ** math.floor(math.log10(value))
    return next(step * unit for step in (1, 1.5, 2, 3, 4, 6, 8, 10) if step * unit >= value * 0.999999)


def _linear_ticks(low: float, high: float, about: int) -> list[float]:
    rough = (high - low) / max(1, about)
    if not rough > 0:
        return [low]
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(each * unit for each in _STEPS if each * unit >= rough * 0.999999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def _log_ticks(low: float, high: float, about: int) -> list[float]:
    """1, 2 and 5 times the powers of ten; only the powers where those are enough."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    powers = range(first, last + 1)
    fine = [step * 10.0**power for power in powers for step in (1, 2, 5) if low <= step * 10.0**power <= high]
    coarse = [10.0**power for power in powers if low <= 10.0**power <= high]
    return coarse if len(fine) > about + 2 and len(coarse) > 1 else fine
