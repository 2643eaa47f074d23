"""A local cloud with one environment, and images in its registry that behave well or badly on purpose."""

from __future__ import annotations

import contextlib
import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import docker.errors

from pipeline.adapters.aws import Access, Aws
from pipeline.adapters.clock import SystemClock
from pipeline.adapters.ecs import EcsService
from pipeline.adapters.elb import ElbTargets
from pipeline.adapters.stack import StackRequest, Stacks, template
from pipeline.local.base_images import BaseImages
from pipeline.local.cloud import Endpoints, LocalCloud, LocalEnvironment, LocalSpec
from pipeline.model.digest import Digest, ImageRef

PYTHON = "python:3.11-slim-bookworm"
NAME, ENVIRONMENT, CONTAINER = "releases", "prod", "app"

SERVER = """
import http.server, json, os, signal, sys, threading, time

if sys.argv[1:]:
    print("asked to end with", sys.argv[1], flush=True)
    sys.exit(int(sys.argv[1]))
mode = os.environ["MODE"]
print("began as", mode, flush=True)
began = time.monotonic()
if mode == "exits":
    print("no licence file", flush=True)
    sys.exit(1)
if mode == "deaf":
    time.sleep(3600)
if mode == "late":
    time.sleep(2)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    asked = 0

    def do_GET(self):
        Handler.asked += self.path == "/"
        if mode == "crashes" and Handler.asked == 4:
            print("lost its mind", flush=True)
            os._exit(9)
        body = json.dumps({"digest": os.environ.get("DIGEST", ""), "mode": mode}).encode()
        bad = (mode == "ill" and self.path == "/healthz") or (mode == "broken" and self.path == "/readyz")
        bad = bad or (mode == "sours" and self.path == "/" and time.monotonic() - began > 8.0)
        self.send_response(500 if bad else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.do_GET()

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *args):
        pass


server = Server(("", 8080), Handler)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
server.serve_forever()
"""


@dataclass
class Releases:
    """What is up: where, clients of it, and images by how they behave."""

    endpoints: Endpoints
    aws: Aws
    engine: Any
    base: str
    images: dict[str, ImageRef] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return self.endpoints.urls[ENVIRONMENT]

    def service(self) -> EcsService:
        return EcsService(
            self.aws.client("ecs"), self.aws.client("logs"), NAME, NAME, CONTAINER, SystemClock()
        )

    def targets(self) -> ElbTargets:
        return ElbTargets(self.aws.client("elbv2"), self.service().describe().target_group)

    def image(self, mode: str) -> ImageRef:
        """The image that behaves as `mode` says; `good-2` is another good one."""
        if mode not in self.images:
            self.images[mode] = self._pushed(mode)
        return self.images[mode]

    def missing(self) -> ImageRef:
        """An image that the registry does not have."""
        return ImageRef(f"{self.endpoints.registry}/{NAME}", Digest("sha256:" + "e" * 64))

    def _pushed(self, mode: str) -> ImageRef:
        repository = f"{self.endpoints.registry}/{NAME}"
        recipe = (
            f"FROM {self.base}\nENV MODE={mode.partition('-')[0]} VARIANT={mode}\nCOPY server.py /server.py\n"
            'ENTRYPOINT ["python3", "-u", "/server.py"]\nCMD []\n'
        )
        image, _ = self.engine.images.build(
            fileobj=_context(recipe), custom_context=True, rm=True, forcerm=True
        )
        image.tag(repository, mode)
        lines = self.engine.images.push(repository, mode, stream=True, decode=True)
        digests = [line["aux"]["Digest"] for line in lines if line.get("aux")]
        self.engine.images.remove(f"{repository}:{mode}")
        return ImageRef(repository, Digest(digests[0]))


def _context(recipe: str) -> io.BytesIO:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, text in (("Dockerfile", recipe), ("server.py", SERVER)):
            entry = tarfile.TarInfo(name)
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    buffer.seek(0)
    return buffer


@contextmanager
def open_releases(state: Path) -> Iterator[Releases]:
    """Starts a cloud of its own under `state`, and takes all of it down again."""
    engine = docker.from_env()
    bases = BaseImages(engine, print)
    environment = LocalEnvironment(ENVIRONMENT, provision_key="1")
    cloud = LocalCloud(state, LocalSpec(NAME, (environment,)), bases.ensure, _provision, print)
    images: dict[str, ImageRef] = {}
    try:
        endpoints = cloud.up()
        yield Releases(endpoints, _aws(endpoints), engine, bases.ensure([PYTHON])[PYTHON], images)
    finally:
        cloud.reset()
        for image in images.values():
            with contextlib.suppress(docker.errors.ImageNotFound):
                engine.images.remove(str(image), force=True)
        engine.close()


def _aws(endpoints: Endpoints) -> Aws:
    access = Access(
        endpoints.region, endpoint=endpoints.aws, key=endpoints.access_key, secret=endpoints.secret_key
    )
    return Aws(access)


def _provision(endpoints: Endpoints, environment: LocalEnvironment) -> None:
    parameters = {
        "App": NAME,
        "Environment": environment.name,
        "ClusterName": NAME,
        "ServiceName": NAME,
        "ContainerName": CONTAINER,
        "RepositoryName": NAME,
        "RepositoryRegion": endpoints.region,
        "ErrorAlarms": "no",
        "DatabaseSecret": "yes",
        "BootstrapImage": f"{endpoints.registry}/{NAME}:none",
        "HealthCheckGracePeriod": "8",
        "DeregistrationDelay": "1",
        "StopTimeout": "5",
        "DatabaseUrl": endpoints.database_urls[environment.name],
    }
    request = StackRequest(f"onedigest-{NAME}-{environment.name}", template("environment"), parameters)
    Stacks(_aws(endpoints).client("cloudformation"), SystemClock()).ensure(request)
