"""`doctor`: what is missing is NG with the fix, what does not apply is SKIP with the reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.adapters.signer import file_signer
from pipeline.checks import Check, State, look

SETTINGS = """
[app]
name = "shop"
[cloud]
provider = "local"
[environments.staging]
[environments.prod]
"""
DOCKERFILE = 'FROM python:3.11-slim-bookworm\nUSER 1000\nCMD ["true"]\n'


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pipeline.toml").write_text(SETTINGS)
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    tests = tmp_path / "tests" / "integration"
    tests.mkdir(parents=True)
    (tests / "test_shop.py").write_text("def test_it(): ...\n")
    (tmp_path / "loadtests").mkdir()
    return tmp_path


def locustfile(root: Path, first_line: str) -> None:
    text = f"{first_line}\nclass U(HttpUser):\n    @task\n    def t(self): ...\n"
    (root / "loadtests" / "locustfile.py").write_text(text)


@pytest.fixture(autouse=True)
def _no_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("CI", "ONEDIGEST_SIGNING_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")


def found(root: Path) -> dict[str, Check]:
    return {check.name: check for check in look(root)}


def test_a_project_in_order_is_ok_but_for_what_is_not_here(project: Path) -> None:
    locustfile(project, "from locust import HttpUser, task")
    states = {name: check.state for name, check in found(project).items()}
    assert states.pop("docker") is State.NG
    assert states.pop("git") is State.SKIP
    assert states.pop("cloud") in (State.SKIP, State.NG)
    assert states.pop("disk") in State
    assert states.pop("keys") is State.SKIP
    assert set(states) == {"python", "pipeline.toml", "dockerfile", "integration", "locustfile"}
    assert set(states.values()) == {State.OK}


def test_a_key_that_is_there_is_named_with_what_it_may_sign(project: Path, tmp_path: Path) -> None:
    file_signer(tmp_path / "config" / "onedigest" / "signing.key", create=True)
    check = found(project)["keys"]
    assert check.state is State.OK
    assert check.text.startswith("signs: this machine; trusted: this machine (approval, build,")


def test_on_aws_in_ci_a_missing_key_is_ng_with_the_secret_to_set(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    text = SETTINGS.replace('"local"', '"aws"')
    (project / "pipeline.toml").write_text(text)
    check = next(check for check in look(project) if check.name == "keys")
    assert check.state is State.NG
    assert "ONEDIGEST_SIGNING_KEY" in check.fix


def test_a_key_in_kms_is_left_to_the_run(project: Path) -> None:
    (project / "pipeline.toml").write_text(SETTINGS + '[evidence]\nsigner = "awskms:///alias/x"\n')
    assert found(project)["keys"].state is State.SKIP


def test_everything_that_is_wrong_has_its_fix(project: Path) -> None:
    (project / "Dockerfile").unlink()
    (project / "tests" / "integration" / "test_shop.py").unlink()
    seen = found(project)
    for name, word in (
        ("dockerfile", "app.dockerfile"),
        ("integration", "integration.tests"),
        ("locustfile", "locust"),
    ):
        assert seen[name].state is State.NG
        assert word in seen[name].fix
    assert all(check.fix for check in seen.values() if check.state is State.NG)


def test_findings_in_the_dockerfile_are_named(project: Path) -> None:
    (project / "Dockerfile").write_text("FROM python:latest\n")
    check = found(project)["dockerfile"]
    assert check.state is State.NG
    assert "Dockerfile:1: DL3007" in check.text


def test_linting_that_is_turned_off_is_not_done(project: Path) -> None:
    (project / "pipeline.toml").write_text(SETTINGS + "[build]\nlint = false\n")
    (project / "Dockerfile").write_text("FROM python:latest\n")
    assert found(project)["dockerfile"].state is State.OK


def test_a_locustfile_that_does_not_import_shows_why(project: Path) -> None:
    locustfile(project, "import not_there")
    check = found(project)["locustfile"]
    assert check.state is State.NG
    assert "not_there" in check.text


def test_mistakes_in_pipeline_toml_end_the_look(project: Path) -> None:
    (project / "pipeline.toml").write_text(SETTINGS.replace('"local"', '"lokal"'))
    seen = found(project)
    assert list(seen)[-1] == "pipeline.toml"
    assert "did you mean 'local'" in seen["pipeline.toml"].text


def test_nothing_is_changed_by_looking(project: Path) -> None:
    def files() -> set[Path]:
        return {path for path in project.rglob("*") if "__pycache__" not in path.parts}

    before = files()
    found(project)
    assert files() == before
