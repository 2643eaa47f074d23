from __future__ import annotations

import hashlib
import json
import tarfile
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.local import build_variant, debian, stand_in
from pipeline.local.debian import Release, package_sources, read_release
from pipeline.local.image_archive import ImageConfig, write_archive
from pipeline.local.pip_settings import PipSettings, read_pip_settings
from pipeline.local.stand_in import Host, last_errors, lock, why_not, work_directory
from pipeline.local.stand_in_recipes import RECIPES, tag_version

DEBIAN = Release("debian", "bookworm", "Debian GNU/Linux 12 (bookworm)")
HOST = Host(DEBIAN, "amd64", "amd64")


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


# The host


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ID=debian\nVERSION_CODENAME=bookworm\nPRETTY_NAME=\"Debian 12\"\n",
         Release("debian", "bookworm", "Debian 12")),
        ("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\nVERSION_CODENAME=wilma\nUBUNTU_CODENAME=noble\nPRETTY_NAME=Mint\n",
         Release("ubuntu", "noble", "Mint")),
        ("ID=fedora\nVERSION_ID=40\nPRETTY_NAME=\"Fedora 40\"\n", Release("", "", "Fedora 40")),
        ("ID=debian\nPRETTY_NAME=\"Debian sid\"\n", Release("", "", "Debian sid")),
    ],
)  # fmt: skip
def test_the_release_is_read_as_its_family_and_suite(tmp_path: Path, text: str, expected: Release) -> None:
    write(tmp_path / "etc/os-release", text)

    assert read_release(tmp_path) == expected


def test_a_system_without_a_release_file_is_of_no_family(tmp_path: Path) -> None:
    assert read_release(tmp_path).family == ""


def test_only_the_distributions_own_sources_are_taken(tmp_path: Path) -> None:
    write(tmp_path / "etc/apt/sources.list.d/debian.sources", """Types: deb deb-src
# a comment
URIs: http://mirror.test/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mQINBF
 -----END PGP PUBLIC KEY BLOCK-----

Types: deb
URIs: http://mirror.test/other
Suites: bookworm
Components: main
Enabled: no

Types: deb
URIs: http://vendor.test/apt
Suites: stable
Components: main
""")  # fmt: skip
    write(tmp_path / "etc/apt/sources.list", """# deb http://commented.test bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/k.gpg] http://lines.test/security bookworm-security main # why
deb http://vendor.test/node nodistro main
deb-src http://lines.test/debian bookworm main
""")  # fmt: skip

    found = package_sources("bookworm", tmp_path)

    assert "mirror.test/debian" in found
    assert "mQINBF" in found
    assert "lines.test/security" in found
    assert "Signed-By: /usr/share/keyrings/k.gpg" in found
    assert "Architectures: amd64" in found
    for absent in ("vendor", "other", "commented", "deb-src"):
        assert absent not in found


def test_a_host_without_sources_leaves_the_choice_to_the_tool(tmp_path: Path) -> None:
    assert package_sources("bookworm", tmp_path) == ""


# What a stand-in may stand in for


@pytest.fixture
def tool_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tool = tmp_path / "mmdebstrap"
    tool.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.mark.usefixtures("tool_installed")
@pytest.mark.parametrize(
    ("repository", "tag", "version", "possible"),
    [
        ("python", "3.11-slim-bookworm", "3.11.2-1+b1", True),
        ("python", "3.12-slim-bookworm", "3.11.2-1+b1", False),
        ("python", "3.1-slim", "3.11.2-1+b1", False),
        ("postgres", "15-bookworm", "15.20-0+deb12u1", True),
        ("registry", "2", "2.8.2+ds1-1", True),
        ("haproxy", "2.6-bookworm", "1:2.6.12-1+deb12u4", True),
        ("haproxy", "2.8", "2.6.12-1", False),
        ("python", "3.11", "", True),
    ],
)
def test_another_version_is_no_stand_in(
    monkeypatch: pytest.MonkeyPatch, repository: str, tag: str, version: str, possible: bool
) -> None:
    monkeypatch.setattr(stand_in, "candidate_version", lambda package: version)

    reason = why_not(HOST, RECIPES[repository], tag)

    assert (reason == "") is possible
    if not possible:
        assert tag in reason
        assert version in reason


