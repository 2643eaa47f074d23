"""An Amazon ECS service through boto3."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pipeline.adapters.aws_errors import aws_errors
from pipeline.adapters.one_off import OneOffTasks
from pipeline.adapters.service_deployments import ServiceDeployments
from pipeline.errors import ConfigurationError, PipelineError, UnavailableError
from pipeline.model.service import DeploymentState, ServiceState, TaskState, primary_of, short
from pipeline.model.service_deployment import ServiceDeployment
from pipeline.ports import Clock, OneOff, Say
from pipeline.waiting import poll

_PAGE = 100
_NETWORK_KEYS = ("networkConfiguration", "platformVersion")


@dataclass(frozen=True, slots=True)
class EcsService:
    """One service, for `pipeline.ports.Service`. `ecs` and `logs` are boto3 clients (ECS, CloudWatch Logs).

    `container` is the container whose command a one-off task replaces and whose log is read. A one-off task may run
    for `one_off_timeout` seconds; `silence` is how many seconds the API may say nothing while it runs.
    """

    ecs: Any
    logs: Any
    cluster: str
    service: str
    container: str
    clock: Clock
    one_off_timeout: float = 1800.0
    silence: float = 120.0
    _definitions: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    def describe(self) -> ServiceState:
        """The service as it stands. Raises ConfigurationError when there is none, or it was deleted."""
        return service_state(self._described())

    def _described(self) -> Mapping[str, Any]:
        with aws_errors(f"ecs:DescribeServices {self.cluster}/{self.service}"):
            answer = self.ecs.describe_services(cluster=self.cluster, services=[self.service])
        found = [entry for entry in answer.get("services", ()) if entry.get("status") != "INACTIVE"]
        if not found:
            raise ConfigurationError(
                f"cluster {self.cluster} has no service {self.service}",
                hint="check cluster, service, region and account in pipeline.toml, or set the environment up first",
            )
        first: Mapping[str, Any] = found[0]
        return first

    def task_definition(self, arn: str) -> Mapping[str, Any]:
        """The definition with its tags beside the other keys, as RegisterTaskDefinition takes them."""
        with aws_errors(f"ecs:DescribeTaskDefinition {arn}"):
            answer = self.ecs.describe_task_definition(taskDefinition=arn, include=["TAGS"])
        definition: dict[str, Any] = dict(answer["taskDefinition"])
        return {**definition, "tags": answer["tags"]} if answer.get("tags") else definition

    def register(self, definition: Mapping[str, Any]) -> str:
        """Registers a revision and returns its ARN."""
        with aws_errors(f"ecs:RegisterTaskDefinition {definition.get('family', '')}"):
            answer = self.ecs.register_task_definition(**definition)
        return str(answer["taskDefinition"]["taskDefinitionArn"])

    def update(
        self,
        task_definition: str,
        *,
        desired: int | None = None,
        configuration: Mapping[str, Any] | None = None,
    ) -> str:
        """One UpdateService call; the id of the deployment it answers with as the primary one.

        Raises UnavailableError too when the answer names no deployment of this definition: it may still have arrived.
        """
        more: dict[str, Any] = {} if desired is None else {"desiredCount": desired}
        if configuration is not None:
            more["deploymentConfiguration"] = configuration
        with aws_errors(f"ecs:UpdateService {self.cluster}/{self.service}"):
            answer = self.ecs.update_service(
                cluster=self.cluster, service=self.service, taskDefinition=task_definition, **more
            )
        primary = primary_of(service_state(answer["service"]))
        if primary is None or primary.task_definition != task_definition:
            raise UnavailableError(
                f"UpdateService of {self.service} answered without a deployment of {short(task_definition)}",
                hint="look at the service's deployments before trying again",
            )
        return primary.id

    def service_deployments(self, since: datetime | None = None) -> Sequence[ServiceDeployment] | None:
        """The newest service deployments, newest first; None when the API tells none to us."""
        return self._service_deployments().newest(since)

    def roll_back(self, service_deployment: str) -> None:
        """One StopServiceDeployment call that has ECS put back what the service deployment replaces."""
        self._service_deployments().roll_back(service_deployment)

    def _service_deployments(self) -> ServiceDeployments:
        return ServiceDeployments(self.ecs, self.cluster, self.service, self._definitions)

    def tasks(self) -> Sequence[TaskState]:
        """Running and recently stopped tasks of the service, paged to the end."""
        arns = [arn for status in ("RUNNING", "STOPPED") for arn in self._listed(status)]
        unique = list(dict.fromkeys(arns))
        pages = [unique[start : start + _PAGE] for start in range(0, len(unique), _PAGE)]
        return [task_state(task) for page in pages for task in self._tasks(page)]

    def _listed(self, status: str) -> Iterator[str]:
        token: dict[str, str] = {}
        while True:
            with aws_errors(f"ecs:ListTasks {self.cluster}/{self.service}"):
                answer = self.ecs.list_tasks(
                    cluster=self.cluster, serviceName=self.service, desiredStatus=status, **token
                )
            yield from answer.get("taskArns", ())
            if not answer.get("nextToken"):
                return
            token = {"nextToken": answer["nextToken"]}

    def _tasks(self, arns: Sequence[str]) -> Sequence[Mapping[str, Any]]:
        """Tasks that are gone by now are left out; the next look tells."""
        with aws_errors(f"ecs:DescribeTasks {self.cluster}"):
            answer = self.ecs.describe_tasks(cluster=self.cluster, tasks=list(arns))
        found: Sequence[Mapping[str, Any]] = answer.get("tasks", ())
        return found

    def run_once(self, task_definition: str, command: Sequence[str], name: str, say: Say) -> OneOff:
        """See `pipeline.ports.Service.run_once`: as the service would run it, with `command`."""
        tasks = OneOffTasks(
            self.ecs,
            self.cluster,
            self.container,
            self.clock,
            self._tasks,
            self.one_off_timeout,
            self.silence,
        )
        arn = tasks.begun(name, task_definition)
        if arn:
            say(f"task {_id(arn)} was begun by an earlier run; waiting for its end")
        else:
            arn, refused = tasks.start(name, task_definition, command, placement(self._described()))
            if not arn:
                return OneOff(None, refused)
            say(f"task {_id(arn)} started")
        task = tasks.awaited(arn)
        state = task_state(task)
        lines = tuple(self._log_when_there(task))
        for line in lines:
            say(line)
        reasons = [state.stopped_reason, *state.container_reasons.values()]
        return OneOff(state.exit_codes.get(self.container), "; ".join(filter(None, reasons)), lines)

    def _log_when_there(self, task: Mapping[str, Any]) -> Sequence[str]:
        """The whole log; lines arrive some seconds after the end, so a first empty answer is asked again.

        Where it cannot be read that is its one line: how the task ended is known without.
        """
        end = self.clock.monotonic() + 5.0
        try:
            return poll(lambda: self._log(task, 1000) or None, 0.5, end, self.clock) or ()
        except PipelineError as error:
            return (f"(the log cannot be read: {error.message})",)

    def log_lines(self, task_id: str, last: int) -> Sequence[str]:
        """The last lines the task's container wrote; empty where there are none or its log goes elsewhere."""
        tasks = self._tasks([task_id])
        return self._log(tasks[0], last) if tasks else ()

    def _log(self, task: Mapping[str, Any], last: int) -> Sequence[str]:
        where = log_stream(self.task_definition(str(task["taskDefinitionArn"])), self.container, task)
        if where is None:
            return ()
        group, stream = where
        with aws_errors(f"logs:GetLogEvents {group}"):
            try:
                answer = self.logs.get_log_events(logGroupName=group, logStreamName=stream, limit=last)
            except self.logs.exceptions.ResourceNotFoundException:
                return ()
        return [str(event["message"]).rstrip("\n") for event in answer.get("events", ())]


