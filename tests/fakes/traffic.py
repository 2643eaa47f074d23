"""A traffic probe on the fake clock: its requests are answered at once by whoever answers HTTP in the test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pipeline.errors import UndecidedError
from pipeline.model.probe import Log, Shot
from pipeline.ports import HttpProbe
from tests.fakes.clock import FakeClock


@dataclass
class FakeTraffic:
    """`pipeline.ports.TrafficProbe`. `started` counts the probes; `delay` is what an answer takes in seconds."""

    clock: FakeClock
    http: HttpProbe
    rate: float = 5.0
    paths: Sequence[str] = ("/readyz", "/")
    delay: float = 0.01
    started: int = 0
    running: list[FakeRequests] = field(default_factory=list)

    def start(self, base_url: str) -> FakeRequests:
        self.started += 1
        self.running.append(FakeRequests(self, base_url))
        return self.running[-1]


class FakeRequests:
    """`pipeline.ports.RunningProbe`: plans the next request when the clock comes to one."""

    def __init__(self, plan: FakeTraffic, base_url: str) -> None:
        self._plan = plan
        self._base_url = base_url
        self._shots: list[Shot] = []
        self._number = 0
        self.stopped = False
        self._ask()

    def log(self) -> Log:
        return Log(tuple(self._shots), ())

    def stop(self) -> Log:
        self.stopped = True
        return self.log()

    def _ask(self) -> None:
        if self.stopped:
            return
        plan = self._plan
        path = plan.paths[self._number // 2 % len(plan.paths)]
        answer = plan.http.get(self._base_url + path, timeout=5.0)
        now = plan.clock.monotonic()
        error = "no connection" if answer.error else ""
        self._shots.append(Shot(now, now, now + plan.delay, path, answer.status, error))
        self._number += 1
        plan.clock.at(now + 1.0 / plan.rate, self._ask)


@dataclass
class FakeAlarms:
    """`pipeline.ports.Alarms`: `states` by name; one that is not in it does not exist."""

    states: dict[str, str] = field(default_factory=dict)
    asked: int = 0

    def firing(self, names: Sequence[str]) -> Sequence[str]:
        self.asked += 1
        missing = [name for name in names if name not in self.states]
        if missing:
            raise UndecidedError(f"CloudWatch has no alarm {', '.join(missing)}", hint="create it")
        return [name for name in names if self.states[name] == "ALARM"]
