"""Base images on the real engine. Where a registry answers the official images are pulled and must behave the same."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import tarfile
import textwrap
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
import pytest

from pipeline.errors import UnavailableError
from pipeline.local.base_images import BUILD, USUAL, BaseImages
from pipeline.local.engine import ensure
from pipeline.local.pip_settings import read_pip_settings
from pipeline.local.stand_in import RECIPE_LABEL

PYTHON, PYTHON_BUILD, POSTGRES, REGISTRY, HAPROXY = USUAL
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def engine() -> Iterator[Any]:
    ensure(print)
    client = docker.from_env(timeout=600)
    yield client
    client.close()


@pytest.fixture(scope="module")
def images(engine: Any) -> Mapping[str, str]:
    return BaseImages(engine, print).ensure(USUAL)


@contextmanager
def running(engine: Any, image: str, **options: Any) -> Iterator[Any]:
    labels = {"dev.onedigest.test": "base-images"}
    container = engine.containers.run(image, detach=True, labels=labels, **options)
    try:
        yield container
    finally:
        container.remove(force=True, v=True)


def output(engine: Any, image: str, *command: str) -> str:
    said: bytes = engine.containers.run(image, list(command), entrypoint="", remove=True)
    return said.decode()


def port(container: Any, inside: str) -> int:
    container.reload()
    return int(container.ports[inside][0]["HostPort"])


def eventually(container: Any, *command: str) -> str:
    """What the command says once it succeeds inside the container; its last words when it never does."""
    deadline = time.monotonic() + 60
    while True:
        code, said = container.exec_run(list(command))
        if code == 0:
            return str(said.decode())
        assert time.monotonic() < deadline, said.decode() + container.logs(tail=20).decode()
        time.sleep(0.1)


def fetched(container: Any, url: str) -> bytes:
    """What the server answers once it takes connections."""
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return bytes(answer.read())
        except OSError:
            assert time.monotonic() < deadline, container.logs(tail=20).decode()
        time.sleep(0.1)


def test_a_second_call_makes_nothing(engine: Any, images: Mapping[str, str]) -> None:
    said: list[str] = []

    assert BaseImages(engine, said.append).ensure(USUAL) == images
    assert said == []


def test_a_stand_in_carries_its_recipe_and_the_package_database(
    engine: Any, images: Mapping[str, str]
) -> None:
    made = {name: tag for name, tag in images.items() if tag != name and not name.endswith(BUILD)}
    for tag in made.values():
        assert engine.images.get(tag).labels[RECIPE_LABEL] == tag.rpartition(":")[2]
        listed = output(engine, tag, "cat", "/var/lib/dpkg/status")
        packages = re.findall(r"^Package: (\S+)$", listed, re.MULTILINE)
        assert len(packages) > 10
        assert len(packages) == len(set(packages)) == len(re.findall(r"^Version: \S+$", listed, re.MULTILINE))
        assert "Version: 9999" not in listed
        assert "libc6" in packages
    assert made or images == {name: name for name in images}


def test_postgres_starts_as_the_official_image_does(engine: Any, images: Mapping[str, str]) -> None:
    environment = {
        "POSTGRES_USER": "owner",
        "POSTGRES_PASSWORD": "a 'quoted' one",
        "POSTGRES_DB": "pet-clinic",
    }
    options = {"environment": environment, "tmpfs": {"/var/lib/postgresql/data": ""}}
    with running(engine, images[POSTGRES], command=["-c", "fsync=off"], **options) as container:
        query = "select current_user || ' ' || current_database() || ' ' || current_setting('fsync')"
        address = "host=127.0.0.1 user=owner dbname=pet-clinic"
        asked = ["env", "PGPASSWORD=a 'quoted' one", "psql", "-qtA", address, "-c", query]

        assert eventually(container, *asked).strip() == "owner pet-clinic off"
        wrong, said = container.exec_run(["env", "PGPASSWORD=wrong", "psql", "-w", address, "-c", "select 1"])
        # On the loopback of the container the official image trusts everybody; from outside a password is asked for.
        outside, _ = container.exec_run(
            [
                "sh",
                "-c",
                "PGPASSWORD=wrong psql -w \"host=$(hostname -i) user=owner dbname=pet-clinic\" -c 'select 1'",
            ]
        )
        assert outside != 0, (wrong, said)
        processes = container.exec_run(["sh", "-c", "cat /proc/1/status"])[1].decode()
        assert "Uid:\t0\t" not in processes


def test_postgres_runs_first_start_scripts_and_knows_time_zones(
    engine: Any, images: Mapping[str, str]
) -> None:
    script = (
        "create table seeded (at timestamptz); insert into seeded values ('2024-01-01 00:00 Europe/Berlin');"
    )
    command = [
        "sh",
        "-c",
        f'echo "{script}" > /docker-entrypoint-initdb.d/seed.sql; exec docker-entrypoint.sh postgres',
    ]
    options = {"environment": {"POSTGRES_PASSWORD": "x"}, "tmpfs": {"/var/lib/postgresql/data": ""}}
    with running(engine, images[POSTGRES], entrypoint=command, **options) as container:
        query = "select at at time zone 'UTC' from seeded"
        asked = ["env", "PGPASSWORD=x", "psql", "-qtA", "-h", "127.0.0.1", "-U", "postgres", "-c", query]

        assert eventually(container, *asked).strip() == "2023-12-31 23:00:00"


def test_postgres_without_a_password_ends_with_the_fix(engine: Any, images: Mapping[str, str]) -> None:
    with running(engine, images[POSTGRES]) as container:
        assert container.wait(timeout=60)["StatusCode"] != 0
        assert "POSTGRES_PASSWORD" in container.logs().decode()


def test_the_registry_answers_and_lets_manifests_be_deleted(engine: Any, images: Mapping[str, str]) -> None:
    options = {
        "ports": {"5000/tcp": ("127.0.0.1", 0)},
        "environment": {"REGISTRY_STORAGE_DELETE_ENABLED": "true"},
    }
    with running(engine, images[REGISTRY], **options) as container:
        base = f"http://127.0.0.1:{port(container, '5000/tcp')}/v2/"
        assert fetched(container, base) == b"{}"
        missing = urllib.request.Request(f"{base}nothing/manifests/sha256:{'0' * 64}", method="DELETE")
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(missing, timeout=10)
        # 405 would mean that deleting is switched off.
        assert refused.value.code == 404


def test_haproxy_reads_the_configuration_at_the_official_place(
    engine: Any, images: Mapping[str, str]
) -> None:
    lines = [
        "defaults", " mode http", " timeout connect 1s", " timeout client 1s", " timeout server 1s",
        "frontend f", " bind :8080", " http-request return status 200 content-type text/plain string balanced",
    ]  # fmt: skip
    place = "/usr/local/etc/haproxy"
    container = engine.containers.create(
        images[HAPROXY], ports={"8080/tcp": ("127.0.0.1", 0)}, labels={"dev.onedigest.test": "base-images"}
    )
    try:
        container.put_archive(place, tar_of("haproxy.cfg", "\n".join([*lines, ""])))
        container.start()
        assert fetched(container, f"http://127.0.0.1:{port(container, '8080/tcp')}/") == b"balanced"
        assert "Uid:\t0\t" not in container.exec_run(["sh", "-c", "cat /proc/1/status"])[1].decode()
    finally:
        container.remove(force=True, v=True)


def tar_of(name: str, text: str) -> bytes:
    content = text.encode()
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.size, member.mode = len(content), 0o644
        archive.addfile(member, io.BytesIO(content))
    return target.getvalue()


def test_an_environment_made_in_the_build_image_runs_in_the_runtime_image(
    engine: Any, images: Mapping[str, str]
) -> None:
    dockerfile = f"""
    FROM {images[PYTHON_BUILD]} AS build
    RUN python3 -m venv /opt/venv && /opt/venv/bin/pip --version && pip --version
    FROM {images[PYTHON]}
    COPY --from=build /opt/venv /opt/venv
    """
    tag = f"onedigest-test-{uuid.uuid4().hex[:12]}"
    content = io.BytesIO(textwrap.dedent(dockerfile).encode())
    engine.images.build(fileobj=content, tag=tag, rm=True, forcerm=True)
    try:
        assert (
            output(engine, tag, "/opt/venv/bin/python", "-c", "import ssl, sqlite3; print('imports')")
            == "imports\n"
        )
        assert output(engine, tag, "python", "-c", "import sys; print(sys.version_info[:2])") == "(3, 11)\n"
    finally:
        engine.images.remove(tag, force=True)


TRUSTED = """
import hashlib, ssl, pathlib, sys
def found(path):
    text = path.read_text()
    marks = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    for part in text.split(marks[0])[1:]:
        pem = marks[0] + part.split(marks[1])[0] + marks[1]
        yield hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()
