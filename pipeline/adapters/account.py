"""What surrounds a service in its AWS account, looked up all at once: a rollout is not to wait for it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, TypeVar

from pipeline.adapters import account_lookups
from pipeline.adapters.aws import Aws
from pipeline.adapters.target_group import target_group
from pipeline.errors import PipelineError
from pipeline.model.dependencies import ECS_TASKS
from pipeline.model.surroundings import (
    Image,
    Permission,
    Questions,
    Secret,
    Surroundings,
    Unknown,
    address,
)

_K = TypeVar("_K", bound=Hashable)
_PASSED_TO = {"iam:PassedToService": ECS_TASKS}
_AT_ONCE = 12

Answers = Mapping[Any, Any]


@dataclass(frozen=True, slots=True)
class Account:
    """An account around one ECS service. What does not answer within `patience` seconds is unknown."""

    aws: Aws
    cluster: str
    service: str
    container: str
    patience: float = 10.0

    def look(self, asked: Questions, find_image: Callable[[], Image | None]) -> Surroundings:
        """Looks up everything. What cannot be looked up is Unknown with the reason; nothing is raised for it.

        `find_image` gives the image in question, None when its registry has none.
        """
        lookups = self._lookups(asked) | {"image": find_image}
        pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="preflight")
        try:
            found = self._answers(pool, lookups)
            reading = self._answers(pool, self._readings(asked, found))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        secrets = (*asked.secrets, *asked.parameters)
        return Surroundings(
            image=found["image"],
            roles={arn: found["role", arn] for arn in asked.roles},
            passing={arn: found["pass", arn] for arn in asked.roles},
            secrets={name: found["secret", name] for name in secrets},
            reading={name: reading[name] for name in secrets},
            log_groups={name: found["log group", name] for name in asked.log_groups},
            target_groups={arn: found["target group", arn] for arn in asked.target_groups},
            alarms=_each(found["alarms"], asked.alarms),
            running=found["running"],
            credential=found["credential"],
        )

    def _lookups(self, asked: Questions) -> dict[Any, Callable[[], Any]]:
        """What to call, by what it answers. Clients are made here: making them is not for several threads at once."""
        at, client = account_lookups, self.aws.client
        ecs, iam, logs = client("ecs"), client("iam"), client("logs")
        found: dict[Any, Callable[[], Any]] = {
            "running": lambda: at.running(ecs, self.cluster, self.service, self.container),
            "credential": self.aws.credential,
            "alarms": dict,
        }
        client("sts")
        found |= {("role", arn): _bound(at.role, iam, arn) for arn in asked.roles}
        found |= {("pass", arn): _bound(self._passing, arn) for arn in asked.roles}
        found |= {("log group", name): _bound(at.log_group, logs, name) for name in asked.log_groups}
        if asked.secrets:
            secrets = client("secretsmanager")
            found |= {("secret", name): _bound(at.secret, secrets, name) for name in asked.secrets}
        if asked.parameters:
            ssm = client("ssm")
            found |= {("secret", name): _bound(at.parameter, ssm, name) for name in asked.parameters}
        if asked.target_groups:
            elbv2 = client("elbv2")
            found |= {("target group", arn): _bound(target_group, elbv2, arn) for arn in asked.target_groups}
        if asked.alarms:
            cloudwatch = client("cloudwatch")
            found["alarms"] = _bound(at.alarms, cloudwatch, asked.alarms)
        return found

    def _passing(self, arn: str) -> Permission:
        iam = self.aws.client("iam")
        who = account_lookups.principal(iam, self.aws.who())
        return account_lookups.simulated(iam, who, "iam:PassRole", arn, _PASSED_TO)

    def _readings(self, asked: Questions, found: Answers) -> Mapping[str, Callable[[], Any]]:
        there = found.get(("role", asked.reader), asked.reader) is not None
        return {
            name: _bound(self._reading, asked.reader if there else "", name, found["secret", name])
            for name in (*asked.secrets, *asked.parameters)
        }

    def _reading(self, reader: str, name: str, secret: Secret | Unknown | None) -> Permission | Unknown:
        """Whether the role may read it; a secret that has a policy of its own may let it, too, which is not judged."""
        if not reader or not isinstance(secret, Secret):
            return Unknown(f"whether {_last(name)} can be read: secret or role was not seen")
        iam = self.aws.client("iam")
        parameter = name.startswith("arn:aws:ssm") or secret.arn.split(":")[2] == "ssm"
        action = "ssm:GetParameters" if parameter else "secretsmanager:GetSecretValue"
        allowed = account_lookups.simulated(iam, reader, action, secret.arn, {})
        if allowed is Permission.ALLOWED or parameter:
            return allowed
        if account_lookups.has_own_policy(self.aws.client("secretsmanager"), secret.arn):
            return Unknown(f"whether {_last(name)} can be read: its own policy may allow it, not judged")
        return allowed

    def _answers(self, pool: ThreadPoolExecutor, lookups: Mapping[_K, Callable[[], Any]]) -> Mapping[_K, Any]:
        futures = {key: pool.submit(_tried, call) for key, call in lookups.items()}
        wait(futures.values(), timeout=self.patience)
        return {key: self._answer(key, future) for key, future in futures.items()}

    def _answer(self, key: Hashable, future: Future[Any]) -> Any:
        if future.done():
            return future.result()
        what = " ".join(key) if isinstance(key, tuple) else str(key)
        return Unknown(f"{what}: no answer within {self.patience:.0f} s")


def _tried(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except PipelineError as error:
        return Unknown(error.message)


def _bound(call: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
    return lambda: call(*arguments)


def _each(found: Mapping[str, str | None] | Unknown, names: tuple[str, ...]) -> Mapping[str, Any]:
    return dict.fromkeys(names, found) if isinstance(found, Unknown) else dict(found)


def _last(source: str) -> str:
    return address(source).split(":")[-1]
