"""Iterations that begin when they are planned, whatever the answers take; runs inside of Locust only.

Users of a side are the pool from which the next one that is free takes the next planned start. When none was free in
time, the iteration begins as soon as one is, and its first request is counted from when it was planned. A user that
waited and was woken late, by a millisecond or by an event loop that is busy, counts from when it was woken: that time
is ours, not the service's, and the generator's health tells of it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from typing import Any

import gevent
from locust import TaskSet
from locust.exception import StopUser
from locust.user.task import LOCUST_STATE_RUNNING, LOCUST_STATE_STOPPING, LOCUST_STATE_WAITING

from pipeline.adapters.locust_recorder import Party, Recorder
from pipeline.adapters.locust_sides import party_of
from pipeline.model.arrivals import ON_TIME, Schedule


class Arrivals:
    """Hands planned starts to users, and counts those that were kept."""

    def __init__(self, plan: Mapping[str, Any], recorder: Recorder) -> None:
        self._recorder = recorder
        rate = plan["arrivals"] / len(recorder.parties)
        self._schedules = {
            party: Schedule(rate, f"{party.name} {plan['shard']}") for party in recorder.parties
        }
        self._starts: dict[Party, Iterator[float]] = {
            party: schedule.starts() for party, schedule in self._schedules.items()
        }
        self._begun = dict.fromkeys(self._schedules, 0)

    def counts(self) -> dict[str, list[int]]:
        """Planned starts within measuring, and those that were kept, by side."""
        begin, end = (at - self._recorder.origin for at in (self._recorder.opens, self._recorder.closes))
        return {
            party.name: [schedule.planned(begin, end), self._begun[party]]
            for party, schedule in self._schedules.items()
        }

    def turn(self, user: Any) -> None:
        """Waits for the user's next planned start. Raises StopUser when the load ends meanwhile."""
        party = party_of(user)
        if party is None:
            return
        planned = self._next(party)
        wait = planned - time.monotonic()
        if wait > 0:
            user._state = LOCUST_STATE_WAITING
            gevent.sleep(wait)
            if user._state == LOCUST_STATE_STOPPING:
                raise StopUser
            user._state = LOCUST_STATE_RUNNING
        late = time.monotonic() - planned
        user.onedigest_late = late * 1000 if wait <= 0 else 0.0
        if self._recorder.opens <= planned < self._recorder.closes and late <= ON_TIME:
            self._begun[party] += 1

    def late(self, user: Any) -> float:
        """By how many ms the user's iteration began behind its plan; only for its first request."""
        late: float = getattr(user, "onedigest_late", 0.0)
        if late:
            user.onedigest_late = 0.0
        return late

    def _next(self, party: Party) -> float:
        # What could not begin while users were still being started is no load that anybody planned for.
        missed = min(time.monotonic() - ON_TIME, self._recorder.opens)
        for start in self._starts[party]:
            planned = self._recorder.origin + start
            if planned >= missed:
                return planned
        return math.inf


def pace(arrivals: Arrivals) -> None:
    """From here on iterations begin by the plan instead of by wait_time."""
    tasks: Any = TaskSet
    plain = tasks.execute_next_task

    def execute_next_task(taskset: Any) -> None:
        # A nested task set waits for its own tasks.
        if not hasattr(taskset._task_queue[0], "tasks"):
            arrivals.turn(taskset.user)
        plain(taskset)

    def wait(taskset: Any) -> None:
        if taskset.user._state == LOCUST_STATE_STOPPING:
            raise StopUser

    tasks.execute_next_task, tasks.wait = execute_next_task, wait
