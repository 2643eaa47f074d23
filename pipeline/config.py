"""pipeline.toml → frozen settings. Every mistake is reported at once, with its path and a suggestion."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    ValidationError,
    model_validator,
)

from pipeline.config_errors import describe
from pipeline.config_load import LoadSettings
from pipeline.config_reach import AccountSettings, RegionSettings, RegistryHost
from pipeline.config_services import BeforeSettings, ReleasedService, SmokeSettings, mistake_among
from pipeline.config_setup import PrincipalArn, ScalingSettings, SetupSettings
from pipeline.config_values import AS_WRITTEN, LONGEST_NAME, BaselineSettings, Seconds, aws_takes
from pipeline.errors import ConfigurationError
from pipeline.model.freeze import FreezeWindow, parse_window
from pipeline.model.limits import Limit
from pipeline.model.policy import OWN_KEY
from pipeline.model.strategy import Kind, Strategy, mistake_in
from pipeline.model.waves import Waves

FILE = "pipeline.toml"
NAME = r"^[a-z][a-z0-9-]{0,30}[a-z0-9]$"

Name = Annotated[str, Field(pattern=NAME)]
AppName = Annotated[str, Field(pattern=NAME, max_length=LONGEST_NAME), AfterValidator(aws_takes)]
UrlPath = Annotated[str, Field(pattern=r"^/")]
ContainerName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,255}$")]
Argv = Annotated[tuple[str, ...], Field(min_length=1)]
Port = Annotated[int, Field(ge=1, le=65535)]
Window = Annotated[FreezeWindow, BeforeValidator(parse_window)]
Revoked = Annotated[str, Field(pattern=r"^(sha256:[0-9a-f]{64}|SHA256:[A-Za-z0-9+/]{43})$")]
KmsAddress = Annotated[str, Field(pattern=r"^(awskms:///\S+)?$")]
TableName = Annotated[str, Field(pattern=r"^([a-zA-Z0-9_.-]{3,255})?$")]
Signed = Literal["build", "integration", "staging", "prod", "rollback", "approval", "quarantine"]


class Table(BaseModel):
    """A TOML table; see `AS_WRITTEN`."""

    model_config = AS_WRITTEN


class AppSettings(Table):
    """What is shipped."""

    name: AppName
    port: Port = 8080
    context: str = "."
    dockerfile: str = "Dockerfile"
    repository: str = ""
    live: UrlPath = "/healthz"
    ready: UrlPath = "/readyz"
    version: UrlPath = "/version"
    environment: dict[str, str] = {}


class CloudSettings(Table):
    """Where the environments are: the embedded cloud, or the caller's AWS account."""

    provider: Literal["local", "aws"]
    region: str = "eu-central-1"
    profile: str = ""
    registry: str = ""
    table: TableName = ""
    trusted: tuple[PrincipalArn, ...] = ()
    port_base: Annotated[int, Field(ge=1024, le=65000)] | None = None


class BuildSettings(Table):
    """How the image is built."""

    platform: str = "linux/amd64"
    args: dict[str, str] = {}
    base_images: dict[str, str] = {}
    max_size_mb: Annotated[int, Field(gt=0)] = 500
    lint: bool = True
    sbom: bool = True


class ServiceSettings(Table):
    """A real dependency of the integration stage, by the name under which the candidate reaches it."""

    image: str
    port: Port
    environment: dict[str, str] = {}
    command: tuple[str, ...] = ()
    tmpfs: tuple[str, ...] = ()
    ready: tuple[str, ...] = ()
    timeout: Seconds = 60.0


def _not_taken(name: str) -> str:
    if name in ("app", "before"):
        raise ValueError("this name is the candidate's own")
    return name


class IntegrationSettings(Table):
    """The integration stage: services, the candidate's environment, and the suite."""

    tests: str = "tests/integration"
    before: tuple[str, ...] = ()
    environment: dict[str, str] = {}
    services: dict[Annotated[Name, AfterValidator(_not_taken)], ServiceSettings] = {}
    pytest_args: tuple[str, ...] = ()
    ready_timeout: Seconds = 60.0
    timeout: Seconds = 900.0
    front: str = ""


