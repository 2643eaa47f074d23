"""A small OCI registry in memory, over real HTTP on loopback, with the traits of real ones as switches."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

INDEX = "application/vnd.oci.image.index.v1+json"
LOGIN = ("robot", "s3cret")
_ROUTE = re.compile(r"/v2/(?P<name>.+?)/(?P<kind>manifests|blobs|referrers|tags)/(?P<rest>.*)")
_NO_API = {
    "404": (404, "text/plain", b"404 page not found"),
    "xml": (404, "application/xml", b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code></Error>"),
    "400": (400, "application/json", b'{"errors":[{"code":"UNSUPPORTED"}]}'),
    "405": (405, "text/plain", b""),
    "html": (200, "text/html", b"<html>hello</html>"),
}


@dataclass
class Traits:
    """How this registry differs from a plain open one."""

    referrers: str = "api"
    """`api`, or how it answers where there is none: a key of _NO_API."""
    page: int = 3
    login: str = ""
    """"", `basic` or `bearer`."""
    redirect_blobs: bool = False
    immutable: bool = False
    fail: list[tuple[str, str, int]] = field(default_factory=list)
    """(method, part of path, status): each is answered once, then dropped. Status 0 drops the connection."""
    lag: int = 0
    """How many lists of referrers miss the newest one after each push."""
    token_uses: int = 0
    """After so many requests a token has run out; 0: never."""


@dataclass
class State:
    """What it holds, and what it was asked."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[tuple[str, str], tuple[str, bytes]] = field(default_factory=dict)
    tags: dict[tuple[str, str], str] = field(default_factory=dict)
    uploads: set[str] = field(default_factory=set)
    log: list[tuple[str, str]] = field(default_factory=list)
    received: int = 0
    elsewhere_headers: list[dict[str, str]] = field(default_factory=list)
    tokens: dict[str, int] = field(default_factory=dict)
    lagging: int = 0


