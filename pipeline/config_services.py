"""[services.NAME] of pipeline.toml: several services as one release, each with what it does not share with [app]."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, Field

from pipeline.config_values import AS_WRITTEN, LONGEST_NAME, BaselineSettings
from pipeline.model.calls import named_in

_AnyApp = TypeVar("_AnyApp", bound=BaseModel)
_AnyEnvironment = TypeVar("_AnyEnvironment", bound=BaseModel)

UrlPath = Annotated[str, Field(pattern=r"^/")]


class BeforeSettings(BaseModel):
    """A one-off task with the candidate's image before the rollout."""

    model_config = AS_WRITTEN

    command: Annotated[tuple[str, ...], Field(min_length=1)]


class SmokeSettings(BaseModel):
    """A check through the load balancer after the rollout."""

    model_config = AS_WRITTEN

    path: UrlPath
    status: Annotated[int, Field(ge=100, le=599)] = 200


class ReleasedService(BaseModel):
    """One service of a release. What it leaves out is [app]'s, or its environment's."""

    model_config = AS_WRITTEN

    dockerfile: str | None = None
    context: str | None = None
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    live: UrlPath | None = None
    ready: UrlPath | None = None
    version: UrlPath | None = None
    environment: dict[str, str] = {}
    secrets: dict[str, str] = {}
    cpu: Annotated[int, Field(ge=128)] | None = None
    memory: Annotated[int, Field(ge=128)] | None = None
    desired: Annotated[int, Field(ge=1, le=1000)] | None = None
    before: BeforeSettings | None = None
    smoke: tuple[SmokeSettings, ...] = ()
    service: str = ""
    urls: dict[str, str] = {}
    baseline: BaselineSettings = BaselineSettings()

    def app(self, name: str, base: _AnyApp) -> _AnyApp:
        """[app] as this service has it. Its resources are called `<app>-<name>`, its image lies with the app's."""
        own = self._told("dockerfile", "context", "port", "live", "ready", "version")
        told = {
            "name": f"{base.name}-{name}",  # type: ignore[attr-defined]  # [app] is a layer above
            "repository": base.repository or base.name,  # type: ignore[attr-defined]
            "environment": {**base.environment, **self.environment},  # type: ignore[attr-defined]
        }
        return base.model_copy(update=own | told)

    def inside(self, name: str, base: _AnyEnvironment) -> _AnyEnvironment:
        """The environment `name` as this service has it; `{environment}` in a secret's name is that name."""
        own = self._told("cpu", "memory", "desired", "before")
        named = {key: value.replace("{environment}", name) for key, value in self.secrets.items()}
        secrets = {"secrets": {**base.secrets, **named}}  # type: ignore[attr-defined]  # likewise
        if self.smoke:
            own["smoke"] = self.smoke
        own |= {"service": self.service, "url": self.urls.get(name, "")}
        regional = {key.removeprefix(f"{name}/"): url for key, url in self.urls.items() if "/" in key}
        elsewhere = {"urls": regional, "baseline": self.baseline}  # production has the one, staging the other
        own |= {key: told for key, told in elsewhere.items() if key in type(base).model_fields}
        return base.model_copy(update=own | secrets)

    def _told(self, *keys: str) -> dict[str, Any]:
        return {key: value for key in keys if (value := getattr(self, key)) is not None}


def mistake_among(settings: Any) -> str:
    """What keeps the services of `settings` (all of pipeline.toml) from being one release, in words; empty: nothing."""
    services, front = settings.services, settings.integration.front
    if not services:
        unknown = f"integration.front: there is no [services.{front}]" if front else ""
        return unknown or _strange_words(settings)
    if len(services) == 1:
        return f"services.{next(iter(services))}: a single service is said in [app] and [environments]"
    if front and front not in services:
        return f"integration.front: no service is called {front!r} ({', '.join(services)})"
    return next(filter(None, (_strange_name(settings, name) for name in services)), "") or _not_for_several(
        settings
    )


def _strange_name(settings: Any, name: str) -> str:
    """Why no service can be called so, in words; empty: it can."""
    if name in ("app", "before"):
        return f"services.{name}: this name is taken in the integration stage"
    if name in settings.integration.services:
        return f"services.{name}: a dependency in integration.services has this name"
    for other in settings.services:
        if name in (f"{other}-baseline", f"baseline-{other}"):
            return f"services.{name}: what stands beside {other} on staging has this name"
    if len(called := f"{settings.app.name}-{name}") > LONGEST_NAME:
        longer = f"{called} is longer than {LONGEST_NAME} characters"
        return f"services.{name}: {longer}: shorten app.name or the service's"
    return ""


def _not_for_several(settings: Any) -> str:
    """What can be said of one service only, and is said all the same."""
    for name in ("staging", "prod"):
        own = settings.environments[name]
        for key in ("service", "url", "urls", "baseline"):
            if getattr(own, key, None) not in (None, "", {}, BaselineSettings()):
                instead = "urls" if key == "url" else key
                return f"environments.{name}.{key}: with [services] each has its own: services.NAME.{instead}"
    return _strange_urls(settings) or _strange_words(settings)


def _strange_words(settings: Any) -> str:
    """Variables that name a service where there is none."""
    tables = {
        "app": settings.app,
        "integration": settings.integration,
        "environments.staging": settings.environments["staging"],
        "environments.prod": settings.environments["prod"],
        **{f"services.{name}": told for name, told in settings.services.items()},
    }
    for table, told in tables.items():
        for variable, value in told.environment.items():
            if strange := sorted(named_in([value]) - set(settings.services)):
                known = ", ".join(settings.services) or "none"
                return (
                    f"{table}.environment.{variable}: {{url.{strange[0]}}}: no service is called so ({known})"
                )
    return ""


def _strange_urls(settings: Any) -> str:
    """Addresses of services where the app is not."""
    several = [region for wave in settings.environments.prod.regions for region in wave]
    prod = [f"prod/{region}" for region in several] if len(several) > 1 else ["prod"]
    known = ["staging", *prod]
    for name, told in settings.services.items():
        if strange := sorted(set(told.urls) - set(known)):
            return f"services.{name}.urls: {', '.join(strange)}: one of {', '.join(known)}"
    return ""
