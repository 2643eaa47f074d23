"""The integration sandbox: a candidate with its real dependencies in containers, and pytest against it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pipeline.adapters import junit
from pipeline.adapters.leftovers import Batch, remove, sweep
from pipeline.adapters.sandbox_containers import (
    CannotStartError,
    Containers,
    Probe,
    Spec,
    Started,
    connect,
    engine_errors,
    labels_of_image,
)
from pipeline.adapters.suite import PytestSuite, Suite, Target
from pipeline.adapters.watchdog import Watchdog
from pipeline.errors import ConfigurationError, UndecidedError
from pipeline.model.digest import Digest, ImageRef
from pipeline.ports import Clock, Progress, SuiteResult, TestFailure

KIND = "sandbox"
APP = "app"
"""The candidate's name in logs, and its host name in the sandbox."""

_BEFORE = "before"
_REVISION = "org.opencontainers.image.revision"
_LAST_LINES = 20


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """A dependency of the app, started beside it.

    `name` is its host name for the app. `image` is a reference the engine has or can pull. `port` is the TCP port
    whose answer means ready; with `ready`, a command run inside the container, its exit code 0 means ready instead.
    `tmpfs` lists paths kept in memory. `command` replaces the image's. `timeout` is in seconds.
    """

    name: str
    image: str
    port: int | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    tmpfs: tuple[str, ...] = ()
    ready: tuple[str, ...] = ()
    timeout: float = 60.0


@dataclass(frozen=True, slots=True)
class BesideSettings:
    """Another service of the candidate's release, started beside the one that the suite is sent to.

    `name` is its host name. It is ready when `ready_path` on `port` answers with a status from 200 to 299.
    """

    name: str
    port: int
    ready_path: str = "/"
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """What to run around a candidate, and the suite to run against it.

    `root` is the project's folder: pytest runs there and `tests` is relative to it. `environment` is the app's;
    in its values `{digest}` and `{commit}` are replaced. `before`, when given, runs once in a container of the
    candidate before the app starts. Timeouts are in seconds; `suite_timeout` is for the whole pytest run.
    `state` is where lock files are kept; every sandbox of one host and user should share it. `name` is the candidate's
    host name; `beside` are the other services of its release, whose images `shares` tells by the release's digest.
    """

    root: Path
    tests: Path
    state: Path
    python: str
    port: int
    ready_path: str = "/"
    ready_timeout: float = 60.0
    environment: Mapping[str, str] = field(default_factory=dict)
    services: tuple[ServiceSettings, ...] = ()
    before: tuple[str, ...] = ()
    before_timeout: float = 120.0
    pytest_args: tuple[str, ...] = ()
    suite_timeout: float = 900.0
    name: str = APP
    beside: tuple[BesideSettings, ...] = ()
    shares: Callable[[Digest], Mapping[str, Digest]] = lambda _release: {}


class TestcontainersSandbox:
    """Runs candidates under testcontainers, for `pipeline.ports.IntegrationSandbox`.

    A candidate's own fault (its `before` command fails, it ends, it does not get ready, it ends during the suite)
    is a failed result with the reason and its last lines; a service's or the suite's is UndecidedError.
    """

    __test__ = False

    def __init__(self, settings: SandboxSettings, clock: Clock, *, run_id: str = "") -> None:
        """`run_id` goes into the containers' labels, for people."""
        self._settings = settings
        self._clock = clock
        self._run_id = run_id

    def run_suite(self, image: ImageRef, directory: Path, progress: Progress) -> SuiteResult:
        """Starts services and candidate, runs the suite, removes everything, also when interrupted or killed.

        Raises ConfigurationError when the suite is missing, UndecidedError when a service does not come up or
        pytest does not finish in form, UnavailableError without engine or image.
        """
        suite = self._settings.root / self._settings.tests
        if not suite.exists():
            raise ConfigurationError(
                f"there is no integration suite at {suite}",
                hint="create it, or correct integration.tests in pipeline.toml",
            )
        directory = directory.absolute()
        directory.mkdir(parents=True, exist_ok=True)
        engine = connect()
        with engine_errors():
            dead = sweep(engine, KIND)
            if dead:
                progress.note(f"removed what {dead} killed run{'s'[: dead - 1]} had left behind")
            return self._in_batch(engine, image, directory, progress)

    def _in_batch(self, engine: Any, image: ImageRef, directory: Path, progress: Progress) -> SuiteResult:
        name = secrets.token_hex(6)
        batch = Batch(self._settings.state, KIND, name, self._run_id or name)
        with batch, Watchdog(batch.key) as watchdog:
            try:
                containers = Containers(f"onedigest-{name}", batch.labels, self._clock)
                pytest = PytestSuite(self._suite(), self._clock, watchdog)
                run = _Run(self._settings, containers, pytest, directory, progress)
                progress.step(f"fetching {image.digest.short}")
                images = _images(self._settings, image)
                labels = {name: labels_of_image(engine, str(each)) for name, each in images.items()}
                return run.all(images, labels[self._settings.name].get(_REVISION, ""))
            finally:
                progress.step("removing the sandbox")
                remove(engine, batch.key)
                watchdog.stand_down()

    def _suite(self) -> Suite:
        told = self._settings
        return Suite(told.root, told.tests, told.python, told.pytest_args, told.suite_timeout)


