"""A project whose whole pipeline takes seconds, and whose releases go wrong as they are told to."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import docker.errors
import requests

from pipeline.adapters.aws import Access, Aws
from pipeline.adapters.ecs import task_state
from pipeline.local.launch import LaunchSettings
from pipeline.model.diagnosis import failure_of
from tests.chaos.fault_proxy import FaultProxy
from tests.chaos.screen import Screen
from tests.e2e.conftest import ANY_ORDER, Copy, Done
from tests.iam.commands import amiss_in

APP = "mayhem"
ENDS = ("stoppingAt", "executionStoppedAt", "stoppedAt")
HERE = Path(__file__).parent

DOCKERFILE = """\
ARG BASE
FROM ${BASE}
ARG VARIANT
COPY server.py /server.py
RUN echo "${VARIANT}" > /variant
ENTRYPOINT ["python3", "-u", "/server.py"]
CMD []
"""
FOREIGN_DOCKERFILE = """\
FROM scratch
COPY foreign /foreign
ENTRYPOINT ["/foreign"]
"""
SUITE = """\
import requests


def test_it_answers(base_url):
    assert requests.get(base_url + "/", timeout=5).status_code == 200
"""
LOCUSTFILE = """\
from locust import FastHttpUser, constant, task


class Visitor(FastHttpUser):
    wait_time = constant(0.05)

    @task
    def home(self):
        self.client.get("/", name="GET /")
"""
CONFIG = """\
[app]
name = "{app}"
dockerfile = "{dockerfile}"
environment = {{ APP_DIGEST = "{{digest}}" }}

[cloud]
provider = "local"

[build]
platform = "{platform}"
base_images = {bases}
args = {args}
lint = false
sbom = false

[integration]
tests = "tests/integration"

[environments.staging]
cpu = 128
memory = 128
health_grace = "30s"
deregistration_delay = "1s"
rollout = {{ bake = "1s" }}

[environments.prod]
{regions}
desired = 2
cpu = 128
memory = 128
health_grace = "8s"
deregistration_delay = "1s"
smoke = [{{ path = "/" }}]
rollout = {{ bake = "{bake}", timeout = "180s" }}
{before}
{secrets}

[environments.prod.environment]
FAULT = "{fault}"
REGION = "{{region}}"

[load]
users = 2
spawn_rate = 10
warmup = "0s"
duration = "2s"
baseline = "none"
generator = {{ max_cpu = 1.0, max_lag_share = 1.0, min_delivered = 0.1 }}

