"""Promotions of different digests to production, all at once: whether they take turns.

`python -m bench.contenders [n]`.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.chaos.contenders import built, contest
from tests.chaos.project import open_mayhem


def main(count: int) -> int:
    """Prints what came of it; 1 when something was wrong."""
    with (
        tempfile.TemporaryDirectory(prefix="onedigest-bench-") as folder,
        open_mayhem(Path(folder) / "p") as mayhem,
    ):
        found = contest(mayhem, built(mayhem, count))
    busy = list(found.codes.values()).count(8)
    print(
        f"{count} promotions at once: {found.done} came through, {busy} found it busy, {found.seconds:.0f} s in all"
    )
    print(f"deployments: {len(found.deployed)}, changes out of turn or other trouble: {len(found.wrong)}")
    for each in found.wrong:
        print(f"wrong: {each}", file=sys.stderr)
    return 1 if found.wrong else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 20))