class RolloutSettings(Table):
    """How ECS replaces the tasks, how long it may take, and how its end is checked."""

    timeout: Seconds = 600.0
    bake: Seconds = 10.0
    drain_timeout: Seconds = 360.0
    healthy_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    busy: Literal["wait", "supersede", "refuse"] = "wait"
    probe_rate: Annotated[float, Field(ge=0, le=50)] = 5.0
    probe_paths: tuple[UrlPath, ...] = ()
    max_failed_requests: Annotated[int, Field(ge=0)] | None = None
    max_error_share: Annotated[float, Field(ge=0, le=1)] = 0.05
    max_slowdown: Annotated[float, Field(ge=0)] = 0.0
    strategy: Literal["rolling", "blue_green", "linear", "canary"] | None = None
    step_percent: float | None = None
    step_bake: Seconds | None = None
    shift_bake: Seconds | None = None
    alarms: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _fits_the_strategy(self) -> RolloutSettings:
        if mistake := mistake_in(self.declared):
            raise ValueError(mistake)
        return self

    @property
    def declared(self) -> Strategy:
        """What is declared of ECS's strategy."""
        kind = Kind(self.strategy.upper()) if self.strategy else None
        return Strategy(kind, self.step_percent, self.step_bake, self.shift_bake, self.alarms)


class EnvironmentSettings(AccountSettings, Table):
    """One environment on ECS."""

    cluster: str = ""
    service: str = ""
    container: ContainerName = "app"
    registry: RegistryHost = ""
    desired: Annotated[int, Field(ge=1, le=1000)] = 1
    cpu: Annotated[int, Field(ge=128)] = 256
    memory: Annotated[int, Field(ge=128)] = 512
    url: str = ""
    health_grace: Seconds = 60.0
    deregistration_delay: Seconds = 15.0
    environment: dict[str, str] = {}
    secrets: dict[str, str] = {}
    before: BeforeSettings | None = None
    smoke: tuple[SmokeSettings, ...] = ()
    rollout: RolloutSettings = RolloutSettings()
    setup: SetupSettings = SetupSettings()
    scaling: ScalingSettings | None = None

    def waves(self, home: str) -> Waves:
        """The regions it is in, by wave; `home` where it names none."""
        return ((home,),)

    def registry_in(self, region: str) -> str:  # noqa: ARG002 – production has one a region
        """The registry of its own that it pulls from in a region; empty: the one that is built to."""
        return self.registry

    def url_in(self, region: str) -> str:  # noqa: ARG002 – likewise
        """The load balancer's address in a region; empty: the stack's output."""
        return self.url


class StagingSettings(EnvironmentSettings):
    """Staging: an environment in which the way back can be tried out, and a candidate compared with a baseline."""

    rehearse_rollback: bool = False
    baseline: BaselineSettings = BaselineSettings()


class ProductionSettings(RegionSettings, EnvironmentSettings):
    """Production: an environment that may be in several regions."""

    @model_validator(mode="after")
    def _one_address(self) -> ProductionSettings:
        if self.url and len([name for wave in self.regions for name in wave]) > 1:
            raise ValueError("url is one load balancer's: with several regions, name each in urls")
        return self

    def waves(self, home: str) -> Waves:
        """See `EnvironmentSettings.waves`."""
        return self.regions or ((home,),)

    def registry_in(self, region: str) -> str:
        """See `EnvironmentSettings.registry_in`."""
        return self.registries.get(region, self.registry)

    def url_in(self, region: str) -> str:
        """See `EnvironmentSettings.url_in`."""
        return self.urls.get(region, self.url)


class LimitSettings(Table):
    """A bound on a recorded metric."""

    max: float | None = None
    min: float | None = None

    @model_validator(mode="after")
    def _bounded(self) -> LimitSettings:
        if self.max is None and self.min is None:
            raise ValueError("a limit needs max or min")
        return self

    @property
    def value(self) -> Limit:
        """The limit as the gate takes it."""
        return Limit(max=self.max, min=self.min)


class RequirementSettings(Table):
    """What one predecessor stage must have left behind."""

    max_age: Seconds | None = None
    after: tuple[str, ...] = ()
    environment: str = ""
    limits: dict[str, LimitSettings] = {}
    endpoints: dict[str, dict[str, LimitSettings]] = {}


class ApprovalSettings(Table):
    """That a person must have approved, how long ago at most, and whose word counts (names in [[trust]])."""

    max_age: Seconds | None = None
    by: tuple[str, ...] = ()