[gate.prod.staging.limits]
requests = {{ min = 1 }}
error_rate = {{ max = 0.9 }}
"""


@dataclass(frozen=True, slots=True)
class Told:
    """What pipeline.toml says this time: which image is built, and how production treats it."""

    variant: str = "one"
    fault: str = ""
    bake: str = "2s"
    before: str = ""
    secret: str = ""
    foreign: bool = False
    regions: str = ""

    @property
    def toml(self) -> str:
        return CONFIG.format(
            app=APP,
            dockerfile="foreign.dockerfile" if self.foreign else "Dockerfile",
            platform="linux/arm64" if self.foreign else "linux/amd64",
            bases="{}" if self.foreign else '{ BASE = "python:3.11-slim-bookworm" }',
            args="{}" if self.foreign else f'{{ VARIANT = "{self.variant}" }}',
            bake=self.bake,
            before=f'before = {{ command = ["{self.before}"] }}' if self.before else "",
            secrets=f'secrets = {{ EXTRA = "{self.secret}" }}' if self.secret else "",
            fault=self.fault,
            regions=self.regions,
        )


@dataclass
class Mayhem:
    """A project with a cloud of its own, whose API calls go through a proxy; `old` serves production, `new` may."""

    copy: Copy
    proxy: FaultProxy
    urls: Mapping[str, str]
    direct: int
    number: int = 0
    registry: str = ""
    digests: dict[str, str] = field(default_factory=dict)
    threads: list[threading.Thread] = field(default_factory=list)

    @property
    def root(self) -> Path:
        return self.copy.root

    def tell(self, told: Told) -> None:
        """Writes pipeline.toml."""
        (self.root / "pipeline.toml").write_text(told.toml, "utf-8")

    def caller(self) -> dict[str, str]:
        """A name of its own for the next command, as the proxy's log knows it."""
        self.number += 1
        return {"AWS_EXECUTION_ENV": f"caller-{self.number}"}

    def pipeline(self, *arguments: str) -> Done:
        return self.copy.pipeline(*arguments, env=self.caller())

    def promote(
        self, digest: str, environment: str = "prod", *, forced: bool = False, more: Sequence[str] = ()
    ) -> Screen:
        """Begins to promote, whatever is newer; with `forced`, past a gate that refuses."""
        options = (*ANY_ORDER, *(("--force",) if forced else ()), *more)
        return Screen(self.copy.start("--json", "promote", digest, environment, *options, env=self.caller()))

    def in_background(self, does: Callable[[], object]) -> None:
        """Does it beside what goes on; `joined` waits for it."""
        thread = threading.Thread(target=does, daemon=True)
        self.threads.append(thread)
        thread.start()

    def joined(self) -> None:
        for thread in self.threads:
            thread.join(timeout=180.0)
        self.threads.clear()

    def manifest(self, digest: str) -> Mapping[str, Any]:
        """What the registry holds under a digest."""
        kinds = (
            "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json"
        )
        url = f"http://{self.registry}/v2/{APP}/manifests/{digest}"
        found: Mapping[str, Any] = requests.get(url, headers={"Accept": kinds}, timeout=10).json()
        return found

    def registry_answers(self, seconds: float = 60.0) -> None:
        """Waits until the registry does, after it was restarted."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with contextlib.suppress(requests.RequestException):
                if requests.get(f"http://{self.registry}/v2/", timeout=5).ok:
                    return
            time.sleep(0.2)
        raise AssertionError("the registry does not come back")

    def passed(self, variant: str) -> str:
        """The digest of a variant that may go to production: built, tested and loaded, once."""
        if variant not in self.digests:
            self.tell(Told(variant))
            done = self.pipeline("--json", "run", "--until", "staging")
            assert done.code == 0, done.said
            self.digests[variant] = str(done.answer["digest"])
        return self.digests[variant]

    def built(self, told: Told) -> str:
        """The digest of an image that was only built."""
        self.tell(told)
        done = self.pipeline("stage", "build")
        assert done.code == 0, done.said
        return done.out.strip()

    def serving(self, environment: str = "prod", times: int = 6) -> set[str]:
        """The digests that answer through the load balancer; `nothing` where none does."""
        return {self._answering(environment) for _ in range(times)}

    def _answering(self, environment: str) -> str:
        try:
            answer = requests.get(self.urls[environment] + "/version", timeout=10)
            return str(answer.json()["digest"])
        except (requests.RequestException, ValueError, KeyError) as error:
            return f"nothing ({type(error).__name__})"

    def client(self, service: str) -> Any:
        """A client that does not go through the proxy: somebody else's."""
        access = Access("eu-central-1", endpoint=f"http://127.0.0.1:{self.direct}", key="test", secret="test")
        return Aws(access).client(service)

    def service(self, environment: str = "prod") -> Mapping[str, Any]:
        ecs = self.client("ecs")
        found: Mapping[str, Any] = ecs.describe_services(cluster=f"{APP}-{environment}", services=[APP])[
            "services"
        ][0]
        return found

    def settled(self, environment: str = "prod", seconds: float = 120.0) -> Mapping[str, Any]:
        """The service once its primary deployment is complete and nothing else is going on."""
        end = time.monotonic() + seconds
        while True:
            service = self.service(environment)
            states = [(d["status"], d["rolloutState"]) for d in service["deployments"]]
            if ("PRIMARY", "COMPLETED") in states and all(
                status == "PRIMARY" or state == "FAILED" for status, state in states
            ):
                return service
            assert time.monotonic() < end, f"{environment} did not come to rest: {states}"
            time.sleep(0.3)

    def image_of(self, definition: str) -> str:
        """The digest that a task definition names."""
        found = self.client("ecs").describe_task_definition(taskDefinition=definition)["taskDefinition"]
        return str(found["containerDefinitions"][0]["image"]).partition("@")[2]

    def somebody_deploys(self, environment: str = "prod") -> str:
        """Another tool puts what ran before in again, under a new revision; returns its deployment's id."""
        ecs, service = self.client("ecs"), self.service(environment)
        before = next(d for d in service["deployments"] if d["status"] != "PRIMARY")["taskDefinition"]
        live = ecs.describe_task_definition(taskDefinition=before)["taskDefinition"]
        taken = (
            "family",
            "taskRoleArn",
            "executionRoleArn",
            "networkMode",
            "containerDefinitions",
            "cpu",
            "memory",
        )
        definition = {key: live[key] for key in (*taken, "requiresCompatibilities") if live.get(key)}
        definition["containerDefinitions"][0]["environment"].append({"name": "BY", "value": "somebody"})
        arn = ecs.register_task_definition(**definition)["taskDefinition"]["taskDefinitionArn"]
        answer = ecs.update_service(cluster=f"{APP}-{environment}", service=APP, taskDefinition=arn)[
            "service"
        ]
        return next(str(d["id"]) for d in answer["deployments"] if d["status"] == "PRIMARY")

    def failures(self, definition: str, environment: str = "prod") -> list[float]:
        """When tasks of a task definition failed, in seconds since the epoch, first to last."""
        ecs, cluster = self.client("ecs"), f"{APP}-{environment}"
        arns = ecs.list_tasks(cluster=cluster, desiredStatus="STOPPED")["taskArns"]
        tasks = ecs.describe_tasks(cluster=cluster, tasks=arns)["tasks"] if arns else []
        failed = [t for t in tasks if t["taskDefinitionArn"] == definition and failure_of(task_state(t))]
        moments = [[t[key] for key in ENDS if t.get(key)] for t in failed]
        return sorted(min(moment).timestamp() for moment in moments if moment)

    def evidence(self, digest: str, stage: str = "prod") -> list[Mapping[str, Any]]:
        """What is attested of a digest in a stage, oldest first."""
        done = self.pipeline("--json", "evidence", digest)
        assert done.code == 0, done.said
        return [record for record in done.answer["evidence"] if record["stage"] == stage]

    def status(self, environment: str = "prod") -> Mapping[str, Any]:
        """What `status` says of an environment."""
        done = self.pipeline("--json", "status")
        assert done.code == 0, done.said
        told = done.answer["environments"]
        found: Mapping[str, Any] = next(each for each in told if each["name"] == environment)
        return found

    def other(self, digest: str) -> str:
        """The name of the good image that is not this one."""
        return "two" if digest == self.digests["one"] else "one"

    def good(self) -> str:
        """The digest that serves production when nothing is going on there; seen to when it is none of ours."""
        self.tell(Told())
        self.settled()
        serving = self.serving()
        if len(serving) != 1 or not serving <= set(self.digests.values()):
            done = self.pipeline("promote", self.digests["one"], "prod", *ANY_ORDER)
            assert done.code == 0, done.said
            serving = {self.digests["one"]}
        return serving.pop()


