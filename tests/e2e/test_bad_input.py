"""Mistakes of the user: a clear error, the next step, the right exit code, no traceback. None of these needs Docker."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.conftest import Copy, Done, copy_of_this


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    return copy_of_this(tmp_path_factory.mktemp("plain"))


NO_ENGINE = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}


def explained(done: Done, code: int, *words: str) -> None:
    assert done.code == code, done.said
    assert "Traceback" not in done.said
    assert "error: " in done.said
    assert "next:  " in done.said
    for word in words:
        assert word in done.said


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("stage", "deploy"), "deploy"),
        (("promote", "sha256:" + "a" * 64, "production"), "production"),
        (("rnu",), "did you mean 'run'"),
        (("run", "--until", "never"), "never"),
        (("promote",), "DIGEST"),
        (("run", "--frseh"), "--fresh"),
    ],
)
def test_usage(plain: Copy, arguments: tuple[str, ...], word: str) -> None:
    explained(plain.pipeline(*arguments), 2, word)


def test_no_engine_is_unavailable_with_the_fix(plain: Copy) -> None:
    explained(plain.pipeline("run", env=NO_ENGINE), 7, "/nowhere/docker.sock", "DOCKER_HOST")


def test_an_error_is_one_json_object_too(plain: Copy) -> None:
    done = plain.pipeline("--json", "run", env=NO_ENGINE)
    assert done.answer["exit_code"] == 7
    assert done.answer["outcome"] == "unavailable"
    assert done.answer["error"]["hint"]


def test_six_mistakes_are_six_lines(tmp_path: Path) -> None:
    (tmp_path / "pipeline.toml").write_text(
        '[app]\nname = "X"\nport = 99999\n[cloud]\nprovider = "lokal"\n[environments.staging]\ndesired = "two"\n'
        '[environments.prod]\nsecret = {}\n[load]\nduration = "long"\n'
    )
    done = Copy(tmp_path).pipeline("run")
    explained(done, 3, "pipeline.toml has 6 mistakes")
    assert sum(line.startswith("  ") for line in done.said.splitlines()) == 6


def test_no_pipeline_toml(tmp_path: Path) -> None:
    explained(Copy(tmp_path).pipeline("run"), 3, "no pipeline.toml")


def test_doctor_says_what_is_missing(plain: Copy) -> None:
    done = plain.pipeline("--json", "doctor", env=NO_ENGINE)
    assert done.code == 7
    states = {check["name"]: check["state"] for check in done.answer["checks"]}
    assert states["docker"] == "NG"
    assert states["pipeline.toml"] == "OK"
