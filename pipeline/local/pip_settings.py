"""How pip reaches its index on this host: what a build has to know to install the same packages from the same place."""

from __future__ import annotations

import configparser
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_KEYS = (
    "index-url",
    "extra-index-url",
    "trusted-host",
    "find-links",
    "timeout",
    "retries",
    "proxy",
    "no-index",
)
_PLACES = ("index-url", "extra-index-url", "find-links")
_BUNDLE_VARIABLES = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE")
_SYSTEM_BUNDLE = "etc/ssl/certs/ca-certificates.crt"


@dataclass(frozen=True, slots=True)
class PipSettings:
    """`options` are pip's own, by their long names; `bundle` holds the certificates in PEM form, or is empty."""

    options: Mapping[str, str]
    bundle: bytes

    @property
    def plain(self) -> bool:
        """Whether the host has nothing of its own: its builds need no more than anybody's."""
        return not self.options and not self.bundle

    def document(self, certificates: str) -> str:
        """A pip.conf that says the same; `certificates` is where the bundle lies for its reader."""
        parser = configparser.RawConfigParser()
        parser["global"] = {**self.options, **({"cert": certificates} if self.bundle else {})}
        lines = [f"{key} = {value}" for key, value in sorted(parser["global"].items())]
        return "\n".join(["[global]", *lines, ""])


def read_pip_settings(environment: Mapping[str, str] = os.environ, root: Path = Path("/")) -> PipSettings:
    """Take pip's configuration files, then its environment variables over them, as pip reads them.

    Places on this host's disk are left out: nobody inside an image could read them.
    """
    found: dict[str, str] = {}
    for path in _files(environment, root):
        found.update(_section(path))
    for key in (*_KEYS, "cert"):
        value = environment.get("PIP_" + key.upper().replace("-", "_"))
        if value:
            found[key] = value
    named = [found.pop("cert", ""), *(environment.get(name, "") for name in _BUNDLE_VARIABLES)]
    options = {key: _reachable(value) if key in _PLACES else value for key, value in found.items()}
    return PipSettings({key: value for key, value in options.items() if value}, _bundle(named, root))


def _files(environment: Mapping[str, str], root: Path) -> list[Path]:
    home = Path(environment.get("HOME", "/nonexistent"))
    configured = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
    files = [
        root / "etc/xdg/pip/pip.conf",
        root / "etc/pip.conf",
        home / ".pip/pip.conf",
        configured / "pip/pip.conf",
    ]
    own = environment.get("PIP_CONFIG_FILE")
    if own == os.devnull:
        return []
    return [*files, Path(own)] if own else files


def _section(path: Path) -> dict[str, str]:
    parser = configparser.RawConfigParser()
    try:
        parser.read(path, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError):
        return {}
    merged = {**_values(parser, "global"), **_values(parser, "install")}
    return {key: value for key, value in merged.items() if key in (*_KEYS, "cert")}


def _values(parser: configparser.RawConfigParser, section: str) -> dict[str, str]:
    return (
        {key.replace("_", "-"): value for key, value in parser.items(section)}
        if parser.has_section(section)
        else {}
    )


def _reachable(value: str) -> str:
    return " ".join(place for place in value.split() if place.startswith(("http://", "https://")))


def _bundle(named: list[str], root: Path) -> bytes:
    for name in named:
        if name and Path(name).is_file():
            return Path(name).read_bytes()
    own = root / "usr/local/share/ca-certificates"
    system = root / _SYSTEM_BUNDLE
    return system.read_bytes() if own.is_dir() and any(own.rglob("*.crt")) and system.is_file() else b""
