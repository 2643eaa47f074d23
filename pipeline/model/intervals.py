"""Quantiles of Student's t, and score intervals for shares and for the difference of two shares."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from statistics import NormalDist


def score_interval(share: float, trials: float, z: float) -> tuple[float, float]:
    """Wilson's interval of a share seen in so many independent trials; `z` is the normal quantile to go out to.

    `trials` need not be whole: trials that hang together count for fewer. Raises ValueError unless the share lies
    within 0 and 1 and there was a trial.
    """
    if not 0 <= share <= 1 or not trials > 0:
        raise ValueError(f"no share: {share} of {trials} trials")
    spread = z * z / trials
    middle = share + spread / 2
    half = z * math.sqrt(share * (1 - share) / trials + spread / (4 * trials))
    return max(0.0, (middle - half) / (1 + spread)), min(1.0, (middle + half) / (1 + spread))


def difference_interval(
    first: tuple[float, float], second: tuple[float, float], z: float
) -> tuple[float, float]:
    """Newcombe's interval (hybrid score, method 10) of first share minus second; each is (share, trials).

    Raises ValueError as `score_interval` does.
    """
    (p, n), (q, m) = first, second
    low_p, high_p = score_interval(p, n, z)
    low_q, high_q = score_interval(q, m, z)
    down = math.hypot(p - low_p, high_q - q)
    up = math.hypot(high_p - p, q - low_q)
    return max(-1.0, p - q - down), min(1.0, p - q + up)


def normal_quantile(confidence: float) -> float:
    """How many standard deviations an interval of this two-sided confidence (0 to 1) reaches to either side."""
    return NormalDist().inv_cdf((1 + confidence) / 2)


@lru_cache(maxsize=1024)
def student_quantile(confidence: float, degrees: int) -> float:
    """The same for Student's t with so many degrees of freedom (whole, at least 1).

    Raises ValueError for a confidence that is not between 0 and 1, or for no degrees of freedom.
    """
    if not 0 < confidence < 1 or degrees < 1:
        raise ValueError(f"no quantile of Student's t: confidence {confidence}, {degrees} degrees of freedom")
    low, high = 0.0, 1.0
    while within(high, degrees) < confidence:
        low, high = high, high * 2
    while high - low > 1e-10 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if within(middle, degrees) < confidence else (low, middle)
    return high


def within(t: float, degrees: int) -> float:
    """How likely Student's t lies between -t and t (Abramowitz and Stegun, 26.7.3 and 26.7.4)."""
    angle = math.atan2(t, math.sqrt(degrees))
    squared = math.cos(angle) ** 2
    terms = math.fsum(_terms(squared, degrees))
    if degrees % 2 == 0:
        return math.sin(angle) * terms
    return 2 / math.pi * (angle + math.sin(angle) * math.cos(angle) * terms)


def _terms(squared: float, degrees: int) -> Iterator[float]:
    term, odd = 1.0, degrees % 2
    for order in range(odd + 2, degrees + 1, 2):
        yield term
        term *= squared * (order - 1) / order