class _Run:
    """One candidate in one sandbox."""

    def __init__(
        self,
        settings: SandboxSettings,
        containers: Containers,
        pytest: PytestSuite,
        directory: Path,
        progress: Progress,
    ) -> None:
        self._settings = settings
        self._containers = containers
        self._pytest = pytest
        self._directory = directory
        self._progress = progress

    def all(self, images: Mapping[str, ImageRef], commit: str) -> SuiteResult:
        """Everything in order, with the candidate's `images` by host name; logs are kept unless it all went well."""
        well = False
        try:
            result = self._services_then_candidate(images, commit)
            well = result.failed == 0 and result.passed > 0
            return result if well else self._with_logs(result)
        except UndecidedError:
            self._keep_logs()
            raise

    def _services_then_candidate(self, images: Mapping[str, ImageRef], commit: str) -> SuiteResult:
        self._containers.create_network()
        self._start_services()
        image = images[self._settings.name]
        environment = _filled(self._settings.environment, image, commit)
        try:
            failure = self._before(image, environment)
            if failure:
                return self._failed(failure)
            beside = [self._start_beside(each, images[each.name], commit) for each in self._settings.beside]
            return self._candidate(image, environment, beside)
        except CannotStartError as error:
            return self._failed(TestFailure("candidate starts", f"{image} cannot be started: {error}"))

    def _start_services(self) -> None:
        started = [self._start_service(service) for service in self._settings.services]
        for service, container in zip(self._settings.services, started, strict=True):
            self._progress.step(f"waiting for {service.name}")
            failed = container.wait_until(_service_probe(service, container), service.timeout)
            if failed:
                raise _service_failed(service, f"{failed}\n{_last(container)}")

    def _start_service(self, service: ServiceSettings) -> Started:
        self._progress.step(f"starting {service.name}")
        port = None if service.ready else service.port
        try:
            return self._containers.start(
                Spec(service.name, service.image, service.environment, service.command, service.tmpfs, port)
            )
        except CannotStartError as error:
            raise _service_failed(service, str(error)) from error

    def _before(self, image: ImageRef, environment: Mapping[str, str]) -> TestFailure | None:
        command = self._settings.before
        if not command:
            return None
        name = f"{_BEFORE}: {' '.join(command)}"
        self._progress.step(name)
        container = self._containers.start(Spec(_BEFORE, str(image), environment, command))
        end = container.wait_for_end(self._settings.before_timeout)
        if end is not None and end.code == 0:
            return None
        how = str(end) if end else f"still running after {self._settings.before_timeout:g} s"
        return TestFailure(name, f"{how}\n{_last(container)}")

    def _start_beside(self, told: BesideSettings, image: ImageRef, commit: str) -> Started:
        self._progress.step(f"starting {told.name}")
        environment = _filled(told.environment, image, commit)
        return self._containers.start(Spec(told.name, str(image), environment, port=told.port))

    def _candidate(
        self, image: ImageRef, environment: Mapping[str, str], beside: Sequence[Started]
    ) -> SuiteResult:
        told = self._settings
        self._progress.step("starting the candidate")
        app = self._containers.start(Spec(told.name, str(image), environment, port=told.port))
        for other, started in zip(told.beside, beside, strict=True):
            self._progress.step(f"waiting for {other.name} on {other.ready_path}")
            failed = started.wait_until(started.answers(other.port, other.ready_path), told.ready_timeout)
            if failed:
                text = f"the service {other.name} {failed}\n{_last(started)}"
                return self._failed(TestFailure(f"{other.name} becomes ready", text))
        self._progress.step(f"waiting for the candidate on {told.ready_path}")
        failed = app.wait_until(app.answers(told.port, told.ready_path), told.ready_timeout)
        address = app.address(told.port)
        if failed or address is None:
            why = failed or "ended as soon as it was ready"
            return self._failed(TestFailure("candidate becomes ready", f"the candidate {why}\n{_last(app)}"))
        host, port = address
        self._progress.step("running the tests")
        result = self._pytest.run(
            Target(
                f"http://{host}:{port}", str(image), {each.name: each.id for each in self._containers.started}
            ),
            self._directory,
            self._progress,
        )
        for started in (app, *beside):
            result = _unless_ended(result, started)
        return result

    def _failed(self, failure: TestFailure) -> SuiteResult:
        path = self._directory / "junit.xml"
        junit.write_failure(path, failure)
        return SuiteResult(0, 1, 0, (failure,), path, failure.message)

    def _with_logs(self, result: SuiteResult) -> SuiteResult:
        return replace(result, logs={name: lines[-_LAST_LINES:] for name, lines in self._keep_logs().items()})

    def _keep_logs(self) -> Mapping[str, tuple[str, ...]]:
        """Writes each container's log to NAME.log in the directory, and gives the lines."""
        kept = {container.name: container.lines() for container in self._containers.started}
        for name, lines in kept.items():
            (self._directory / f"{name}.log").write_text(
                "".join(f"{line}\n" for line in lines), encoding="utf-8"
            )
        return kept