class RegistryServer:
    """Runs until `close`. `host` is its `127.0.0.1:port`."""

    def __init__(self, traits: Traits | None = None) -> None:
        self.traits = traits or Traits()
        self.state = State()
        self._own = self._serve(_Handler)
        self._store = self._serve(_Storage)
        self.host = f"127.0.0.1:{self._own.server_address[1]}"
        self.storage = f"http://localhost:{self._store.server_address[1]}"

    def _serve(self, handler: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
        server = _Server(("127.0.0.1", 0), type("Bound", (handler,), {"registry": self}))
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return server

    def close(self) -> None:
        for server in (self._own, self._store):
            server.shutdown()
            server.server_close()

    def push_image(self, name: str = "shop", text: str = "hello", tag: str = "build-1") -> str:
        """Puts a one-layer image in by the back door; returns its digest."""
        layer = self._blob(text.encode())
        config = self._blob(
            json.dumps({"os": "linux", "architecture": "amd64", "config": {"Labels": {"a": text}}}).encode()
        )
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **config},
            "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", **layer}],
        }
        return self.push_manifest(name, manifest, tag)

    def push_manifest(self, name: str, manifest: dict[str, Any], tag: str = "") -> str:
        content = json.dumps(manifest).encode()
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        self.state.manifests[name, digest] = (manifest["mediaType"], content)
        if tag:
            self.state.tags[name, tag] = digest
        return digest

    def _blob(self, content: bytes) -> dict[str, Any]:
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        self.state.blobs[digest] = content
        return {"digest": digest, "size": len(content)}

    def referrers(self, name: str, subject: str) -> list[dict[str, Any]]:
        found = []
        for (owner, digest), (kind, content) in list(self.state.manifests.items()):
            document = json.loads(content)
            if owner == name and document.get("subject", {}).get("digest") == subject:
                extra = {"artifactType": document.get("artifactType", "")}
                found.append({"mediaType": kind, "digest": digest, "size": len(content), **extra})
        return found


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """A client that hangs up is none of the server's errors."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    registry: RegistryServer

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._handle()

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET

    @property
    def state(self) -> State:
        return self.registry.state

    @property
    def traits(self) -> Traits:
        return self.registry.traits

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.state.log.append((self.command, self.path))
        path = urlsplit(self.path)
        for planned in self.traits.fail:
            if planned[0] == self.command and planned[1] in self.path:
                self.traits.fail.remove(planned)
                if not planned[2]:
                    self.connection.close()
                    self.close_connection = True
                    return
                self._answer(planned[2], b"{}")
                return
        if path.path == "/token":
            self._token(parse_qs(path.query))
        elif self._admitted(path.path):
            self._route(path.path, parse_qs(path.query, keep_blank_values=True), body)

    def _route(self, path: str, query: dict[str, list[str]], body: bytes) -> None:
        match = _ROUTE.fullmatch(path)
        if match is None:
            self._error(404, "NAME_UNKNOWN")
            return
        handler = getattr(self, f"_{self.command.lower()}_{match['kind']}".replace("_head_", "_get_"), None)
        if handler is None:
            self._error(405, "UNSUPPORTED")
            return
        handler(match["name"], match["rest"], query, body)

    def _admitted(self, path: str) -> bool:
        scheme, _, value = self.headers.get("Authorization", "").partition(" ")
        if not self.traits.login:
            return True
        if self.traits.login == "basic" and (scheme, value) == ("Basic", _pair()):
            return True
        left = self.state.tokens.get(value, 0) if (self.traits.login, scheme) == ("bearer", "Bearer") else 0
        if left:
            self.state.tokens[value] = left - 1
            return True
        name = path.removeprefix("/v2/").split("/")[0]
        bearer = f'Bearer realm="http://{self.registry.host}/token",service="test",scope="repository:{name}:pull,push"'
        challenge = 'Basic realm="test"' if self.traits.login == "basic" else bearer
        self._answer(401, b'{"errors":[{"code":"UNAUTHORIZED"}]}', {"WWW-Authenticate": challenge})
        return False

    def _token(self, query: dict[str, list[str]]) -> None:
        if self.headers.get("Authorization") != f"Basic {_pair()}" or "scope" not in query:
            self._error(401, "UNAUTHORIZED")
            return
        token = uuid.uuid4().hex
        self.state.tokens[token] = self.traits.token_uses or 10**9
        self._answer(200, json.dumps({"token": token, "expires_in": 300}).encode())

    def _get_manifests(self, name: str, reference: str, *_: Any) -> None:
        digest = self.state.tags.get((name, reference), reference)
        found = self.state.manifests.get((name, digest))
        if found is None:
            self._error(404, "MANIFEST_UNKNOWN")
        else:
            self._answer(200, found[1], {"Content-Type": found[0], "Docker-Content-Digest": digest})

    def _put_manifests(self, name: str, reference: str, _: Any, body: bytes) -> None:
        digest = "sha256:" + hashlib.sha256(body).hexdigest()
        old = self.state.tags.get((name, reference))
        if self.traits.immutable and old not in (None, digest):
            text = f"The image tag '{reference}' already exists and cannot be overwritten: the repository is immutable."
            self._error(400, "TAG_INVALID", text)
            return
        self.state.manifests[name, digest] = (self.headers["Content-Type"], body)
        if not reference.startswith("sha256:"):
            self.state.tags[name, reference] = digest
        self.state.received += len(body)
        self.state.lagging = self.traits.lag
        self._answer(201, b"", {"Location": f"/v2/{name}/manifests/{digest}"})

    def _get_blobs(self, name: str, digest: str, *_: Any) -> None:
        content = self.state.blobs.get(digest)
        if content is None:
            self._error(404, "BLOB_UNKNOWN")
        elif self.traits.redirect_blobs and self.command == "GET":
            self._answer(307, b"", {"Location": f"{self.registry.storage}/{digest}"})
        else:
            self._answer(200, content, {"Content-Type": "application/octet-stream"})

    def _post_blobs(self, name: str, rest: str, query: dict[str, list[str]], _: bytes) -> None:
        mount = query.get("mount", [""])[0]
        if mount in self.state.blobs:
            self._answer(201, b"", {"Location": f"/v2/{name}/blobs/{mount}"})
            return
        upload = uuid.uuid4().hex
        self.state.uploads.add(upload)
        self._answer(202, b"", {"Location": f"/v2/{name}/blobs/uploads/{upload}?_state=x"})

    def _put_blobs(self, name: str, rest: str, query: dict[str, list[str]], body: bytes) -> None:
        upload, digest = rest.removeprefix("uploads/"), query["digest"][0]
        if upload not in self.state.uploads or digest != "sha256:" + hashlib.sha256(body).hexdigest():
            self._error(400, "DIGEST_INVALID")
            return
        self.state.uploads.discard(upload)
        self.state.blobs[digest] = body
        self.state.received += len(body)
        self._answer(201, b"", {"Location": f"/v2/{name}/blobs/{digest}"})

    def _delete_blobs(self, *_: Any) -> None:
        self._answer(204, b"")

    def _get_referrers(self, name: str, subject: str, query: dict[str, list[str]], _: bytes) -> None:
        if self.traits.referrers != "api":
            status, kind, text = _NO_API[self.traits.referrers]
            self._answer(status, text, {"Content-Type": kind})
            return
        entries = self.registry.referrers(name, subject)
        if self.state.lagging:
            self.state.lagging -= 1
            entries = entries[:-1]
        first = int(query.get("from", ["0"])[0])
        page = entries[first : first + self.traits.page]
        headers = {"Content-Type": INDEX}
        if first + self.traits.page < len(entries):
            headers["Link"] = f'</v2/{name}/referrers/{subject}?from={first + self.traits.page}>; rel="next"'
        self._answer(
            200, json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": page}).encode(), headers
        )

    def _get_tags(self, name: str, *_: Any) -> None:
        tags = sorted(tag for owner, tag in self.state.tags if owner == name)
        self._answer(200, json.dumps({"name": name, "tags": tags}).encode())

    def _error(self, status: int, code: str, message: str = "") -> None:
        self._answer(status, json.dumps({"errors": [{"code": code, "message": message}]}).encode())

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class _Storage(_Handler):
    """Where blobs are redirected to: another host, which must see no credential."""

    def _handle(self) -> None:
        self.state.elsewhere_headers.append(dict(self.headers))
        self._answer(200, self.state.blobs[self.path[1:]], {"Content-Type": "application/octet-stream"})


def _pair() -> str:
    return base64.b64encode(":".join(LOGIN).encode()).decode()


@contextmanager
def registry_server(traits: Traits | None = None) -> Iterator[RegistryServer]:
    """A server for as long as the block lasts."""
    server = RegistryServer(traits)
    try:
        yield server
    finally:
        server.close()
