"""The local cloud as a whole: started twice, killed, stopped, robbed of a part, and what is running afterwards."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from pipeline.adapters.clock import SystemClock
from pipeline.adapters.stack import StackRequest, Stacks, stack_outputs, template
from pipeline.errors import StuckError, UnavailableError
from pipeline.local.base_images import BaseImages
from pipeline.local.cloud import LocalCloud, LocalEnvironment, LocalSpec, cloud_id
from pipeline.local.emulator_process import EmulatorProcess
from tests.system.cloud_in_hand import APP, CloudInHand, parameters

GOOD = "good"


def test_a_second_up_starts_nothing_and_finds_the_same(local_cloud: CloudInHand) -> None:
    local_cloud.said.clear()

    assert local_cloud.another_caller().up() == local_cloud.endpoints
    assert local_cloud.another_caller().endpoints() == local_cloud.endpoints
    assert local_cloud.said == []
    assert local_cloud.cloud.status().up


def test_a_cloud_of_an_older_version_gets_the_front_that_it_lacks_and_keeps_all_else(
    local_cloud: CloudInHand,
) -> None:
    before = local_cloud.endpoints
    environments = (
        *(LocalEnvironment(name, provision_key="1") for name in before.urls),
        LocalEnvironment("staging-baseline", provision_key="1", beside="staging"),
    )
    newer = LocalCloud(
        local_cloud.state,
        LocalSpec(APP, environments),
        BaseImages(local_cloud.engine, print).ensure,
        lambda _endpoints, _environment: None,
        local_cloud.said.append,
    )
    assert newer.endpoints() is None, "nothing is asked of a front that is not there"
    try:
        after = newer.up()
        assert after.urls == {**before.urls, "staging-baseline": after.urls["staging-baseline"]}
        assert after.database_urls == before.database_urls
        assert set(newer.status().recorded) == set(before.urls)
    finally:
        local_cloud.cloud.up()


def test_two_processes_at_once_make_one_cloud(local_cloud: CloudInHand) -> None:
    before = {container.id for container in local_cloud.containers()}

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda cloud: cloud.up(), [local_cloud.another_caller() for _ in range(2)]))

    assert found == [local_cloud.endpoints] * 2
    assert {container.id for container in local_cloud.containers()} == before


def test_everything_listens_on_loopback_alone(local_cloud: CloudInHand) -> None:
    published = [
        binding["HostIp"]
        for container in local_cloud.containers()
        for bindings in (container.attrs["NetworkSettings"]["Ports"] or {}).values()
        for binding in bindings or ()
    ]
    emulator = int(local_cloud.endpoints.aws.rsplit(":", 1)[1])
    listening = [line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines() if " 0A " in line]

    assert set(published) == {"127.0.0.1"}
    assert f"0100007F:{emulator:04X}" in listening
    assert f"00000000:{emulator:04X}" not in listening


def test_after_kill_9_of_the_emulator_up_brings_back_what_ran(local_cloud: CloudInHand) -> None:
    images = {
        "staging": local_cloud.serving("staging", "good-2"),
        "prod": local_cloud.serving("prod", GOOD, 2),
    }
    local_cloud.record("staging", images["staging"], 1)
    local_cloud.record("prod", images["prod"], 2)
    os.kill(int((local_cloud.state / "emulator.pid").read_text()), signal.SIGKILL)
    local_cloud.wait(lambda: local_cloud.cloud.status().parts[0].up, lambda up: not up)
    local_cloud.said.clear()

    local_cloud.cloud.up()

    assert local_cloud.said[0].startswith("emulator: restarted on port ")
    assert f"staging: runs {images['staging']} again (1 tasks)" in local_cloud.said
    assert f"prod: runs {images['prod']} again (2 tasks)" in local_cloud.said
    assert running_images(local_cloud) == sorted(
        [str(images["staging"]), str(images["prod"]), str(images["prod"])]
    )
    assert local_cloud.answer("prod")["status"] == 200


def test_down_leaves_nothing_and_up_brings_back_what_ran(local_cloud: CloudInHand) -> None:
    image = local_cloud.serving("prod", GOOD, 2)
    local_cloud.record("prod", image, 2)

    local_cloud.cloud.down()

    assert local_cloud.containers() == []
    assert local_cloud.engine.networks.list(filters={"label": local_cloud.label}) == []
    assert local_cloud.cloud.endpoints() is None
    assert local_cloud.answer("prod")["status"] == 0

    local_cloud.said.clear()
    assert local_cloud.cloud.up() == local_cloud.endpoints
    assert f"prod: runs {image} again (2 tasks)" in local_cloud.said
    assert local_cloud.answer("prod")["status"] == 200


def test_what_cannot_be_brought_back_is_said_aloud(local_cloud: CloudInHand) -> None:
    image = local_cloud.serving("staging", GOOD)
    local_cloud.record("staging", image, 1)
    file = local_cloud.state / "desired" / "staging.json"
    kept = file.read_text()
    missing = str(local_cloud.releases.missing())
    file.write_text(kept.replace(str(image), missing))
    try:
        local_cloud.cloud.down()
        local_cloud.said.clear()
        local_cloud.cloud.up()
        told = [
            line for line in local_cloud.said if line.startswith(f"staging: does NOT run {missing} again: ")
        ]
        assert len(told) == 1
        assert "CannotPullContainerError" in told[0]
    finally:
        file.write_text(kept)


def test_a_part_that_was_removed_is_replaced_and_traffic_comes_back(local_cloud: CloudInHand) -> None:
    local_cloud.serving("staging", GOOD)
    (balancer,) = local_cloud.containers("balancer")
    balancer.remove(force=True)
    local_cloud.said.clear()

    local_cloud.cloud.up()

    assert len(local_cloud.said) == 1
    assert local_cloud.said[0].startswith("balancer: started on port ")
    local_cloud.wait(lambda: local_cloud.answer("staging"), lambda found: found["status"] == 200)


def test_a_balancer_that_restarts_gets_its_targets_back_by_itself(local_cloud: CloudInHand) -> None:
    local_cloud.serving("staging", GOOD)
    (balancer,) = local_cloud.containers("balancer")

    balancer.restart(timeout=1)

    local_cloud.wait(lambda: local_cloud.answer("staging"), lambda found: found["status"] == 200)


def test_each_environment_reaches_its_own_database_and_not_the_others(local_cloud: CloudInHand) -> None:
    (postgres,) = local_cloud.containers("postgres")
    urls = local_cloud.endpoints.database_urls
    other = urls["staging"].rsplit("/", 1)[0] + "/" + urls["prod"].rsplit("/", 1)[1]

    own = postgres.exec_run(
        ["psql", urls["staging"], "-Atc", "create table if not exists t (); select current_user"]
    )
    foreign = postgres.exec_run(["psql", other, "-Atc", "select 1"])

    assert own.exit_code == 0, own.output
    assert own.output.decode().split()[-1] == "demo_staging"
    assert foreign.exit_code != 0
    assert b"permission denied for database" in foreign.output


def test_a_stack_that_stands_is_found_unchanged(local_cloud: CloudInHand) -> None:
    client = local_cloud.client("cloudformation")
    wanted = parameters(local_cloud.endpoints, "prod")

    result = Stacks(client, SystemClock()).ensure(
        StackRequest(f"{APP}-prod", template("environment"), wanted)
    )

    assert not result.changed
    assert result.outputs["ClusterName"] == f"{APP}-prod"
    assert result.outputs["TargetGroupArn"].startswith("arn:aws:elasticloadbalancing:")


def test_a_changed_stack_leaves_the_running_revision_alone(local_cloud: CloudInHand) -> None:
    image = local_cloud.serving("prod", GOOD, 2)
    client = local_cloud.client("cloudformation")
    before = local_cloud.service("prod")["taskDefinition"]
    wanted = parameters(local_cloud.endpoints, "prod") | {
        "StopTimeout": "4",
        "HealthCheckGracePeriod": "4",
        "RunningDefinition": before,
    }

    result = Stacks(client, SystemClock()).ensure(
        StackRequest(f"{APP}-prod", template("environment"), wanted)
    )

    service = local_cloud.service("prod")
    assert result.changed
    assert service["healthCheckGracePeriodSeconds"] == 4
    assert service["taskDefinition"] == before
    assert service["desiredCount"] == 2
    assert str(image) in running_images(local_cloud)


def test_a_template_the_cloud_cannot_make_is_refused_with_the_resource(local_cloud: CloudInHand) -> None:
    client = local_cloud.client("cloudformation")
    template = (
        "Resources:\n  Odd:\n    Type: AWS::ApplicationAutoScaling::ScalableTarget\n    Properties: {}\n"
    )

    with pytest.raises(StuckError, match="ScalableTarget"):
        Stacks(client, SystemClock()).ensure(StackRequest("odd", template, {}))

    assert stack_outputs(client, "odd") is None


@pytest.fixture
def foreign() -> Iterator[int]:
    """Somebody else's emulator: it answers, but it is another cloud's."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"cloud": "another", "pid": 1, "boot": "x", "balancer": ""}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def test_somebody_elses_emulator_on_our_port_is_not_taken_for_ours(tmp_path: Path, foreign: int) -> None:
    assert EmulatorProcess(tmp_path, "ours").identity(foreign) is None
    assert EmulatorProcess(tmp_path, "another").identity(foreign) is not None


def test_a_taken_port_is_refused_with_its_holder_before_anything_is_started(
    local_cloud: CloudInHand, tmp_path: Path
) -> None:
    said: list[str] = []
    images = BaseImages(local_cloud.engine, said.append).ensure
    spec = LocalSpec(APP, (LocalEnvironment("prod"),))
    cloud = LocalCloud(tmp_path, spec, images, lambda _endpoints, _environment: None, said.append)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        ports = {"aws": port + 1, "registry": port, "balancer": port + 2, "prod": port + 3}
        (tmp_path / "ports.json").write_text(json.dumps(ports))
        try:
            with pytest.raises(UnavailableError, match=f"port {port}.*held by pid {os.getpid()} "):
                cloud.up()
            label = f"dev.onedigest.cloud={cloud_id(tmp_path)}"
            assert local_cloud.engine.containers.list(all=True, filters={"label": label}) == []
        finally:
            cloud.reset()


def running_images(local_cloud: CloudInHand) -> list[str]:
    tasks = [task for task in local_cloud.containers("task") if task.status == "running"]
    return sorted(task.attrs["Config"]["Image"] for task in tasks)
