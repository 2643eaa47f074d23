"""Exit codes and the few error families. Every error carries a hint: the next step for the reader."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the process tells its caller; the table in docs/reference/cli.md is compared with this in a test."""

    DONE = 0
    REFUSED = 1
    USAGE = 2
    CONFIGURATION = 3
    UNDECIDED = 4
    ROLLED_BACK = 5
    STUCK = 6
    UNAVAILABLE = 7
    BUSY = 8
    INTERRUPTED = 130


class PipelineError(Exception):
    """Something could not be decided or done.

    `message` says what is wrong and on what; `hint` says the next step. `exit_code` is what the process ends with.
    """

    exit_code = ExitCode.STUCK

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(PipelineError):
    """The command line or an argument is not of the form the command takes."""

    exit_code = ExitCode.USAGE


class ConfigurationError(PipelineError):
    """pipeline.toml, the Dockerfile or another file of the project is wrong or missing."""

    exit_code = ExitCode.CONFIGURATION


class UnfitError(ConfigurationError):
    """An environment is not fit for a rollout: nothing was begun, so it takes nothing away from what is on record."""


class DeniedError(ConfigurationError):
    """We may not do or see it: whether it is there remains unknown."""


class UndecidedError(PipelineError):
    """No verdict could be reached: no data, an inconclusive measurement, a tool that did not answer in form."""

    exit_code = ExitCode.UNDECIDED


class UnavailableError(PipelineError):
    """Docker, a registry, AWS, a port or a disk cannot be used right now."""

    exit_code = ExitCode.UNAVAILABLE


class ShortCredentialError(UnavailableError):
    """The credential ends before a rollout would, or has: nothing was begun, and nothing is taken from the record."""


class UnfencedError(UnavailableError):
    """Whether the environment is still ours could not be asked: what was to be changed was not sent."""


class DetachedError(UnavailableError):
    """Something cannot be used right now, while what we follow goes on without us, or may do so."""


class DetachedInterrupt(KeyboardInterrupt):
    """Ctrl-C or SIGTERM, while a deployment that we follow goes on without us."""


class CredentialError(UnavailableError):
    """AWS refuses the credential in use, or it has expired: asking again with it changes nothing."""


class StuckError(PipelineError):
    """A person is needed; the hint says what state things are in and which commands help."""

    exit_code = ExitCode.STUCK


class BusyError(PipelineError):
    """Somebody else holds the environment, or a newer deployment replaced ours: this run has changed nothing."""

    exit_code = ExitCode.BUSY


class DisplacedError(PipelineError):
    """Somebody else took the environment after this run had begun to change it; what ECS was told goes on."""

    exit_code = ExitCode.BUSY
