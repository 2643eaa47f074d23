"""Set-up and clean-up on an emulator that answers on loopback, in this process or in one that is killed midway."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from botocore.loaders import Loader
from botocore.session import Session

from pipeline.adapters.aws import Access, Aws
from pipeline.clouds import Ground
from pipeline.config import Settings, parse
from pipeline.foundation import Foundation
from pipeline.locations import Location
from pipeline.model.inventory import Found, left
from pipeline.provisioning import Made, SetupPlan

SHOP = """
[app]
name = "shop"

[cloud]
provider = "local"
region = "us-east-1"

[load]
baseline = "prod"

[environments.staging]
secrets = { DATABASE_URL = "shop/staging/database-url" }

[environments.prod]
secrets = { DATABASE_URL = "shop/prod/database-url" }
"""
NOWHERE = "127.0.0.1:1/nothing:1"
"""An image that no registry has: its tasks never start, which does not matter to CloudFormation."""

WATCHED: list[Callable[[str], None]] = []
MADE: dict[tuple[int, int, int], Aws] = {}
LOADER = Loader()
"""Reads each service's description once for this process and those that are forked from it."""
READING = ("Describe", "Get", "List")


@dataclass
class Grounds:
    """An account on the emulator at `port`, for the app that `text` (a pipeline.toml) tells of."""

    port: int
    text: str = SHOP
    region: str = "us-east-1"
    said: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)

    @property
    def settings(self) -> Settings:
        return parse(self.text)

    def aws(self) -> Aws:
        """Clients of this process, and of whoever watches their calls now: none are shared with a forked one."""
        whose = (os.getpid(), len(WATCHED), self.port)
        access = Access(self.region, endpoint=f"http://127.0.0.1:{self.port}", key="test", secret="test")
        return MADE.setdefault(whose, Aws(access))

    def client(self, service: str) -> Any:
        return self.aws().client(service)

    def foundation(self) -> Foundation:
        ground = Ground(
            self.aws(),
            self.region,
            "000000000000",
            "an emulator",
            lambda environment, service: {"DatabaseUrl": f"postgresql://{environment}{service}"},
            lambda _environment, _service, own: own,
            lambda environment, service: self.gone.append(f"{environment} {service}".strip()),
        )
        return Foundation(Location.whole(self.settings), ground, ground, (), self.said.append, "a test")

    def plan(self, *environments: str, accept_loss: bool = False) -> SetupPlan:
        return self.foundation().provisioning.plan(environments, accept_loss=accept_loss)

    def set_up(self, *environments: str) -> Mapping[str, str]:
        """What was done to each stack."""
        make = self.foundation().provisioning
        plan = make.plan(environments)
        assert plan.reasons == ()
        made: Sequence[Made] = make.apply(plan)
        return {one.name: one.did for one in made}

    def clean_up(self, *environments: str, keep_images: bool = False) -> tuple[Found, ...]:
        """What is there afterwards."""
        take = self.foundation().dismantling
        plan = take.plan(environments, keep_images=keep_images)
        assert plan.reasons == ()
        return take.apply(plan, keep_images=keep_images)

    def there(self, *environments: str) -> tuple[Found, ...]:
        whole = self.foundation()
        parts = [(name, part) for name in environments for part in whole.location.parts]
        return whole.dismantling.inventory(parts, last=True)


@contextmanager
def empty_account(port: int, text: str) -> Iterator[Grounds]:
    """The account on the emulator at `port`, which must be empty again, as `text` tells of the app, afterwards."""
    found = Grounds(port, text)
    yield found
    found.text = text
    assert left(found.clean_up("staging", "prod")) == ()


@contextmanager
def counted() -> Iterator[list[str]]:
    """The names of the AWS calls that are made inside, in order, of clients that are made inside."""
    calls: list[str] = []
    with _watched(calls.append):
        yield calls


def killed_at(number: int, work: Callable[[], object]) -> bool:
    """Does the work in a process of its own, killed (-9) before its call of this number that changes something.

    False: it ended well before, there were not so many calls.
    """
    child = os.fork()
    if child == 0:
        _die_at(number, work)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.waitstatus_to_exitcode(status) == 0
    return False


def in_parallel(*work: Callable[[], object]) -> list[int]:
    """Exit codes of each piece of work, done at the same time in processes of their own."""
    children = []
    for one in work:
        child = os.fork()
        if child == 0:
            _die_at(0, one)
        children.append(child)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def _die_at(number: int, work: Callable[[], object]) -> None:
    seen: list[str] = []

    def called(name: str) -> None:
        if not name.startswith(READING):
            seen.append(name)
            if len(seen) == number:
                os.kill(os.getpid(), signal.SIGKILL)

    code = 1
    try:
        with _watched(called):
            work()
        code = 0
    except BaseException as error:  # noqa: BLE001 – told by the exit code; nothing of the parent's may run here
        print(f"in the child: {type(error).__name__}: {error}", flush=True)
    finally:
        os._exit(code)


@contextmanager
def _watched(called: Callable[[str], None]) -> Iterator[None]:
    """Calls `called` before each AWS call of clients that are made inside."""
    make = Session.create_client
    WATCHED.append(called)

    def create_client(self: Session, *arguments: Any, **named: Any) -> Any:
        self.register_component("data_loader", LOADER)
        made = make(self, *arguments, **named)
        made.meta.events.register("before-call", lambda model, **_: called(model.name))
        return made

    Session.create_client = create_client
    try:
        yield
    finally:
        Session.create_client = make
        WATCHED.append(called)  # clients made inside go on telling, so those made from here on are others
