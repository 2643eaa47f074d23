from __future__ import annotations

from pipeline.local.emulation.containers import health_check, plain_reason, run_options, worst
from pipeline.local.emulation.templates import container_definition, service_properties


def test_limits_user_entry_point_and_read_only_root_reach_the_engine() -> None:
    options = run_options(
        {"memory": "512", "cpu": "256"},
        {"entryPoint": ["/bin/app"], "user": "10001", "readonlyRootFilesystem": True, "memory": 128},
    )

    assert options["mem_limit"] == 128 * 1024 * 1024
    assert options["memswap_limit"] == options["mem_limit"]
    assert options["cpu_shares"] == 256
    assert options["entrypoint"] == ["/bin/app"]
    assert options["user"] == "10001"
    assert options["read_only"] is True


def test_a_task_level_memory_is_the_limit_of_a_container_without_one() -> None:
    assert run_options({"memory": "512"}, {})["mem_limit"] == 512 * 1024 * 1024


def test_a_tmpfs_mount_reaches_the_engine_with_its_size() -> None:
    mount = {"containerPath": "/tmp", "size": 16, "mountOptions": ["noexec"]}

    assert run_options({}, {"linuxParameters": {"tmpfs": [mount]}})["tmpfs"] == {"/tmp": "size=16m,noexec"}


def test_an_images_own_health_check_is_switched_off_as_ecs_does() -> None:
    assert run_options({}, {})["healthcheck"] == {"test": ["NONE"]}


def test_a_definitions_health_check_has_ecs_defaults() -> None:
    assert health_check({"command": ["CMD", "true"], "interval": 7}) == {
        "test": ["CMD", "true"],
        "interval": 7_000_000_000,
        "timeout": 5_000_000_000,
        "retries": 3,
        "start_period": 0,
    }


def test_a_task_is_as_healthy_as_its_worst_container() -> None:
    assert worst(["HEALTHY", "UNHEALTHY"]) == "UNHEALTHY"
    assert worst(["HEALTHY", "UNKNOWN"]) == "UNKNOWN"
    assert worst(["HEALTHY"]) == "HEALTHY"
    assert worst([]) == "UNKNOWN"


def test_a_failed_pull_is_told_without_the_engines_request_line() -> None:
    reason = (
        "CannotPullContainerError: 404 Client Error for http+docker://localhost/v1.41/images/create?tag=x: "
        'Not Found ("manifest for localhost:1/a@sha256:1 not found: manifest unknown")'
    )

    said = "CannotPullContainerError: manifest for localhost:1/a@sha256:1 not found: manifest unknown"
    assert plain_reason(reason) == said
    assert (
        plain_reason("ResourceInitializationError: no such secret")
        == "ResourceInitializationError: no such secret"
    )


def test_a_templates_container_definition_becomes_the_apis() -> None:
    definition = container_definition(
        {
            "Name": "app",
            "Essential": "true",
            "StopTimeout": "7",
            "PortMappings": [{"ContainerPort": "8080"}],
            "Secrets": [{"Name": "DATABASE_URL", "ValueFrom": "arn:secret"}],
            "LogConfiguration": {"LogDriver": "awslogs", "Options": {"awslogs-group": "/ecs/a"}},
            "DockerLabels": {"Team": "Blue"},
        }
    )

    assert definition == {
        "name": "app",
        "essential": True,
        "stopTimeout": 7,
        "portMappings": [{"containerPort": 8080}],
        "secrets": [{"name": "DATABASE_URL", "valueFrom": "arn:secret"}],
        "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "/ecs/a"}},
        "dockerLabels": {"Team": "Blue"},
    }


def test_a_services_numbers_are_numbers_where_a_templates_parameter_gave_text() -> None:
    asked = {
        "DesiredCount": "0",
        "HealthCheckGracePeriodSeconds": "30",
        "EnableExecuteCommand": "true",
        "LoadBalancers": [{"ContainerName": "app", "ContainerPort": "8080"}],
    }

    assert service_properties(asked) == {
        "DesiredCount": 0,
        "HealthCheckGracePeriodSeconds": 30,
        "EnableExecuteCommand": True,
        "LoadBalancers": [{"ContainerName": "app", "ContainerPort": 8080}],
    }
    assert service_properties({}) == {}
