"""A browser for the tests that look at reports: on Debian, as root, a small one is installed where none is.

Anywhere else it is said what to install. Nothing but those tests needs it, so this never fails: without a browser they
are skipped, and fail where everything must be real (ONEDIGEST_REQUIRE_REAL=1).
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from pipeline.errors import UnavailableError
from pipeline.local.debian import install_commands, read_release, run_as_root
from tests.browser import PROGRAMS, program

PACKAGE = "chromium-headless-shell"


def main() -> int:
    if program():
        return 0
    if read_release().family != "debian" or os.geteuid():
        say(f"no browser to look at reports with (any of {', '.join(PROGRAMS)}); its tests need one")
        return 0
    started = time.monotonic()
    say(f"installing {PACKAGE}, for the tests that look at reports")
    try:
        for command in install_commands((PACKAGE,)):
            run_as_root(command)
    except UnavailableError as error:
        say(f"no browser: {error.message}")
        return 0
    say(f"browser: {program()}, {time.monotonic() - started:.1f} s")
    return 0


def say(line: str) -> None:
    print(f"setup: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
