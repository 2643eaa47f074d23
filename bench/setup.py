"""Set-up, change and clean-up of two environments on the emulator alone: calls to AWS, and seconds.

The emulator makes at once what takes AWS minutes: the seconds are ours, and the calls are what AWS is asked.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from pipeline.model.inventory import left
from tests.bare_emulator import bare_emulator
from tests.foundations import READING, SHOP, Grounds, counted, killed_at

ENVIRONMENTS = ("staging", "prod")
CHANGED = SHOP.replace("[environments.prod]", "[environments.prod]\nsetup = { log_days = 7 }")


def main() -> int:
    """Prints one line each; exit code 1 when something was left at the end."""
    with tempfile.TemporaryDirectory() as folder, bare_emulator(Path(folder)) as port:
        grounds = Grounds(port)
        report("a plan of an empty account", lambda: grounds.plan(*ENVIRONMENTS))
        report("set-up from nothing", lambda: grounds.set_up(*ENVIRONMENTS))
        report("set-up again, nothing to do", lambda: grounds.set_up(*ENVIRONMENTS))
        grounds.text = CHANGED
        report("set-up with one change", lambda: grounds.set_up(*ENVIRONMENTS))
        report("inventory", lambda: grounds.there(*ENVIRONMENTS))
        report("clean-up to nothing", lambda: grounds.clean_up(*ENVIRONMENTS))
        kills = 0
        while killed_at(kills + 1, lambda: grounds.set_up(*ENVIRONMENTS)):
            kills += 1
        whole = grounds.plan(*ENVIRONMENTS).empty
        print(
            f"set-up killed before its 1st, 2nd, 3rd … change: {kills} kills, then {'whole' if whole else 'NOT whole'}"
        )
        kills = 0
        while killed_at(kills + 1, lambda: grounds.clean_up(*ENVIRONMENTS)):
            kills += 1
        remaining = len(left(grounds.there(*ENVIRONMENTS)))
        print(f"clean-up killed likewise: {kills} kills, then {remaining} left")
    return 1 if remaining or not whole else 0


def report(what: str, work: Callable[[], object]) -> None:
    with counted() as calls:
        began = time.monotonic()
        work()
        took = time.monotonic() - began
    changing = Counter(name for name in calls if not name.startswith(READING))
    print(
        f"{what}: {took:.1f} s, {len(calls)} calls, {changing.total()} of them change something", flush=True
    )


if __name__ == "__main__":
    sys.exit(main())
