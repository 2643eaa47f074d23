"""Looking before a rollout, on the local cloud: what is missing or unfit there is found, and nothing is changed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from pipeline.adapters.account import Account
from pipeline.adapters.clock import SystemClock
from pipeline.adapters.http_probe import FreshConnectionProbe
from pipeline.adapters.log_lines import ServiceLog
from pipeline.adapters.registry import MANIFEST_TYPE, OciRegistry
from pipeline.model.check import Check, State
from pipeline.model.digest import Digest, ImageRef
from pipeline.model.rollout import RolloutPolicy
from pipeline.model.surroundings import Image
from pipeline.preflight import Preflight, Preview, Wish
from pipeline.rollout import DeploySpec, Rollout, RolloutOutcome
from tests.fakes.load import RecordedProgress
from tests.releases import CONTAINER, ENVIRONMENT, NAME, Releases, open_releases

WISH = Wish(environment=lambda image, _labels: {"DIGEST": str(image.digest)}, stay_up=2.0)
GROUP = f"/ecs/{NAME}/{ENVIRONMENT}"


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Releases]:
    with open_releases(tmp_path_factory.mktemp("preflight")) as made:
        policy = RolloutPolicy(deadline=120.0, stay_up=1.0, poll=0.5, drain=60.0)
        rollout = Rollout(made.service(), made.targets(), FreshConnectionProbe(), SystemClock(), policy)
        image = made.image("good")
        spec = DeploySpec(CONTAINER, environment={"DIGEST": str(image.digest)})
        assert rollout.deploy(image, spec, RecordedProgress()).outcome is RolloutOutcome.SUCCEEDED
        yield made


class Looking:
    """The environment, and a look at it that must leave it as it was."""

    def __init__(self, releases: Releases) -> None:
        self.releases = releases
        self.registry = OciRegistry(lambda: None)

    def client(self, name: str) -> Any:
        return self.releases.aws.client(name)

    @property
    def definition(self) -> Mapping[str, Any]:
        service = self.releases.service()
        return service.task_definition(service.describe().task_definition)

    def find(self, image: ImageRef) -> Image | None:
        if self.registry.resolve(image.repository, str(image.digest)) is None:
            return None
        facts = self.registry.image_facts(image)
        return Image(image.repository, facts.platforms, facts.labels)

    def look(self, image: ImageRef | None = None, wish: Wish = WISH, container: str = CONTAINER) -> Preview:
        before = self._state()
        service = replace(self.releases.service(), container=container)
        account = Account(self.releases.aws, NAME, NAME, container)
        wanted = image or self.releases.image("good-2")
        preview = Preflight(service, account, wish, SystemClock().now).look(wanted, lambda: self.find(wanted))
        assert self._state() == before
        return preview

    def check(self, name: str, **asked: Any) -> Check:
        return {check.name: check for check in self.look(**asked).checks}[name]

    def _state(self) -> object:
        service = self.releases.service().describe()
        definitions = self.client("ecs").list_task_definitions()["taskDefinitionArns"]
        return definitions, service.task_definition, service.desired, [d.id for d in service.deployments]


@pytest.fixture
def looking(releases: Releases) -> Looking:
    return Looking(releases)


def test_an_environment_in_order_is_ok_and_says_what_a_rollout_would_do(looking: Looking) -> None:
    image = looking.releases.image("good-2")
    preview = looking.look(image)
    states = {check.name: check.state for check in preview.checks}
    assert states.pop("pass role") is State.SKIP  # root acts here, of which IAM simulates nothing
    assert set(states.values()) == {State.OK}
    assert preview.error is None
    paths = [change.path for change in preview.changes]
    assert paths == ["containerDefinitions.app.environment.DIGEST", "containerDefinitions.app.image"]
    assert preview.replaced == str(looking.releases.image("good").digest)
    assert not preview.underway
    assert preview.prediction.unknown == ()
    assert preview.prediction.healthy >= 12.0  # two checks, 5 s apart, and the bake


def test_what_runs_already_is_known_as_that(looking: Looking) -> None:
    assert looking.look(looking.releases.image("good")).underway


def test_the_services_lines_come_in_order_and_no_more_than_asked(looking: Looking) -> None:
    log = ServiceLog(looking.client("logs"), looking.releases.service(), SystemClock())
    lines = log.lines(3600.0, 100)
    assert "began as good" in [line.text for line in lines]
    assert [line.time for line in lines] == sorted(line.time for line in lines)
    assert len(log.lines(3600.0, 1)) == 1
    ours = {task.id for task in looking.releases.service().tasks()}
    assert {line.task for line in lines} <= ours
    none = ServiceLog(looking.client("logs"), looking.releases.service(), SystemClock(), task="no-such-task")
    assert none.lines(3600.0, 100) == []


def test_an_image_that_the_registry_has_not(looking: Looking) -> None:
    preview = looking.look(looking.releases.missing())
    assert preview.error is not None
    assert str(looking.releases.missing().digest) in preview.error.message
    assert "image: " in preview.error.message


def foreign(looking: Looking, architecture: str) -> ImageRef:
    """The good image under a configuration that says another architecture."""
    registry, good = looking.registry, looking.releases.image("good")
    manifest = registry.manifest(good).document()
    config = json.loads(registry.blob(ImageRef(good.repository, Digest(manifest["config"]["digest"]))))
    content = json.dumps(config | {"architecture": architecture}).encode()
    digest = registry.put_blob(good.repository, content)
    described = {**manifest["config"], "digest": str(digest), "size": len(content)}
    body = json.dumps({**manifest, "config": described}).encode()
    kind = manifest.get("mediaType", MANIFEST_TYPE)
    return ImageRef(
        good.repository, registry.put_manifest(good.repository, f"for-{architecture}", kind, body)
    )


def test_an_image_for_another_machine(looking: Looking) -> None:
    preview = looking.look(foreign(looking, "arm64"))
    assert preview.error is not None
    assert "the image is for linux/arm64, the tasks run on linux/amd64" in preview.error.message


def test_a_secret_that_is_not_there_stands_under_its_name_in_what_would_be_registered(
    looking: Looking,
) -> None:
    preview = looking.look(wish=replace(WISH, secrets={"TOKEN": "releases/prod/token"}))
    assert preview.error is not None
    assert "there is no secret releases/prod/token (TOKEN in pipeline.toml)" in preview.error.message
    (change,) = [change for change in preview.changes if ".secrets." in change.path]
    assert (change.path, change.after) == ("containerDefinitions.app.secrets.TOKEN", "releases/prod/token")


@contextmanager
def secret(looking: Looking, name: str) -> Iterator[str]:
    secrets = looking.client("secretsmanager")
    arn = str(secrets.create_secret(Name=name, SecretString="x")["ARN"])
    try:
        yield arn
    finally:
        secrets.delete_secret(SecretId=arn, ForceDeleteWithoutRecovery=True)


def test_a_secret_under_the_environments_name_may_be_read_another_not(looking: Looking) -> None:
    with secret(looking, f"{NAME}/{ENVIRONMENT}/token") as ours, secret(looking, "elsewhere/token"):
        fine = looking.look(wish=replace(WISH, secrets={"TOKEN": f"{NAME}/{ENVIRONMENT}/token"}))
        assert fine.error is None
        assert ours in [change.after for change in fine.changes]
        denied = looking.check("secret access", wish=replace(WISH, secrets={"TOKEN": "elsewhere/token"}))
    assert denied.state is State.NG
    assert "may not read elsewhere/token" in denied.text


def test_a_secret_that_is_being_deleted(looking: Looking) -> None:
    with secret(looking, f"{NAME}/{ENVIRONMENT}/old") as arn:
        looking.client("secretsmanager").delete_secret(SecretId=arn)
        check = looking.check("secrets", wish=replace(WISH, secrets={"OLD": arn}))
    assert check.state is State.NG
    assert "is being deleted" in check.text


def test_alarms_that_are_missing_firing_and_silent(looking: Looking) -> None:
    cloudwatch = looking.client("cloudwatch")
    common = {
        "MetricName": "m",
        "Namespace": "n",
        "Period": 60,
        "EvaluationPeriods": 1,
        "Threshold": 1.0,
        "Statistic": "Sum",
        "ComparisonOperator": "GreaterThanThreshold",
    }
    for name, state in (("fine", "OK"), ("firing", "ALARM")):
        cloudwatch.put_metric_alarm(AlarmName=name, **common)
        cloudwatch.set_alarm_state(AlarmName=name, StateValue=state, StateReason="test")
    found = {
        name: looking.check("alarms", wish=replace(WISH, alarms=(name,)))
        for name in ("fine", "firing", "gone")
    }
    assert {name: check.state for name, check in found.items()} == {
        "fine": State.OK,
        "firing": State.NG,
        "gone": State.NG,
    }
    assert "firing already" in found["firing"].text


def test_a_container_of_another_name(looking: Looking) -> None:
    preview = looking.look(container="web")
    assert preview.error is not None
    assert "no container 'web'" in preview.error.message
    assert preview.wanted is None
    assert preview.changes == ()


def test_a_log_group_that_was_deleted(looking: Looking) -> None:
    logs = looking.client("logs")
    logs.delete_log_group(logGroupName=GROUP)
    try:
        check = looking.check("log group")
    finally:
        logs.create_log_group(logGroupName=GROUP)
    assert check.state is State.NG
    assert f"aws logs create-log-group --log-group-name {GROUP}" in check.fix
    assert looking.check("log group").state is State.OK


def test_a_target_group_that_nothing_leads_to(looking: Looking) -> None:
    elbv2 = looking.client("elbv2")
    (balancer,) = elbv2.describe_load_balancers()["LoadBalancers"]
    (listener,) = elbv2.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"]
    answer = {"StatusCode": "503", "ContentType": "text/plain", "MessageBody": "closed"}
    closed = [{"Type": "fixed-response", "FixedResponseConfig": answer}]
    elbv2.modify_listener(ListenerArn=listener["ListenerArn"], DefaultActions=closed)
    try:
        check = looking.check("listener")
    finally:
        elbv2.modify_listener(ListenerArn=listener["ListenerArn"], DefaultActions=listener["DefaultActions"])
    assert check.state is State.NG
    assert "nobody would reach the tasks" in check.text
    assert looking.check("listener").state is State.OK


def test_figures_that_make_it_slow_are_named(looking: Looking) -> None:
    elbv2 = looking.client("elbv2")
    group = looking.releases.service().describe().target_group
    key = "deregistration_delay.timeout_seconds"

    def delay(value: str) -> None:
        elbv2.modify_target_group_attributes(TargetGroupArn=group, Attributes=[{"Key": key, "Value": value}])

    delay("300")
    try:
        slow = looking.look().prediction.slow
    finally:
        delay("1")
    assert "deregistration delay 300 s is most of it; 30 s is enough" in slow


def test_a_role_that_was_deleted(looking: Looking) -> None:
    iam, arn = looking.client("iam"), str(looking.definition["taskRoleArn"])
    name = arn.rsplit("/", 1)[-1]
    kept = iam.get_role(RoleName=name)["Role"]
    iam.delete_role(RoleName=name)
    try:
        check = looking.check("roles")
    finally:
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(kept["AssumeRolePolicyDocument"]))
    assert check.state is State.NG
    assert arn in check.text
    assert looking.check("roles").state is State.OK
