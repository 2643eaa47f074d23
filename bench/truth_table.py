"""What goes wrong with a promotion to production, and what is true afterwards: every row, as a Markdown table.

`python -m bench.truth_table [words]` runs all rows, or those whose names have one of the words.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.chaos.project import open_mayhem
from tests.chaos.rows import Seen, rows, run

HEAD = (
    "what goes wrong",
    "serves",
    "exit code",
    "recorded",
    "verdict after",
    "requests failed",
    "first line",
)


def main(words: Sequence[str]) -> int:
    """Prints a line a row; 1 when something is not as it must be."""
    wrong = []
    print("| " + " | ".join(HEAD) + " |\n" + "|---" * len(HEAD) + "|", flush=True)
    with (
        tempfile.TemporaryDirectory(prefix="onedigest-bench-") as folder,
        open_mayhem(Path(folder) / "p") as mayhem,
    ):
        for row in rows():
            if words and not any(word in row.name for word in words):
                continue
            seen = run(row, mayhem)
            print(line(seen), flush=True)
            wrong += [f"{row.name}: {each}" for each in seen.wrong()]
    for each in wrong:
        print(f"wrong: {each}", file=sys.stderr)
    return 1 if wrong else 0


def line(seen: Seen) -> str:
    verdict = "–" if seen.verdict is None else f"{seen.verdict:.1f} s"
    code = "killed, then 0" if seen.code < 0 else f"{seen.code}{', then 0' if seen.row.again else ''}"
    cells = (
        seen.row.name,
        seen.label,
        code,
        seen.record or "nothing",
        verdict,
        f"{seen.failed} of {seen.sent}",
        seen.first_line,
    )
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
