"""Mistakes that show only once the local cloud is up, and what the machine may be short of."""

from __future__ import annotations

import socket

from tests.e2e.conftest import Copy, Done, copy_of_this
from tests.e2e.test_bad_input import explained


def test_a_malformed_digest(project: Copy, released: Done) -> None:
    explained(project.pipeline("promote", "sha256:abc", "prod"), 2, "sha256:abc")


def test_a_prefix_that_fits_nothing(project: Copy, released: Done) -> None:
    explained(project.pipeline("promote", "0" * 12, "prod"), 2, "no digest on record begins with")


def test_a_missing_dockerfile(changed: Copy) -> None:
    (changed.root / "Dockerfile").unlink()
    done = changed.pipeline("stage", "build")
    assert done.code == 3
    assert "Dockerfile" in done.said


def test_a_missing_locustfile(changed: Copy, released: Done) -> None:
    (changed.root / "loadtests" / "locustfile.py").unlink()
    done = changed.pipeline("stage", "staging", released.answer["digest"])
    assert done.code == 3
    assert "locustfile.py" in done.said


def test_a_dockerfile_that_does_not_build_shows_the_step(changed: Copy) -> None:
    changed.change("Dockerfile", "EXPOSE", "RUN exit 7\nEXPOSE")
    done = changed.pipeline("stage", "build")
    assert done.code == 3
    assert "exit 7" in done.said


def test_a_port_that_somebody_else_has_is_named(tmp_path_factory) -> None:  # type: ignore[no-untyped-def]
    project = copy_of_this(tmp_path_factory.mktemp("ports"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        project.change(
            "pipeline.toml", 'region = "eu-central-1"', f'region = "eu-central-1"\nport_base = {port}'
        )
        explained(project.pipeline("local", "up"), 7, str(port))
