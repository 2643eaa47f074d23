"""What `--help` costs, as a multiple of a bare interpreter's start, measured in turns on the same machine.

Byte code is kept as on any user's machine: in a folder of its own, filled by a first round that does not count.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROUNDS = 21
MOST = 5.0
PROGRAMS: Mapping[str, tuple[str, ...]] = {
    "bare interpreter": ("-c", "pass"),
    "import click": ("-c", "import click"),
    "--help": ("-m", "pipeline", "--help"),
    "run --help": ("-m", "pipeline", "run", "--help"),
}


def main() -> int:
    """Prints the ratios; exit code 1 when `--help` costs more than it may."""
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": cache}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for arguments in PROGRAMS.values():
            seconds(arguments, environment)
        rounds = [{name: seconds(a, environment) for name, a in PROGRAMS.items()} for _ in range(ROUNDS)]
    bare = statistics.median(one["bare interpreter"] for one in rounds)
    ratios = {name: statistics.median(one[name] for one in rounds) / bare for name in list(PROGRAMS)[1:]}
    print(f"bare interpreter: {bare * 1000:.0f} ms (median of {ROUNDS})")
    for name, ratio in ratios.items():
        print(
            f"{name}: {ratio:.1f} × bare interpreter" + (f" (at most {MOST:g})" if name == "--help" else "")
        )
    return 0 if ratios["--help"] <= MOST else 1


def seconds(arguments: tuple[str, ...], environment: Mapping[str, str]) -> float:
    """Wall time of one start."""
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, check=True
    )
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
