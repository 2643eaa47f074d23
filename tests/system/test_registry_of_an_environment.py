"""An environment with a registry of its own, on two small registries over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.adapters.evidence_export import fetch_bundles
from pipeline.adapters.mirror import MirroredStore, deliver
from pipeline.adapters.registry import OciRegistry, digest_of
from pipeline.adapters.registry_copy import ImageCopier
from pipeline.adapters.registry_evidence import DigestLocks, RegistryEvidenceStore
from pipeline.adapters.registry_referrers import Referrers
from pipeline.adapters.signer import TrustedKeys, file_signer
from pipeline.errors import UnavailableError
from pipeline.model.digest import ImageRef
from tests.fakes.evidence import statement_of
from tests.fakes.registry_images import push_image
from tests.fakes.registry_server import Traits, registry_server


class Setting:
    """A registry that is built to, another that production pulls from, and evidence in both."""

    def __init__(self, here: str, there: str, folder: Path) -> None:
        self.registry = OciRegistry(lambda: None)
        self.here, self.there = f"{here}/shop", f"{there}/shop"
        self.locks = DigestLocks(folder / "locks")
        self.copier = ImageCopier(self.registry, self.registry, self.locks)
        self.image = push_image(self.registry, self.here)
        self.signer = file_signer(folder / "signing.key", create=True)
        self.mirrored = MirroredStore(self.store(self.here), {"prod": (self.there,)}, lambda _: self.copier)
        self.said: list[str] = []

    def store(self, repository: str) -> RegistryEvidenceStore:
        trusted = TrustedKeys({"own": self.signer.public_key})
        return RegistryEvidenceStore(self.registry, repository, lambda: self.signer, trusted, self.locks)

    def stages_there(self) -> list[str]:
        image = ImageRef(self.there, self.image.digest)
        return sorted(found.statement.stage for found in self.store(self.there).collect(image).accepted)

    def deliver(self) -> ImageRef:
        return deliver(self.copier, self.image, self.there, self.said.append)


@pytest.fixture(params=["api", "404"])
def setting(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Setting]:
    with registry_server() as here, registry_server(Traits(referrers=request.param)) as there:
        yield Setting(here.host, there.host, tmp_path)


def test_image_and_evidence_arrive_under_the_same_digest(setting: Setting) -> None:
    setting.mirrored.attach(setting.image, statement_of("build"))
    setting.mirrored.attach(setting.image, statement_of("staging", environment="staging"))
    arrived = setting.deliver()
    assert arrived == ImageRef(setting.there, setting.image.digest)
    assert setting.registry.resolve(setting.there, str(arrived.digest)) == setting.image.digest
    assert setting.stages_there() == ["build", "staging"]
    assert "MB sent: 2 blobs" in setting.said[0] or "blobs and" in setting.said[0]


def test_the_second_time_nothing_is_transferred_also_after_the_deployment_was_recorded(
    setting: Setting,
) -> None:
    setting.mirrored.attach(setting.image, statement_of("build"))
    setting.deliver()
    setting.mirrored.attach(setting.image, statement_of("prod", environment="prod"))
    assert setting.stages_there() == ["build", "prod"]
    setting.deliver()
    assert "nothing was transferred" in setting.said[-1]


def test_what_is_recorded_of_another_environment_stays_here(setting: Setting) -> None:
    setting.mirrored.attach(setting.image, statement_of("staging", environment="staging"))
    assert [found.statement.stage for found in setting.mirrored.collect(setting.image).accepted] == [
        "staging"
    ]
    assert setting.registry.resolve(setting.there, str(setting.image.digest)) is None
    assert setting.mirrored.subjects() is not None


def test_exported_bundles_are_the_very_bytes_that_were_attached(setting: Setting) -> None:
    names = [
        setting.mirrored.attach(setting.image, statement_of(stage)) for stage in ("build", "integration")
    ]
    referrers = Referrers(setting.registry, setting.locks)
    bundles = fetch_bundles(setting.registry, referrers, setting.image, names)
    assert [str(digest_of(bundle)) for bundle in bundles] == names
    assert all(b"\n" not in bundle for bundle in bundles)
    with pytest.raises(UnavailableError, match="has gone since"):
        fetch_bundles(setting.registry, referrers, setting.image, [*names, "sha256:" + "0" * 64])
