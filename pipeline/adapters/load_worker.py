"""The program of a task that loads: `python -m pipeline.adapters.load_worker`, in an image of `load_image`.

What to do is in `ONEDIGEST_WORKER`, see `load_tasks.told`. It starts its share of the Locust processes, waits until an
order tells when to begin, and writes what they write to its output, packed by `load_frames`. Messages are `line` (of
the record of `shard`, as it stands there), `clock` (how far this machine's is from that of where orders come from),
`log` (the last lines of a Locust that ended early), and `done`. SIGTERM ends the load with whole records. It ends by
itself, too: when no order comes in time, and when the load must be over.

Standard library only, beside Locust itself.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
import traceback
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from pipeline.adapters.load_clock import Comparison
from pipeline.adapters.load_frames import Message, lines_of
from pipeline.adapters.locust_process import Fleet, Program, plans_of, started
from pipeline.model.load import LoadShape

TOLD = "ONEDIGEST_WORKER"
"""The variable that holds what to do."""

_TICK = 0.05
_ASK = 0.1
_SLACK = 30.0
_LAST_LINES = 20
_LONGEST_ANSWER = 3.0


class Output:
    """Numbered messages, one after the other, to the task's log."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._number = 0

    def send(self, message: Message) -> None:
        """Writes the message whole."""
        self._number += 1
        for line in lines_of(self._number, message):
            self._stream.write(line + "\n")
        self._stream.flush()

    def say(self, text: str) -> None:
        """Writes a line for people."""
        self._stream.write(text + "\n")
        self._stream.flush()


class Order:
    """Asks by a ticket for the order with the given token, and compares the clocks meanwhile."""

    def __init__(self, ticket: Mapping[str, Any], token: str, say: Callable[[str], None]) -> None:
        self._ticket, self._token, self._say = ticket, token, say
        self._next = 0.0
        self.clock = Comparison()
        self.begin: str = ""
        """The moment of the begin, in seconds of the epoch; empty while there is no order."""

    def ask(self) -> None:
        """Asks again when it is time to. What is not answered, or not in form, is asked again later."""
        if self.begin or time.monotonic() < self._next:
            return
        try:
            self._ask()
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            self._say(f"no answer to whether there is an order: {error!r}")
            self._next = time.monotonic() + 1.0
        else:
            self._next = time.monotonic() + _ASK

    def _ask(self) -> None:
        body, sent = self._ticket.get("body"), time.time()
        request = urllib.request.Request(  # noqa: S310 – the address is our own, not a user's
            self._ticket["url"], body.encode() if body else None, dict(self._ticket.get("headers", {}))
        )
        with urllib.request.urlopen(request, timeout=_LONGEST_ANSWER) as answer:  # noqa: S310
            came = time.time()
            content = json.load(answer)
            if date := answer.headers.get("Date"):
                self.clock.answer(date, sent, came)
        token, _, begin = content.get("Item", {}).get("order", {}).get("S", "").partition("/")
        if token == self._token:
            self.begin = str(float(begin))


