"""The emulator's launcher, a process of its own: `python -m pipeline.local.emulator --state DIR`.

It pins the emulator's version, binds it to loopback, installs what makes it behave as ECS does, and keeps the load
balancer in step. Its state is in memory and begins empty each time; what must outlive it is recorded by the cloud.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import logging
import os
import signal
import sys
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import FrameType
from typing import Any

from pipeline.errors import PipelineError
from pipeline.local.emulation import ground
from pipeline.local.emulation.install import install
from pipeline.local.emulation.sync import BalancerSync
from pipeline.local.emulation.targets import HealthBoard
from pipeline.local.launch import IDENTITY_PATH, LaunchSettings
from pipeline.local.parts import Engine

Asgi = Callable[[dict[str, Any], Any, Any], Awaitable[None]]


def environment(settings: LaunchSettings) -> dict[str, str]:
    """The emulator's environment variables. Some are read at import, so they are set before it."""
    return {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(settings.port),
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "PERSIST_STATE": "0",
        "MINISTACK_REGION": settings.region,
        "MINISTACK_DOCKER_TIMEOUT": "60",
        "HOSTNAME": "",
    }


def main(arguments: list[str]) -> int:
    """Serves until it is told to stop."""
    parser = argparse.ArgumentParser(prog="pipeline.local.emulator")
    parser.add_argument("--state", type=Path, required=True, help="the local cloud's state directory")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s", stream=sys.stderr)
    logging.getLogger("hypercorn.access").setLevel(logging.WARNING)
    try:
        serve(LaunchSettings.load(parser.parse_args(arguments).state))
    except PipelineError as error:
        logging.getLogger("onedigest").error("error: %s\nnext: %s", error.message, error.hint)
        return int(error.exit_code)
    return 0


def serve(settings: LaunchSettings) -> None:
    """Checks the ground, removes what an earlier run left, installs the wraps and serves."""
    ground.check()
    sweep(settings.cloud)
    os.environ.update(environment(settings))
    emulator = ground.load()
    board = HealthBoard()
    install(emulator, board, settings)
    sync = BalancerSync(emulator, board, settings)
    sync.start()
    asyncio.run(_serve(settings, sync))


async def _serve(settings: LaunchSettings, sync: BalancerSync) -> None:
    application = importlib.import_module("ministack.app").app
    hypercorn = importlib.import_module("hypercorn.asyncio")
    config = importlib.import_module("hypercorn.config").Config()
    config.bind = [f"127.0.0.1:{settings.port}"]
    config.keep_alive_timeout = 75
    # The state is thrown away, and the cloud stops the containers itself: nothing is gained by a slow farewell.
    signal.signal(signal.SIGTERM, _leave)
    await hypercorn.serve(
        with_identity(application, settings, sync), config, shutdown_trigger=asyncio.Event().wait
    )


def _leave(_signal: int, _frame: FrameType | None) -> None:
    os._exit(0)


def with_identity(application: Asgi, settings: LaunchSettings, sync: BalancerSync) -> Asgi:
    """The emulator, answering on one more path who it is, so that nobody takes another's for theirs."""
    boot = uuid.uuid4().hex

    async def answer(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope.get("type") != "http" or scope.get("path") != IDENTITY_PATH:
            await application(scope, receive, send)
            return
        who = {"cloud": settings.cloud, "pid": os.getpid(), "boot": boot, "balancer": sync.trouble}
        body = json.dumps(who).encode()
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return answer


def sweep(cloud: str) -> None:
    """Removes the task containers of an earlier run: nobody keeps a record of them any more."""
    engine = Engine(cloud)
    engine.stop_tasks(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
