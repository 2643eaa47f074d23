"""Why tasks fail: what ECS and the container said, the rule that matched, and the fix, on one screen."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from textwrap import wrap

from pipeline.model.service import TargetState, TaskState

_LINES = 12
_WIDTH = 120


@dataclass(frozen=True, slots=True)
class _Rule:
    name: str
    pattern: re.Pattern[str]
    remedy: str
    transient: bool = False


def _rule(name: str, pattern: str, remedy: str, *, transient: bool = False) -> _Rule:
    return _Rule(name, re.compile(pattern, re.IGNORECASE | re.DOTALL), remedy, transient)


_RULES: tuple[_Rule, ...] = (
    _rule(
        "architecture",
        r"exec format error|does not contain descriptor matching platform|no match(ing manifest)? for (platform|linux)",
        "wrong architecture: build the image for the task definition's runtimePlatform.cpuArchitecture",
    ),
    _rule(
        "pull throttled",
        r"toomanyrequests|pull rate limit|CannotPull.*(throttl|rate exceeded)",
        "the registry limits pulls; it is tried again, or mirror the image into the account's own registry",
        transient=True,
    ),
    _rule(
        "image pull denied",
        r"(CannotPull|pull image).*(no basic auth|denied|forbidden|\b40[13]\b|unauthorized|authorization)",
        "let the task execution role read the repository (ecr:BatchGetImage, ecr:GetDownloadUrlForLayer)",
    ),
    _rule(
        "registry unreachable",
        r"(CannotPull|pull image|registry auth).*(i/o timeout|dial tcp|connection refused|no such host|"
        r"request canceled|context deadline)",
        "give the tasks' subnets a route to the registry: NAT, a public address, or VPC endpoints for ECR and S3",
    ),
    _rule(
        "image missing",
        r"CannotPullContainer|CannotPullImage|CannotPullECRContainer|manifest.*(unknown|not found)",
        "check that the registry still has this digest and that the task definition names the right repository",
    ),
    _rule(
        "log group",
        r"log group|log stream|logger args|CreateLogStream|awslogs",
        "create the log group that the task definition names, and let the execution role write to it",
    ),
    _rule(
        "secret",
        r"unable to pull secrets|secretsmanager|secret|ssm|parameter",
        "check that every secret of the task definition exists and that the execution role may read it",
    ),
    _rule(
        "capacity",
        r"RESOURCE:|capacity is unavailable|no container instance|SpotInterruption|TerminationNotice|"
        r"InfrastructureHealth|your spot|host maintenance",
        "the cluster had no room; ECS tries again – add capacity if it stays so",
        transient=True,
    ),
    _rule(
        "memory",
        r"OutOfMemory|memory usage|\bexit 137\b",
        "the container was killed, most often for memory: raise the task's memory, or find what grows",
    ),
    _rule(
        "health check",
        r"failed (ELB|container) health checks|failed health checks|health check",
        "check the health check's path, port and status, that the app listens on 0.0.0.0, and its time to start",
    ),
    _rule(
        "command",
        r"CannotStartContainer|executable file not found|no such file or directory|permission denied|\bexit 12[67]\b",
        "check ENTRYPOINT and CMD of the image, and that the file is there and executable for the image's user",
    ),
    _rule(
        "start-up",
        r"ResourceInitialization|CannotCreateVolume|TaskFailedToStart|CannotInspect",
        "read the stopped reason: ECS could not prepare the task",
    ),
)
_EXITED = _rule("exited", r"", "the process ended by itself: its last log lines say why")


@dataclass(frozen=True, slots=True)
class Failure:
    """A task that failed: the rule that matched, what ECS said in one line, and the fix.

    `transient` failures are the platform's (no capacity, spot interruption): they never count against the image.
    """

    task: TaskState
    rule: str
    text: str
    remedy: str
    transient: bool = False

    @property
    def kind(self) -> tuple[str, str, tuple[int, ...]]:
        """What makes failures alike: the rule, the stop code and the exit codes."""
        return self.rule, self.task.stop_code, tuple(sorted(self.task.exit_codes.values()))


def failure_of(task: TaskState, log_lines: Sequence[str] = ()) -> Failure | None:
    """The failure a task ended with, or None where it runs or was stopped on purpose.

    `log_lines`, its last output, help to tell what its exit code alone does not.
    """
    if not task.ended or _on_purpose(task):
        return None
    text = "; ".join(_parts(task))
    rule = _match(f"{task.stop_code}\n{text}") or _match_log(task, log_lines) or _EXITED
    return Failure(task, rule.name, text, rule.remedy, rule.transient)


def with_new_failures(
    known: tuple[Failure, ...], tasks: Iterable[TaskState], ended: Collection[str]
) -> tuple[Failure, ...]:
    """`known` and the failures among `tasks` that are not in it; tasks in `ended` (ids) had ended before."""
    old = {failure.task.id for failure in known}.union(ended)
    found = (failure_of(task) for task in tasks if task.id not in old)
    return known + tuple(failure for failure in found if failure is not None)


def like_failures(failures: Sequence[Failure]) -> tuple[Failure | None, int]:
    """The latest failure of the commonest kind and how many were like it; transient ones do not count."""
    lasting = [failure for failure in failures if not failure.transient]
    if not lasting:
        return None, 0
    kind, count = Counter(failure.kind for failure in lasting).most_common(1)[0]
    return next(f for f in reversed(lasting) if f.kind == kind), count


def explain(failure: Failure | None, log_lines: Sequence[str], targets: Sequence[TargetState] | None) -> str:
    """The diagnosis as text that fits one screen: what ECS said, exit code, log, target health, rule and fix."""
    log = [f"  | {line}"[:_WIDTH] for line in log_lines[-_LINES:]] or ["  | (no log lines)"]
    sick = [f"target {t.ip}:{t.port} {t.state} {t.description or t.reason}".rstrip() for t in _sick(targets)]
    if failure is None:
        shown = ["no task failed; the last lines of a new task:", *log, *sick] if log_lines or sick else []
        return "\n".join(shown)
    better = failure_of(failure.task, log_lines) or failure
    said = [
        line for part in _parts(failure.task) for line in wrap(part, _WIDTH, max_lines=3, placeholder=" …")
    ]
    verdict = [f"rule: {better.rule}", f"fix: {better.remedy}"]
    return "\n".join(
        [f"task {failure.task.id} failed:", *(f"  {line}" for line in said), *log, *sick, *verdict]
    )


def _on_purpose(task: TaskState) -> bool:
    if task.stop_code not in ("", "UserInitiated", "ServiceSchedulerInitiated"):
        return False
    return not re.search(r"failed .*health checks|unhealthy", task.stopped_reason, re.IGNORECASE)


def _parts(task: TaskState) -> list[str]:
    """What ECS said: the stopped reason, each container's own reason, each exit code."""
    parts = [task.stopped_reason or task.stop_code or "stopped without a reason"]
    parts += [
        f"{name}: {reason}"
        for name, reason in sorted(task.container_reasons.items())
        if reason not in parts[0]
    ]
    return parts + [f"{name}: exit {code}" for name, code in sorted(task.exit_codes.items())]


def _match(evidence: str) -> _Rule | None:
    return next((rule for rule in _RULES if rule.pattern.search(evidence)), None)


def _match_log(task: TaskState, log_lines: Sequence[str]) -> _Rule | None:
    """Only the rules that speak of the process itself: a log that mentions a secret does not make it a cause."""
    if not any(task.exit_codes.values()):
        return None
    text = "\n".join(log_lines)
    return next(
        (r for r in _RULES if r.name in ("architecture", "memory", "command") and r.pattern.search(text)),
        None,
    )


def _sick(targets: Sequence[TargetState] | None) -> Sequence[TargetState]:
    return [target for target in targets or () if target.state in ("unhealthy", "initial", "unavailable")][:4]
