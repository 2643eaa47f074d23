"""Rollouts under a steady load: our local cloud, beside the bare emulator with its own load balancer.

`python -m bench.local_cloud [rollouts] [requests per second]` prints one line for each: requests sent, failed, the
longest time without a good answer. The app in the image listens three seconds after its start, as many do.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3

from pipeline.local.loopback import is_free
from pipeline.model.digest import ImageRef
from tests.system.cloud_in_hand import CloudInHand
from tests.system.steady_load import SteadyLoad, Tally

SLOW_START = ["sh", "-c", "sleep 3; exec python3 -u /server.py"]
TASKS = 2


def main(arguments: Sequence[str]) -> int:
    """Runs both and prints what came of them."""
    rollouts = int(arguments[0]) if arguments else 5
    rate = float(arguments[1]) if len(arguments) > 1 else 100.0
    with tempfile.TemporaryDirectory() as directory:
        hand = CloudInHand(Path(directory) / "local")
        try:
            images = [hand.image("good"), hand.image("good-2")]
            report("launcher and HAProxy", ours(hand, images, rollouts, rate))
            with bare_emulator() as port:
                report("bare emulator", Bare(port, images).run(rollouts, rate))
        finally:
            hand.cloud.reset()
    return 0


def report(name: str, tally: Tally) -> None:
    print(f"{name}: {tally.failed} failed of {tally.sent}, longest gap {tally.longest_gap:.2f} s", flush=True)
    for error in sorted(set(tally.errors))[:5]:
        print(f"    {error}", flush=True)


def ours(hand: CloudInHand, images: Sequence[ImageRef], rollouts: int, rate: float) -> Tally:
    hand.deploy("prod", images[0], TASKS, entryPoint=SLOW_START)
    with SteadyLoad(hand.endpoints.urls["prod"], rate=rate, path="/x") as load:
        for number in range(rollouts):
            hand.deploy("prod", images[(number + 1) % 2], TASKS, entryPoint=SLOW_START)
        time.sleep(3.0)
    return load.tally


@contextmanager
def bare_emulator() -> Iterator[int]:
    """The emulator as it comes, on a free loopback port."""
    port = next(port for port in range(21250, 21299) if is_free(port))
    environment = os.environ | {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "IOT_MTLS_ENABLED": "0"}
    process = subprocess.Popen(
        [sys.executable, "-m", "ministack"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait(lambda: answers(f"http://127.0.0.1:{port}/_ministack/health"))
        yield port
    finally:
        process.terminate()
        process.wait(timeout=60)


class Bare:
    """One service behind the bare emulator's load balancer."""

    def __init__(self, port: int, images: Sequence[ImageRef]) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.ecs, self.elb = self._client("ecs"), self._client("elbv2")
        self.definitions = [self._register(image) for image in images]

    def _client(self, name: str) -> Any:
        credentials = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "us-east-1"}
        return boto3.client(name, endpoint_url=self.url, **credentials)

    def _register(self, image: ImageRef) -> str:
        # The bare emulator knows no entryPoint: the image's own runs, and listens at once.
        container = {"name": "app", "image": str(image), "portMappings": [{"containerPort": 8080}]}
        answer = self.ecs.register_task_definition(
            family="bench", networkMode="awsvpc", containerDefinitions=[container]
        )
        return str(answer["taskDefinition"]["taskDefinitionArn"])

    def run(self, rollouts: int, rate: float) -> Tally:
        self._set_up()
        with SteadyLoad(self.url, rate=rate, path="/x", host="bench.alb.localhost") as load:
            for number in range(rollouts):
                self.ecs.update_service(service="bench", taskDefinition=self.definitions[(number + 1) % 2])
                wait(self._complete)
            time.sleep(3.0)
        self.ecs.delete_service(service="bench", force=True)
        return load.tally

    def _set_up(self) -> None:
        balancer = self.elb.create_load_balancer(Name="bench", Subnets=["subnet-1"])["LoadBalancers"][0]
        group = self.elb.create_target_group(
            Name="bench",
            Protocol="HTTP",
            Port=8080,
            VpcId="vpc-1",
            TargetType="ip",
            HealthCheckPath="/healthz",
        )["TargetGroups"][0]
        action = {"Type": "forward", "TargetGroupArn": group["TargetGroupArn"]}
        self.elb.create_listener(
            LoadBalancerArn=balancer["LoadBalancerArn"], Protocol="HTTP", Port=80, DefaultActions=[action]
        )
        target = {"targetGroupArn": group["TargetGroupArn"], "containerName": "app", "containerPort": 8080}
        self.ecs.create_cluster(clusterName="default")
        self.ecs.create_service(
            serviceName="bench",
            taskDefinition=self.definitions[0],
            desiredCount=TASKS,
            loadBalancers=[target],
        )
        wait(lambda: answers(self.url + "/x", "bench.alb.localhost"))

    def _complete(self) -> bool:
        found = self.ecs.describe_services(services=["bench"])["services"][0]["deployments"]
        return len(found) == 1 and found[0]["rolloutState"] == "COMPLETED"


def answers(url: str, host: str = "") -> bool:
    request = urllib.request.Request(url, headers={"Host": host} if host else {})
    try:
        with urllib.request.urlopen(request, timeout=2.0) as found:
            return bool(found.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def wait(until: Callable[[], bool], seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while not until():
        if time.monotonic() > deadline:
            raise TimeoutError("the bare emulator did not come so far")
        time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
