"""What a run was made on: system, processors, memory, and the versions of what measures and deploys."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from pipeline import __version__

_PACKAGES = ("boto3", "docker", "locust", "ministack", "pytest", "testcontainers")


def machine() -> Mapping[str, Any]:
    """JSON values, for records and reports. What cannot be told is left out; nothing names the host or a person."""
    known: dict[str, Any] = {
        "system": _system(),
        "processors": os.cpu_count(),
        "processor": _processor(),
        "memory_bytes": _memory(),
        "versions": {"onedigest": __version__, "Python": platform.python_version(), **dict(_versions())},
    }
    return {name: value for name, value in known.items() if value}


def _system() -> str:
    kernel = f"{platform.system()} {platform.release()} {platform.machine()}"
    try:
        return f"{kernel}, {platform.freedesktop_os_release()['PRETTY_NAME']}"
    except (OSError, KeyError):
        return kernel


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError):
        return 0


def _versions() -> Iterator[tuple[str, str]]:
    for name in _PACKAGES:
        try:
            yield name, metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
