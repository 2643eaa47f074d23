"""HAProxy: its configuration, and the orders that make its slots follow the registered targets.

Everything here but `RuntimeApi` is pure. The order of words in an occupying command matters: `health down` before
`state ready` is lost, and the slot takes traffic before its first check.
"""

from __future__ import annotations

import csv
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SLOTS = 16
RUNTIME_PORT = 9999
FIRST_FRONT_PORT = 8001
ORDERS_PORT = 7999
"""Where tasks that load an environment ask when to begin; only the cloud's own network reaches it."""

ORDERS_FILE = "/usr/local/etc/haproxy/orders.map"
CHECKER = "ELB-HealthChecker/2.0"


@dataclass(frozen=True, slots=True)
class Front:
    """One environment's front end: the port inside the container, and how its tasks are checked."""

    environment: str
    port: int
    health_path: str
    healthy_codes: str

    @property
    def backend(self) -> str:
        """The backend's name in HAProxy."""
        return f"env_{self.environment}"


@dataclass(frozen=True, slots=True)
class Target:
    """A task's address in a target group. `owner` tells two tasks apart that get the same address one after another."""

    group: str
    address: str
    port: int
    owner: str = ""
    draining: bool = False

    @property
    def key(self) -> tuple[str, str, int, str]:
        """What makes it this target, draining or not."""
        return (self.group, self.address, self.port, self.owner)


@dataclass(frozen=True, slots=True)
class Slot:
    """A server line of HAProxy as `show stat` tells it."""

    name: str
    address: str
    status: str
    sessions: int
    check: str
    code: str

    @property
    def free(self) -> bool:
        """True when nothing is placed here."""
        return self.status.startswith("MAINT")


Seating = Mapping[str, Target]
"""Which target sits in which slot of a backend."""


def configuration(fronts: Sequence[Front]) -> str:
    """haproxy.cfg for these front ends."""
    return "\n".join([_GLOBAL, _ORDERS, *(_front_text(front) for front in fronts)])


_GLOBAL = f"""global
    log stdout format raw local0 notice
    stats socket ipv4@0.0.0.0:{RUNTIME_PORT} level admin
    stats timeout 30s
    maxconn 8192
    hard-stop-after 5s

defaults
    log global
    mode http
    timeout connect 1s
    timeout check 5s
    timeout queue 5s
    timeout client 75s
    timeout server 75s
    timeout http-request 15s
    timeout http-keep-alive 60s
    option redispatch 1
    option forwardfor
    retries 5
    retry-on conn-failure empty-response
"""


_ORDERS = f"""frontend orders
    bind :{ORDERS_PORT}
    http-request return status 200 content-type application/json hdr Date "%[date(),http_date]" lf-string \
'{{"Item":{{"order":{{"S":"%[str(order),map({ORDERS_FILE},none)]"}}}}}}'
"""


def _front_text(front: Front) -> str:
    return f"""frontend front_{front.environment}
    bind :{front.port}
    http-request disable-l7-retry unless METH_GET || {{ method HEAD OPTIONS }}
    default_backend {front.backend}

backend {front.backend}
    balance roundrobin
    option httpchk
    http-check send meth GET uri {front.health_path} ver HTTP/1.1 hdr Host localhost hdr User-Agent {CHECKER}
    http-check expect status {front.healthy_codes}
    default-server check inter 500ms fastinter 100ms downinter 500ms fall 2 rise 1
    server-template s 1-{SLOTS} 0.0.0.0:0 check disabled
"""


def read_slots(answer: str) -> Mapping[str, Mapping[str, Slot]]:
    """Backend → slot name → slot, from the answer to `show stat -1 4 -1`. Raises ValueError for anything else."""
    if not answer.startswith("# "):
        raise ValueError(f"HAProxy answered {answer[:80]!r} to show stat")
    found: dict[str, dict[str, Slot]] = {}
    for row in csv.DictReader(answer[2:].splitlines()):
        slot = Slot(
            name=row["svname"],
            address=row["addr"],
            status=row["status"],
            sessions=int(row["scur"] or 0),
            check=row["check_status"].removeprefix("* "),
            code=row["check_code"],
        )
        found.setdefault(row["pxname"], {})[slot.name] = slot
    return found


def seat(
    backend: str, slots: Mapping[str, Slot], seated: Seating, wanted: Sequence[Target]
) -> tuple[list[str], dict[str, Target]]:
    """The command lines that bring the backend from what it is to what is wanted, and who sits where after them.

    A slot that lost its target (HAProxy began anew) is filled again; a target that drains stays seated until it is
    no longer wanted, and leaves at once then: by that time its task is being stopped.
    """
    commands: list[str] = []
    places: dict[str, Target] = {}
    by_key = {target.key: target for target in wanted}
    for name, target in seated.items():
        still = by_key.get(target.key)
        if still is None or not _sits(slots.get(name), target):
            commands += _leave(backend, slots.get(name))
            continue
        places[name] = still
        if still.draining and not target.draining:
            commands.append(f"set server {backend}/{name} state drain")
    taken = {target.key for target in places.values()}
    free = iter(
        sorted((n for n in slots if n not in places), key=lambda n: (n in seated, int(n.lstrip("s"))))
    )
    for target in wanted:
        if target.key in taken or target.draining:
            continue
        name = next(free, "")
        if not name:
            break
        places[name] = target
        commands.append(_occupy(f"{backend}/{name}", target))
    commands += [
        f"set server {backend}/{name} state maint"
        for name, slot in slots.items()
        if name not in places and name not in seated and not slot.free
    ]
    return commands, places


def _sits(slot: Slot | None, target: Target) -> bool:
    return slot is not None and not slot.free and slot.address == f"{target.address}:{target.port}"


def _leave(backend: str, slot: Slot | None) -> list[str]:
    if slot is None or slot.free:
        return []
    return [f"set server {backend}/{slot.name} state maint"]


def _occupy(server: str, target: Target) -> str:
    return (
        f"set server {server} state maint; set server {server} addr {target.address} port {target.port}; "
        f"set server {server} state ready; set server {server} health down"
    )


class RuntimeApi:
    """HAProxy's runtime API over loopback TCP. Raises OSError when it does not answer."""

    def __init__(self, port: int, timeout: float = 2.0) -> None:
        """`port` is the published port on 127.0.0.1; `timeout` in seconds."""
        self._address = ("127.0.0.1", port)
        self._timeout = timeout

    def ask(self, line: str) -> str:
        """Sends one command line and returns the whole answer."""
        with socket.create_connection(self._address, timeout=self._timeout) as connection:
            connection.sendall(line.encode() + b"\n")
            answer = bytearray()
            while chunk := connection.recv(65536):
                answer += chunk
        return answer.decode("utf-8", "replace")

    def order(self, text: str) -> None:
        """Gives tasks that load an environment an order, in place of the last one. `text` has no white space."""
        answer = self.ask(f"clear map {ORDERS_FILE}; add map {ORDERS_FILE} order {text}").strip()
        if answer:
            raise OSError(f"HAProxy answered {answer[:80]!r} to an order")

    def slots(self) -> Mapping[str, Mapping[str, Slot]]:
        """Every slot of every backend."""
        answer = self.ask("show stat -1 4 -1").strip()
        if not answer:
            raise OSError("HAProxy closed the connection without an answer")
        return read_slots(answer)
