"""Mistakes that show only once the local cloud is up, and what the machine may be short of."""

from __future__ import annotations

import socket

from tests.e2e.conftest import Copy, Done
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


def test_a_port_that_somebody_else_has_is_named(project: Copy, released: Done) -> None:
    registry = int(released.answer["image"].partition("/")[0].partition(":")[2])
    served = project.serves("prod")
    assert project.pipeline("local", "down").code == 0
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", registry))
        taken.listen()
        explained(project.pipeline("local", "up"), 7, str(registry))
    assert project.pipeline("local", "up").code == 0
    assert project.serves("prod") == served
