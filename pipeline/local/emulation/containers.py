"""How a task's containers are run, watched and named: the parts of a task definition the emulator leaves out."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.local.emulation.ground import Emulator
from pipeline.local.launch import CLOUD_LABEL, PART_LABEL, LaunchSettings
from pipeline.local.parts import ENGINE_ERRORS

SECOND = 1_000_000_000
MEBIBYTE = 1024 * 1024
OUT_OF_MEMORY = "OutOfMemoryError: Container killed due to memory usage"
ESSENTIAL_EXITED = "Essential container in task exited"


def run_options(definition: Mapping[str, Any], container: Mapping[str, Any]) -> dict[str, Any]:
    """docker-py's `run` arguments for what a container definition asks and the emulator ignores."""
    options: dict[str, Any] = {
        "log_config": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "2"}}
    }
    memory = int(container.get("memory") or definition.get("memory") or 0)
    shares = int(container.get("cpu") or definition.get("cpu") or 0)
    if memory:
        options.update(mem_limit=memory * MEBIBYTE, memswap_limit=memory * MEBIBYTE)
    if shares:
        options["cpu_shares"] = max(2, shares)
    for name, option in (
        ("entryPoint", "entrypoint"),
        ("user", "user"),
        ("workingDirectory", "working_dir"),
        ("readonlyRootFilesystem", "read_only"),
    ):
        if container.get(name):
            options[option] = container[name]
    options.update(_linux_options(container.get("linuxParameters") or {}))
    asked = container.get("healthCheck")
    # ECS runs no HEALTHCHECK of the image itself, only the task definition's.
    options["healthcheck"] = health_check(asked) if asked else {"test": ["NONE"]}
    return options


