"""Python imports this by its name when its folder is on PYTHONPATH: so programs that tests start tell what they call.

Every call of a client of boto3 is one line of JSON in the file CALLS_FILE: service, operation, region, parameters, and
whose code it is – `set-up`, `local cloud`, or empty. Nothing is there without that variable.
"""

from __future__ import annotations

import contextlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from types import FrameType, ModuleType
from typing import Any

FILE = "ONEDIGEST_TEST_CALLS_FILE"
_WHOSE = (
    ("set-up", ("/pipeline/provisioning.py", "/pipeline/dismantling.py", "/pipeline/foundation.py")),
    ("local cloud", ("/pipeline/local/",)),
)


@contextlib.contextmanager
def recorded(path: str) -> Iterator[None]:
    """Records the calls of this process inside the block. Each is written whole, by one call of the system."""
    from botocore.client import BaseClient  # noqa: PLC0415 – nobody pays for it who calls nothing

    kept = BaseClient._make_api_call
    _install(BaseClient, path)
    try:
        yield
    finally:
        BaseClient._make_api_call = kept


def _install(client: Any, path: str) -> None:
    call: Callable[..., Any] = client._make_api_call

    def told(self: Any, operation_name: str, api_params: Any) -> Any:
        line = {
            "service": self.meta.service_model.service_name,
            "operation": operation_name,
            "region": self.meta.region_name,
            "parameters": api_params,
            "whose": _whose(sys._getframe(1)),
        }
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(file, (json.dumps(line, default=str) + "\n").encode())
        finally:
            os.close(file)
        return call(self, operation_name, api_params)

    client._make_api_call = told


def _whose(frame: FrameType | None) -> str:
    files = []
    while frame is not None:
        files.append(frame.f_code.co_filename)
        frame = frame.f_back
    found = (name for name, parts in _WHOSE if any(part in file for part in parts for file in files))
    return next(found, "")


class _Botocore(importlib.abc.MetaPathFinder):
    """Waits until somebody imports botocore's clients."""

    def __init__(self, path: str) -> None:
        self._path = path

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != "botocore.client":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        assert spec is not None
        assert spec.loader is not None
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            _install(module.BaseClient, self._path)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]  # the loader is this spec's own
        return spec


if os.environ.get(FILE):
    sys.meta_path.insert(0, _Botocore(os.environ[FILE]))
