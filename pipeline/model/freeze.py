"""Times of the week in which an environment is left alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_DAY_MINUTES = 24 * 60
_MOMENT = rf"({'|'.join(_DAYS)}) ([01]\d|2[0-3]):([0-5]\d)"
_WINDOW = re.compile(rf"{_MOMENT} ?[–-] ?{_MOMENT} (\S+)")


@dataclass(frozen=True, slots=True)
class FreezeWindow:
    """From `start` up to, not including, `end`: minutes since Monday 00:00 by the wall clocks of `zone`.

    A window whose end comes first in the week goes on over Sunday night. `text` is how it was written.
    """

    text: str
    start: int
    end: int
    zone: str

    def holds(self, now: datetime) -> bool:
        """Whether `now` (aware) lies within."""
        local = now.astimezone(ZoneInfo(self.zone))
        minute = local.weekday() * _DAY_MINUTES + local.hour * 60 + local.minute
        if self.start < self.end:
            return self.start <= minute < self.end
        return minute >= self.start or minute < self.end


def parse_window(text: object) -> FreezeWindow:
    """A window out of "Fri 16:00–Mon 08:00 Europe/Berlin". Raises ValueError for anything else."""
    if isinstance(text, FreezeWindow):
        return text
    match = _WINDOW.fullmatch(text) if isinstance(text, str) else None
    if not match:
        raise ValueError(
            'a freeze is two times of the week and a time zone: "Fri 16:00–Mon 08:00 Europe/Berlin"'
        )
    start, end = _minute(*match.groups()[:3]), _minute(*match.groups()[3:6])
    if start == end:
        raise ValueError("a freeze ends at another time of the week than it begins")
    zone = match[7]
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(
            f"no time zone {zone!r} on this machine; write one as Europe/Berlin or UTC"
        ) from error
    return FreezeWindow(match[0], start, end, zone)


def _minute(day: str, hour: str, minute: str) -> int:
    return _DAYS.index(day) * _DAY_MINUTES + int(hour) * 60 + int(minute)
