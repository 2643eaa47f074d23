"""A proxy between the program and the AWS API on loopback: it throttles, goes silent, refuses credentials, loses
answers, and keeps a log of every call: what, by whom, when, with which answer.

A caller is told apart by `AWS_EXECUTION_ENV`, which botocore puts into the User-Agent as `exec-env/…`.
"""

from __future__ import annotations

import http.client
import http.server
import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

MUTATIONS = frozenset({"RegisterTaskDefinition", "UpdateService", "RunTask", "StopTask", "CreateService"})
ECS = "AmazonEC2ContainerServiceV20141113"
_CALLER = re.compile(r"exec-env/(\S+)")
_HOP = frozenset({"connection", "transfer-encoding", "content-length", "keep-alive", "server", "date"})
THROTTLED = ("ThrottlingException", "Rate exceeded")
EXPIRED = ("ExpiredTokenException", "The security token included in the request is expired")


@dataclass(frozen=True, slots=True)
class Call:
    """One call. Times are seconds since the epoch; `status` 0: no answer was given. `request` is empty unless JSON."""

    service: str
    name: str
    caller: str
    began: float
    ended: float
    status: int
    request: Mapping[str, Any] = field(default_factory=dict, repr=False)
    answer: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def changes(self) -> bool:
        """Whether it changes something in ECS."""
        return self.name in MUTATIONS

    @property
    def arrived(self) -> bool:
        """Whether the API did it."""
        return self.status == 200


@dataclass(slots=True)
class _Moment:
    """Something to do once, at a call by this name: before it is passed on, or after it was answered by the API."""

    name: str
    does: Callable[[], object]
    after: bool
    drop: bool
    once_seen: str
    since: int


@dataclass(slots=True)
class _Fault:
    """What every matching call is met with until `until`: an error code, or silence when that is empty."""

    until: float
    code: str = ""
    text: str = ""
    only: str = ""


