"""kill -9 at random moments of `promote`, then `promote` again: what is left wrong.

`python -m bench.kills [n] [seed]`; each round promotes the other of two digests.
"""

from __future__ import annotations

import secrets
import sys
import tempfile
from pathlib import Path

from tests.chaos.kills import kill_at_random
from tests.chaos.project import open_mayhem


def main(count: int, seed: int) -> int:
    """Prints what came of it; 1 when a round left something wrong."""
    print(f"seed: {seed}", flush=True)
    bad = early = 0
    with (
        tempfile.TemporaryDirectory(prefix="onedigest-bench-") as folder,
        open_mayhem(Path(folder) / "p") as mayhem,
    ):
        for number, round_ in enumerate(kill_at_random(mayhem, count, seed), 1):
            early += round_.ended
            bad += bool(round_.wrong)
            told = "; ".join(round_.wrong) or "well"
            print(f"round {number} after {round_.after:.1f} s ({round_.said[:80]}) – {told}", file=sys.stderr)
    print(f"killed at random moments: {count - early}, ended before: {early}")
    print(f"right digest, one deployment, no lease left, evidence complete: {count - bad} of {count}")
    return 1 if bad else 0


if __name__ == "__main__":
    words = [int(word) for word in sys.argv[1:]]
    sys.exit(main(words[0] if words else 30, words[1] if len(words) > 1 else secrets.randbelow(10_000)))
