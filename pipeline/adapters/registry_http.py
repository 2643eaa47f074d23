"""HTTP with an OCI registry: logging in, following blobs elsewhere, trying again, and never reading without bound."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests

from pipeline.errors import UnavailableError

Credentials = Callable[[], Mapping[str, str] | None]
"""Gives `{"username": …, "password": …}` for the registry, or None for an open one. Asked anew at every log-in."""

MAX_DOCUMENT = 4 * 1024 * 1024
CHUNK = 1024 * 1024

_TIMEOUT = (5.0, 30.0)
_PAUSES = (0.1, 0.4, 1.6)
_TRANSIENT = (429, 500, 502, 503, 504)
_REDIRECTS = (301, 302, 303, 307, 308)
_LONGEST_PAUSE = 10.0
_LOOPBACK = re.compile(r"^(localhost|127\.\d+\.\d+\.\d+)(:\d+)?$")
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True, slots=True)
class Pieces:
    """A body that comes in pieces and whose size in bytes is known before."""

    pieces: Iterable[bytes]
    size: int

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.pieces)


@dataclass(frozen=True, slots=True)
class Call:
    """One request about a repository (`host/name`).

    `path` is what follows /v2/name/, or the whole address that the registry gave for an upload. `limit` is the most
    bytes of an answer that are read. A body in pieces is sent once and not again.
    """

    method: str
    repository: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Pieces | None = None
    limit: int = MAX_DOCUMENT

    @property
    def host(self) -> str:
        """The registry's host and port."""
        return self.repository.partition("/")[0]

    @property
    def origin(self) -> str:
        """Plain HTTP for a host on loopback, HTTPS for any other."""
        return f"{'http' if _LOOPBACK.match(self.host) else 'https'}://{self.host}"

    @property
    def url(self) -> str:
        """Where it goes first."""
        return urljoin(f"{self.origin}/v2/{self.repository.partition('/')[2]}/", self.path)

    @property
    def repeatable(self) -> bool:
        """Whether sending it twice does no more than sending it once."""
        return self.method in ("GET", "HEAD", "PUT") and not isinstance(self.body, Pieces)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON, None when it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    @property
    def codes(self) -> tuple[str, ...]:
        """The registry's own error codes, for example MANIFEST_UNKNOWN; empty when it sent none."""
        return tuple(str(error.get("code", "")) for error in self._errors())

    @property
    def words(self) -> str:
        """The status and what the registry says to it."""
        said = "; ".join(
            f"{error.get('code', '')} {error.get('message', '')}".strip() for error in self._errors()
        )
        return f"{self.status} ({said[:300]})" if said else str(self.status)

    def _errors(self) -> list[Mapping[str, Any]]:
        document = self.json()
        errors = document.get("errors") if isinstance(document, dict) else None
        return [error for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []


class RegistryHttp:
    """Sends calls. Logs in when it is asked to, by Basic or Bearer, and again when a log-in has run out.

    `host`, when given, is the only host that gets the credentials. `pause` waits that many seconds before a retry.
    Every method raises UnavailableError when the registry does not answer.
    """

    def __init__(
        self, credentials: Credentials, *, host: str = "", pause: Callable[[float], None] = time.sleep
    ) -> None:
        self._credentials = credentials
        self._host = host
        self._pause = pause
        self._login: dict[tuple[str, bool], str] = {}
        self._near = requests.Session()
        self._near.trust_env = False  # no proxy stands between us and this machine
        self._far = requests.Session()

    def send(self, call: Call) -> Answer:
        """The answer, whatever its status. A call that may be repeated is, after 429, 5xx and broken connections."""
        for pause in (*_PAUSES, None):
            last = pause is None or not call.repeatable
            try:
                answer = self._once(call)
            except requests.RequestException as error:
                if last:
                    raise _silent(call, error) from error
                self._pause(pause or 0.0)
                continue
            if last or answer.status not in _TRANSIENT:
                return answer
            self._pause(max(pause or 0.0, _asked_pause(answer)))
        raise AssertionError("the last attempt returns or raises")

    @contextmanager
    def stream(self, call: Call) -> Iterator[Iterator[bytes]]:
        """The body of a GET in pieces, for what does not fit into memory. Raises UnavailableError unless it is 200."""
        try:
            with self._opened(call) as response:
                if response.status_code != requests.codes.ok:
                    raise unexpected(_read(response, call.limit), call.host, call.path)
                yield response.iter_content(CHUNK)
        except requests.RequestException as error:
            raise _silent(call, error) from error

    def _once(self, call: Call) -> Answer:
        with self._opened(call) as response:
            return _read(response, call.limit)

    def _opened(self, call: Call) -> requests.Response:
        """The response with its body unread, logged in as the registry asks."""
        key = (call.repository, call.method in ("GET", "HEAD"))
        known = self._login.get(key, "")
        response = self._follow(call, known)
        if not _log_in_helps(response.status_code, known):
            return response
        header = self._log_in(call, response.headers.get("WWW-Authenticate", ""))
        if not header or isinstance(call.body, Pieces):
            return response
        response.close()
        self._login[key] = header
        return self._follow(call, header)

    def _follow(self, call: Call, authorization: str) -> requests.Response:
        """Redirects of GET and HEAD are followed, five at most; another host gets no authorization."""
        url = call.url
        for _ in range(6):
            own = _origin(url) == _origin(call.origin)
            headers = {**call.headers, "Accept-Encoding": "identity"}
            response = self._request(call, url, headers, authorization if own else "")
            target = response.headers.get("Location", "")
            if response.status_code not in _REDIRECTS or call.method not in ("GET", "HEAD") or not target:
                return response
            response.close()
            url = allowed(urljoin(url, target), call.host)
        raise UnavailableError(
            f"{call.host} redirects {call.path} in circles", hint="look at this registry's storage"
        )

    def _request(
        self, call: Call, url: str, headers: Mapping[str, str], authorization: str
    ) -> requests.Response:
        session = self._near if _LOOPBACK.match(urlsplit(url).netloc) else self._far
        return session.request(
            call.method,
            url,
            headers=dict(headers),
            data=call.body,
            auth=_Authorization(authorization),
            timeout=_TIMEOUT,
            stream=True,
            allow_redirects=False,
        )

    def _log_in(self, call: Call, challenge: str) -> str:
        """The Authorization header that answers a challenge; empty where we have none."""
        login = self._credentials() if self._host in ("", call.host) else None
        basic = _basic(login) if login else ""
        scheme, _, rest = challenge.partition(" ")
        if scheme.lower() != "bearer":
            return basic
        asked = dict(_CHALLENGE.findall(rest))
        if "realm" not in asked:
            return ""
        realm = allowed(asked.pop("realm"), call.host)
        wanted = {name: asked[name] for name in ("service", "scope") if name in asked}
        return self._token(realm, wanted, basic, call)

    def _token(self, realm: str, wanted: Mapping[str, str], basic: str, call: Call) -> str:
        session = self._near if _LOOPBACK.match(urlsplit(realm).netloc) else self._far
        auth = _Authorization(basic)
        with session.get(realm, params=dict(wanted), auth=auth, timeout=_TIMEOUT, stream=True) as response:
            answer = _read(response, MAX_DOCUMENT)
        document = answer.json()
        found = document if answer.status == requests.codes.ok and isinstance(document, dict) else {}
        token = found.get("token") or found.get("access_token")
        if not isinstance(token, str):
            raise unexpected(replace(answer, status=401), call.host, f"a log-in at {urlsplit(realm).netloc}")
        return f"Bearer {token}"


def unexpected(answer: Answer, host: str, what: str) -> UnavailableError:
    """The error for an answer that was not asked for, with the next step its status suggests."""
    hints = {
        401: "log in again; the credential is missing or has expired",
        403: "this credential may not do that; ask for the right to push to and pull from this repository",
        404: "check the repository's name, and that the image is in this registry",
        413: "the registry, or a proxy before it, takes no body of this size",
        429: "the registry asks to be called less often; try again in a while",
    }
    hint = hints.get(answer.status, "try again; if it stays so, look at the registry's own log")
    return UnavailableError(f"the registry {host} answered {answer.words} for {what}", hint=hint)


class _Authorization(requests.auth.AuthBase):
    """Sends exactly this header, or none: never what a .netrc file has for the host."""

    def __init__(self, header: str) -> None:
        self._header = header

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._header:
            request.headers["Authorization"] = self._header
        return request


def _log_in_helps(status: int, known: str) -> bool:
    """At 401, and at the 403 by which Amazon ECR says that a Basic log-in of ours has run out."""
    return status == 401 or (status == 403 and known.startswith("Basic "))


def _read(response: requests.Response, limit: int) -> Answer:
    body = bytearray()
    for piece in response.iter_content(65536):
        body += piece
        if len(body) > limit:
            raise UnavailableError(
                f"the registry answers {urlsplit(response.url).path} with more than {limit} bytes",
                hint="nothing of that size belongs there; look at what was pushed to this repository",
            )
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(response.status_code, headers, bytes(body))


def allowed(url: str, host: str) -> str:
    """`url`, unless it leaves HTTPS; from loopback to loopback plain HTTP will do."""
    parts = urlsplit(url)
    both_near = _LOOPBACK.match(parts.netloc) and _LOOPBACK.match(host)
    if parts.scheme == "https" or (parts.scheme == "http" and both_near):
        return url
    raise UnavailableError(
        f"the registry {host} sends us to {parts.scheme}://{parts.netloc}, which is not HTTPS",
        hint="have the registry (or the token service it names) served over HTTPS",
    )


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _basic(login: Mapping[str, str]) -> str:
    pair = f"{login['username']}:{login['password']}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


def _asked_pause(answer: Answer) -> float:
    """Seconds of Retry-After, ten at most."""
    text = answer.headers.get("retry-after", "")
    return min(float(text), _LONGEST_PAUSE) if text.isdecimal() else 0.0


def _silent(call: Call, error: Exception) -> UnavailableError:
    return UnavailableError(
        f"the registry {call.host} does not answer: {type(error).__name__}",
        hint="`python -m pipeline local up` starts the local one; check network and address of any other",
    )