def placement(service: Mapping[str, Any]) -> dict[str, Any]:
    """What RunTask takes so that a task runs where those of the described service do."""
    keys = {key: service[key] for key in _NETWORK_KEYS if service.get(key)}
    if service.get("capacityProviderStrategy"):
        keys["capacityProviderStrategy"] = service["capacityProviderStrategy"]
    elif service.get("launchType"):
        keys["launchType"] = service["launchType"]
    if keys.get("launchType") == "EC2":
        keys.pop("platformVersion", None)
    return keys


def service_state(entry: Mapping[str, Any]) -> ServiceState:
    """A service out of DescribeServices' or UpdateService's answer."""
    balancers = [b for b in entry.get("loadBalancers", ()) if b.get("targetGroupArn")]
    balancer: Mapping[str, Any] = next(iter(balancers), {})
    advanced: Mapping[str, Any] = balancer.get("advancedConfiguration") or {}
    return ServiceState(
        arn=str(entry["serviceArn"]),
        status=str(entry.get("status", "")),
        task_definition=str(entry.get("taskDefinition", "")),
        desired=int(entry.get("desiredCount", 0)),
        running=int(entry.get("runningCount", 0)),
        deployments=tuple(_deployment_state(d) for d in entry.get("deployments", ())),
        target_group=str(balancer.get("targetGroupArn", "")),
        events=tuple(str(event.get("message", "")) for event in entry.get("events", ())),
        raw=entry,
        alternate_target_group=str(advanced.get("alternateTargetGroupArn") or ""),
    )


