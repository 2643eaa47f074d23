"""Looking before promoting: what would be changed, what stands in the way, and that nothing was done."""

from __future__ import annotations

import signal
from pathlib import Path

import docker

from tests.e2e.conftest import Copy, Done

SECRET = 'secrets = { DATABASE_URL = "petclinic/prod/database-url" }'


def state(project: Copy) -> tuple[object, ...]:
    """What a look must leave as it was: what runs where, and everything that is kept."""
    label = {"label": f"dev.onedigest.cloud={project.cloud()}"}
    containers = sorted(container.id or "" for container in docker.from_env().containers.list(filters=label))
    kept = [
        path for name in ("runs", "evidence", "builds") for path in _files(project.root / ".pipeline" / name)
    ]
    return containers, sorted(kept)


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_dry_run_tells_everything_and_does_nothing(project: Copy, released: Done) -> None:
    digest, before = released.answer["digest"], state(project)
    done = project.pipeline("--json", "promote", digest, "prod", "--dry-run", "--fresh")
    assert (done.code, done.answer["exit_code"], done.answer["dry_run"]) == (0, 0, True)
    assert {check["state"] for check in done.answer["checks"]} == {"OK", "SKIP"}
    assert done.answer["previous"] == digest
    assert len(done.answer["replaces"]["commit"]) == 40
    assert done.answer["commits"] == done.answer["undone"] == done.answer["changes"] == []
    assert done.answer["predicted"]["healthy_s"] > 0
    assert done.answer["ignore_changes"] == ["task_definition", "desired_count"]
    assert state(project) == before


def test_what_was_predicted_is_on_record_beside_what_it_took(released: Done) -> None:
    deployment = released.stages["prod"]["facts"]["deployment"]
    assert deployment["predicted"]["terms"]["bake"] == 2.0
    assert deployment["healthy_at"] > deployment["started_at"]
    assert "expected: healthy in about" in released.said


def test_a_digest_that_never_passed_gets_the_code_of_a_real_promotion(project: Copy, released: Done) -> None:
    unknown = "sha256:" + "f" * 64
    done = project.pipeline("--json", "promote", unknown, "prod", "--dry-run")
    assert done.code == project.pipeline("promote", unknown, "prod").code == 1
    assert done.answer["outcome"] == "refused"
    image = next(check for check in done.answer["checks"] if check["name"] == "image")
    assert (image["state"], unknown in image["text"]) == ("NG", True)


def test_a_missing_secret_is_refused_before_anything_is_changed(changed: Copy, released: Done) -> None:
    digest = released.answer["digest"]
    changed.change("pipeline.toml", SECRET, SECRET.replace(" }", ', TOKEN = "petclinic/prod/no-such" }'))
    looked = changed.pipeline("promote", digest, "prod", "--dry-run")
    before = state(changed)[0]
    done = changed.pipeline("--json", "promote", digest, "prod")
    assert looked.code == done.code == 3
    assert done.stages["prod"]["evidence"] == ""
    for said in (looked.said, done.said):
        assert "there is no secret petclinic/prod/no-such (TOKEN in pipeline.toml)" in said
    assert "nothing was changed" in done.said
    assert state(changed)[0] == before
    assert changed.serves("prod") == digest


def test_a_diff_shows_what_the_definition_would_be(changed: Copy, released: Done) -> None:
    changed.change("pipeline.toml", SECRET, SECRET + '\nenvironment = { MODE = "b", API_TOKEN = "hush" }')
    done = changed.pipeline("diff", released.answer["digest"], "prod")
    assert done.code == 0
    assert "+ containerDefinitions.app.environment.MODE = b" in done.out
    assert "API_TOKEN = (masked)" in done.out
    assert "hush" not in done.out + done.said
    assert "commits     none: the same commit" in done.out


def test_logs_are_no_more_than_asked_and_of_both_tasks(project: Copy, released: Done) -> None:
    done = project.pipeline("logs", "prod", "--since", "1h", "--limit", "7")
    assert (done.code, len(done.out.splitlines())) == (0, 7)
    lines = project.pipeline("--json", "logs", "prod", "--since", "1h").answer["lines"]
    assert len({line["task"] for line in lines}) >= 2
    assert [line["time"] for line in lines] == sorted(line["time"] for line in lines)
    one = project.pipeline("--json", "logs", "prod", "--since", "1h", "--task", lines[0]["task"][:8])
    assert {line["task"] for line in one.answer["lines"]} == {lines[0]["task"]}


def test_following_ends_with_ctrl_c_and_no_more_words(project: Copy, released: Done) -> None:
    process = project.start("-q", "logs", "prod", "--follow", "--since", "1h", "--limit", "1")
    assert process.stdout is not None
    assert process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, "")
    assert project.pipeline("--json", "logs", "prod", "--follow").code == 2


def test_doctor_looks_at_each_environment(project: Copy, released: Done) -> None:
    found = {check["name"]: check["state"] for check in project.pipeline("--json", "doctor").answer["checks"]}
    assert found["staging log group"] == found["prod listener"] == "OK"
    assert found["prod image"] == "SKIP"
