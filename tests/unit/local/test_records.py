from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

from pipeline.local.cloud import cloud_id, container_status
from pipeline.local.databases import Passwords, database_urls, passwords, set_up_sql
from pipeline.local.launch import CONFIG_LABEL, LaunchSettings
from pipeline.local.parts import Part, postgres_part
from pipeline.local.progress import Progress
from pipeline.local.restore import Record, merged
from pipeline.local.spec import Desired, Endpoints, LocalStatus, PartStatus
from pipeline.local.starting import launched_as, stands

DESIRED = Desired(
    "prod", "c", "s", {"family": "f", "containerDefinitions": [{"name": "app", "image": "r@sha256:1"}]}, 2
)


def test_passwords_are_made_once_and_only_the_owner_reads_them(tmp_path: Path) -> None:
    first = passwords(tmp_path, ["staging"])
    second = passwords(tmp_path, ["staging", "prod"])

    assert second.environments["staging"] == first.environments["staging"]
    assert second.environments["prod"] != first.environments["staging"]
    assert second.server == first.server
    assert stat.S_IMODE((tmp_path / "passwords.json").stat().st_mode) == 0o600


def test_no_password_shows_in_what_is_printed() -> None:
    known = Passwords("server-secret", {"prod": "prod-secret"})
    endpoints = Endpoints("a", "r", "e", "0", {}, database_urls("shop", known))

    assert "secret" not in repr(known)
    assert "prod-secret" not in repr(endpoints)


def test_each_environment_has_its_own_database_and_user() -> None:
    known = Passwords("x", {"staging": "aa", "prod": "bb"})

    assert database_urls("pet-clinic", known) == {
        "staging": "postgresql://pet_clinic_staging:aa@postgres:5432/pet_clinic_staging",
        "prod": "postgresql://pet_clinic_prod:bb@postgres:5432/pet_clinic_prod",
    }
    sql = set_up_sql("pet-clinic", known)
    assert "CREATE DATABASE pet_clinic_prod OWNER pet_clinic_prod" in sql
    assert sql.count("\\gexec") == 4


def test_what_is_recorded_is_read_back(tmp_path: Path) -> None:
    record = Record(tmp_path)
    record.keep(DESIRED)

    assert record.of("prod") == DESIRED
    assert record.of("staging") is None
    assert DESIRED.image == "r@sha256:1"


def test_a_broken_record_counts_as_none(tmp_path: Path) -> None:
    record = Record(tmp_path)
    record.keep(DESIRED)
    (tmp_path / "desired" / "prod.json").write_text('{"environment": "prod"')

    assert record.of("prod") is None


def test_a_restored_definition_has_the_new_stacks_roles_secrets_and_log_group() -> None:
    recorded = {
        "taskDefinitionArn": "arn:old:3",
        "revision": 3,
        "family": "shop",
        "cpu": "512",
        "executionRoleArn": "arn:old-role",
        "containerDefinitions": [
            {
                "name": "app",
                "image": "r@sha256:1",
                "environment": [{"name": "APP_DIGEST", "value": "sha256:1"}],
                "secrets": [
                    {"name": "DATABASE_URL", "valueFrom": "arn:old"},
                    {"name": "X", "valueFrom": "arn:x"},
                ],
                "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "old"}},
            }
        ],
    }
    live = {
        "executionRoleArn": "arn:new-role",
        "containerDefinitions": [
            {
                "name": "app",
                "image": "bootstrap",
                "secrets": [{"name": "DATABASE_URL", "valueFrom": "arn:new"}],
                "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "new"}},
            }
        ],
    }

    result = merged(live, recorded)

    container = result["containerDefinitions"][0]
    assert "revision" not in result
    assert result["cpu"] == "512"
    assert result["executionRoleArn"] == "arn:new-role"
    assert container["image"] == "r@sha256:1"
    assert container["environment"] == [{"name": "APP_DIGEST", "value": "sha256:1"}]
    assert [secret["valueFrom"] for secret in container["secrets"]] == ["arn:new", "arn:x"]
    assert container["logConfiguration"]["options"]["awslogs-group"] == "new"


def test_what_was_done_for_one_start_of_the_emulator_counts_for_that_start_only(tmp_path: Path) -> None:
    Progress("boot-1", {"prod": "key"}, ["prod"]).save(tmp_path)

    assert Progress.load(tmp_path, "boot-1").provisioned == {"prod": "key"}
    assert Progress.load(tmp_path, "boot-1").to_restore(["staging", "prod"]) == ["staging"]
    assert Progress.load(tmp_path, "boot-2") == Progress("boot-2")


def test_a_container_stands_only_when_it_runs_with_this_very_configuration() -> None:
    part = Part("registry", "registry:2", {5000: 1})
    listed = {"State": "running", "Labels": {CONFIG_LABEL: part.config}}

    assert stands(part, listed)
    assert not stands(part, {**listed, "State": "exited"})
    assert not stands(Part("registry", "registry:2", {5000: 2}), listed)
    assert not stands(part, None)


def test_a_password_is_part_of_a_parts_configuration() -> None:
    assert postgres_part("c", "one").config != postgres_part("c", "two").config


def test_the_emulator_is_started_anew_when_its_settings_change(tmp_path: Path) -> None:
    settings = LaunchSettings("c", 1, "us-east-1", "n", 2, {"prod": "env_prod"})
    assert not launched_as(tmp_path, settings)

    settings.save(tmp_path)
    assert launched_as(tmp_path, settings)
    assert not launched_as(tmp_path, LaunchSettings("c", 1, "eu-west-1", "n", 2, {"prod": "env_prod"}))
    assert not launched_as(tmp_path, replace(settings, code="newer"))


def test_two_state_directories_are_two_clouds(tmp_path: Path) -> None:
    assert cloud_id(tmp_path / "a") != cloud_id(tmp_path / "b")
    assert cloud_id(tmp_path / "a") == cloud_id(tmp_path / "x" / ".." / "a")


def test_a_status_without_parts_is_not_up() -> None:
    assert not LocalStatus((), {}).up
    assert not LocalStatus((container_status("registry", None, {"registry": 5}),), {}).up
    assert LocalStatus((PartStatus("emulator", up=True, port=1, detail=""),), {}).up