@pytest.mark.usefixtures("tool_installed")
@pytest.mark.parametrize(
    ("host", "named"),
    [
        (Host(Release("", "", "Fedora 40"), "amd64", "amd64"), "Fedora 40"),
        (Host(DEBIAN, "amd64", "arm64"), "arm64"),
    ],
)
def test_another_system_or_architecture_is_said(host: Host, named: str) -> None:
    assert named in why_not(host, RECIPES["python"], "3.11")


def test_a_missing_tool_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert "apt-get install mmdebstrap" in why_not(HOST, RECIPES["python"], "3.11")


@pytest.mark.parametrize(
    ("tag", "version"), [("3.11-slim-bookworm", "3.11"), ("2", "2"), ("15.4", "15.4"), ("latest", "")]
)
def test_the_version_is_what_the_tag_begins_with(tag: str, version: str) -> None:
    assert tag_version(tag) == version


def test_the_package_is_named_after_the_major_version_asked_for() -> None:
    assert RECIPES["postgres"].packages_for("15-bookworm")[0] == "postgresql-15"
    assert RECIPES["postgres"].packages_for("16.2")[0] == "postgresql-16"


# The recipe's hash


def test_everything_that_goes_into_an_image_changes_its_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = RECIPES["postgres"]
    usual = recipe.hash("15-bookworm", suite="bookworm", architecture="amd64")
    others = {
        recipe.hash("16", suite="bookworm", architecture="amd64"),
        recipe.hash("15-bookworm", suite="trixie", architecture="amd64"),
        recipe.hash("15-bookworm", suite="bookworm", architecture="arm64"),
        replace(recipe, packages=()).hash("15-bookworm", suite="bookworm", architecture="amd64"),
        replace(recipe, unneeded=()).hash("15-bookworm", suite="bookworm", architecture="amd64"),
        replace(recipe, config=ImageConfig()).hash("15-bookworm", suite="bookworm", architecture="amd64"),
    }

    assert len(others | {usual}) == 7
    assert recipe.hash("15", suite="bookworm", architecture="amd64") == usual


# The archive


def archive(path: Path, layer: Path, config: ImageConfig) -> str:
    return write_archive(path, layer, config, tag="base/x:1", architecture="amd64", labels={"a": "b"})


def test_the_same_layer_and_configuration_give_the_same_image_and_bytes(tmp_path: Path) -> None:
    layer = tmp_path / "layer.tar"
    layer.write_bytes(b"content" * 1000)
    config = ImageConfig(entrypoint=("run",), environment={"A": "1"}, ports=("80/tcp",), user="u")

    first = archive(tmp_path / "1.tar", layer, config)
    second = archive(tmp_path / "2.tar", layer, config)
    other = archive(tmp_path / "3.tar", layer, replace(config, user="v"))

    assert first == second != other
    assert (tmp_path / "1.tar").read_bytes() == (tmp_path / "2.tar").read_bytes()


def test_the_archive_names_its_configuration_and_layer_by_their_hashes(tmp_path: Path) -> None:
    layer = tmp_path / "layer.tar"
    layer.write_bytes(b"content")
    image_id = archive(tmp_path / "image.tar", layer, ImageConfig(command=("serve",)))

    with tarfile.open(tmp_path / "image.tar") as found:
        contents = {member.name: found.extractfile(member).read() for member in found}  # type: ignore[union-attr]
    [manifest] = json.loads(contents["manifest.json"])
    config = contents[manifest["Config"]]

    assert manifest["RepoTags"] == ["base/x:1"]
    assert "sha256:" + hashlib.sha256(config).hexdigest() == image_id
    assert json.loads(config)["rootfs"]["diff_ids"] == ["sha256:" + hashlib.sha256(b"content").hexdigest()]
    assert json.loads(config)["config"] == {"Cmd": ["serve"], "Labels": {"a": "b"}}
    assert contents[manifest["Layers"][0]] == b"content"


