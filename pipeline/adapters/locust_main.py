"""Locust as a program that ends with whoever started it: `python -m pipeline.adapters.locust_main FD ARGUMENTS…`.

FD is the read end of a pipe. When its other side is closed, whoever held it is gone, even by kill -9, and the whole
process group ends. Run it in a session of its own.
"""

from __future__ import annotations

import _thread
import os
import runpy
import signal
import sys


def end_with(guard: int) -> None:
    """Waits for the other side of the pipe to close, then kills the process group."""
    while os.read(guard, 1):
        pass
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    # Before Locust is imported, which takes a second and makes threads greenlets: this one must see the end even
    # when a task blocks the event loop.
    _thread.start_new_thread(end_with, (int(sys.argv[1]),))
    sys.argv = ["locust", *sys.argv[2:]]
    runpy.run_module("locust", run_name="__main__", alter_sys=True)
