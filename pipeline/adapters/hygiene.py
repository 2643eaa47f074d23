"""Tools that look at what is shipped: hadolint for the Dockerfile, syft for the bill of materials."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.adapters.atomic_file import write_whole
from pipeline.errors import UndecidedError
from pipeline.model.digest import ImageRef
from pipeline.ports import Command, CommandRunner

_LINT_SECONDS = 60.0
_SBOM_SECONDS = 300.0


class Hadolint:
    """Lints with the `hadolint` program; `.hadolint.yaml` beside the Dockerfile is honoured."""

    def __init__(self, runner: CommandRunner) -> None:
        self._runner = runner

    def findings(self, dockerfile: Path) -> Sequence[str]:
        """See `pipeline.ports.Linter.findings`: errors and warnings count, hints on style do not."""
        argv = (
            tool("hadolint"),
            "--no-color",
            "--format",
            "json",
            "--failure-threshold",
            "warning",
            str(dockerfile),
        )
        done = self._runner.run(Command(argv, cwd=dockerfile.parent, timeout=_LINT_SECONDS))
        try:
            found = json.loads(done.output)
        except ValueError as error:
            raise UndecidedError(
                f"hadolint gave no answer on {dockerfile}: {(done.errors or done.output).strip()[:300]}",
                hint="run `hadolint Dockerfile` by hand, or set build.lint = false",
            ) from error
        return [
            f"{dockerfile.name}:{finding['line']}: {finding['code']} {finding['message']}"
            for finding in found
            if finding["level"] in ("error", "warning")
        ]


class Syft:
    """Writes CycloneDX with the `syft` program, reading the image from the local engine."""

    def __init__(self, runner: CommandRunner) -> None:
        self._runner = runner

    def write(self, image: ImageRef, path: Path) -> int:
        """See `pipeline.ports.BillOfMaterials.write`."""
        argv = (tool("syft"), "scan", "--quiet", "--from", "docker", str(image), "--output", "cyclonedx-json")
        environment = {**os.environ, "SYFT_CHECK_FOR_APP_UPDATE": "false"}
        done = self._runner.run(Command(argv, env=environment, timeout=_SBOM_SECONDS))
        try:
            components = len(json.loads(done.output)["components"])
        except (ValueError, KeyError, TypeError) as error:
            raise UndecidedError(
                f"no bill of materials for {image}: {(done.errors or done.output).strip()[:300]}",
                hint="run `syft scan` by hand, or set build.sbom = false",
            ) from error
        write_whole(path, done.output.encode())
        return components


def tool(name: str) -> str:
    """The program beside our Python, else the one on PATH, else the bare name (which then is not found)."""
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else shutil.which(name) or name
