"""The build stage's image: the runtime image, with what a build needs and what must never ship.

That is pip and venv where the runtime image is a stand-in without them, and this host's certificates and pip
configuration, so that `pip install` inside the build reaches what pip reaches outside.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import UnavailableError
from pipeline.local.debian import Release
from pipeline.local.image_archive import EPOCH
from pipeline.local.pip_settings import PipSettings
from pipeline.local.stand_in import RECIPE_LABEL, unpacked, work_directory

PACKAGES = ("python3-pip", "python3-venv")
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
_FORM = "1"


def variant_hash(runtime_id: str, settings: PipSettings, *, stand_in: bool) -> str:
    """Twelve hex digits over the image below and over everything that is put on top."""
    parts = [_FORM, runtime_id, settings.document(_CERTIFICATES), str(stand_in), *PACKAGES]
    return hashlib.sha256("\0".join(parts).encode() + b"\0" + settings.bundle).hexdigest()[:12]


def make_variant(
    client: Any, runtime: str, settings: PipSettings, *, name: str, release: Release | None
) -> None:
    """Make the image `name` on top of the image `runtime`.

    `release` is the distribution whose packages the stand-in `runtime` was made of; None when it is not a stand-in.
    """
    digest = name.rpartition(":")[2]
    with work_directory(f"python-build-{digest}") as work:
        additions = None
        if release is not None:
            additions = unpacked(
                PACKAGES, below=package_database(client, runtime), release=release, work=work
            )
        context = work / "context.tar"
        _write_context(context, _files(runtime, settings, digest, stand_in=release is not None), additions)
        with context.open("rb") as content:
            client.images.build(
                fileobj=content, custom_context=True, tag=name, rm=True, forcerm=True, pull=False
            )


def package_database(client: Any, image: str) -> bytes:
    """/var/lib/dpkg/status of an image, read from a container that is made, never started, and removed."""
    container = client.containers.create(image)
    try:
        stream, _ = container.get_archive("/var/lib/dpkg/status")
        with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as archive:
            member = archive.extractfile(archive.getmembers()[0])
            if member is None:
                raise UnavailableError(
                    f"{image}: /var/lib/dpkg/status is not a file",
                    hint=f"remove the image, it is made again: docker image rm {image}",
                )
            return member.read()
    finally:
        container.remove(force=True)


def _files(runtime: str, settings: PipSettings, digest: str, *, stand_in: bool) -> Mapping[str, bytes]:
    lines = [f"FROM {runtime}", f"LABEL {RECIPE_LABEL}={digest}"]
    files: dict[str, bytes] = {}
    if stand_in:
        # Debian keeps pip out of its own directories; the official image lets it in.
        lines += ["ADD additions.tar /", "ENV PIP_BREAK_SYSTEM_PACKAGES=1"]
    if settings.bundle:
        files["certificates.pem"] = settings.bundle
        variables = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
        lines += [f"COPY certificates.pem {_CERTIFICATES}"]
        lines += ["ENV " + " ".join(f"{variable}={_CERTIFICATES}" for variable in variables)]
    if not settings.plain:
        files["pip.conf"] = settings.document(_CERTIFICATES).encode()
        lines += ["COPY pip.conf /etc/pip.conf"]
    files["Dockerfile"] = ("\n".join(lines) + "\n").encode()
    return files


def _write_context(target: Path, files: Mapping[str, bytes], additions: Path | None) -> None:
    with tarfile.open(target, "w") as archive:
        for name, content in sorted(files.items()):
            archive.addfile(_member(name, len(content)), io.BytesIO(content))
        if additions is not None:
            with additions.open("rb") as layer:
                archive.addfile(_member("additions.tar", additions.stat().st_size), layer)


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mtime, member.mode = size, EPOCH, 0o644
    return member
