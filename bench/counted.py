"""`python -m bench.counted FILE ARGUMENT…`: the product's command line; FILE gets every AWS call with its moment."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from botocore.session import Session

from pipeline.cli import main

calls: list[tuple[float, str]] = []
make = Session.create_client


def create_client(self: Session, *arguments: Any, **named: Any) -> Any:
    made = make(self, *arguments, **named)
    made.meta.events.register("before-call", lambda model, **_: calls.append((time.time(), model.name)))
    return made


if __name__ == "__main__":
    Session.create_client = create_client
    code = main(sys.argv[2:])
    Path(sys.argv[1]).write_text(json.dumps(calls), "utf-8")
    sys.exit(code)
