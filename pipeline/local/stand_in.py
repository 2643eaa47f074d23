"""Makes a stand-in for an official image from the distribution's packages with mmdebstrap, and loads it."""

from __future__ import annotations

import fcntl
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import UnavailableError
from pipeline.local.debian import (
    Release,
    apt_options,
    candidate_version,
    install_commands,
    package_sources,
    run_as_root,
)
from pipeline.local.image_archive import EPOCH, write_archive
from pipeline.local.stand_in_recipes import SCRIPTS, Recipe, tag_version
from pipeline.ports import Say

RECIPE_LABEL = "dev.onedigest.recipe"
_MERGED_USR = Path("/usr/share/mmdebstrap/hooks/merged-usr")
_SECONDS = 900.0
_LEFT_OUT = (
    "path-exclude=/usr/share/man/*", "path-exclude=/usr/share/info/*", "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/lintian/*", "path-exclude=/usr/share/doc/*", "path-include=/usr/share/doc/*/copyright",
    "force-unsafe-io",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Host:
    """Where stand-ins are made: the release, and what packages and the engine are for (`amd64`, `arm64`, …)."""

    release: Release
    architecture: str
    engine_architecture: str


def obtain_tool(host: Host, say: Say) -> None:
    """Install mmdebstrap where it is missing and we may."""
    if host.release.family and os.geteuid() == 0 and shutil.which("mmdebstrap") is None:
        say("installing mmdebstrap, which makes images from packages")
        for command in install_commands(["mmdebstrap"]):
            run_as_root(command)


def why_not(host: Host, recipe: Recipe, tag: str) -> str:
    """Why no stand-in for `recipe` at `tag` can be made on this host, or the empty string."""
    release = host.release
    if not release.family:
        return f"stand-ins are made from Debian's or Ubuntu's packages, and this is {release.name}"
    if shutil.which("mmdebstrap") is None:
        return "mmdebstrap is not installed (apt-get install mmdebstrap)"
    if host.architecture != host.engine_architecture:
        return f"packages here are for {host.architecture}, the Docker engine runs {host.engine_architecture}"
    version = candidate_version(recipe.package_for(tag))
    wanted = tag_version(tag)
    # Without package lists nothing is known yet, and the tool itself will say what is missing. The registry's own
    # number (2) is not its package's affair.
    if version and wanted and not _is_release(version, wanted):
        return f"{tag} asks for {wanted}, and {release.name} has {recipe.package_for(tag)} {version}"
    return ""


def _is_release(version: str, wanted: str) -> bool:
    upstream = version.rpartition(":")[2]
    return upstream == wanted or upstream.startswith((f"{wanted}.", f"{wanted}-", f"{wanted}+"))


def make(client: Any, recipe: Recipe, tag: str, *, name: str, host: Host) -> None:
    """Make the stand-in and load it into the engine as `name`.

    Raises UnavailableError with mmdebstrap's last lines when the packages cannot be had.
    """
    digest = name.rpartition(":")[2]
    with work_directory(f"{recipe.repository}-{digest}") as work:
        layer = work / "layer.tar"
        bootstrap(_arguments(recipe, tag, host.release.suite, layer, work), work=work, what=name)
        archive = work / "image.tar"
        write_archive(
            archive,
            layer,
            recipe.config,
            tag=name,
            architecture=host.engine_architecture,
            labels={RECIPE_LABEL: digest},
        )
        with archive.open("rb") as content:
            client.images.load(content)


def unpacked(packages: Sequence[str], *, below: bytes, release: Release, work: Path) -> Path:
    """A tar of `packages` and of what they need beyond the image whose package database is `below`."""
    status = work / "status"
    status.write_bytes(below)
    layer = work / "additions.tar"
    database = shlex.quote(str(status))
    setup = f'mkdir -p "$1/var/lib/dpkg" && cp {database} "$1/var/lib/dpkg/status"'
    arguments = [
        "--variant=extract",
        f"--include={','.join(packages)}",
        f"--setup-hook={setup}",
        f'--extract-hook=sh {_script("packages.sh")} "$1" {database}',
        f'--extract-hook=sh {_script("tidy.sh")} "$1"',
        *_merged(),
    ]
    bootstrap([*arguments, *_common(release.suite, layer, work)], work=work, what=" ".join(packages))
    return layer


def _arguments(recipe: Recipe, tag: str, suite: str, layer: Path, work: Path) -> list[str]:
    hook = "customize" if recipe.variant == "minbase" else "extract"
    arguments = [f"--variant={recipe.variant}", f"--include={','.join(recipe.packages_for(tag))}"]
    if recipe.variant == "extract":
        unneeded = shlex.join(recipe.unneeded)
        arguments += [
            f'--setup-hook=sh {_script("unneeded.sh")} "$1" {unneeded}',
            f'--extract-hook=sh {_script("packages.sh")} "$1"',
        ]
    arguments += [
        f'--{hook}-hook=sh {_script(f"{recipe.repository}/customize.sh")} "$1"',
        f'--{hook}-hook=sh {_script("tidy.sh")} "$1"',
    ]
    return [*arguments, *_merged(), *_common(suite, layer, work)]


def _common(suite: str, layer: Path, work: Path) -> list[str]:
    options = work / "apt.conf"
    options.write_text(apt_options())
    sources = work / "host.sources"
    sources.write_text(package_sources(suite))
    found = [str(sources)] if sources.stat().st_size else []
    excluded = [f"--dpkgopt={option}" for option in _LEFT_OUT]
    return [*excluded, f"--aptopt={options}", "--skip=output/dev", "--format=tar", suite, str(layer), *found]


def _merged() -> list[str]:
    return [f"--hook-directory={_MERGED_USR}"] if _MERGED_USR.is_dir() else []


def _script(name: str) -> str:
    return shlex.quote(str(SCRIPTS / name))


def bootstrap(arguments: Sequence[str], *, work: Path, what: str) -> None:
    """Run mmdebstrap with everything temporary under `work`."""
    environment = {**os.environ, "TMPDIR": str(work), "SOURCE_DATE_EPOCH": str(EPOCH), "LC_ALL": "C.UTF-8"}
    # It must not outlive us: nobody would wait for it or clean up after it.
    command = ["setpriv", "--pdeathsig", "TERM", "mmdebstrap", *arguments]
    try:
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise UnavailableError(
            f"making {what} from packages took longer than {_SECONDS:.0f} s",
            hint="check that the package mirror in /etc/apt answers: apt-get update",
        ) from late
    if done.returncode:
        raise UnavailableError(
            f"making {what} from packages failed:\n{last_errors(done.stderr)}",
            hint="check that apt-get update works here, then run it again; or make an image registry reachable",
        )


def last_errors(text: str, count: int = 8) -> str:
    """The lines that say what went wrong: apt's and mmdebstrap's errors, else simply the last ones."""
    lines = [line for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("E:", "Err:", "dpkg: error", "W: Failed"))]
    return "\n".join((errors or lines)[-count:])