root = pathlib.Path(sys.argv[1])
for path in root.rglob("*.crt") if root.is_dir() else [root]:
    print(*found(path), sep="\\n")
"""
BUNDLE = "/etc/ssl/certs/ca-certificates.crt"


def trusted(engine: Any, image: str, path: str) -> set[str]:
    return set(output(engine, image, "python3", "-c", TRUSTED, path).split())


def test_nothing_of_this_host_is_in_the_runtime_image(engine: Any, images: Mapping[str, str]) -> None:
    environment = engine.images.get(images[PYTHON]).attrs["Config"]["Env"]
    bundle = trusted(engine, images[PYTHON], BUNDLE)

    assert not [
        entry for entry in environment if "CERT" in entry or "CA_BUNDLE" in entry or entry.startswith("PIP_")
    ]
    assert output(engine, images[PYTHON], "sh", "-c", "cat /etc/pip.conf 2>/dev/null || true") == ""
    assert len(bundle) > 50
    assert bundle <= trusted(engine, images[PYTHON], "/usr/share/ca-certificates")


def test_the_build_image_trusts_what_this_host_trusts(
    engine: Any, images: Mapping[str, str], tmp_path: Path
) -> None:
    settings = read_pip_settings()
    if settings.plain and images[PYTHON_BUILD] == images[PYTHON]:
        return  # the host has nothing of its own: both are one image
    host = tmp_path / "host.pem"
    host.write_bytes(settings.bundle)
    command = [sys.executable, "-c", TRUSTED, str(host)]
    own = set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())

    assert own <= trusted(engine, images[PYTHON_BUILD], BUNDLE)


def test_a_base_image_nobody_has_is_refused_with_what_to_do(engine: Any) -> None:
    with pytest.raises(UnavailableError) as refused:
        BaseImages(engine, print).ensure(["localhost:1/nobody/nothing:1.0"])

    assert "localhost:1/nobody/nothing:1.0" in refused.value.message
    assert "docker pull" in refused.value.hint


MAKE = """
import json, sys
from dataclasses import replace
import docker
from pipeline.local.base_images import BaseImages
from pipeline.local.stand_in_recipes import RECIPES
recipe = RECIPES["haproxy"]
recipe = replace(recipe, config=replace(recipe.config, environment={**recipe.config.environment, "RUN": sys.argv[1]}))
said = []
found = BaseImages(docker.from_env(timeout=600), said.append, {"localhost:1/haproxy": recipe}).ensure(
    ["localhost:1/haproxy:2.6-bookworm"])
print(json.dumps({"tag": found["localhost:1/haproxy:2.6-bookworm"], "said": said}))
"""


def test_two_processes_at_once_make_a_stand_in_once(engine: Any, images: Mapping[str, str]) -> None:
    command = [sys.executable, "-c", MAKE, uuid.uuid4().hex]
    both = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    ended = [process.communicate(timeout=900) for process in both]
    assert [process.returncode for process in both] == [0, 0], ended
    answers = [json.loads(out) for out, _ in ended]
    tag = answers[0]["tag"]
    try:
        assert answers[1]["tag"] == tag
        made = [answer for answer in answers if any("made" in line for line in answer["said"])]
        assert len(made) == 1
        assert "HAProxy version 2.6" in output(engine, tag, "haproxy", "-v")
    finally:
        engine.images.remove(tag, force=True)
