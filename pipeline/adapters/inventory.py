"""What an account has of an app, by tag: every service is asked itself, since the tagging API lags and knows not all.

The tagging API is asked as well, for what no service of ours would list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.adapters.aws_errors import aws_errors
from pipeline.adapters.owned import log_group_tags, repository_tags, secret_names, table_tags, tags_of
from pipeline.errors import PipelineError
from pipeline.model.inventory import Found, Presence

Client = Callable[[str], Any]

APP, ENVIRONMENT, REGION = "onedigest:app", "onedigest:environment", "onedigest:region"
_TAGS_OF = 20
_LISTED_HERE = frozenset(
    (
        *("autoscaling", "cloudformation", "cloudwatch", "dynamodb", "ec2", "ecr", "ecs"),
        *("elasticloadbalancing", "iam", "logs", "secretsmanager"),
    )
)
"""Services whose own listing decides."""


@dataclass(frozen=True, slots=True)
class Names:
    """What an environment's things are called where AWS gives no tags: its cluster, and families by prefix.

    `app` is the app's name, or that of one service of a release, which its things are tagged with.
    """

    app: str
    environment: str
    cluster: str
    families: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Inventory:
    """Looks at one account and region. `client` makes boto3's clients by name; `without` are services it lacks.

    What is tagged with the app is looked for, and with each of its services that `environments` name. IAM has no
    regions: a role counts here unless it is tagged with another region than `region`.
    """

    client: Client
    app: str
    repository: str
    table: str
    environments: Sequence[Names]
    without: frozenset[str] = frozenset()
    region: str = ""

    @property
    def apps(self) -> tuple[str, ...]:
        """The app's name and those of its services, as tags have them."""
        return tuple(dict.fromkeys([self.app, *(names.app for names in self.environments)]))

    def look(self) -> tuple[Found, ...]:
        """Everything of the app, of the environments named and what they share. What cannot be seen is UNKNOWN."""
        return tuple(found for kind, look in self._looks() for found in _seen(kind, look))

    def _looks(self) -> Iterator[tuple[str, Callable[[], Iterable[Found]]]]:
        yield "stack", self._stacks
        yield "cluster", self._clusters
        yield "task definition", self._definitions
        yield "load balancer", self._balancers
        yield "network", self._network
        yield "auto scaling group", self._groups
        yield "alarm", self._alarms
        yield "log group", self._log_groups
        yield "secret", self._secrets
        yield "role", self._roles
        names = {one.environment for one in self.environments}
        yield "policy", lambda: _policies(self.client("iam"), f"onedigest-{self.app}", names)
        yield "repository", self._repository
        yield "table", self._table
        if "application-autoscaling" not in self.without:
            yield "scaling target", self._scaling
        yield "other", self._tagged

    def _stacks(self) -> Iterable[Found]:
        for stack in _pages(self.client("cloudformation"), "describe_stacks", "Stacks"):
            tags = tags_of(stack.get("Tags"))
            if tags.get(APP) in self.apps and stack["StackStatus"] != "DELETE_COMPLETE":
                why = stack["StackStatus"]
                yield Found("stack", stack["StackName"], tags.get(ENVIRONMENT, ""), why=why)

    def _clusters(self) -> Iterable[Found]:
        ecs = self.client("ecs")
        wanted = {names.cluster: names for names in self.environments}
        for cluster in _clusters(ecs, list(wanted)):
            name = str(cluster["clusterName"])
            environment = wanted[name].environment
            if tags_of(cluster.get("tags")).get(APP) != wanted[name].app:
                continue
            yield Found("cluster", name, environment)
            for arn in _pages(ecs, "list_services", "serviceArns", cluster=name):
                yield Found("service", str(arn).rsplit("/", 1)[-1], environment)
            for arn in _pages(ecs, "list_tasks", "taskArns", cluster=name):
                yield Found("task", str(arn).rsplit("/", 1)[-1], environment)

    def _definitions(self) -> Iterable[Found]:
        for names in self.environments:
            for family in names.families:
                for status in ("ACTIVE", "INACTIVE", "DELETE_IN_PROGRESS"):
                    yield from self._revisions(family, status, names.environment)

    def _revisions(self, family: str, status: str, environment: str) -> Iterable[Found]:
        listed = _pages(
            self.client("ecs"),
            "list_task_definitions",
            "taskDefinitionArns",
            familyPrefix=family,
            status=status,
        )
        for arn in listed:
            name = str(arn).rsplit("/", 1)[-1]
            if name.rsplit(":", 1)[0] == family:
                going = status == "DELETE_IN_PROGRESS"
                presence = Presence.GOING if going else Presence.THERE
                yield Found(
                    "task definition", name, environment, presence, "ECS deletes it" if going else status
                )

    def _balancers(self) -> Iterable[Found]:
        elbv2 = self.client("elbv2")
        arns = {
            str(one["LoadBalancerArn"]): ("load balancer", str(one["LoadBalancerName"]))
            for one in _pages(elbv2, "describe_load_balancers", "LoadBalancers")
        } | {
            str(one["TargetGroupArn"]): ("target group", str(one["TargetGroupName"]))
            for one in _pages(elbv2, "describe_target_groups", "TargetGroups")
        }
        mine = [arn for arn, (_, name) in arns.items() if name.startswith(f"{self.app}-")]
        for start in range(0, len(mine), _TAGS_OF):
            told = elbv2.describe_tags(ResourceArns=mine[start : start + _TAGS_OF])["TagDescriptions"]
            for one in told:
                tags = tags_of(one["Tags"])
                if tags.get(APP) in self.apps:
                    yield Found(*arns[one["ResourceArn"]], tags.get(ENVIRONMENT, ""))

    def _network(self) -> Iterable[Found]:
        ec2 = self.client("ec2")
        mine = [{"Name": f"tag:{APP}", "Values": list(self.apps)}]
        vpcs = []
        for operation, key, identity, kind in _NETWORK:
            for one in _pages(ec2, operation, key, Filters=mine):
                vpcs += [one[identity]] if kind == "network" else []
                yield Found(kind, str(one[identity]), tags_of(one.get("Tags")).get(ENVIRONMENT, ""))
        if vpcs:
            inside = [{"Name": "vpc-id", "Values": vpcs}]
            for one in _pages(ec2, "describe_network_interfaces", "NetworkInterfaces", Filters=inside):
                yield Found(
                    "network interface", str(one["NetworkInterfaceId"]), why=str(one.get("Description", ""))
                )
        for reservation in _pages(ec2, "describe_instances", "Reservations", Filters=mine):
            for one in reservation["Instances"]:
                if one["State"]["Name"] not in ("terminated", "shutting-down"):
                    yield Found(
                        "instance", str(one["InstanceId"]), tags_of(one.get("Tags")).get(ENVIRONMENT, "")
                    )

    def _groups(self) -> Iterable[Found]:
        mine = [{"Name": f"tag:{APP}", "Values": list(self.apps)}]
        client = self.client("autoscaling")
        for one in _pages(client, "describe_auto_scaling_groups", "AutoScalingGroups", Filters=mine):
            tags = tags_of(one.get("Tags"))
            if tags.get(APP) in self.apps:
                yield Found("auto scaling group", str(one["AutoScalingGroupName"]), tags.get(ENVIRONMENT, ""))

    def _alarms(self) -> Iterable[Found]:
        for names in self.environments:
            wanted = [
                f"{names.app}-{names.environment}-{what}" for what in ("errors", "latency", "unhealthy")
            ]
            found = self.client("cloudwatch").describe_alarms(AlarmNames=wanted).get("MetricAlarms", ())
            yield from (Found("alarm", str(one["AlarmName"]), names.environment) for one in found)

    def _log_groups(self) -> Iterable[Found]:
        for names in self.environments:
            for group in log_groups(self.client("logs"), names.app, names.environment, names.cluster):
                yield Found("log group", group, names.environment)

    def _secrets(self) -> Iterable[Found]:
        for name, tags in secret_names(self.client("secretsmanager"), self.app):
            if tags.get(APP) in self.apps and name.partition("/")[0] in self.apps:
                yield Found("secret", name, tags.get(ENVIRONMENT, ""))

    def _roles(self) -> Iterable[Found]:
        iam = self.client("iam")
        prefix = f"onedigest-{self.app}-"
        for role in _pages(iam, "list_roles", "Roles"):
            name = str(role["RoleName"])
            if name.startswith(prefix):
                tags = tags_of(iam.list_role_tags(RoleName=name)["Tags"])
                if tags.get(APP) in self.apps and tags.get(REGION, self.region) == self.region:
                    yield Found("role", name, tags.get(ENVIRONMENT, ""))

    def _repository(self) -> Iterable[Found]:
        tags = repository_tags(self.client("ecr"), self.repository)
        if tags is not None and tags.get(APP) == self.app:
            yield Found("repository", self.repository)

    def _table(self) -> Iterable[Found]:
        tags = table_tags(self.client("dynamodb"), self.table)
        if tags is not None and tags.get(APP) == self.app:
            yield Found("table", self.table)

    def _scaling(self) -> Iterable[Found]:
        client = self.client("application-autoscaling")
        for names in self.environments:
            listed = _pages(client, "describe_scalable_targets", "ScalableTargets", ServiceNamespace="ecs")
            for one in listed:
                if str(one["ResourceId"]).startswith(f"service/{names.cluster}/"):
                    yield Found("scaling target", str(one["ResourceId"]), names.environment)

    def _tagged(self) -> Iterable[Found]:
        named = {"dynamodb": self.table, "ecr": self.repository}
        for one in self._resources():
            arn = str(one["ResourceARN"])
            service = arn.split(":")[2]
            if service == "kms":
                yield from _key(self.client("kms"), arn)
            elif service in named:
                yield from _renamed(self.client(service), arn, named[service])
            elif service not in _LISTED_HERE:
                yield Found("resource", arn, tags_of(one["Tags"]).get(ENVIRONMENT, ""))

    def _resources(self) -> Iterator[Any]:
        """What the tagging API knows of the app and its services, of which it takes so many at once."""
        client = self.client("resourcegroupstaggingapi")
        for start in range(0, len(self.apps), _TAGS_OF):
            mine = [{"Key": APP, "Values": list(self.apps[start : start + _TAGS_OF])}]
            yield from _pages(client, "get_resources", "ResourceTagMappingList", TagFilters=mine)