class Worker:
    """One task's share of a load."""

    def __init__(self, told: Mapping[str, Any], output: Output, directory: Path) -> None:
        self._told, self._output = told, output
        numbers = range(told["first"], told["first"] + told["processes"])
        self._streams = {number: directory / f"locust-{number + 1}.jsonl" for number in numbers}
        self._start = directory / "locust-start"
        self._offsets = dict.fromkeys(numbers, 0)
        self._whole: set[int] = set()
        self._order = Order(told["ticket"], told["token"], output.say)
        self._clock_told = False
        self.stopping = False
        """Whether the load is to end early."""

    @property
    def _logs(self) -> list[Path]:
        return [stream.with_suffix(".log") for stream in self._streams.values()]

    def run(self, environ: Mapping[str, str]) -> bool:
        """Loads to the end; whether every record is whole."""
        told = self._told
        shape = LoadShape(
            locustfile=Path(told["locustfile"]),
            users=told["users"],
            spawn_rate=told["spawn_rate"],
            warmup=told["warmup"],
            duration=told["duration"],
            processes=told["processes"],
            arrivals=told["arrivals"],
        )
        streams = list(self._streams.values())
        plans = plans_of(shape, told["sides"], streams, self._start, told["grace"])
        numbered = [{**plan, "shard": n} for n, plan in zip(self._streams, plans, strict=True)]
        program = Program(sys.executable, Path.cwd(), environ)
        with started(program, numbered, shape.locustfile, self._logs) as fleet:
            self._follow(fleet, shape)
        whole = self._forward()
        for number in set(self._streams) - whole:
            self._output.send({"log": number, "lines": _last(self._streams[number].with_suffix(".log"))})
        self._output.send({"done": sorted(whole)})
        return whole == set(self._streams)

    def _follow(self, fleet: Fleet, shape: LoadShape) -> None:
        """Until all have ended, one is lost, or time is up."""
        deadline = time.monotonic() + self._told["patience"]
        began = told = False
        while time.monotonic() < deadline:
            ended = fleet.ended()
            whole = self._forward()
            if all(ended) or any(
                over and n not in whole for over, n in zip(ended, self._streams, strict=True)
            ):
                return
            if self.stopping and not told:
                told = True
                fleet.end_early()
                deadline = min(deadline, time.monotonic() + self._told["grace"] + _SLACK)
            if not began and not told:
                began = self._begun()
                if began:
                    deadline = self._over(shape)
            time.sleep(_TICK)
        self._output.say(f"time is up: {'the load did not end' if began else 'no order to begin came'}")

    def _over(self, shape: LoadShape) -> float:
        """When the load must have ended."""
        left = float(self._order.begin) - time.time()
        return time.monotonic() + left + shape.lead + shape.duration + float(self._told["grace"]) + _SLACK

    def _begun(self) -> bool:
        """Asks for the order, tells the clock once it is known, and passes the begin on to the processes."""
        self._order.ask()
        clock = self._order.clock
        if clock.offset is not None and not self._clock_told:
            self._clock_told = True
            self._output.send({"clock": clock.offset, "within": clock.within})
        if not self._order.begin:
            return False
        half = self._start.with_suffix(".half")
        half.write_text(self._order.begin)
        half.rename(self._start)
        return True

    def _forward(self) -> set[int]:
        """Sends what is new in the records; the numbers of those that have their end."""
        for number, stream in self._streams.items():
            for line in self._new_lines(number, stream):
                self._output.send({"shard": number, "line": line})
        return self._whole

    def _new_lines(self, number: int, stream: Path) -> Sequence[str]:
        if not stream.exists():
            return ()
        with stream.open("rb") as file:
            file.seek(self._offsets[number])
            content, newline, _ = file.read().rpartition(b"\n")
        self._offsets[number] += len(content) + len(newline)
        lines = content.decode().splitlines()
        if any('"kind":"end"' in line for line in lines):
            self._whole.add(number)
        return lines


def _last(log: Path) -> list[str]:
    lines = log.read_text("utf-8", "replace").splitlines() if log.exists() else []
    return [line for line in lines if line.strip()][-_LAST_LINES:]


def main(environ: Mapping[str, str], stream: TextIO, on_term: Callable[[Callable[[], None]], None]) -> int:
    """Runs the task; its exit code. `on_term` takes what is to happen on SIGTERM."""
    told = json.loads(environ[TOLD])
    with tempfile.TemporaryDirectory() as directory:
        worker = Worker(told, Output(stream), Path(directory))

        def stop() -> None:
            worker.stopping = True

        on_term(stop)
        others = {key: value for key, value in environ.items() if key != TOLD}
        return 0 if worker.run(others) else 1


def _on_sigterm(stop: Callable[[], None]) -> None:
    signal.signal(signal.SIGTERM, lambda *_: stop())


if __name__ == "__main__":
    try:
        code = main(os.environ, sys.stdout, _on_sigterm)
    except Exception:  # noqa: BLE001 – the last words go to the log, where they are read
        traceback.print_exc(file=sys.stdout)
        code = 1
    sys.exit(code)