# pip's settings


def test_the_environment_overrides_pips_files_and_local_places_are_left_out(tmp_path: Path) -> None:
    lines = [
        "[global]",
        "index-url = https://files.test/simple",
        "timeout = 10",
        "extra-index-url = file:///opt/wheels https://extra.test/simple",
        "find-links = /opt/wheels",
        "user = true",
    ]
    write(tmp_path / "etc/pip.conf", "\n".join(lines))
    write(
        tmp_path / "home/.config/pip/pip.conf",
        "[install]\ntrusted-host = files.test\n[global]\ntimeout = 20\n",
    )
    environment = {"HOME": str(tmp_path / "home"), "PIP_TIMEOUT": "30"}

    found = read_pip_settings(environment, tmp_path)

    assert dict(found.options) == {
        "index-url": "https://files.test/simple",
        "extra-index-url": "https://extra.test/simple",
        "trusted-host": "files.test",
        "timeout": "30",
    }
    assert found.bundle == b""


@pytest.mark.parametrize("variable", ["PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_certificates_named_in_the_environment_are_taken(tmp_path: Path, variable: str) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(b"PEM")

    found = read_pip_settings({variable: str(bundle)}, tmp_path)

    assert found.bundle == b"PEM"
    assert not found.plain
    assert "cert = /inside.pem" in found.document("/inside.pem")


def test_certificates_the_administrator_added_are_taken_and_only_then_the_systems(tmp_path: Path) -> None:
    write(tmp_path / "etc/ssl/certs/ca-certificates.crt", "ALL")
    assert read_pip_settings({}, tmp_path).plain

    write(tmp_path / "usr/local/share/ca-certificates/company.crt", "OWN")
    assert read_pip_settings({}, tmp_path).bundle == b"ALL"


def test_a_broken_pip_configuration_is_passed_over_as_pip_would_complain_of_it_itself(tmp_path: Path) -> None:
    write(tmp_path / "etc/pip.conf", "no section here\n")

    assert read_pip_settings({}, tmp_path).plain


def test_the_build_image_changes_with_the_image_below_and_with_the_settings() -> None:
    plain = PipSettings({}, b"")
    hashes = {
        build_variant.variant_hash("sha256:a", plain, stand_in=True),
        build_variant.variant_hash("sha256:b", plain, stand_in=True),
        build_variant.variant_hash("sha256:a", plain, stand_in=False),
        build_variant.variant_hash("sha256:a", PipSettings({"timeout": "1"}, b""), stand_in=True),
        build_variant.variant_hash("sha256:a", PipSettings({}, b"PEM"), stand_in=True),
    }

    assert len(hashes) == 5


# Work directories


def test_what_a_killed_run_left_is_removed_and_its_directory_is_not_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with lock("x"), work_directory("x") as killed:
        pass
    killed.mkdir(parents=True)
    (killed / "half.tar").write_text("left over")

    with lock("x"), work_directory("x") as work:
        assert list(work.iterdir()) == []
        assert work != killed
        assert not killed.exists()

    assert [path for path in tmp_path.rglob("*") if path.is_dir()] == []


def test_the_errors_of_the_package_tool_are_shown_not_its_chatter() -> None:
    text = "I: running apt-get update...\nE: Unable to locate package nonesuch\nI: cleaning up\nE: apt-get failed\n"

    assert last_errors(text) == "E: Unable to locate package nonesuch\nE: apt-get failed"
    assert last_errors("a\n\nb\n") == "a\nb"


def test_nothing_is_known_of_packages_where_there_is_no_package_tool(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert debian.package_architecture() == ""
    assert debian.candidate_version("python3") == ""
