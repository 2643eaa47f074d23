"""Several services as one release: the index over their images, and what it says again when it is read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.model.digest import Digest
from pipeline.model.release import INDEX_TYPE, SERVICE, Share, index_of, services_in

WEB = Share(Digest("sha256:" + "a" * 64), "application/vnd.oci.image.manifest.v1+json", 700, "linux/amd64")
API = Share(
    Digest("sha256:" + "b" * 64), "application/vnd.docker.distribution.manifest.v2+json", 800, "linux/arm64"
)


def test_the_index_names_every_image_with_its_service() -> None:
    document = json.loads(index_of({"web": WEB, "api": API}))
    assert (document["schemaVersion"], document["mediaType"]) == (2, INDEX_TYPE)
    api, web = document["manifests"]
    assert api == {
        "mediaType": API.media_type,
        "digest": str(API.digest),
        "size": 800,
        "platform": {"os": "linux", "architecture": "arm64"},
        "annotations": {SERVICE: "api"},
    }
    assert web["annotations"] == {SERVICE: "web"}


def test_the_same_images_make_the_same_bytes_in_whatever_order() -> None:
    assert index_of({"web": WEB, "api": API}) == index_of({"api": API, "web": WEB})
    assert index_of({"web": WEB, "api": API}) != index_of({"web": API, "api": WEB})


def test_what_was_written_is_read() -> None:
    assert services_in(json.loads(index_of({"web": WEB, "api": API}))) == {
        "web": WEB.digest,
        "api": API.digest,
    }


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"manifests": None},
        {"config": {}, "layers": []},
        {"manifests": [{"digest": str(WEB.digest), "platform": {"os": "linux"}}]},
        {"manifests": [{"digest": str(WEB.digest), "annotations": {"other": "web"}}]},
        {"manifests": [{"digest": str(WEB.digest), "annotations": {SERVICE: 7}}]},
    ],
)
def test_an_image_or_an_index_of_platforms_is_no_release_of_services(document: dict[str, Any]) -> None:
    assert services_in(document) == {}
