"""Cleans up after a process that was killed. Run by `watchdog.py` as a script; standard library only, never imported.

Its standard input is a pipe whose other end only the guarded process holds. Lines on it: `group PID` and
`ungroup PID` name process groups to kill, `bye` means that all is cleaned up. End of file without `bye` means that
the guarded process died. Its only argument is JSON: `labels` that containers and networks to remove carry (none:
there are none), and `engine`, the container engine's address.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import ssl
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

_LOOKS = 3
_BETWEEN_LOOKS = 0.4
_GIVE_UP_AFTER = 60.0
_HTTP_TIMEOUT = 20.0


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_HTTP_TIMEOUT)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _connection(engine: str) -> http.client.HTTPConnection:
    address = urlsplit(engine)
    if address.scheme == "unix":
        return _UnixConnection(address.path)
    if address.scheme not in ("tcp", "http", "https"):
        raise ValueError(f"cannot guard containers of an engine at {engine}")
    host, port = address.hostname or "localhost", address.port
    certificates = os.environ.get("DOCKER_CERT_PATH")
    if os.environ.get("DOCKER_TLS_VERIFY") and certificates:
        context = ssl.create_default_context(cafile=f"{certificates}/ca.pem")
        context.load_cert_chain(f"{certificates}/cert.pem", f"{certificates}/key.pem")
        return http.client.HTTPSConnection(host, port or 2376, timeout=_HTTP_TIMEOUT, context=context)
    return http.client.HTTPConnection(host, port or 2375, timeout=_HTTP_TIMEOUT)


def _ask(engine: str, method: str, path: str) -> tuple[int, bytes]:
    connection = _connection(engine)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def _remove_labelled(engine: str, labels: dict[str, str]) -> int:
    """Removes what there is now, and gives how many objects there were."""
    wanted = quote(json.dumps({"label": [f"{name}={value}" for name, value in labels.items()]}))
    found = 0
    for kind, query, options in (("containers", "all=1&", "?force=1&v=1"), ("networks", "", "")):
        status, body = _ask(
            engine, "GET", f"/{kind}{'/json' if kind == 'containers' else ''}?{query}filters={wanted}"
        )
        if status != 200:
            raise OSError(f"the engine answered {status}")
        for thing in json.loads(body):
            found += 1
            _ask(engine, "DELETE", f"/{kind}/{thing['Id']}{options}")
    return found


def _clean(engine: str, labels: dict[str, str]) -> None:
    """Removes until nothing turns up any more: the engine may still be at work on the dead process's last request."""
    give_up = time.monotonic() + _GIVE_UP_AFTER
    empty = 0
    while empty < _LOOKS and time.monotonic() < give_up:
        try:
            empty = 0 if _remove_labelled(engine, labels) else empty + 1
        except (OSError, http.client.HTTPException, ValueError):
            empty = 0
        if empty < _LOOKS:
            time.sleep(_BETWEEN_LOOKS if empty else 0.05)


def _born(pid: int) -> str:
    """When the process started, in the kernel's ticks; empty when there is none (any more)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    except OSError:
        return ""


def _kill(groups: dict[int, str]) -> None:
    for group, born in groups.items():
        leader = _born(group)
        if leader and leader != born:
            continue
        try:
            os.killpg(group, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue


def _lines() -> Iterator[str]:
    with open(0, encoding="ascii") as orders:
        for line in orders:
            yield line.strip()


def _silence() -> None:
    """Lets go of the pipes and the folder of the guarded process."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.chdir("/")


def main(engine: str, labels: dict[str, str]) -> None:
    """Says `ready` by one byte on standard output, waits for the end, and cleans up."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    if labels:
        _ask(engine, "GET", "/_ping")
    os.write(1, b"!")
    _silence()
    groups: dict[int, str] = {}
    for line in _lines():
        if line == "bye":
            return
        verb, _, number = line.partition(" ")
        if verb == "group":
            groups[int(number)] = _born(int(number))
        else:
            groups.pop(int(number), None)
    _kill(groups)
    if labels:
        _clean(engine, labels)


if __name__ == "__main__":
    told = json.loads(sys.argv[1])
    main(told["engine"], told["labels"])
