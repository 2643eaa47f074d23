"""What a rollout is asked to do, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

from pipeline.model.digest import Digest
from pipeline.model.probe import ProbeLimits
from pipeline.model.service import Previous
from pipeline.model.verdict import Reason


@dataclass(frozen=True, slots=True)
class Check:
    """A smoke check through the load balancer: `path` must answer `status`, and name the digest where asked to.

    `expect_digest`: the answer is a JSON object whose `digest` is the one that was rolled out.
    """

    path: str
    status: int = 200
    expect_digest: bool = False


@dataclass(frozen=True, slots=True)
class DeploySpec:
    """What to deploy beside the image.

    `container` gets the image, `environment` (values) and `secrets` (ARNs). `desired` is the number of tasks of a
    first rollout. `before` is a command to run once with the new definition before the service is touched.
    `checks` are asked at `base_url`. `platform_digests` are the digests of an index's platform manifests.
    `last_good` is what the last rollout on record that succeeded ran, None where there is none. `definition` is the ARN
    of a task definition to run again as it is, instead of the live one with another image and the declared keys.
    `supersedes`: a deployment in progress is not waited for, whatever the policy says.
    `alarms` are names of CloudWatch alarms that must not fire, `probe_limits` what the traffic probe may find.
    """

    container: str
    desired: int = 1
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    before: tuple[str, ...] = ()
    base_url: str = ""
    checks: tuple[Check, ...] = ()
    platform_digests: tuple[Digest, ...] = ()
    last_good: Previous | None = None
    definition: str = ""
    supersedes: bool = False
    alarms: tuple[str, ...] = ()
    probe_limits: ProbeLimits = field(default_factory=ProbeLimits)


class RolloutOutcome(Enum):
    """How a rollout ended. Only SUCCEEDED means that the new digest serves.

    ROLLED_BACK: what ran before serves again. FAILED_FIRST: nothing ran before; the service stands at zero.
    SUPERSEDED: a newer deployment, not ours, replaced it. BEFORE_FAILED: the service was not touched.
    """

    SUCCEEDED = "succeeded"
    ROLLED_BACK = "rolled_back"
    FAILED_FIRST = "failed_first"
    SUPERSEDED = "superseded"
    BEFORE_FAILED = "before_failed"


@dataclass(frozen=True, slots=True)
class RolloutResult:
    """What happened, for the record. `digests` are the image digests ECS reports for the tasks that run now.

    `healthy_at`: the new tasks were complete, healthy and had stayed so; `drained_at`: the last old task had gone.
    None: that moment never came. `already`: it ran before we did anything; `reattached`: it was on its way.
    `probe`: what the traffic probe counted, as JSON values; None where it never ran.
    `service_deployment` is the ARN of ours, empty where the API tells none.
    """

    outcome: RolloutOutcome
    reasons: tuple[Reason, ...]
    service_arn: str
    task_definition: str = ""
    deployment: str = ""
    digests: tuple[str, ...] = ()
    previous: Previous | None = None
    started_at: datetime | None = None
    healthy_at: datetime | None = None
    drained_at: datetime | None = None
    already: bool = False
    reattached: bool = False
    diagnosis: str = ""
    probe: Mapping[str, Any] | None = None
    service_deployment: str = ""

    @property
    def facts(self) -> Mapping[str, Any]:
        """The result as JSON values, for evidence and reports."""
        *_, cluster, service = ["", *self.service_arn.rsplit(":", 1)[-1].split("/")]
        before = self.previous
        return {
            "outcome": self.outcome.value,
            "cluster": cluster,
            "service": service,
            "service_arn": self.service_arn,
            "task_definition": self.task_definition,
            "deployment": self.deployment,
            "service_deployment": self.service_deployment,
            "image_digests": list(self.digests),
            "previous_task_definition": before.task_definition if before else "",
            "previous_digests": sorted(map(str, before.digests)) if before else [],
            "started_at": _iso(self.started_at),
            "healthy_at": _iso(self.healthy_at),
            "drained_at": _iso(self.drained_at),
            "already": self.already,
            "reattached": self.reattached,
            "diagnosis": self.diagnosis,
            "probe": dict(self.probe) if self.probe else None,
        }


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
