"""A service's deployments as ECS keeps them (service deployments and revisions), through boto3."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from pipeline.adapters.aws_errors import DENIED, aws_errors
from pipeline.model.service_deployment import ServiceDeployment
from pipeline.model.strategy import strategy_of

_PAGE = 100
_AT_ONCE = 20
"""The most DescribeServiceDeployments and DescribeServiceRevisions take in one call."""

_NOT_THERE = frozenset(
    {
        "UnsupportedFeatureException",
        "UnknownOperationException",
        "UnknownOperation",
        "InvalidAction",
        "NotImplemented",
    }
)


@dataclass(frozen=True, slots=True)
class ServiceDeployments:
    """Those of one service. `definitions` remembers the task definition of each revision: revisions do not change."""

    ecs: Any
    cluster: str
    service: str
    definitions: MutableMapping[str, str]

    def newest(self, since: datetime | None) -> Sequence[ServiceDeployment] | None:
        """The newest, at most 20, newest first; with `since` only those created then or later, by ECS's clock.

        None when the API tells none to us: it does not know the call, or the role in use may not ask.
        """
        where = f"{self.cluster}/{self.service}"
        try:
            with aws_errors(f"ecs:ListServiceDeployments {where}", leave=_NOT_THERE | DENIED):
                briefs = sorted(self._listed(since), key=_age)
            with aws_errors(f"ecs:DescribeServiceDeployments {where}", leave=_NOT_THERE | DENIED):
                entries = self._described([str(b["serviceDeploymentArn"]) for b in briefs[:_AT_ONCE]])
        except ClientError:
            return None
        self._learn_definitions(arn for entry in entries for arn in _revisions_of(entry))
        return sorted((service_deployment(e, self.definitions) for e in entries), key=_newest_first)

    def _listed(self, since: datetime | None) -> Iterator[Mapping[str, Any]]:
        narrowed = {"createdAt": {"after": since - timedelta(seconds=1)}} if since else {}
        token: dict[str, str] = {}
        while True:
            answer = self.ecs.list_service_deployments(
                cluster=self.cluster, service=self.service, maxResults=_PAGE, **narrowed, **token
            )
            yield from answer.get("serviceDeployments", ())
            if not answer.get("nextToken"):
                return
            token = {"nextToken": answer["nextToken"]}

    def _described(self, arns: Sequence[str]) -> Sequence[Mapping[str, Any]]:
        if not arns:
            return ()
        answer = self.ecs.describe_service_deployments(serviceDeploymentArns=list(arns))
        found: Sequence[Mapping[str, Any]] = answer.get("serviceDeployments", ())
        return found

    def _learn_definitions(self, revisions: Iterable[str]) -> None:
        """Where revisions may not be asked for, deployments are told apart by their numbers alone."""
        unknown = [arn for arn in dict.fromkeys(revisions) if arn not in self.definitions]
        for start in range(0, len(unknown), _AT_ONCE):
            page = unknown[start : start + _AT_ONCE]
            try:
                with aws_errors(
                    f"ecs:DescribeServiceRevisions {self.cluster}/{self.service}", leave=_NOT_THERE | DENIED
                ):
                    answer = self.ecs.describe_service_revisions(serviceRevisionArns=page)
            except ClientError:
                return
            for revision in answer.get("serviceRevisions", ()):
                self.definitions[str(revision["serviceRevisionArn"])] = str(
                    revision.get("taskDefinition", "")
                )

    def roll_back(self, arn: str) -> None:
        """Stops a service deployment, and has ECS put back what it replaces."""
        with aws_errors(f"ecs:StopServiceDeployment {arn}"):
            self.ecs.stop_service_deployment(serviceDeploymentArn=arn, stopType="ROLLBACK")


def service_deployment(entry: Mapping[str, Any], definitions: Mapping[str, str]) -> ServiceDeployment:
    """A service deployment out of DescribeServiceDeployments' answer. `definitions` by the revisions' ARNs."""
    target = entry.get("targetServiceRevision") or {}
    breaker, alarms = entry.get("deploymentCircuitBreaker") or {}, entry.get("alarms") or {}
    rollback = entry.get("rollback") or {}
    sources = [str(source.get("arn", "")) for source in entry.get("sourceServiceRevisions") or ()]
    hooks = entry.get("lifecycleHookDetails") or ()
    return ServiceDeployment(
        arn=str(entry["serviceDeploymentArn"]),
        status=str(entry.get("status", "")),
        task_definition=definitions.get(str(target.get("arn", "")), ""),
        reason=str(entry.get("statusReason") or ""),
        created_at=entry.get("createdAt"),
        revision=str(target.get("arn", "")),
        stage=str(entry.get("lifecycleStage") or ""),
        requested=int(target.get("requestedTaskCount", 0)),
        running=int(target.get("runningTaskCount", 0)),
        pending=int(target.get("pendingTaskCount", 0)),
        traffic=target.get("requestedProductionTrafficWeight"),
        strategy=strategy_of(entry.get("deploymentConfiguration") or {}),
        failures=int(breaker.get("failureCount", 0)),
        threshold=int(breaker.get("threshold", 0)),
        tripped="TRIGGERED" in (breaker.get("status"), alarms.get("status")),
        alarms=tuple(map(str, alarms.get("triggeredAlarmNames") or ())),
        rollback_reason=str(rollback.get("reason") or ""),
        returns_to=definitions.get(str(rollback.get("serviceRevisionArn", "")), ""),
        replaces=frozenset(definitions[arn] for arn in sources if arn in definitions),
        paused=tuple(str(h.get("hookId", "")) for h in hooks if h.get("status") == "AWAITING_ACTION"),
    )


def _revisions_of(entry: Mapping[str, Any]) -> Iterator[str]:
    summaries = [entry.get("targetServiceRevision") or {}, *(entry.get("sourceServiceRevisions") or ())]
    arns = [summary.get("arn") for summary in summaries]
    arns.append((entry.get("rollback") or {}).get("serviceRevisionArn"))
    return (str(arn) for arn in arns if arn)


def _age(brief: Mapping[str, Any]) -> float:
    """Sorts the newest first; one that ECS has not dated yet is newer than all."""
    created = brief.get("createdAt")
    return -created.timestamp() if created else float("-inf")


def _newest_first(found: ServiceDeployment) -> float:
    return -found.created_at.timestamp() if found.created_at else float("-inf")