def _renamed(client: Any, arn: str, now: str) -> Iterable[Found]:
    """A table or repository that is there under another name than pipeline.toml has now."""
    kind, tags = ("table", table_tags) if arn.split(":")[2] == "dynamodb" else ("repository", repository_tags)
    name = arn.split(":", 5)[5].split("/", 1)[-1]
    if name != now and tags(client, name) is not None:
        yield Found(kind, name, why=f"pipeline.toml names {now} now: delete this one yourself, if it may go")


def _policies(iam: Any, prefix: str, environments: Iterable[str]) -> Iterable[Found]:
    """Those attached to a role for promotion that is about many services; CloudFormation gives them no tags."""
    known = {f"{prefix}-{one}-promotion-": one for one in environments}
    for policy in _pages(iam, "list_policies", "Policies", Scope="Local"):
        name = str(policy["PolicyName"])
        yield from (Found("policy", name, one) for begins, one in known.items() if name.startswith(begins))


def _key(kms: Any, arn: str) -> Iterable[Found]:
    told = kms.describe_key(KeyId=arn)["KeyMetadata"]
    going = told.get("KeyState") in ("PendingDeletion", "PendingReplicaDeletion")
    why = f"KMS deletes it on {told['DeletionDate']:%Y-%m-%d}" if told.get("DeletionDate") else ""
    yield Found("key", arn.rsplit("/", 1)[-1], "", Presence.GOING if going else Presence.THERE, why)


