"""Loopback ports: picked once, written down, kept; and who holds one that is taken."""

from __future__ import annotations

import fcntl
import json
import math
import os
import socket
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import UnavailableError
from pipeline.local.launch import replace_text

FIRST_PORT = 18080
BLOCK = 20
LAST_PORT = 65000
LET_GO_SECONDS = 2.0


class Ports:
    """The cloud's ports by name, kept in `ports.json`."""

    def __init__(self, state: Path, base: int | None, neighbours: Path | None = None) -> None:
        """`base` is where the search begins; None means 18080.

        `neighbours` is the file that lists the records of all clouds of this user, so that two that start at once,
        or one that is down, do not lose their ports to each other.
        """
        self._file = state / "ports.json"
        self._base = base or FIRST_PORT
        self._neighbours = neighbours or Path(tempfile.gettempdir()) / f"onedigest-clouds-{os.getuid()}"

    def known(self) -> Mapping[str, int]:
        """The ports as recorded; empty before the first start."""
        return _read(self._file)

    def assign(self, names: Sequence[str]) -> Mapping[str, int]:
        """A port for every name: the recorded one, or a free one next to the others, recorded from now on.

        Raises UnavailableError when no free block is left.
        """
        known = dict(self.known())
        missing = [name for name in names if name not in known]
        if not missing:
            return known
        start = min(known.values()) if known else self._base
        with self._others() as taken:
            known.update(
                zip(missing, self._free(start, len(missing), {*known.values(), *taken}), strict=True)
            )
            replace_text(self._file, json.dumps(known, indent=1))
        return known

    @contextmanager
    def _others(self) -> Iterator[set[int]]:
        """The ports of all other clouds; nobody else picks while we do."""
        with self._neighbours.open("a+", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            listed = {line for line in file.read().splitlines() if Path(line).exists()}
            yield {port for line in listed - {str(self._file)} for port in _read(Path(line)).values()}
            file.truncate(0)
            file.write("".join(f"{line}\n" for line in sorted({*listed, str(self._file)})))

    def _free(self, start: int, count: int, taken: Iterable[int]) -> list[int]:
        used, width = set(taken), BLOCK * math.ceil(count / BLOCK)
        for block in range(start, LAST_PORT, BLOCK):
            free = [p for p in range(block, block + width) if p not in used and is_free(p)]
            if len(free) >= count:
                return free[:count]
        raise UnavailableError(
            f"no {count} free loopback ports together between {start} and {LAST_PORT}",
            hint="set `port_base` under [cloud] in pipeline.toml to where ports are free",
        )


def _read(file: Path) -> dict[str, int]:
    try:
        return {str(k): int(v) for k, v in json.loads(file.read_text("utf-8")).items()}
    except (OSError, ValueError, AttributeError):
        return {}


def is_free(port: int) -> bool:
    """True when this process could listen on 127.0.0.1 at the port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def require_free(port: int, part: str, ports_file: Path) -> None:
    """Raises UnavailableError, naming the holder where it can be seen, when the port is taken and stays so.

    A part that was just stopped may hold its port a moment longer, while its threads end.
    """
    deadline = time.monotonic() + LET_GO_SECONDS
    while time.monotonic() < deadline:
        if is_free(port):
            return
        time.sleep(0.05)
    raise UnavailableError(
        f"port {port}, which the local cloud's {part} uses, is held by {holder(port)}",
        hint=f"stop that program, or delete {ports_file} to let the next `local up` pick other ports",
    )


def holder(port: int, proc: Path = Path("/proc")) -> str:
    """Pid and program of who listens on the port, as far as /proc shows it. Arguments may be secret; they stay out."""
    inodes = set(_listening_inodes(port, proc))
    for process in proc.iterdir() if inodes else ():
        if process.name.isdigit() and inodes & _socket_inodes(process):
            program = (process / "comm").read_text("utf-8", "replace").strip()
            return f"pid {process.name} ({program})"
    return "a program that /proc does not show"


def _listening_inodes(port: int, proc: Path) -> Iterable[str]:
    for table in ("net/tcp", "net/tcp6"):
        try:
            lines = (proc / table).read_text("utf-8").splitlines()[1:]
        except OSError:
            continue
        for fields in map(str.split, lines):
            if fields[3] == "0A" and int(fields[1].rsplit(":", 1)[1], 16) == port:
                yield fields[9]


def _socket_inodes(process: Path) -> set[str]:
    try:
        descriptors = list((process / "fd").iterdir())
    except OSError:
        return set()
    links = [_target(descriptor) for descriptor in descriptors]
    return {link[8:-1] for link in links if link.startswith("socket:[")}


def _target(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except OSError:  # closed meanwhile
        return ""
