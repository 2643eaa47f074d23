"""What one core of load generator drives: plain Locust, our plugin on one side and on two, and wrk, at the same target.

The target is HAProxy, which answers by itself from one thread, on this machine's loopback. All contenders take turns,
and requests are counted by the target. Neighbours take time from whoever runs, so what is compared is requests for each
second of CPU that the contender used, our own process that reads the record included, and within one round: neighbours
also take what is in the caches.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from pipeline.adapters.clock import SystemClock
from pipeline.adapters.locust import Locust
from pipeline.adapters.sandbox_containers import connect
from pipeline.local.base_images import BaseImages
from pipeline.model.load import LoadShape
from pipeline.model.sides import Sides

ROOT = Path(__file__).parents[1]
IMAGE = "haproxy:2.6-bookworm"
USERS, ROUNDS, WINDOW, LONG = 20, 5, 2.0, 3600
CONFIGURATION = """
global
  nbthread 1
  stats socket ipv4@127.0.0.1:{admin} level admin
defaults
  mode http
  timeout client 60s
  timeout server 60s
  timeout connect 5s
frontend target
  bind 127.0.0.1:{port}
  http-request return status 200 content-type application/json string "{{}}"
"""
VISITOR = """
from locust import FastHttpUser, HttpUser, constant, task

class Visitor({kind}):
    wait_time = constant(0)

    @task
    def go(self):
        self.client.get("/")
"""
KINDS = ("HttpUser", "FastHttpUser")


@dataclass(frozen=True)
class Figure:
    """Requests a second, and requests for each second of CPU."""

    rate: float
    per_cpu: float


def main() -> int:
    """Prints rates and ratios; 0 when every contender drove something."""
    with tempfile.TemporaryDirectory() as folder, target() as (url, admin):
        contenders = dict(commands(Path(folder), url))
        figures: dict[str, list[Figure]] = {name: [] for name in contenders}
        for _ in range(ROUNDS):
            for name, command in contenders.items():
                figures[name].append(driven(command, admin))
    report(figures)
    return 0 if all(figure.rate > 0 for found in figures.values() for figure in found) else 1


def commands(folder: Path, url: str) -> Iterator[tuple[str, Sequence[str]]]:
    """Every contender's name and how it is started; it goes on until it is ended."""
    ours = (sys.executable, "-m", "bench.generator", "drive", url, str(folder))
    for kind in KINDS:
        (folder / f"{kind}.py").write_text(VISITOR.format(kind=kind))
        users = ("--headless", "-u", str(USERS), "-r", str(USERS), "--only-summary")
        yield (
            f"{kind}, plain Locust",
            (sys.executable, "-m", "locust", *users, "-f", str(folder / f"{kind}.py"), "--host", url),
        )
        yield f"{kind}, one side", (*ours, kind, "1", "1")
        yield f"{kind}, two sides", (*ours, kind, "2", "1")
    yield "FastHttpUser, two sides, 2 processes", (*ours, "FastHttpUser", "2", "2")
    if wrk := shutil.which("wrk"):
        yield "wrk", (wrk, "-t1", f"-c{USERS}", f"-d{LONG}s", url + "/")


def report(figures: Mapping[str, Sequence[Figure]]) -> None:
    """One line a figure: of the least disturbed round, and ratios within a round in their median."""
    for name, found in figures.items():
        best = max(found, key=lambda figure: figure.per_cpu)
        print(f"{name}: {best.per_cpu:,.0f} requests for a second of CPU ({best.rate:,.0f} requests/s)")
    for kind in KINDS:
        plain = figures[f"{kind}, plain Locust"]
        for sides in ("one side", "two sides"):
            print(
                f"{kind}, {sides} against plain Locust: {against(figures[f'{kind}, {sides}'], plain):.2f} ×"
            )
    one, two = figures["FastHttpUser, two sides"], figures["FastHttpUser, two sides, 2 processes"]
    grown = statistics.median(b.rate / a.rate for a, b in zip(one, two, strict=True))
    cores = f"{os.cpu_count()} cores, which the target and whoever else works share"
    print(f"requests/s with 2 processes against 1: {grown:.2f} × ({cores})")
    if "wrk" in figures:
        print(f"wrk against FastHttpUser, two sides: {against(figures['wrk'], one):.1f} ×")
    else:
        print("wrk: is not installed here")