@contextmanager
def lock(name: str) -> Iterator[None]:
    """Held by one process of this user at a time; the kernel lets go of it when the process dies."""
    held = os.open(_own_path(f"{name}.lock"), os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)


@contextmanager
def work_directory(name: str) -> Iterator[Path]:
    """A new temporary directory for `name`; what killed runs left for that name is removed before.

    The caller holds the lock on `name`. A killed run's children may live on for a moment and write to the directory
    they were given, so no two runs are given the same one.
    """
    root = _own_path(name)
    _remove(root)
    root.mkdir(mode=0o755, exist_ok=True)
    if root.stat().st_uid != os.getuid():
        raise UnavailableError(
            f"{root} belongs to somebody else", hint="remove it, or set TMPDIR to a place of your own"
        )
    try:
        path = Path(tempfile.mkdtemp(dir=root))
        path.chmod(0o755)
        yield path
    finally:
        _remove(root)


def _own_path(name: str) -> Path:
    plain = re.sub(r"[^A-Za-z0-9.-]", "-", name)
    return Path(tempfile.gettempdir()) / f"onedigest-base-{os.getuid()}-{plain}"


def _remove(path: Path) -> None:
    # Not shutil.rmtree: a killed run can leave /proc or /dev mounted in there.
    subprocess.run(
        ["rm", "-rf", "--one-file-system", "--", str(path)], check=False, stderr=subprocess.DEVNULL
    )
