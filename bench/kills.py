"""kill -9 at random moments of `promote`, then `promote` again: what is left wrong.

`python -m bench.kills [n] [seed]` goes on until n have been killed; each round promotes the other of two digests.
"""

from __future__ import annotations

import secrets
import sys
import tempfile
from pathlib import Path

from tests.chaos.kills import Killed, kill_at_random
from tests.chaos.project import open_mayhem


def main(count: int, seed: int) -> int:
    """Prints what came of it; 1 when a round left something wrong."""
    print(f"seed: {seed}", flush=True)
    rounds: list[Killed] = []
    with (
        tempfile.TemporaryDirectory(prefix="onedigest-bench-") as folder,
        open_mayhem(Path(folder) / "p") as mayhem,
    ):
        for each in kill_at_random(mayhem, count, seed):
            rounds.append(each)
            how = "ended by itself" if each.ended else "killed"
            told = "; ".join(each.wrong) or "well"
            print(
                f"round {len(rounds)}: {how} after {each.after:.1f} s ({each.said[:80]}) – {told}",
                file=sys.stderr,
            )
    good = sum(not each.wrong for each in rounds)
    print(f"killed at random moments: {count} (and {len(rounds) - count} that had ended before)")
    print(f"right digest, one deployment, no lease left, evidence complete: {good} of {len(rounds)}")
    return 0 if good == len(rounds) else 1


if __name__ == "__main__":
    words = [int(word) for word in sys.argv[1:]]
    sys.exit(main(words[0] if words else 30, words[1] if len(words) > 1 else secrets.randbelow(10_000)))