def _linux_options(parameters: Mapping[str, Any]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    mounts = parameters.get("tmpfs") or []
    if mounts:
        options["tmpfs"] = {m["containerPath"]: _tmpfs(m) for m in mounts}
    if parameters.get("initProcessEnabled"):
        options["init"] = True
    return options


def _tmpfs(mount: Mapping[str, Any]) -> str:
    return ",".join([f"size={mount.get('size', 64)}m", *mount.get("mountOptions", [])])


def health_check(asked: Mapping[str, Any]) -> dict[str, Any]:
    """A container definition's healthCheck in Docker's form, with ECS's defaults."""
    return {
        "test": list(asked.get("command") or []),
        "interval": int(asked.get("interval") or 30) * SECOND,
        "timeout": int(asked.get("timeout") or 5) * SECOND,
        "retries": int(asked.get("retries") or 3),
        "start_period": int(asked.get("startPeriod") or 0) * SECOND,
    }


def plain_reason(reason: str) -> str:
    """A start failure without docker-py's request line: `Kind: what the engine said`."""
    kind = reason.split(":", 1)[0]
    said = re.search(
        r'Client Error for [^(]*\("(.*)"\)$|Server Error for [^(]*\("(.*)"\)$', reason, re.DOTALL
    )
    return f"{kind}: {said.group(1) or said.group(2)}" if said else reason


class Containers:
    """Runs, watches and reports the containers of tasks."""

    def __init__(self, emulator: Emulator, settings: LaunchSettings) -> None:
        """`settings` names the cloud and its network."""
        ecs = emulator.ecs
        self._emulator = emulator
        self._settings = settings
        self._build = ecs._build_run_kwargs
        self._records = ecs._build_task_containers
        self._register = ecs._register_metadata
        self._mark_stopped = ecs._mark_task_stopped

    def run_kwargs(
        self, cdef: Mapping[str, Any], td: Mapping[str, Any], env: Any, port_bindings: Any, *rest: Any
    ) -> dict[str, Any]:
        """The emulator's arguments for `containers.run`, with ours on top."""
        kwargs: dict[str, Any] = self._build(cdef, td, env, port_bindings, *rest)
        task_id = rest[2]
        kwargs.pop("extra_hosts", None)
        kwargs.update(
            run_options(td, cdef), name=f"onedigest-{self._settings.cloud}-{task_id[:8]}-{cdef['name']}"
        )
        kwargs["labels"].update(
            {CLOUD_LABEL: self._settings.cloud, PART_LABEL: "task", **cdef.get("dockerLabels", {})}
        )
        if "network" in kwargs:
            kwargs["network"] = self._settings.network
        return kwargs

    def records(self, td: Any, container_overrides: Any) -> Any:
        """The task's container records, with the digest of an image that is named by it."""
        records = self._records(td, container_overrides)
        for record in records:
            if "@sha256:" in record["image"]:
                record["imageDigest"] = record["image"].split("@", 1)[1]
        return records

    def register(
        self, task_arn: str, cluster_arn: str, td: Any, cdef: Any, launch_type: str, *rest: Any
    ) -> Any:
        """Registers the task's metadata; its environment gets no endpoint that it could not reach."""
        _environment, *others = rest
        return self._register(task_arn, cluster_arn, td, cdef, launch_type, {}, *others)

    def mark_stopped(
        self, task_arn: str, task: Any, reason: str, code: str, exit_code: int | None = None
    ) -> Any:
        """Tells why a container died before the emulator removes it."""
        if code == "EssentialContainerExited":
            reason = OUT_OF_MEMORY if self._note_out_of_memory(task) else ESSENTIAL_EXITED
        elif code == "TaskFailedToStart":
            reason = plain_reason(reason)
            self._note_failed_start(task, reason)
        return self._mark_stopped(task_arn, task, reason, code, exit_code=exit_code)

    def _note_failed_start(self, task: Any, reason: str) -> None:
        for record in task["containers"]:
            if record["lastStatus"] != "RUNNING":
                record.setdefault("reason", reason)

    def _note_out_of_memory(self, task: Any) -> bool:
        found = False
        for docker_id, record in zip(list(task.get("_docker_ids") or []), task["containers"], strict=False):
            if self._state(docker_id).get("OOMKilled"):
                record["reason"] = OUT_OF_MEMORY
                found = True
        return found

    def _state(self, docker_id: str) -> Mapping[str, Any]:
        try:
            state: Mapping[str, Any] = self._emulator.ecs._get_docker().api.inspect_container(docker_id)[
                "State"
            ]
        except ENGINE_ERRORS as error:  # removed meanwhile, or the engine is away: nothing is known of it
            self._emulator.ecs.logger.debug("no state of %s: %s", docker_id[:12], error)
            return {}
        return state

    def watch(self, task: Any, docker_client: Any, account: str, region: str) -> None:
        """Waits for each container's end without polling, and follows container health checks where there are any."""
        ecs = self._emulator.ecs
        for docker_id in list(task.get("_docker_ids") or []):
            self._emulator.background(
                f"exit-{docker_id[:8]}", self._await_exit, task, docker_client, docker_id
            )
        if self._has_health_check(task):
            task["_health_checked"] = True
            self._emulator.background("healthcheck", self._follow_health, task)
        cluster = ecs._cluster_name_from_arn(task.get("clusterArn", ""))
        group = str(task.get("group", ""))
        if cluster and group.startswith("service:"):
            key = f"{cluster}/{group.split(':', 1)[1]}"
            ecs._schedule_service_deployment_completion(cluster, key, account, region, healthy_task=task)

    def _await_exit(self, task: Any, docker_client: Any, docker_id: str) -> None:
        ecs = self._emulator.ecs
        while ecs._task_is_active(task["taskArn"], task):
            try:
                docker_client.api.wait(docker_id, timeout=None)
            except ENGINE_ERRORS as error:  # an engine that restarts is no exit of the task
                ecs.logger.debug("waiting for %s: %s", docker_id[:12], error)
                time.sleep(1.0)
            ecs._maybe_mark_stopped(task, docker_client)
            if self._state(docker_id).get("Status") != "running":
                return

    def _has_health_check(self, task: Any) -> bool:
        ecs = self._emulator.ecs
        definition = ecs._task_defs.get(ecs._resolve_td_key(task["taskDefinitionArn"])) or {}
        return any(container.get("healthCheck") for container in definition.get("containerDefinitions", []))

    def _follow_health(self, task: Any) -> None:
        while self._emulator.ecs._task_is_active(task["taskArn"], task):
            states = [self._state(docker_id) for docker_id in list(task.get("_docker_ids") or [])]
            for record, state in zip(task["containers"], states, strict=False):
                record["healthStatus"] = _health_word(state)
            task["healthStatus"] = worst([_health_word(s) for s in states if s.get("Health")])
            time.sleep(1.0)


def _health_word(state: Mapping[str, Any]) -> str:
    word = (state.get("Health") or {}).get("Status", "")
    return {"healthy": "HEALTHY", "unhealthy": "UNHEALTHY"}.get(word, "UNKNOWN")


def worst(words: Sequence[str]) -> str:
    """A task's health out of its containers'."""
    order = ("UNHEALTHY", "UNKNOWN", "HEALTHY")
    return min(words, key=order.index) if words else "UNKNOWN"


class Logs:
    """Ships container output to CloudWatch Logs, whole lines, and to its end before the container goes."""

    def __init__(self, emulator: Emulator) -> None:
        """Stands on the emulator's log store."""
        self._emulator = emulator
        self._lock = threading.Lock()
        self._threads: dict[str, threading.Thread] = {}

    def start(self, container: Any, cdef: Any, task_id: str) -> None:
        """Begins to forward a container's output where its definition asks for awslogs."""
        ecs = self._emulator.ecs
        config = ecs._awslogs_config(cdef, task_id, container.id)
        if not config:
            return
        region = config["region"] or self._emulator.responses.get_region()
        arguments = (container, config, self._emulator.responses.get_account_id(), region)
        thread = threading.Thread(target=self._forward, args=arguments, daemon=True, name="onedigest-awslogs")
        with self._lock:
            self._threads[container.id] = thread
        thread.start()

    def _forward(self, container: Any, config: Any, account: str, region: str) -> None:
        ecs = self._emulator.ecs
        with self._emulator.scope(account, region):
            if not ecs._ensure_awslogs_stream(config):
                return
            rest = b""
            try:
                for chunk in container.logs(stream=True, follow=True):
                    *lines, rest = (rest + chunk).split(b"\n")
                    self._emit(config, lines)
            except ENGINE_ERRORS as error:  # the engine cut the stream; what came is kept
                ecs.logger.debug("log stream of %s ended: %s", container.id[:12], error)
            self._emit(config, [rest] if rest else [])

    def _emit(self, config: Mapping[str, str], lines: Sequence[bytes]) -> None:
        if not lines:
            return
        now = int(time.time() * 1000)
        self._emulator.logs._put_log_events(
            {
                "logGroupName": config["group"],
                "logStreamName": config["stream"],
                "logEvents": [
                    {"timestamp": now, "message": line.decode("utf-8", "replace")} for line in lines
                ],
            }
        )

    def remove(self, docker_client: Any, container: Any) -> None:
        """Stops a container, lets its last lines through, and removes it."""
        if not docker_client or container is None:
            return
        docker_id = container if isinstance(container, str) else container.id
        with self._lock:
            thread = self._threads.pop(docker_id, None)
        try:
            docker_client.api.stop(docker_id, timeout=5)
            if thread is not None:
                thread.join(timeout=3.0)
            docker_client.api.remove_container(docker_id, v=True, force=True)
        except ENGINE_ERRORS as error:  # gone already, or removed at the next start by its label
            self._emulator.ecs.logger.debug("removing %s: %s", docker_id[:12], error)