def make_project(target: Path) -> Copy:
    """The project's files, committed."""
    suite, load = target / "tests" / "integration", target / "loadtests"
    for folder in (suite, load):
        folder.mkdir(parents=True)
    shutil.copy2(HERE / "server.py", target / "server.py")
    (target / "Dockerfile").write_text(DOCKERFILE)
    (target / "foreign.dockerfile").write_text(FOREIGN_DOCKERFILE)
    (target / "foreign").write_bytes(foreign_program())
    (target / "foreign").chmod(0o755)
    (target / ".dockerignore").write_text("*\n!server.py\n!foreign\n")
    (suite / "test_it.py").write_text(SUITE)
    (load / "locustfile.py").write_text(LOCUSTFILE)
    (target / "pipeline.toml").write_text(Told().toml)
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.test", "-C", str(target)]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *command], check=True)
    (target / ".git" / "info" / "exclude").write_text(".pipeline/\n__pycache__/\n")
    return Copy(target)


def foreign_program() -> bytes:
    """An ELF executable for 64-bit ARM: an entry point that this machine's processor does not understand."""
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += (2).to_bytes(2, "little") + (0xB7).to_bytes(2, "little") + (1).to_bytes(4, "little")
    header += (0x400078).to_bytes(8, "little") + (64).to_bytes(8, "little") + bytes(12)
    header += b"".join(size.to_bytes(2, "little") for size in (64, 56, 1, 0, 0, 0))
    segment = (1).to_bytes(4, "little") + (5).to_bytes(4, "little") + bytes(8)
    segment += (0x400000).to_bytes(8, "little") * 2 + (0x80).to_bytes(8, "little") * 2
    segment += (0x1000).to_bytes(8, "little")
    return header + segment + b"\xa8\x0b\x80\xd2\x01\x00\x00\xd4"


@contextmanager
def opened_project(folder: Path) -> Iterator[Copy]:
    """The project in `folder`; afterwards its cloud and the images that were built for it are gone.

    AWS would refuse nothing that its commands ask: not by the printed policies, nor for a parameter.
    """
    copy = make_project(folder)
    try:
        yield copy
    finally:
        ports = folder / ".pipeline" / "local" / "ports.json"
        registry = json.loads(ports.read_text()).get("registry", 0) if ports.is_file() else 0
        copy.pipeline("local", "reset", "--yes")
        remove_images(f"localhost:{registry}/{APP}")
    assert amiss_in(folder) == {}


@contextmanager
def open_mayhem(folder: Path) -> Iterator[Mayhem]:
    """Starts the cloud, puts the proxy before it, releases `one` to production; takes all of it down again."""
    state = folder / ".pipeline" / "local"
    with opened_project(folder) as copy:
        up = copy.pipeline("--json", "local", "up")
        assert up.code == 0, up.said
        direct = int(json.loads((state / "ports.json").read_text())["aws"])
        with FaultProxy(direct) as proxy:
            redirect(state, proxy.port)
            mayhem = Mayhem(copy, proxy, up.answer["environments"], direct, registry=up.answer["registry"])
            first = mayhem.pipeline("--json", "run")
            assert first.code == 0, first.said
            mayhem.digests["one"] = str(first.answer["digest"])
            yield mayhem
            redirect(state, direct)


def redirect(state: Path, port: int) -> None:
    """The cloud's record of where the API listens, in both files that tell of it."""
    ports = state / "ports.json"
    ports.write_text(json.dumps(json.loads(ports.read_text()) | {"aws": port}))
    launched = json.loads((state / "launch.json").read_text()) | {"port": port}
    LaunchSettings(**launched).save(state)


def remove_images(repository: str) -> None:
    """What was built here: the engine keeps it under this cloud's registry's name."""
    engine = docker.from_env()
    for image in engine.images.list(name=repository):
        with contextlib.suppress(docker.errors.APIError):
            engine.images.remove(image.id, force=True)
    engine.close()
