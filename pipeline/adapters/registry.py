"""An OCI registry over HTTP (distribution-spec v1.1): what a reference points to, and what an image is."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import requests

from pipeline.errors import UnavailableError
from pipeline.model.digest import Digest, ImageRef
from pipeline.ports import ImageFacts

Credentials = Callable[[], Mapping[str, str] | None]

_MANIFESTS = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
_TIMEOUT = (5.0, 30.0)
_LOOPBACK = re.compile(r"^(localhost|127\.\d+\.\d+\.\d+)(:\d+)?$")
_MAX_JSON = 4 * 1024 * 1024


class OciRegistry:
    """See `pipeline.ports.Registry`. A host on loopback is spoken to in plain HTTP, any other in HTTPS.

    `credentials` gives a user and password for Basic authentication (ECR: `AWS` and its token), or None.
    """

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._session = requests.Session()

    def resolve(self, repository: str, reference: str) -> Digest | None:
        """See `pipeline.ports.Registry.resolve`: the hash of the manifest's own bytes, not a header's word."""
        answer = self._get(repository, f"manifests/{reference}", accept=_MANIFESTS)
        if answer.status_code == requests.codes.not_found:
            return None
        self._expect_ok(answer, f"{repository}:{reference}")
        digest = Digest("sha256:" + hashlib.sha256(answer.content).hexdigest())
        if reference.startswith("sha256:") and str(digest) != reference:
            raise UnavailableError(
                f"the registry answered {reference} with other bytes ({digest.short})",
                hint="do not trust this registry; look at what stands between you and it",
            )
        return digest

    def image_facts(self, image: ImageRef) -> ImageFacts:
        """See `pipeline.ports.Registry.image_facts`. Of an index, the first platform image is looked at."""
        manifest = self._json(image.repository, "manifests", image.digest)
        platforms = tuple(
            Digest(entry["digest"])
            for entry in manifest.get("manifests", ())
            if entry.get("platform", {}).get("os") != "unknown"
        )
        if platforms:
            manifest = self._json(image.repository, "manifests", platforms[0])
        config = self._json(image.repository, "blobs", Digest(manifest["config"]["digest"]))
        return ImageFacts(
            size=sum(int(layer["size"]) for layer in manifest["layers"]),
            platform=f"{config.get('os', '?')}/{config.get('architecture', '?')}",
            labels=dict(config.get("config", {}).get("Labels") or {}),
            platform_digests=platforms,
        )

    def _json(self, repository: str, kind: str, digest: Digest) -> dict[str, Any]:
        answer = self._get(
            repository, f"{kind}/{digest}", accept=_MANIFESTS if kind == "manifests" else "*/*"
        )
        self._expect_ok(answer, f"{repository}@{digest}")
        content = answer.content
        if len(content) > _MAX_JSON or hashlib.sha256(content).hexdigest() != digest.hex:
            raise UnavailableError(
                f"the registry gave other bytes for {repository}@{digest}",
                hint="do not trust this registry; look at what stands between you and it",
            )
        document: dict[str, Any] = json.loads(content)
        return document

    def _get(self, repository: str, path: str, *, accept: str) -> requests.Response:
        host, _, name = repository.partition("/")
        scheme = "http" if _LOOPBACK.match(host) else "https"
        login = self._credentials()
        auth = (login["username"], login["password"]) if login else None
        try:
            return self._session.get(
                f"{scheme}://{host}/v2/{name}/{path}", headers={"Accept": accept}, auth=auth, timeout=_TIMEOUT
            )
        except requests.RequestException as error:
            raise UnavailableError(
                f"the registry {host} does not answer: {type(error).__name__}",
                hint="`python -m pipeline local up` starts the local one; check network and address of any other",
            ) from error

    @staticmethod
    def _expect_ok(answer: requests.Response, what: str) -> None:
        if answer.status_code == requests.codes.ok:
            return
        hint = (
            "log in again; the credential is missing or has expired"
            if answer.status_code in (401, 403)
            else ("check that the image is in this registry")
        )
        raise UnavailableError(f"the registry answered {answer.status_code} for {what}", hint=hint)