def against(ours: Sequence[Figure], theirs: Sequence[Figure]) -> float:
    """How many times as much for a second of CPU, in the median of the rounds."""
    return statistics.median(a.per_cpu / b.per_cpu for a, b in zip(ours, theirs, strict=True))


def driven(command: Sequence[str], admin: int) -> Figure:
    """What a contender drives once it has begun."""
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        awaited(process, admin)
        time.sleep(1.5)
        begun, requests, used = time.monotonic(), answered(admin), cpu(process.pid)
        time.sleep(WINDOW)
        requests, used = answered(admin) - requests, cpu(process.pid) - used
        return Figure(requests / (time.monotonic() - begun), requests / used if used else 0.0)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        settled(admin)


def awaited(process: subprocess.Popen[bytes], admin: int) -> None:
    """Returns when requests come in."""
    first, end = answered(admin), time.monotonic() + 60
    while answered(admin) < first + USERS:
        if process.poll() is not None or time.monotonic() > end:
            raise SystemExit(f"it sent nothing: {process.args!r}")
        time.sleep(0.1)


def settled(admin: int) -> None:
    """Returns when none come in any more: what the contender had started ends with it, but not at the same moment."""
    before = -1
    while (now := answered(admin)) != before:
        before = now
        time.sleep(0.3)


def cpu(pid: int) -> float:
    """Seconds of CPU that a process and everything it started have used."""
    total = 0.0
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                times = one.cpu_times()
                total += times.user + times.system
    return total


def answered(admin: int) -> int:
    """Requests that the target has answered, without those for this figure."""
    with socket.create_connection(("127.0.0.1", admin), timeout=10) as connection:
        connection.sendall(b"show stat\n")
        table = b"".join(iter(lambda: connection.recv(65536), b"")).decode().splitlines()
    names = table[0].removeprefix("# ").split(",")
    row = next(line.split(",") for line in table if line.startswith("target,FRONTEND"))
    return int(row[names.index("req_tot")])


@contextmanager
def target() -> Iterator[tuple[str, int]]:
    """A fast server on loopback: its URL, and the port that tells what it has answered."""
    engine = connect()
    image = BaseImages(engine, lambda _line: None).ensure([IMAGE])[IMAGE]
    port, admin = free_ports()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "haproxy.cfg"
        path.write_text(CONFIGURATION.format(port=port, admin=admin))
        path.chmod(0o644)
        Path(folder).chmod(0o755)
        container: Any = engine.containers.run(
            image,
            name=f"onedigest-bench-generator-{secrets.token_hex(4)}",
            network_mode="host",
            volumes={str(path): {"bind": "/usr/local/etc/haproxy/haproxy.cfg", "mode": "ro"}},
            detach=True,
        )
        try:
            listening(admin, container)
            yield f"http://127.0.0.1:{port}", admin
        finally:
            container.remove(force=True)


def listening(admin: int, container: Any) -> None:
    """Returns when the target answers."""
    end = time.monotonic() + 30
    while True:
        with suppress(OSError):
            answered(admin)
            return
        if time.monotonic() > end:
            raise SystemExit(f"the target does not come up: {container.logs().decode()[-500:]}")
        time.sleep(0.1)


def free_ports() -> tuple[int, int]:
    """Two ports that nobody has now."""
    with socket.socket() as one, socket.socket() as other:
        for each in (one, other):
            each.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


class Silent:
    """`pipeline.ports.Progress` that says nothing."""

    def step(self, text: str) -> None:
        pass

    def share(self, done: float, text: str) -> None:
        pass

    def note(self, text: str) -> None:
        pass


def drive(url: str, folder: Path, kind: str, sides: int, processes: int) -> None:
    """Loads the target as the gate does, until it is killed."""
    shape = LoadShape(Path(f"{kind}.py"), USERS, float(USERS), 1.0, LONG, processes)
    locust = Locust(sys.executable, SystemClock(), root=folder, environ=os.environ)
    if sides == 1:
        locust.run(shape, url, folder / "run", Silent())
    else:
        locust.compare(shape, Sides(url, url), folder / "run", Silent(), lambda *_: False)


if __name__ == "__main__":
    if sys.argv[1:2] == ["drive"]:
        drive(sys.argv[2], Path(sys.argv[3]), sys.argv[4], int(sys.argv[5]), int(sys.argv[6]))
    else:
        sys.exit(main())
