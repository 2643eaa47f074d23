"""Whose user a Locust user is, and which requests it has under way; runs inside of Locust only.

Every user belongs to one side for its life, so that cookies and logins stay where they were made. Users come in pairs,
one of each side, class by class: both sides see the same mix.
"""

from __future__ import annotations

import math
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import gevent
from locust import User
from locust.clients import HttpSession
from locust.contrib.fasthttp import FastHttpSession
from locust.dispatch import UsersDispatcher
from locust.runners import Runner

from pipeline.adapters.locust_recorder import KEY, Party, Recorder, Unseen

_NAMED = 4
"""How many positional arguments of a request surely come before its context, for either client."""

_DEPTH = 20


class Surroundings:
    """Locust's environment as users of one side see it: all is the real one's, but for the host."""

    def __init__(self, real: object, host: str) -> None:
        self.__dict__.update(_real=real, host=host)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._real, name, value)


def party_of(user: object) -> Party | None:
    """The side a user or a task set belongs to."""
    found = getattr(getattr(user, "user", user), "onedigest_party", None)
    return found if isinstance(found, Party) else None


def current_user() -> object:
    """The user in whose greenlet, or in a greenlet started from it, this is called; None outside of them."""
    greenlet: Any = gevent.getcurrent()
    for _ in range(_DEPTH):
        arguments = getattr(greenlet, "args", ())
        if arguments and party_of(arguments[0]):
            user: object = arguments[0]
            return user
        above = getattr(greenlet, "spawning_greenlet", None)
        greenlet = above() if callable(above) else None
    return None


def users_of(runner: Runner, parties: Sequence[Party]) -> dict[str, int]:
    """How many users run now, by side."""
    sides = [party_of(greenlet.args[0]) for greenlet in runner.user_greenlets if greenlet.args]
    counted = Counter(party.name for party in sides if party)
    return {party.name: counted[party.name] for party in parties}


def assign(parties: Sequence[Party]) -> Mapping[type, int]:
    """From here on users of each class belong to the parties in turn; their host is set before their client is made.

    The answer grows: how many users of each class were made.
    """
    whole: Any = User
    plain, made = whole.__init__, Counter[type]()

    def begin(user: Any, environment: Any, *more: Any, **named: Any) -> None:
        plain(user, environment, *more, **named)
        party = parties[made[type(user)] % len(parties)]
        made[type(user)] += 1
        user.onedigest_party = party
        user.host = party.host
        if len(parties) > 1:
            user.environment = Surroundings(environment, party.host)

    whole.__init__ = begin
    return made


def scatter(plan: Mapping[str, Any]) -> None:
    """Users begin at random moments of the warm-up: Locust starts them in batches, which would stay in phase."""
    whole: Any = User
    plain, draw = whole.run, random.Random()  # noqa: S311 – no secret
    left = max(0.0, plan["lead"] - (math.ceil(plan["users"] / plan["spawn_rate"]) - 1))
    longest = max(left / 2, min(left, 1.0))

    def run(user: Any) -> None:
        gevent.sleep(draw.uniform(0, longest))
        plain(user)

    whole.run = run


def dispatcher(sides: int, skip: int) -> type[UsersDispatcher]:
    """Hands out user classes `sides` times each in a row, after leaving out what `skip` users had of Locust's order.

    So the processes together run the mix of classes that a single one would, and so does each side.
    """

    class Dispatcher(UsersDispatcher):
        def _user_gen(self) -> Iterator[str | None]:
            for name in islice(super()._user_gen(), skip // sides, None):
                yield from [name] * sides

    return Dispatcher


def watch_requests(recorder: Recorder, late: Callable[[Any], float] | None) -> None:
    """Locust's clients tell when they send; `late` gives the ms by which a user's next request is behind its plan."""
    for client in (HttpSession, FastHttpSession):
        _watch(client, recorder, late)


def _watch(client: Any, recorder: Recorder, late: Callable[[Any], float] | None) -> None:
    plain, depart = client.request, recorder.depart

    def request(session: Any, *arguments: Any, **named: Any) -> Any:
        if len(arguments) > _NAMED:
            return plain(session, *arguments, **named)
        user = session.user or current_user()
        flight = depart(getattr(user, "onedigest_party", None), user, late(user) if late else 0.0)
        context = named.get("context")
        named["context"] = {**context, KEY: flight} if context else {KEY: flight}
        try:
            return plain(session, *arguments, **named)
        except gevent.Timeout as error:
            # The locustfile gave up on it: the slowest answers of all, which Locust does not tell of.
            took = (time.monotonic() - flight.at) * 1000
            recorder.land(flight, _name_of(session, *arguments, **named), took, f"given up ({error})")
            raise
        except BaseException:
            recorder.lose(flight)
            raise

    client.request = request


def _name_of(session: Any, method: object, url: object, name: object = None, *_: Any, **__: Any) -> str:
    """As Locust would have named it."""
    return f"{method} {name or getattr(session, 'request_name', None) or url}"


def led_to(response: object) -> Sequence[object]:
    """Where redirects led, in order; Locust's event tells only where a request was sent first."""
    history = getattr(response, "history", None)
    if not history:
        return ()
    # While the event is told, HttpSession has the request's name where the response's URL is.
    return [getattr(getattr(one, "request", None), "url", None) for one in (*history, response)]


def unseen(start: object, response_time: object) -> Unseen:
    """The flight of a request that was noticed by its answer only, from what Locust's event tells of it."""
    if isinstance(start, float):
        ago = time.time() - start
    else:
        ago = response_time / 1000 if isinstance(response_time, int | float) else 0.0
    user = current_user()
    return Unseen(time.monotonic() - ago, party_of(user), user)
