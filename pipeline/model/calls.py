"""Which services of a release call which others, as far as their variables name them: `{url.NAME}` in a value."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

_WORD = re.compile(r"\{url\.([^{}]*)\}")

Calls = Mapping[str, frozenset[str]]
"""The services that each service names."""


def with_addresses(text: str, address: Callable[[str], str]) -> str:
    """The text with the address of each service in the place of its word."""
    return _WORD.sub(lambda found: address(found[1]), text)


def named_in(values: Iterable[str]) -> frozenset[str]:
    """The services that the values name."""
    return frozenset(name for value in values for name in _WORD.findall(value))


def reached_from(service: str, calls: Calls) -> frozenset[str]:
    """The service, those it names, those that they name, and so on; only services that `calls` knows."""
    found, waiting = set[str](), {service}
    while waiting:
        name = waiting.pop()
        if name in calls and name not in found:
            found.add(name)
            waiting |= calls[name]
    return frozenset(found)
