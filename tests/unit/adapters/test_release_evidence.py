from __future__ import annotations

from collections.abc import Mapping

import pytest

from pipeline.adapters.release_evidence import ReleaseEvidenceStore
from pipeline.errors import UnavailableError
from pipeline.model.digest import Digest, ImageRef
from pipeline.model.evidence import Collected
from tests.fakes.evidence import IMAGE, MemoryEvidenceStore, statement_of

WEB, API = (Digest("sha256:" + letter * 64) for letter in "ef")
RELEASE = {"web": WEB, "api": API}


def store_of(kept: MemoryEvidenceStore, images: Mapping[str, Digest] | None) -> ReleaseEvidenceStore:
    return ReleaseEvidenceStore(kept, {IMAGE.digest: images}.__getitem__)


def test_what_is_kept_of_each_services_image_comes_with_the_release() -> None:
    kept = MemoryEvidenceStore()
    store = store_of(kept, RELEASE)
    store.attach(IMAGE, statement_of("build"))
    kept.attach(ImageRef(IMAGE.repository, API), statement_of("quarantine", result="FAILED"))
    found = store.collect(IMAGE)
    assert [each.statement.stage for each in found.accepted] == ["build"]
    services = found.services or {}
    assert {name: held.digest for name, held in services.items()} == RELEASE
    assert [each.statement.stage for each in services["api"].collected.accepted] == ["quarantine"]
    assert services["web"].collected == Collected()
    assert store.subjects() == kept.subjects()


def test_what_is_no_release_has_none_and_what_is_not_there_has_unknown_ones() -> None:
    assert store_of(MemoryEvidenceStore(), {}).collect(IMAGE).services == {}
    assert store_of(MemoryEvidenceStore(), None).collect(IMAGE).services is None


class HalfReadable(MemoryEvidenceStore):
    """Nothing can be read about one service's image."""

    def collect(self, subject: ImageRef) -> Collected:
        if subject.digest == API:
            raise UnavailableError("no answer about api", hint="wait")
        return super().collect(subject)


def test_an_image_whose_records_cannot_be_read_is_no_answer_about_the_release() -> None:
    with pytest.raises(UnavailableError, match="no answer about api"):
        store_of(HalfReadable(), RELEASE).collect(IMAGE)