class GateSettings(Table):
    """What opens a stage, and what keeps it closed."""

    build: RequirementSettings | None = None
    integration: RequirementSettings | None = None
    staging: RequirementSettings | None = None
    approval: ApprovalSettings | None = None
    revoked: tuple[Revoked, ...] = ()
    frozen: tuple[Window, ...] = ()


def _some(stages: tuple[str, ...]) -> tuple[str, ...]:
    if not stages:
        raise ValueError("a key that may sign nothing is trusted with nothing: name its stages")
    return stages


class TrustSettings(Table):
    """A key whose word counts, and for what. `key` is the path of a PEM file, or awskms:///alias/NAME."""

    name: str = Field(min_length=1)
    key: str = Field(min_length=1)
    stages: Annotated[tuple[Signed, ...], AfterValidator(_some)]


class EvidenceSettings(Table):
    """Which key signs: empty, the environment's or this machine's own; else awskms:///alias/NAME."""

    signer: KmsAddress = ""


class Gates(Table):
    """One gate a stage; an absent one asks for every earlier stage."""

    integration: GateSettings = GateSettings()
    staging: GateSettings = GateSettings()
    prod: GateSettings = GateSettings()


class Environments(Table):
    """The two environments every release goes through."""

    staging: StagingSettings
    prod: ProductionSettings

    def __getitem__(self, name: str) -> EnvironmentSettings:
        return {"staging": self.staging, "prod": self.prod}[name]


class Settings(Table):
    """All of pipeline.toml."""

    app: AppSettings
    cloud: CloudSettings
    build: BuildSettings = BuildSettings()
    services: dict[Name, ReleasedService] = {}
    integration: IntegrationSettings = IntegrationSettings()
    environments: Environments
    load: LoadSettings = LoadSettings()
    gate: Gates = Gates()
    evidence: EvidenceSettings = EvidenceSettings()
    trust: tuple[TrustSettings, ...] = ()

    @model_validator(mode="after")
    def _named_once(self) -> Settings:
        names = [trust.name for trust in self.trust] or [OWN_KEY]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two keys in [[trust]] are named {', '.join(twice)}")
        gates = {"integration": self.gate.integration, "staging": self.gate.staging, "prod": self.gate.prod}
        for gate, told in gates.items():
            for name in told.approval.by if told.approval else ():
                if name not in names:
                    raise ValueError(
                        f"gate.{gate}.approval.by: no trusted key is named {name!r} ({', '.join(names)})"
                    )
        return self

    @model_validator(mode="after")
    def _services_fit(self) -> Settings:
        if mistake := mistake_among(self):
            raise ValueError(mistake)
        return self

    @property
    def repository(self) -> str:
        """The image's repository inside the registry."""
        return self.app.repository or self.app.name

    @property
    def front(self) -> str:
        """The service that suite and load are sent to; empty where there is only one."""
        return self.integration.front or next(iter(self.services), "")

    def of(self, service: str) -> Settings:
        """The settings as one service of the release has them; all of them where `service` is empty."""
        if not service:
            return self
        told, own = self.services[service], self.environments
        environments = Environments.model_construct(
            staging=told.inside("staging", own.staging), prod=told.inside("prod", own.prod)
        )
        table = self.cloud.table or f"onedigest-{self.app.name}"
        cloud = self.cloud.model_copy(update={"table": table})
        app = told.app(service, self.app)
        return self.model_copy(
            update={"app": app, "cloud": cloud, "environments": environments, "services": {}}
        )


def load(root: Path) -> Settings:
    """Reads `pipeline.toml` in `root`.

    Raises ConfigurationError with one line a mistake: `path: what is wrong (did you mean …?)`.
    """
    return parse(_read(root / FILE))


def parse(text: str) -> Settings:
    """Settings out of TOML text; see `load`."""
    try:
        document: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{FILE} is not TOML: {error}", hint="mend the line it names") from error
    try:
        return Settings.model_validate(document)
    except ValidationError as error:
        lines = describe(error, Settings)
        raise ConfigurationError(
            "\n".join([f"{FILE} has {len(lines)} mistake{'s' * (len(lines) != 1)}:", *lines]),
            hint="docs/reference/configuration.md lists every key",
        ) from error


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigurationError(
            f"no {FILE} in {path.parent}",
            hint="run from the project's root, or give it: python -m pipeline -C DIR …",
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{path} cannot be read: {error}", hint="make it a readable UTF-8 file"
        ) from error
