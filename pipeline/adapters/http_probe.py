"""Asking a URL once, on a connection of its own."""

from __future__ import annotations

import time

import urllib3
from urllib3.exceptions import HTTPError

from pipeline.ports import HttpAnswer

_BODY = 64 * 1024


class FreshConnectionProbe:
    """`pipeline.ports.HttpProbe`: a new connection a question, so that a load balancer chooses anew each time.

    Redirects are answers, not followed. Of a body the first 64 KiB are read.
    """

    def get(self, url: str, *, timeout: float) -> HttpAnswer:
        """The answer, or why there was none within `timeout` seconds. Never raises for network or server."""
        began = time.monotonic()
        limits = urllib3.Timeout(total=timeout)
        try:
            with urllib3.PoolManager(num_pools=1, maxsize=1, timeout=limits, retries=False) as pool:
                answer = pool.request(
                    "GET", url, redirect=False, preload_content=False, headers={"Connection": "close"}
                )
                try:
                    body = answer.read(_BODY, decode_content=True)
                finally:
                    answer.close()
        except (HTTPError, OSError, ValueError) as error:
            return HttpAnswer(0, "", time.monotonic() - began, error=str(error) or type(error).__name__)
        return HttpAnswer(answer.status, body.decode("utf-8", "replace"), time.monotonic() - began)
