"""What the resources of an app are called, out of pipeline.toml; and whose they are."""

from __future__ import annotations

from pipeline.config import Settings

BASELINE = "staging-baseline"
"""The service beside staging's, which runs what production runs while both are loaded; its stack, its front."""


def cluster_name(settings: Settings, environment: str) -> str:
    """The cluster's name: as configured, else `<app>-<environment>`."""
    return settings.environments[environment].cluster or f"{settings.app.name}-{environment}"


def service_name(settings: Settings, environment: str) -> str:
    """The service's name: as configured, else the app's."""
    return settings.environments[environment].service or settings.app.name


def baseline_service_name(settings: Settings) -> str:
    """The service beside staging's: as configured, else `<service>-baseline`."""
    return settings.environments.staging.baseline.service or f"{service_name(settings, 'staging')}-baseline"


def baseline_key(service: str) -> str:
    """Where pipeline.toml tells of the service beside staging's, or beside that of one `service` of a release."""
    return f"services.{service}.baseline" if service else "environments.staging.baseline"


def table_name(settings: Settings) -> str:
    """The table of leases and the deployment log: as configured, else `onedigest-<app>`."""
    return settings.cloud.table or f"onedigest-{settings.app.name}"


def stack_name(settings: Settings, environment: str) -> str:
    """The CloudFormation stack of an environment."""
    return f"onedigest-{settings.app.name}-{environment}"


def signing_alias(settings: Settings) -> str:
    """The alias in KMS, without `alias/`, of the key that signs: as configured, else `onedigest-<app>`."""
    told = settings.evidence.signer.removeprefix("awskms:///")
    return told.removeprefix("alias/") if told.startswith("alias/") else f"onedigest-{settings.app.name}"


def trusted_aliases(settings: Settings) -> tuple[str, ...]:
    """The aliases in KMS, without `alias/`, of the other keys that are trusted: who verifies reads them."""
    told = [
        one.key.removeprefix("awskms:///") for one in settings.trust if one.key.startswith("awskms:///alias/")
    ]
    found = dict.fromkeys(key.removeprefix("alias/") for key in told)
    return tuple(name for name in found if name != signing_alias(settings))


def is_adopted(settings: Settings, environment: str) -> bool:
    """Whether the environment is somebody else's: its cluster or service is named. Nothing is made or deleted there."""
    own = settings.environments[environment]
    return settings.cloud.provider == "aws" and bool(own.cluster or own.service)


def is_compared(settings: Settings, environment: str) -> bool:
    """Whether a candidate is loaded there beside what production runs."""
    return environment == "staging" and settings.load.compares


def database_secret(settings: Settings, environment: str) -> str:
    """The secret for its DATABASE_URL that an environment's stack keeps."""
    return f"{settings.app.name}/{environment}/database-url"