def log_groups(logs: Any, app: str, environment: str, cluster: str) -> list[str]:
    """Where an environment's lines are: its own group, and those that Container Insights makes for its cluster.

    One of our name without our tag is somebody else's. Container Insights gives its groups none.
    """
    own, insights = f"/ecs/{app}/{environment}", f"/aws/ecs/containerinsights/{cluster}/"
    with aws_errors("logs:DescribeLogGroups"):
        found = [
            str(one["logGroupName"])
            for one in _pages(logs, "describe_log_groups", "logGroups", logGroupNamePrefix=own)
            if one["logGroupName"] == own and log_group_tags(logs, str(one["arn"])).get(APP) == app
        ]
        listed = _pages(logs, "describe_log_groups", "logGroups", logGroupNamePrefix=insights)
        return [*found, *(str(one["logGroupName"]) for one in listed)]


_NETWORK = (
    ("describe_vpcs", "Vpcs", "VpcId", "network"),
    ("describe_subnets", "Subnets", "SubnetId", "subnet"),
    ("describe_internet_gateways", "InternetGateways", "InternetGatewayId", "internet gateway"),
    ("describe_route_tables", "RouteTables", "RouteTableId", "route table"),
    ("describe_security_groups", "SecurityGroups", "GroupId", "security group"),
    ("describe_launch_templates", "LaunchTemplates", "LaunchTemplateId", "launch template"),
)


def _seen(kind: str, look: Callable[[], Iterable[Found]]) -> tuple[Found, ...]:
    """What was found; what could not be looked at is said to be so, since it may be there."""
    try:
        with aws_errors(f"looking for every {kind}"):
            return tuple(look())
    except PipelineError as error:
        return (Found(kind, "?", presence=Presence.UNKNOWN, why=error.message),)


def _clusters(ecs: Any, names: Sequence[str]) -> list[Any]:
    listed = ecs.describe_clusters(clusters=list(names), include=["TAGS"])["clusters"] if names else []
    return [one for one in listed if one.get("status") != "INACTIVE"]


def _pages(client: Any, operation: str, key: str, **asked: Any) -> Iterator[Any]:
    for page in client.get_paginator(operation).paginate(**asked):
        yield from page.get(key) or ()
