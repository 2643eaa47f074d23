"""What a change of a stack means: its change set in words, what it costs, and what of it needs somebody's consent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pipeline.model.verdict import Reason


class Action(StrEnum):
    """What happens to a resource."""

    ADD = "add"
    CHANGE = "change"
    REPLACE = "replace"
    MAY_REPLACE = "may replace"
    REMOVE = "remove"
    IMPORT = "import"


@dataclass(frozen=True, slots=True)
class ResourceChange:
    """One resource of a change set. `kind` is its type (AWS::ECS::Cluster), `properties` are those that change.

    `follows`: it was not changed itself, but names something that was, and may change with it.
    """

    action: Action
    logical: str
    kind: str
    physical: str = ""
    properties: tuple[str, ...] = ()
    follows: bool = False

    @property
    def word(self) -> str:
        """What people call it."""
        return _WORDS.get(self.kind, self.kind)

    @property
    def lasting(self) -> bool:
        """Whether it holds what cannot be made again."""
        return self.kind in _LASTING

    @property
    def text(self) -> str:
        """One line: what happens to it, and what that costs."""
        name = f" {self.physical.rsplit(':', 1)[-1]}" if self.physical else ""
        what = f" ({', '.join(self.properties)})" if self.properties else ""
        line = f"{self.action.value} {self.word}{name}{what}"
        cost = _COSTS.get(self.kind, "") if self.action in _COSTLY else ""
        return f"{line} – {cost}" if cost else line


@dataclass(frozen=True, slots=True)
class StackPlan:
    """What would become of one stack. `new`: there is none of this name; `remade`: it is deleted first, `why` tells.

    `rest`: what is deleted first is the rest of a stack that was whole once, be it data or tasks that still run.
    """

    name: str
    changes: tuple[ResourceChange, ...]
    new: bool = False
    remade: bool = False
    why: str = ""
    rest: bool = False

    @property
    def empty(self) -> bool:
        """Whether nothing would be done."""
        return not self.changes and not self.new

    @property
    def lines(self) -> tuple[str, ...]:
        """What would be done, as people read it; what is new is counted by its kind."""
        if self.empty:
            return ("nothing to do",)
        lines = [self.why] if self.why else []
        added = [change for change in self.changes if change.action is Action.ADD]
        following = [change for change in self.changes if change.follows]
        if added:
            lines.append("add " + ", ".join(_counted(added)))
        lines += [change.text for change in self.changes if change not in added and not change.follows]
        if following:
            lines.append("may change with it: " + ", ".join(_counted(following)))
        return tuple(lines)


@dataclass(frozen=True, slots=True)
class Loss:
    """A change that would lose what cannot be made again."""

    stack: str
    change: ResourceChange

    @property
    def reason(self) -> Reason:
        """Why it is refused, and what to do."""
        return Reason(
            f"stack {self.stack}: would {self.change.text}",
            "keep the name or property as it was, or run it again with --accept-loss",
        )


def losses(plans: Iterable[StackPlan]) -> tuple[Loss, ...]:
    """Every replacement and removal of what cannot be made again, certain or possible."""
    return tuple(
        Loss(plan.name, change)
        for plan in plans
        for change in plan.changes
        if change.lasting and change.action in _COSTLY
    )


def rests(plans: Iterable[StackPlan]) -> tuple[Reason, ...]:
    """Why a stack whose deletion failed half-way is not simply deleted to its end and made anew."""
    return tuple(
        Reason(
            f"stack {plan.name} is half deleted: what is left of it would go, lines of logs, secrets and tasks with it",
            "finish its deletion with cleanup, or run this again with --accept-loss",
        )
        for plan in plans
        if plan.rest
    )


def changes_of(listed: Iterable[Mapping[str, object]]) -> tuple[ResourceChange, ...]:
    """The changes as DescribeChangeSet lists them.

    A change of a resource that is not there – its condition does not hold – is none. Where only ECS's own state of a
    service is repeated to it, that is left out of the properties.
    """
    found = (_change(entry.get("ResourceChange")) for entry in listed)
    return tuple(change for change in found if change is not None)


def unforeseen(shown: StackPlan, now: Sequence[ResourceChange]) -> tuple[ResourceChange, ...]:
    """What would happen now and was not shown."""
    told = {(change.logical, change.action) for change in shown.changes}
    return tuple(change for change in now if (change.logical, change.action) not in told)


_BY_REFERENCE = frozenset({"ResourceReference", "ResourceAttribute"})
_REPEATED = frozenset({"TaskDefinition", "DesiredCount"})
_COSTLY = (Action.REPLACE, Action.MAY_REPLACE, Action.REMOVE)


def _change(raw: object) -> ResourceChange | None:
    if not isinstance(raw, Mapping):
        return None
    logical, kind = str(raw["LogicalResourceId"]), str(raw["ResourceType"])
    physical = str(raw.get("PhysicalResourceId") or "")
    did = str(raw["Action"])
    if did == "Modify" and not physical:
        return None
    details = raw.get("Details") or ()
    properties = _properties(details)
    if kind == "AWS::ECS::Service":
        properties = tuple(name for name in properties if name not in _REPEATED)
    action = _action(did, str(raw.get("Replacement") or "False"), kind, properties)
    return ResourceChange(action, logical, kind, physical, properties, _follows(action, details))


def _follows(action: Action, details: Sequence[Mapping[str, object]]) -> bool:
    """Whether it only names what changes. A replacement that is certain is told for itself."""
    sources = {str(detail.get("ChangeSource", "")) for detail in details}
    return bool(sources) and sources <= _BY_REFERENCE and action in (Action.CHANGE, Action.MAY_REPLACE)


def _properties(details: object) -> tuple[str, ...]:
    found = []
    for detail in details if isinstance(details, Sequence) else ():
        target = detail.get("Target") or {}
        found.append(str(target.get("Name") or target.get("Attribute") or ""))
    return tuple(dict.fromkeys(name for name in found if name))


def _action(did: str, replacement: str, kind: str, properties: tuple[str, ...]) -> Action:
    if did != "Modify":
        return {"Add": Action.ADD, "Remove": Action.REMOVE, "Import": Action.IMPORT}.get(did, Action.CHANGE)
    if replacement == "True":
        return Action.REPLACE
    harmless = _LASTING.get(kind, frozenset())
    if replacement == "Conditional" and not (properties and harmless >= set(properties)):
        return Action.MAY_REPLACE
    return Action.CHANGE


def _counted(changes: Sequence[ResourceChange]) -> list[str]:
    words = [change.word for change in changes]
    return [
        f"{words.count(word)} × {word}" if words.count(word) > 1 else word for word in dict.fromkeys(words)
    ]


_LASTING: Mapping[str, frozenset[str]] = {
    "AWS::ECR::Repository": frozenset(
        (
            *("ImageTagMutability", "ImageTagMutabilityExclusionFilters", "ImageScanningConfiguration"),
            *("LifecyclePolicy", "RepositoryPolicyText", "EmptyOnDelete", "Tags"),
        )
    ),
    "AWS::DynamoDB::Table": frozenset(
        (
            *("BillingMode", "DeletionProtectionEnabled", "PointInTimeRecoverySpecification"),
            *("ProvisionedThroughput", "SSESpecification", "TimeToLiveSpecification", "Tags"),
        )
    ),
    "AWS::SecretsManager::Secret": frozenset(("Description", "KmsKeyId", "SecretString", "Tags")),
    "AWS::Logs::LogGroup": frozenset(("KmsKeyId", "RetentionInDays", "Tags")),
    "AWS::KMS::Key": frozenset(("Description", "Enabled", "KeyPolicy", "PendingWindowInDays", "Tags")),
}
"""What cannot be made again, with the properties that never replace it."""

_COSTS: Mapping[str, str] = {
    "AWS::ElasticLoadBalancingV2::LoadBalancer": "its address changes, some minutes without traffic",
    "AWS::ElasticLoadBalancingV2::TargetGroup": "the service moves to another one, some minutes without traffic",
    "AWS::ElasticLoadBalancingV2::Listener": "some seconds without traffic",
    "AWS::ECS::Cluster": "every task stops, the service is made anew without tasks",
    "AWS::ECS::Service": "every task stops; promote again afterwards",
    "AWS::EC2::VPC": "everything in it is made anew: addresses change, tasks stop",
    "AWS::EC2::Subnet": "the load balancer and the tasks move",
    "AWS::EC2::SecurityGroup": "load balancer or tasks get another one",
    "AWS::IAM::Role": "its ARN changes: whoever names it must be told",
    "AWS::AutoScaling::AutoScalingGroup": "the instances end, their tasks start anew elsewhere",
    "AWS::ECR::Repository": "images and their evidence are left behind",
    "AWS::DynamoDB::Table": "the deployment log and the leases are left behind",
    "AWS::SecretsManager::Secret": "its value is left behind",
    "AWS::Logs::LogGroup": "its lines are left behind",
    "AWS::KMS::Key": "what it signed can be checked with a kept public key alone",
}
_WORDS: Mapping[str, str] = {
    "AWS::EC2::VPC": "network",
    "AWS::EC2::Subnet": "subnet",
    "AWS::EC2::InternetGateway": "internet gateway",
    "AWS::EC2::VPCGatewayAttachment": "gateway attachment",
    "AWS::EC2::RouteTable": "route table",
    "AWS::EC2::Route": "route",
    "AWS::EC2::SubnetRouteTableAssociation": "subnet's route",
    "AWS::EC2::SecurityGroup": "security group",
    "AWS::EC2::LaunchTemplate": "launch template",
    "AWS::ElasticLoadBalancingV2::LoadBalancer": "load balancer",
    "AWS::ElasticLoadBalancingV2::TargetGroup": "target group",
    "AWS::ElasticLoadBalancingV2::Listener": "listener",
    "AWS::CloudWatch::Alarm": "alarm",
    "AWS::Logs::LogGroup": "log group",
    "AWS::SecretsManager::Secret": "secret",
    "AWS::IAM::Role": "role",
    "AWS::IAM::InstanceProfile": "instance profile",
    "AWS::ECS::Cluster": "cluster",
    "AWS::ECS::TaskDefinition": "task definition",
    "AWS::ECS::Service": "service",
    "AWS::ECS::CapacityProvider": "capacity provider",
    "AWS::ECS::ClusterCapacityProviderAssociations": "cluster's capacity",
    "AWS::AutoScaling::AutoScalingGroup": "auto scaling group",
    "AWS::ApplicationAutoScaling::ScalableTarget": "scalable target",
    "AWS::ApplicationAutoScaling::ScalingPolicy": "scaling policy",
    "AWS::ECR::Repository": "image repository",
    "AWS::DynamoDB::Table": "table",
    "AWS::KMS::Key": "signing key",
    "AWS::KMS::Alias": "key alias",
}
