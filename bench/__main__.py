"""`python -m bench [name…]`: runs the benches and prints one Markdown table, with the machine it was measured on.

A bench is a module of this folder that prints lines `what: figure` when it is run as a program. Those that need
minutes and containers run only when they are named.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
QUICK = ("startup", "judge", "evidence")
ON_REQUEST = (
    "gate_simulation",
    "gate",
    "generator",
    "sandbox",
    "local_cloud",
    "rollouts",
    "overhead",
    "kills",
    "contenders",
    "fleet",
    "setup",
)


def main(names: Sequence[str]) -> int:
    """Runs the named benches, or all quick ones; exit code 1 when one failed, 2 for a name that is none."""
    known = [name for name in (*QUICK, *ON_REQUEST) if (ROOT / "bench" / f"{name}.py").is_file()]
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"error: no bench {', '.join(unknown)}\nnext:  one of {', '.join(known)}", file=sys.stderr)
        return 2
    print(machine(), end="\n\n")
    print("| bench | what | figure |\n|---|---|---|", flush=True)
    failed = [name for name in names or [n for n in known if n in QUICK] if not table(name)]
    for name in failed:
        print(f"error: bench {name} failed", file=sys.stderr)
    return 1 if failed else 0


def table(name: str) -> bool:
    """Runs one bench and prints its rows; False when it did not end well."""
    command = [sys.executable, "-m", f"bench.{name}"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    for line in done.stdout.splitlines():
        what, _, figure = line.partition(": ")
        print(f"| {name} | {what.strip()} | {figure.strip()} |", flush=True)
    return done.returncode == 0 and bool(done.stdout)


def machine() -> str:
    """CPU, cores, memory, kernel and Python: what every figure depends on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    load = os.getloadavg()[0]
    return (
        f"{next(cpu_models(), platform.machine())}, {os.cpu_count()} cores, {memory:.0f} GiB, "
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}, load average {load:.1f}"
    )


def cpu_models() -> Iterator[str]:
    """The processors' names, where the system tells them."""
    info = Path("/proc/cpuinfo")
    for line in info.read_text().splitlines() if info.is_file() else ():
        if line.startswith("model name"):
            yield line.partition(":")[2].strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
