"""Every check before a rollout: what is there is OK, what is missing is NG with the fix, what is unknown is SKIP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipeline.model.check import Check, State
from pipeline.model.dependencies import ECS_TASKS, Intent
from pipeline.model.digest import Digest, ImageRef
from pipeline.model.preflight import check_all, refusals
from pipeline.model.service import DeploymentState, ServiceState
from pipeline.model.strategy import Kind, Strategy, as_planned
from pipeline.model.surroundings import (
    Credential,
    Image,
    Lookup,
    Permission,
    Questions,
    Role,
    Running,
    Secret,
    Surroundings,
    TargetGroup,
    Unknown,
    questions_of,
)

ACCOUNT = "eu-west-1:123456789012"
EXECUTION, TASK = "arn:aws:iam::123456789012:role/exec", "arn:aws:iam::123456789012:role/task"
GROUP, OTHER = (f"arn:aws:elasticloadbalancing:{ACCOUNT}:targetgroup/{name}/1" for name in ("blue", "green"))
SECRET = f"arn:aws:secretsmanager:{ACCOUNT}:secret:shop/url-AbCdEf"
IMAGE = ImageRef("registry.test/shop", Digest("sha256:" + "a" * 64))
NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
DENIED = Unknown("iam:GetRole: not authorized (AccessDenied)")

DEFINITION: dict[str, Any] = {
    "family": "shop",
    "requiresCompatibilities": ["FARGATE"],
    "runtimePlatform": {"cpuArchitecture": "X86_64", "operatingSystemFamily": "LINUX"},
    "executionRoleArn": EXECUTION,
    "taskRoleArn": TASK,
    "containerDefinitions": [
        {
            "name": "app",
            "image": str(IMAGE),
            "stopTimeout": 20,
            "secrets": [
                {"name": "URL", "valueFrom": f"{SECRET}:key::"},
                {"name": "FLAG", "valueFrom": "/shop/flag"},
            ],
            "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "/ecs/shop"}},
        }
    ],
}
RAW: dict[str, Any] = {
    "loadBalancers": [{"targetGroupArn": GROUP}],
    "desiredCount": 2,
    "deploymentConfiguration": {
        "minimumHealthyPercent": 100,
        "maximumPercent": 200,
        "deploymentCircuitBreaker": {"enable": True, "rollback": True},
    },
}
DEPLOYMENT = DeploymentState("ecs-svc/1", "PRIMARY", "td/shop:1", "COMPLETED", "", 2, 2, 0)
SERVICE = ServiceState(
    f"arn:aws:ecs:{ACCOUNT}:service/prod/shop", "ACTIVE", "td/shop:1", 2, 2, (DEPLOYMENT,), GROUP, (), RAW
)
TRUSTED = Role(frozenset({ECS_TASKS}))
FORWARDED = TargetGroup("ip", 5.0, 2, 15.0, (1,))
FINE = Surroundings(
    image=Image(IMAGE.repository, ("linux/amd64", "linux/arm64")),
    roles={EXECUTION: TRUSTED, TASK: TRUSTED},
    passing={EXECUTION: Permission.ALLOWED, TASK: Permission.ALLOWED},
    secrets={SECRET: Secret(SECRET), "/shop/flag": Secret("/shop/flag")},
    reading={SECRET: Permission.ALLOWED, "/shop/flag": Permission.ALLOWED},
    log_groups={"/ecs/shop": "/ecs/shop"},
    target_groups={GROUP: FORWARDED},
    running=Running(),
    credential=Credential("sso", NOW + timedelta(hours=1), renews=True, temporary=True),
)


def intent(**changed: Any) -> Intent:
    service, definition = changed.get("service", SERVICE), changed.get("definition", DEFINITION)
    alarms = changed.pop("alarms", ())
    asked = questions_of(definition, service.raw, container="app", declared={}, alarms=alarms)
    made = Intent(SERVICE, DEFINITION, "app", IMAGE, {}, asked, NOW, 60.0)
    return replace(made, **changed)


def found(name: str, seen: Surroundings = FINE, **changed: Any) -> Check:
    return {check.name: check for check in check_all(intent(**changed), seen)}[name]


def raw(**changed: Any) -> ServiceState:
    return replace(SERVICE, raw=RAW | changed)


def test_where_everything_is_there_nothing_is_refused_or_skipped() -> None:
    checks = check_all(intent(alarms=("errors",)), replace(FINE, alarms={"errors": "OK"}))
    assert {check.state for check in checks} == {State.OK}
    assert refusals(checks) == ()
    assert len({check.name for check in checks}) == len(checks) == 19


def test_what_a_definition_and_a_service_name_is_asked_about() -> None:
    service = {
        "loadBalancers": [
            {"targetGroupArn": GROUP, "advancedConfiguration": {"alternateTargetGroupArn": OTHER}}
        ]
    }
    sidecar = {
        "name": "proxy",
        "secrets": [{"name": "URL", "valueFrom": "proxy-url"}],
        "repositoryCredentials": {"credentialsParameter": SECRET},
        "logConfiguration": {
            "logDriver": "fluentd",
            "secretOptions": [{"name": "k", "valueFrom": "/log/key"}],
        },
    }
    definition = DEFINITION | {"containerDefinitions": [*DEFINITION["containerDefinitions"], sidecar]}
    asked = questions_of(
        definition, service, container="app", declared={"URL": "shop/new"}, alarms=("a", "a")
    )
    assert asked == Questions(
        roles=(EXECUTION, TASK),
        reader=EXECUTION,
        secrets=("shop/new", SECRET),
        parameters=("/shop/flag", "proxy-url", "/log/key"),
        log_groups=("/ecs/shop",),
        target_groups=(GROUP, OTHER),
        alarms=("a",),
    )


def changed(part: str, value: Lookup[object], *, key: str) -> Surroundings:
    known: Mapping[str, Any] = getattr(FINE, part)
    new: dict[str, Any] = {part: {**known, key: value}}
    return replace(FINE, **new)


NG = {
    "role gone": ("roles", changed("roles", None, key=TASK), "there is no role"),
    "role not for tasks": ("roles", changed("roles", Role(frozenset({"ec2"})), key=TASK), "taken on"),
    "role not ours": ("pass role", changed("passing", Permission.DENIED, key=TASK), "iam:PassRole"),
    "secret gone": ("secrets", changed("secrets", None, key=SECRET), "no secret " + SECRET),
    "secret ends": ("secrets", changed("secrets", Secret("x", "is being deleted"), key=SECRET), "deleted"),
    "secret closed": ("secret access", changed("reading", Permission.DENIED, key=SECRET), "may not read"),
    "log group gone": ("log group", changed("log_groups", None, key="/ecs/shop"), "/ecs/shop"),
    "group gone": ("target group", changed("target_groups", None, key=GROUP), "there is no target group"),
    "instances": (
        "target group",
        changed("target_groups", replace(FORWARDED, kind="instance"), key=GROUP),
        "type",
    ),
    "no listener": (
        "listener",
        changed("target_groups", replace(FORWARDED, weights=()), key=GROUP),
        "nobody",
    ),
    "weight 0": (
        "listener",
        changed("target_groups", replace(FORWARDED, weights=(0,)), key=GROUP),
        "weight 0",
    ),
    "image gone": ("image", replace(FINE, image=None), str(IMAGE.digest)),
    "other machine": ("platform", replace(FINE, image=Image("r", ("linux/arm64",))), "linux/arm64"),
}


@pytest.mark.parametrize("case", NG)
def test_what_is_missing_or_unfit_is_ng_with_the_fix(case: str) -> None:
    name, seen, words = NG[case]
    check = found(name, seen)
    assert check.state is State.NG
    assert words in check.text
    assert check.fix


UNKNOWN = {
    "roles": changed("roles", DENIED, key=TASK),
    "pass role": changed("passing", DENIED, key=TASK),
    "secrets": changed("secrets", DENIED, key=SECRET),
    "secret access": changed("reading", DENIED, key=SECRET),
    "log group": changed("log_groups", DENIED, key="/ecs/shop"),
    "target group": changed("target_groups", DENIED, key=GROUP),
    "listener": changed("target_groups", replace(FORWARDED, weights=DENIED), key=GROUP),
    "image": replace(FINE, image=DENIED),
    "credential": replace(FINE, credential=DENIED),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_could_not_be_looked_up_is_skipped_with_the_reason(name: str) -> None:
    check = found(name, UNKNOWN[name])
    assert check.state is State.SKIP
    assert DENIED.why in check.text


def test_nothing_follows_from_answers_that_are_not_there() -> None:
    checks = check_all(intent(alarms=("errors",)), Surroundings())
    looked_up = {check.name: check.state for check in checks[checks.index(found_in(checks, "image")) :]}
    assert set(looked_up.values()) == {State.SKIP}


def found_in(checks: tuple[Check, ...], name: str) -> Check:
    return next(check for check in checks if check.name == name)


def test_the_worst_of_several_is_told_and_all_of_its_kind() -> None:
    seen = replace(FINE, roles={EXECUTION: None, TASK: None})
    check = found("roles", seen)
    assert EXECUTION in check.text
    assert TASK in check.text
    assert found("roles", replace(FINE, roles={EXECUTION: DENIED, TASK: None})).state is State.NG


def test_a_log_group_that_ecs_creates_need_not_be_there() -> None:
    container = DEFINITION["containerDefinitions"][0]
    options = {"awslogs-group": "/ecs/shop", "awslogs-create-group": "true"}
    config = {"logDriver": "awslogs", "options": options}
    definition = DEFINITION | {"containerDefinitions": [container | {"logConfiguration": config}]}
    check = found("log group", changed("log_groups", None, key="/ecs/shop"), definition=definition)
    assert (check.state, check.text) == (State.OK, "/ecs/shop, which ECS creates")


def test_a_definition_that_needs_an_execution_role_and_has_none() -> None:
    definition = {key: value for key, value in DEFINITION.items() if key != "executionRoleArn"}
    assert found("roles", definition=definition).state is State.NG
    plain = definition | {"containerDefinitions": [{"name": "app", "image": "x"}]}
    assert found("roles", definition=plain).state is State.OK


def test_a_declared_secret_that_is_missing_names_its_variable() -> None:
    declared = {"TOKEN": "shop/token"}
    asked = replace(intent().asked, secrets=("shop/token",), parameters=())
    check = found("secrets", replace(FINE, secrets={"shop/token": None}), declared=declared, asked=asked)
    assert "shop/token (TOKEN in pipeline.toml)" in check.text


def test_blue_green_needs_a_weight_on_one_of_the_two_groups() -> None:
    advanced = {"alternateTargetGroupArn": OTHER}
    service = raw(loadBalancers=[{"targetGroupArn": GROUP, "advancedConfiguration": advanced}])
    groups = {GROUP: replace(FORWARDED, weights=(0,)), OTHER: replace(FORWARDED, weights=(100,))}
    assert found("listener", replace(FINE, target_groups=groups), service=service).state is State.OK
    groups[OTHER] = replace(FORWARDED, weights=(0,))
    assert found("listener", replace(FINE, target_groups=groups), service=service).state is State.NG


def test_one_of_two_load_balancers_without_a_listener_is_ng() -> None:
    service = raw(loadBalancers=[{"targetGroupArn": GROUP}, {"targetGroupArn": OTHER}])
    groups = {GROUP: FORWARDED, OTHER: replace(FORWARDED, weights=())}
    check = found("listener", replace(FINE, target_groups=groups), service=service)
    assert check.state is State.NG
    assert "green" in check.text


@pytest.mark.parametrize(
    ("name", "group", "advice"),
    [
        ("health check", FORWARDED, ""),
        ("health check", replace(FORWARDED, interval=30.0, threshold=5), "5 s × 2 is enough"),
        ("draining", FORWARDED, ""),
        ("draining", replace(FORWARDED, delay=300.0), "a little more than the slowest request is enough"),
    ],
)
def test_a_target_group_that_takes_long_is_told_what_is_enough(
    name: str, group: TargetGroup, advice: str
) -> None:
    check = found(name, replace(FINE, target_groups={GROUP: group}))

    assert check.state is State.OK
    assert advice in check.text
    assert ("enough" in check.text) is bool(advice)


def test_a_task_that_is_given_no_time_to_leave_is_told() -> None:
    quick = {
        **DEFINITION,
        "containerDefinitions": [{**DEFINITION["containerDefinitions"][0], "stopTimeout": 2}],
    }
    groups = {GROUP: replace(FORWARDED, delay=1.0)}

    check = found("draining", replace(FINE, target_groups=groups), definition=quick)

    assert "requests that take longer than both are cut" in check.text


def test_a_service_without_a_load_balancer_needs_none() -> None:
    service = raw(loadBalancers=[])
    assert {found(name, service=service).state for name in ("target group", "listener", "draining")} == {
        State.OK
    }


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ("OK", State.OK),
        ("ALARM", State.NG),
        ("INSUFFICIENT_DATA", State.SKIP),
        (None, State.NG),
        (DENIED, State.SKIP),
    ],
)
def test_an_alarm_must_be_there_and_quiet(state: Lookup[str], told: State) -> None:
    seen = replace(FINE, alarms={"errors": state})
    check = found("alarms", seen, alarms=("errors",))
    assert check.state is told
    assert (check.state is State.NG) == bool(check.fix)


HOUR = timedelta(hours=1)
CREDENTIALS = {
    "long enough": (Credential("env", NOW + HOUR), State.OK),
    "too short": (Credential("env", NOW + timedelta(seconds=30)), State.NG),
    "expired": (Credential("env", NOW - HOUR), State.NG),
    "renewed": (Credential("iam-role", NOW + timedelta(seconds=30), renews=True), State.SKIP),
    "a key": (Credential("explicit"), State.OK),
    "temporary, end unknown": (Credential("env", temporary=True), State.SKIP),
}


@pytest.mark.parametrize("case", CREDENTIALS)
def test_a_credential_must_outlive_the_rollout(case: str) -> None:
    credential, state = CREDENTIALS[case]
    assert found("credential", replace(FINE, credential=credential)).state is state


def test_a_container_that_is_not_there_is_told_with_those_that_are() -> None:
    check = found("container", container="web")
    assert check.state is State.NG
    assert check.fix.endswith(": app")


@pytest.mark.parametrize(
    ("platform", "compatible", "wanted"),
    [
        ({"cpuArchitecture": "ARM64"}, ["FARGATE"], "linux/arm64"),
        ({}, ["FARGATE"], "linux/amd64"),
        (
            {"cpuArchitecture": "X86_64", "operatingSystemFamily": "WINDOWS_SERVER_2022_CORE"},
            [],
            "windows/amd64",
        ),
    ],
)
def test_the_image_must_be_for_what_the_tasks_run_on(
    platform: dict[str, str], compatible: list[str], wanted: str
) -> None:
    definition = DEFINITION | {"runtimePlatform": platform, "requiresCompatibilities": compatible}
    seen = replace(FINE, image=Image("r", (wanted,)))
    assert (found("platform", seen, definition=definition).state) is State.OK
    other = replace(FINE, image=Image("r", ("linux/s390x",)))
    assert wanted in found("platform", other, definition=definition).text


def test_instances_of_unknown_make_are_not_guessed() -> None:
    definition = DEFINITION | {"runtimePlatform": {}, "requiresCompatibilities": ["EC2"]}
    assert found("platform", definition=definition).state is State.SKIP


def test_without_a_digest_nothing_is_said_of_the_image() -> None:
    assert found("image", image=None).state is State.SKIP


def test_an_image_that_lies_elsewhere_is_taken_over() -> None:
    check = found("image", replace(FINE, image=Image("build.test/shop", ("linux/amd64",))))
    assert check.state is State.OK
    assert "build.test/shop" in check.text


def test_the_service_itself() -> None:
    assert found("service", service=replace(SERVICE, status="DRAINING")).state is State.NG
    check = found("service", service=raw(deploymentController={"type": "CODE_DEPLOY"}))
    assert check.state is State.NG
    assert "CODE_DEPLOY" in check.text


def test_a_deployment_in_progress_is_told() -> None:
    moving = replace(DEPLOYMENT, rollout_state="IN_PROGRESS")
    check = found("deployments", service=replace(SERVICE, deployments=(moving,)))
    assert check.state is State.SKIP
    assert "ecs-svc/1" in check.text


@pytest.mark.parametrize(
    ("breaker", "state"),
    [({}, State.SKIP), ({"enable": True}, State.OK), ({"enable": True, "rollback": True}, State.OK)],
)
def test_the_circuit_breaker_is_told(breaker: dict[str, bool], state: State) -> None:
    service = raw(deploymentConfiguration={"deploymentCircuitBreaker": breaker})
    assert found("circuit breaker", service=service).state is state


def test_percentages_that_let_nothing_be_replaced() -> None:
    service = raw(deploymentConfiguration={"minimumHealthyPercent": 100, "maximumPercent": 100})
    check = found("percentages", service=service)
    assert check.state is State.NG
    assert "2 tasks" in check.text
    daemon = raw(schedulingStrategy="DAEMON", deploymentConfiguration={"maximumPercent": 100})
    assert found("percentages", service=daemon).state is State.OK


TOLD = {"currentServiceDeployment": "arn:aws:ecs:eu-west-1:123456789012:service-deployment/prod/shop/1"}


def test_a_strategy_whose_traffic_cannot_shift_is_refused_before_the_rollout() -> None:
    planned = as_planned(RAW | TOLD, Strategy(Kind.CANARY), 2)
    check = found("strategy", service=replace(SERVICE, raw=planned))
    assert check.state is State.NG
    assert "alternateTargetGroupArn" in check.text
    assert 'strategy = "rolling"' in check.fix


def test_a_strategy_that_nobody_tells_of_is_not_called_fine() -> None:
    assert found("strategy", service=raw(deploymentConfiguration={"strategy": "CANARY"})).state is State.SKIP
    assert found("strategy").text == "rolling"
