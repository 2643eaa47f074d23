"""How long containers outlive a run that is killed with `kill -9`: three of them, on a network of their own."""

from __future__ import annotations

import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import docker

from pipeline.adapters.clock import SystemClock
from pipeline.adapters.leftovers import Batch
from pipeline.adapters.sandbox_containers import Containers, Spec, connect
from pipeline.adapters.watchdog import Watchdog
from pipeline.local.base_images import BaseImages

ROOT = Path(__file__).parents[1]
IMAGE = "registry:2"
ROUNDS, CONTAINERS = 5, 3


def main() -> int:
    """Prints the median and the longest time from the kill to the last container's end."""
    engine = connect()
    image = BaseImages(engine, lambda _line: None).ensure([IMAGE])[IMAGE]
    with tempfile.TemporaryDirectory() as state:
        took = [killed(engine, image, Path(state)) for _ in range(ROUNDS)]
    print(f"{CONTAINERS} containers of a run killed with -9 are gone after: {statistics.median(took):.2f} s")
    print(f"longest of {ROUNDS}: {max(took):.2f} s")
    return 0


def killed(engine: docker.DockerClient, image: str, state: Path) -> float:
    """Kills a run that holds containers, and waits until none is left."""
    name = f"bench-{secrets.token_hex(4)}"
    command = [sys.executable, "-m", "bench.sandbox", "hold", str(state), name, image]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        if process.stdout is None or process.stdout.readline() != "ready\n":
            raise SystemExit("the run did not start its containers")
        process.kill()
        began = time.perf_counter()
    while engine.containers.list(all=True, sparse=True, filters={"name": f"onedigest-{name}"}):
        if time.perf_counter() - began > 60:
            raise SystemExit(f"containers of {name} are still there after a minute")
        time.sleep(0.02)
    return time.perf_counter() - began


def hold(state: Path, name: str, image: str) -> None:
    """Starts the containers under a watchdog's eyes, says so, and waits to be killed."""
    connect().close()
    with Batch(state, "bench", name, name) as batch, Watchdog(batch.key):
        containers = Containers(f"onedigest-{name}", batch.labels, SystemClock())
        containers.create_network()
        for number in range(CONTAINERS):
            containers.start(Spec(f"part{number}", image, {}, port=5000))
        print("ready", flush=True)
        time.sleep(600)


if __name__ == "__main__":
    if sys.argv[1:2] == ["hold"]:
        hold(Path(sys.argv[2]), sys.argv[3], sys.argv[4])
    sys.exit(main())
