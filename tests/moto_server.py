"""`python -m tests.moto_server PORT`: moto's AWS, a second implementation beside the local cloud's emulator.

Its CloudFormation leaves `AWS::NoValue` in lists and maps, where CloudFormation takes it out; that is mended here.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.bare_emulator import free_port, wait_for


@contextmanager
def moto(folder: Path) -> Iterator[int]:
    """Runs it; gives its port on loopback."""
    port = free_port()
    with (folder / "moto.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.moto_server", str(port)],
            cwd=Path(__file__).parents[1],
            env=os.environ | {"AWS_DEFAULT_REGION": "us-east-1"},
            stdout=log,
            stderr=log,
        )
    try:
        wait_for(port, process, folder / "moto.log")
        yield port
    finally:
        process.terminate()
        process.wait(timeout=30)


def main(port: str) -> None:
    from moto.cloudformation import parsing  # noqa: PLC0415 – it takes seconds, and only the server needs it
    from moto.server import main as serve  # noqa: PLC0415 – likewise

    resolve = parsing.clean_json

    def clean_json(resource_json: Any, resources_map: Any) -> Any:
        found = resolve(resource_json, resources_map)
        if isinstance(found, list):
            return [one for one in found if one is not None]
        if isinstance(found, dict):
            return {key: value for key, value in found.items() if value is not None}
        return found

    parsing.clean_json = clean_json
    serve(["-H", "127.0.0.1", "-p", port])


if __name__ == "__main__":
    main(sys.argv[1])
