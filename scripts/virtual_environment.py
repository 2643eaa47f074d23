"""Makes .venv from requirements/dev.txt, then hands over to `python -m pipeline.local.prepare` in it.

Runs on the system's Python: standard library only, and of the product only what is standard library as well.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "onedigest-stamp"
REQUIREMENTS = ROOT / "requirements" / "dev.txt"

sys.path.insert(0, str(ROOT))
from pipeline.local.pip_settings import PipSettings, read_pip_settings  # noqa: E402

UNAVAILABLE = 7


class Failed(Exception):
    """What is wrong, and the next step."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def say(line: str) -> None:
    print(f"setup: {line}", file=sys.stderr, flush=True)


def main(arguments: Sequence[str]) -> int:
    try:
        current = is_current()
        if "--dry-run" in arguments:
            say("virtual environment is current" if current else "would make .venv from requirements/dev.txt")
            if not PYTHON.exists():
                return 0
        elif not current:
            with_lock()
    except Failed as problem:
        print(f"error: {problem}\nnext: {problem.hint}", file=sys.stderr)
        return UNAVAILABLE
    os.chdir(ROOT)
    return os.execv(PYTHON, [str(PYTHON), "-m", "pipeline.local.prepare", *arguments])


def wanted_stamp() -> str:
    return hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode() + str(VENV).encode()).hexdigest()


def is_current() -> bool:
    return PYTHON.exists() and STAMP.is_file() and STAMP.read_text() == wanted_stamp()


def with_lock() -> None:
    """A second set-up of the same checkout waits for the first one and finds its work done."""
    cache = ROOT / ".cache"
    cache.mkdir(exist_ok=True)
    with (cache / "setup.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not is_current():
            make()


def make() -> None:
    started = time.monotonic()
    settings = read_pip_settings()
    STAMP.unlink(missing_ok=True)
    if not works():
        shutil.rmtree(VENV, ignore_errors=True)
        new_environment()
    installer = install_uv()
    if not installer or not with_uv(installer, settings):
        with_pip()
    STAMP.write_text(wanted_stamp())
    say(f"made .venv from requirements/dev.txt, {time.monotonic() - started:.1f} s")


def works() -> bool:
    """Whether .venv is there, of this Python, and has a pip that runs."""
    if not PYTHON.exists():
        return False
    asked = [str(PYTHON), "-c", "import pip, sys; print(sys.version)"]
    said = subprocess.run(asked, capture_output=True, text=True, check=False)
    return said.stdout.strip() == sys.version


def new_environment() -> None:
    if not has_ensurepip():
        package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
        if os.geteuid() or not shutil.which("apt-get"):
            raise Failed(
                f"{sys.executable} cannot make virtual environments", f"as root: apt-get install {package}"
            )
        say(f"installing {package}")
        run(["apt-get", "update"])
        run(["apt-get", "install", "--yes", "--no-install-recommends", package])
    run([sys.executable, "-m", "venv", str(VENV)])


def has_ensurepip() -> bool:
    # In a process of its own: Debian's Python finds it only after its package came.
    asked = [sys.executable, "-c", "import ensurepip"]
    return subprocess.run(asked, capture_output=True, check=False).returncode == 0


def install_uv() -> Path | None:
    """uv, at the pinned version and hash: it installs in seconds what takes pip more than a minute."""
    pinned = re.search(r"^uv==.*(?:\n +--hash=.*)+", REQUIREMENTS.read_text(), re.MULTILINE)
    if pinned is None:
        return None
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(pinned[0].rstrip().rstrip("\\") + "\n")
        file.flush()
        done = subprocess.run([*pip_install(), "-r", file.name], capture_output=True, check=False)
    uv = VENV / "bin" / "uv"
    return uv if done.returncode == 0 and uv.exists() else None


def with_uv(uv: Path, settings: PipSettings) -> bool:
    with tempfile.TemporaryDirectory() as directory:
        environment = {**os.environ, **uv_settings(settings, Path(directory))}
        arguments = [str(uv), "pip", "sync", "--quiet", "--require-hashes", "--python", str(PYTHON)]
        done = subprocess.run(
            [*arguments, str(REQUIREMENTS)], env=environment, capture_output=True, text=True, check=False
        )
    if done.returncode:
        say(f"uv could not install, pip does: {done.stderr.strip().splitlines()[-1:]}")
    return done.returncode == 0


def uv_settings(settings: PipSettings, directory: Path) -> Mapping[str, str]:
    """What pip was told of indexes and certificates, in uv's words."""
    words = {
        "index-url": "UV_DEFAULT_INDEX",
        "extra-index-url": "UV_INDEX",
        "find-links": "UV_FIND_LINKS",
        "trusted-host": "UV_INSECURE_HOST",
        "timeout": "UV_HTTP_TIMEOUT",
        "proxy": "ALL_PROXY",
    }
    found = {words[key]: value for key, value in settings.options.items() if key in words}
    if settings.bundle:
        bundle = directory / "certificates.pem"
        bundle.write_bytes(settings.bundle)
        found["SSL_CERT_FILE"] = str(bundle)
    # Hashes decide what may be installed, so the first index that names a package need not be the only one asked.
    return {**found, "UV_INDEX_STRATEGY": "unsafe-best-match", "UV_LINK_MODE": "copy"}


def pip_install() -> list[str]:
    return [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]


def with_pip() -> None:
    run([*pip_install(), "-r", str(REQUIREMENTS)])


def run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-5:])
        hint = "check that this machine reaches its package index, then run it again"
        raise Failed(f"{' '.join(command)} ended with {done.returncode}:\n{said}", hint)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
