"""What the host's Debian or Ubuntu says of itself: release, package sources, apt settings, versions to be had."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import UnavailableError

_POCKETS = ("", "-updates", "-security", "/updates")
_IMAGE_WORDS = {"armhf": "arm", "armel": "arm", "i386": "386", "ppc64el": "ppc64le", "mips64el": "mips64le"}
_CONNECTION = re.compile(
    r"Acquire::(?:https?::(?!User-Agent)|Retries|ForceIPv|Check-Valid-Until|Check-Date|Max-FutureTime)", re.I
)


@dataclass(frozen=True, slots=True)
class Release:
    """`family` is debian or ubuntu, or empty elsewhere; `suite` is the code name packages are published under."""

    family: str
    suite: str
    name: str


def read_release(root: Path = Path("/")) -> Release:
    """The release as /etc/os-release tells it; an empty family where that is neither Debian nor Ubuntu."""
    path = root / "etc/os-release"
    fields: dict[str, str] = {}
    for line in path.read_text().splitlines() if path.is_file() else ():
        key, found, value = line.partition("=")
        if found:
            fields[key] = value.strip().strip("\"'")
    words = [fields.get("ID", ""), *fields.get("ID_LIKE", "").split()]
    family = next((word for word in words if word in ("debian", "ubuntu")), "")
    # Derivatives (Mint, …) name the release whose packages they use in a field of its own.
    suite = (
        fields.get("UBUNTU_CODENAME") or fields.get("DEBIAN_CODENAME") or fields.get("VERSION_CODENAME", "")
    )
    return Release(family if suite else "", suite, fields.get("PRETTY_NAME", "this system"))


def package_sources(suite: str, root: Path = Path("/")) -> str:
    """The host's own apt sources for `suite` and its updates, as deb822 stanzas; third parties' are left out.

    Empty when the host has none: the caller then lets the tool take the distribution's default.
    """
    apt = root / "etc/apt"
    listed = [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*.list"))]
    stanzas = [stanza for path in listed if path.is_file() for stanza in _from_lines(path.read_text())]
    for path in sorted((apt / "sources.list.d").glob("*.sources")):
        stanzas.extend(_from_deb822(path.read_text()))
    return "\n".join(_render(stanza) for stanza in stanzas if _belongs(stanza, suite))


def apt_options() -> str:
    """The host's apt settings that fetching needs: proxies, certificates, retries, clocks; and where logins lie."""
    dumped = subprocess.run(["apt-config", "dump", "Acquire"], capture_output=True, text=True, check=False)
    lines = [
        line for line in dumped.stdout.splitlines() if _CONNECTION.match(line) and not line.endswith('"";')
    ]
    return "\n".join(
        [*lines, 'Dir::Etc::netrc "/etc/apt/auth.conf";', 'Dir::Etc::netrcparts "/etc/apt/auth.conf.d";', ""]
    )


def candidate_version(package: str) -> str:
    """The version apt would install, or the empty string where its lists do not know the package."""
    if shutil.which("apt-cache") is None:
        return ""
    said = subprocess.run(["apt-cache", "policy", package], capture_output=True, text=True, check=False)
    found = re.search(r"^  Candidate: (\S+)$", said.stdout, re.MULTILINE)
    return found[1] if found and found[1] != "(none)" else ""


def install_commands(packages: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    """What to run, as root, to have `packages`."""
    return (("apt-get", "update"), ("apt-get", "install", "--yes", "--no-install-recommends", *packages))


def run_as_root(command: Sequence[str]) -> None:
    """Run a program that changes the system; UnavailableError with its last lines when it fails."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        said = "\n".join((done.stderr or done.stdout).splitlines()[-5:])
        raise UnavailableError(
            f"{' '.join(command)} ended with {done.returncode}:\n{said}",
            hint="repair the system's package manager, or install by hand what it was to install",
        )


def package_architecture() -> str:
    """The architecture of the host's packages in the words of image configurations, or the empty string."""
    if shutil.which("dpkg") is None:
        return ""
    said = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=False)
    word = said.stdout.strip()
    return _IMAGE_WORDS.get(word, word)


def _from_lines(text: str) -> Iterable[dict[str, str]]:
    for line in text.splitlines():
        found = re.match(
            r"\s*deb\s+(?:\[(?P<options>[^\]]*)\]\s*)?(?P<uri>\S+)\s+(?P<suite>\S+)\s*(?P<parts>[^#]*)", line
        )
        if not found:
            continue
        stanza = {
            "types": "deb",
            "uris": found["uri"],
            "suites": found["suite"],
            "components": found["parts"].strip(),
        }
        for option in (found["options"] or "").split():
            key, _, value = option.partition("=")
            stanza["architectures" if key == "arch" else key] = value
        yield stanza


def _from_deb822(text: str) -> Iterable[dict[str, str]]:
    for block in re.split(r"\n\s*\n", text):
        stanza: dict[str, str] = {}
        key = ""
        for line in block.splitlines():
            if line.startswith("#"):
                continue
            if line[:1].isspace():
                stanza[key] = f"{stanza.get(key, '')}\n{line}"
                continue
            key, _, value = line.partition(":")
            key = key.strip().lower()
            stanza[key] = value.strip()
        if stanza.get("enabled", "yes").lower() not in ("no", "false", "0"):
            yield stanza


def _belongs(stanza: Mapping[str, str], suite: str) -> bool:
    own = {suite + pocket for pocket in _POCKETS}
    return (
        "deb" in stanza.get("types", "").split()
        and bool(own & set(stanza.get("suites", "").split()))
        and "main" in stanza.get("components", "").split()
    )


def _render(stanza: Mapping[str, str]) -> str:
    kept = {**stanza, "types": "deb"}
    return "".join(f"{key.title()}: {value}\n" for key, value in kept.items() if key and value)