def _deployment_state(entry: Mapping[str, Any]) -> DeploymentState:
    return DeploymentState(
        id=str(entry["id"]),
        status=str(entry.get("status", "")),
        task_definition=str(entry.get("taskDefinition", "")),
        rollout_state=str(entry.get("rolloutState") or ""),
        rollout_state_reason=str(entry.get("rolloutStateReason") or ""),
        desired=int(entry.get("desiredCount", 0)),
        running=int(entry.get("runningCount", 0)),
        failed=int(entry.get("failedTasks", 0)),
    )


def task_state(entry: Mapping[str, Any]) -> TaskState:
    """A task out of DescribeTasks' answer."""
    containers = entry.get("containers", ())
    return TaskState(
        id=_id(str(entry["taskArn"])),
        task_definition=str(entry.get("taskDefinitionArn", "")),
        last_status=str(entry.get("lastStatus", "")),
        desired_status=str(entry.get("desiredStatus", "")),
        health=str(entry.get("healthStatus", "UNKNOWN")),
        image_digests=_by_name(containers, "imageDigest"),
        ip=_address(entry, containers),
        stopped_reason=str(entry.get("stoppedReason") or ""),
        stop_code=str(entry.get("stopCode") or ""),
        exit_codes={str(c["name"]): int(c["exitCode"]) for c in containers if c.get("exitCode") is not None},
        started_by=str(entry.get("startedBy") or ""),
        container_reasons=_by_name(containers, "reason"),
    )


def _by_name(containers: Sequence[Mapping[str, Any]], key: str) -> dict[str, str]:
    return {str(c["name"]): str(c[key]) for c in containers if c.get(key)}


def _address(entry: Mapping[str, Any], containers: Sequence[Mapping[str, Any]]) -> str:
    """The private address of the task's network interface (awsvpc), as target groups of type ip know it."""
    for attachment in entry.get("attachments", ()):
        for detail in attachment.get("details", ()):
            if detail.get("name") == "privateIPv4Address":
                return str(detail.get("value", ""))
    interfaces = [i for container in containers for i in container.get("networkInterfaces", ())]
    return next((str(i["privateIpv4Address"]) for i in interfaces if i.get("privateIpv4Address")), "")


def log_stream(
    definition: Mapping[str, Any], container: str, task: Mapping[str, Any]
) -> tuple[str, str] | None:
    """Group and stream of the container's log; None unless it goes to CloudWatch Logs.

    With a prefix the stream is prefix/container/task-id, without one it is the container's runtime id.
    """
    entry: Mapping[str, Any] = next(
        (c for c in definition.get("containerDefinitions", ()) if c.get("name") == container), {}
    )
    config = entry.get("logConfiguration") or {}
    options = config.get("options") or {}
    if config.get("logDriver") != "awslogs" or not options.get("awslogs-group"):
        return None
    prefix = options.get("awslogs-stream-prefix")
    ids = [c.get("runtimeId") for c in task.get("containers", ()) if c.get("name") == container]
    stream = f"{prefix}/{container}/{_id(str(task['taskArn']))}" if prefix else next(filter(None, ids), None)
    return (str(options["awslogs-group"]), str(stream)) if stream else None


def _id(arn: str) -> str:
    return arn.rsplit("/", 1)[-1]
