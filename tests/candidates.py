"""Small candidates for sandboxes: one image in a registry of its own, told by its environment how to behave."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field

import docker

from pipeline.model.digest import Digest, ImageRef

COMMIT = "c0ffee" + "0" * 34
PYTHON, REGISTRY, POSTGRES = "python:3.11-slim-bookworm", "registry:2", "postgres:15-bookworm"

SERVER = """
import http.server, json, os, sys, time

mode = os.environ.get("MODE", "good")
print(f"began as {mode}", flush=True)
if mode == "exits":
    print("no licence file", flush=True)
    sys.exit(1)
if mode == "deaf":
    time.sleep(600)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        print("asked for", self.path, flush=True)
        if self.path == "/die":
            os._exit(9)
        self.send_response(503 if mode == "unready" else 200)
        self.end_headers()
        self.wfile.write(json.dumps(dict(os.environ)).encode())

    def log_message(self, *args):
        pass


http.server.ThreadingHTTPServer(("", 8080), Handler).serve_forever()
"""


@dataclass
class Shown:
    """Keeps what was shown, and calls `on_step` with each step."""

    steps: list[str] = field(default_factory=list)
    shares: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    on_step: Callable[[str], None] = field(default=lambda _: None)

    def step(self, text: str) -> None:
        self.steps.append(text)
        self.on_step(text)

    def share(self, done: float, text: str) -> None:
        self.shares.append(text)

    def note(self, text: str) -> None:
        self.notes.append(text)


def push(engine: docker.DockerClient, base: str, repository: str) -> ImageRef:
    """Builds and pushes the candidate."""
    dockerfile = f"FROM {base}\nLABEL org.opencontainers.image.revision={COMMIT}\nCOPY server.py /server.py\n"
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        for file, text in (
            ("Dockerfile", dockerfile + 'CMD ["python3", "/server.py"]\n'),
            ("server.py", SERVER),
        ):
            entry = tarfile.TarInfo(file)
            entry.size, entry.mode = len(text.encode()), 0o644
            tar.addfile(entry, io.BytesIO(text.encode()))
    context.seek(0)
    engine.images.build(fileobj=context, custom_context=True, tag=f"{repository}:1", rm=True, forcerm=True)
    for line in engine.images.push(f"{repository}:1", stream=True, decode=True):
        assert "error" not in line, line
        if "aux" in line:
            return ImageRef(repository, Digest(line["aux"]["Digest"]))
    raise AssertionError("the engine named no digest")
