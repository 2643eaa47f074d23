"""How to make a stand-in for each official image from the distribution's packages."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from pipeline.local.image_archive import EPOCH, ImageConfig

SCRIPTS = Path(__file__).parent / "recipes"

_PATH = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}

_MAINTAINER_TOOLS = (
    "adduser", "debconf", "init-system-helpers", "logrotate", "lsb-base", "passwd", "perl", "perl-base", "procps",
    "sensible-utils", "ucf",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Recipe:
    """One stand-in.

    `repository` is the official image it stands in for and `package` the package whose version must be the tag's
    (`{version}` is the tag's first number). `variant` is mmdebstrap's: `minbase` is a small system with a package
    manager, `extract` only unpacked files, with `unneeded` packages left out although others depend on them.
    """

    repository: str
    package: str
    packages: tuple[str, ...]
    config: ImageConfig
    variant: Literal["minbase", "extract"] = "extract"
    unneeded: tuple[str, ...] = ()

    def package_for(self, tag: str) -> str:
        """The package that must be there in the version `tag` begins with."""
        return self.package.format(version=tag_version(tag).partition(".")[0])

    def packages_for(self, tag: str) -> tuple[str, ...]:
        """Everything to install for `tag`."""
        return (self.package_for(tag), *self.packages)

    def hash(self, tag: str, *, suite: str, architecture: str) -> str:
        """Twelve hex digits over all that goes into the image, but for the versions the mirror has that day."""
        parts = {
            "recipe": asdict(self),
            "packages": self.packages_for(tag),
            "suite": suite,
            "architecture": architecture,
            "epoch": EPOCH,
            "scripts": _scripts(self.repository),
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def tag_version(tag: str) -> str:
    """The version a tag begins with (`3.11` of `3.11-slim-bookworm`), or the empty string."""
    found = re.match(r"\d+(?:\.\d+)*", tag)
    return found[0] if found else ""


def _scripts(name: str) -> Mapping[str, str]:
    files = [*SCRIPTS.glob("*.sh"), *(SCRIPTS / name).iterdir()]
    return {str(path.relative_to(SCRIPTS)): path.read_text() for path in sorted(files)}


_PYTHON = Recipe(
    repository="python",
    package="python3",
    # usr-is-merged stands in for a converter that brings all of Perl with it.
    packages=("ca-certificates", "netbase", "tzdata", "usr-is-merged"),
    variant="minbase",
    config=ImageConfig(command=("python3",), environment={**_PATH, "LANG": "C.UTF-8"}),
)

_POSTGRES = Recipe(
    repository="postgres",
    package="postgresql-{version}",
    packages=("coreutils", "dash", "findutils", "libc-bin", "tzdata", "util-linux"),
    # The just-in-time compiler (LLVM) is half of what PostgreSQL depends on and of no use to short tests.
    unneeded=(
        *_MAINTAINER_TOOLS,
        "libllvm14",
        "locales",
        "postgresql-client-common",
        "postgresql-common",
        "ssl-cert",
    ),
    config=ImageConfig(
        entrypoint=("docker-entrypoint.sh",),
        command=("postgres",),
        environment={**_PATH, "LANG": "C.UTF-8", "PGDATA": "/var/lib/postgresql/data"},
        ports=("5432/tcp",),
        stop_signal="SIGINT",
    ),
)

_HAPROXY = Recipe(
    repository="haproxy",
    package="haproxy",
    packages=("coreutils", "dash", "netbase"),
    unneeded=_MAINTAINER_TOOLS,
    config=ImageConfig(
        entrypoint=("docker-entrypoint.sh",),
        command=("haproxy", "-f", "/usr/local/etc/haproxy/haproxy.cfg"),
        environment=_PATH,
        user="haproxy",
        working_dir="/var/lib/haproxy",
        stop_signal="SIGUSR1",
    ),
)

_REGISTRY = Recipe(
    repository="registry",
    package="docker-registry",
    packages=("coreutils", "dash"),
    unneeded=_MAINTAINER_TOOLS,
    config=ImageConfig(
        entrypoint=("/entrypoint.sh",),
        command=("/etc/docker/registry/config.yml",),
        environment=_PATH,
        ports=("5000/tcp",),
    ),
)

RECIPES: Mapping[str, Recipe] = {
    recipe.repository: recipe for recipe in (_PYTHON, _POSTGRES, _REGISTRY, _HAPROXY)
}
"""By the name of the official image, the longest to make first."""