def _images(told: SandboxSettings, image: ImageRef) -> Mapping[str, ImageRef]:
    """The image of each service of the candidate, by host name; raises UndecidedError where the release lacks one."""
    if not told.beside:
        return {told.name: image}
    found = told.shares(image.digest)
    names = (told.name, *(each.name for each in told.beside))
    missing = [name for name in names if name not in found]
    if missing:
        raise UndecidedError(
            f"{image} has no image of {', '.join(missing)}",
            hint="build it with all services of pipeline.toml: python -m pipeline stage build",
        )
    return {name: ImageRef(image.repository, found[name]) for name in names}


def _filled(environment: Mapping[str, str], image: ImageRef, commit: str) -> dict[str, str]:
    words = (("{digest}", str(image.digest)), ("{commit}", commit))
    filled = dict(environment)
    for word, value in words:
        filled = {name: text.replace(word, value) for name, text in filled.items()}
    return filled


def _service_probe(service: ServiceSettings, container: Started) -> Probe:
    if service.ready:
        return container.runs(service.ready)
    if service.port is not None:
        return container.accepts(service.port)
    return lambda: ""


def _unless_ended(result: SuiteResult, app: Started) -> SuiteResult:
    """A candidate that ended meanwhile has failed, whatever the tests saw."""
    end = app.ended()
    if end is None:
        return result
    who = "the candidate" if app.name == APP else app.name
    failure = TestFailure("candidate keeps running", f"{who} ended during the suite with {end}\n{_last(app)}")
    return replace(result, failed=result.failed + 1, failures=(*result.failures, failure))


def _last(container: Started) -> str:
    lines = container.lines(_LAST_LINES)
    return (
        "\n".join((f"last lines of {container.name}:", *lines))
        if lines
        else f"{container.name} wrote nothing"
    )


def _service_failed(service: ServiceSettings, why: str) -> UndecidedError:
    return UndecidedError(
        f"the service {service.name} ({service.image}) did not come up: {why}",
        hint=f"correct integration.services.{service.name} in pipeline.toml; this says nothing about the candidate",
    )