class FaultProxy:
    """Listens on a free loopback port and passes on to `upstream`, a loopback port."""

    def __init__(self, upstream: int) -> None:
        self._upstream = upstream
        self._lock = threading.Lock()
        self._calls: list[Call] = []
        self._moments: list[_Moment] = []
        self._faults: list[_Fault] = []
        self._lost: list[str] = []
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def __enter__(self) -> FaultProxy:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    # -- what a test asks -----------------------------------------------------------------------------------------

    @property
    def calls(self) -> Sequence[Call]:
        """Every call so far, by its begin."""
        with self._lock:
            return sorted(self._calls, key=lambda call: call.began)

    def changes(self, since: float = 0.0) -> Sequence[Call]:
        """The calls that changed something in ECS and arrived, from a moment on."""
        return [call for call in self.calls if call.changes and call.arrived and call.began >= since]

    # -- what a test arranges -------------------------------------------------------------------------------------

    def throttle(self, seconds: float) -> None:
        """ECS answers every call with ThrottlingException for so long."""
        self._add(_Fault(time.time() + seconds, *THROTTLED, only=ECS))

    def silence(self, seconds: float) -> None:
        """Every connection is closed without an answer for so long."""
        self._add(_Fault(time.time() + seconds))

    def expire(self) -> None:
        """From now on the credential counts as expired, whatever is asked."""
        self._add(_Fault(float("inf"), *EXPIRED))

    def lose_answer(self, name: str) -> None:
        """The next call of this name arrives, and its answer is lost."""
        with self._lock:
            self._lost.append(name)

    def at(
        self,
        name: str,
        does: Callable[[], object],
        *,
        after: bool = False,
        drop: bool = False,
        once_seen: str = "",
    ) -> None:
        """Does it once, at the next call of this name: the caller waits meanwhile.

        `after`: when the API has answered, before the caller hears of it. `drop`: the call does not arrive.
        `once_seen`: not before a call of that name has been answered, counted from now.
        """
        with self._lock:
            self._moments.append(_Moment(name, does, after, drop, once_seen, len(self._calls)))

    def mend(self) -> None:
        """No faults, and nothing left to do."""
        with self._lock:
            self._faults.clear()
            self._moments.clear()
            self._lost.clear()

    @contextmanager
    def mended(self) -> Iterator[FaultProxy]:
        """Arranges hold within the block."""
        try:
            yield self
        finally:
            self.mend()

    def _add(self, fault: _Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    # -- what happens to a call -----------------------------------------------------------------------------------

    def handle(self, request: _Request) -> _Answer | None:
        """The answer to give; None: the connection is closed without one."""
        began = time.time()
        dropped = self._do(request.name, after=False)
        answer = _SILENCE if dropped else self._met(request) or self._passed(request)
        if answer.status:
            self._do(request.name, after=True)
        lost = self._is_lost(request.name)
        kept = Call(
            request.service,
            request.name,
            request.caller,
            began,
            time.time(),
            answer.status,
            request.document,
            _parsed(answer.body) if request.name in MUTATIONS else {},
        )
        with self._lock:
            self._calls.append(kept)
        return None if lost or not answer.status else answer

    def _do(self, name: str, *, after: bool) -> bool:
        """Does what is due now; whether the call is to be dropped."""
        with self._lock:
            due = [m for m in self._moments if (m.name, m.after) == (name, after) and self._is_due(m)]
            self._moments = [m for m in self._moments if m not in due]
        for moment in due:
            moment.does()
        return any(moment.drop for moment in due)

    def _is_due(self, moment: _Moment) -> bool:
        answered = {call.name for call in self._calls[moment.since :] if call.arrived}
        return not moment.once_seen or moment.once_seen in answered

    def _met(self, request: _Request) -> _Answer | None:
        now = time.time()
        with self._lock:
            faults = [f for f in self._faults if now < f.until and f.only in ("", request.service)]
        if not faults or not request.name:
            return None
        fault = faults[-1]
        return _refusal(fault, query=not request.target) if fault.code else _SILENCE

    def _passed(self, request: _Request) -> _Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self._upstream, timeout=60.0)
        try:
            connection.request(request.method, request.path, request.body or None, request.headers)
            answer = connection.getresponse()
            return _Answer(answer.status, dict(answer.getheaders()), answer.read())
        except OSError:  # the emulator is away: so is the API
            return _SILENCE
        finally:
            connection.close()

    def _is_lost(self, name: str) -> bool:
        with self._lock:
            if name not in self._lost:
                return False
            self._lost.remove(name)
            return True


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def target(self) -> str:
        return next((v for k, v in self.headers.items() if k.lower() == "x-amz-target"), "")

    @property
    def service(self) -> str:
        return self.target.partition(".")[0]

    @property
    def name(self) -> str:
        """The operation, out of the JSON protocol's header or the query protocol's body."""
        if self.target:
            return self.target.partition(".")[2]
        return next(iter(parse_qs(self.body.decode("utf-8", "replace")).get("Action", ())), "")

    @property
    def caller(self) -> str:
        agent = next((v for k, v in self.headers.items() if k.lower() == "user-agent"), "")
        found = _CALLER.search(agent)
        return found.group(1) if found else ""

    @property
    def document(self) -> Mapping[str, Any]:
        return _parsed(self.body) if self.target else {}


@dataclass(frozen=True, slots=True)
class _Answer:
    """`status` 0: none."""

    status: int
    headers: dict[str, str]
    body: bytes


_SILENCE = _Answer(0, {}, b"")


def _parsed(body: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _refusal(fault: _Fault, *, query: bool) -> _Answer:
    """The error in the form of the protocol that was spoken: XML for the query protocol, where codes have no suffix."""
    if query:
        code = fault.code.removesuffix("Exception")
        said = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{fault.text}</Message></Error>"
        text = f"<ErrorResponse>{said}<RequestId>chaos</RequestId></ErrorResponse>"
        return _Answer(400, {"Content-Type": "text/xml"}, text.encode())
    body = json.dumps({"__type": fault.code, "message": fault.text}).encode()
    headers = {"Content-Type": "application/x-amz-json-1.1", "x-amzn-errortype": fault.code}
    return _Answer(400, headers, body)


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that was killed is none of ours."""


def _handler(proxy: FaultProxy) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1
        disable_nagle_algorithm = True

        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {k: v for k, v in self.headers.items() if k.lower() not in _HOP}
            answer = proxy.handle(_Request(self.command, self.path, headers, body))
            if answer is None:
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                if name.lower() not in _HOP:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _any

        def log_message(self, *_: Any) -> None: ...

    return Handler
