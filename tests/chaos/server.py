"""The service whose releases go wrong: a file of its own, copied into the image. FAULT says how it misbehaves.

FAULT@REGION says in which region alone.
"""

from __future__ import annotations

import http.server
import json
import os
import signal
import sys
import threading
import time
import urllib.request
from typing import Any

FAULT, _, WHERE = os.environ.get("FAULT", "").partition("@")
if WHERE and os.environ.get("REGION") != WHERE:
    FAULT = ""
SOUR_AFTER = 6.0


def begin() -> None:
    """What a fault does before, or instead of, listening."""
    if sys.argv[1:]:
        print("asked to end with", sys.argv[1], flush=True)
        sys.exit(int(sys.argv[1]))
    print("began, fault:", FAULT or "none", flush=True)
    signal.signal(
        signal.SIGTERM, lambda *_: os._exit(0)
    )  # the first process of a container ignores it otherwise
    if FAULT == "exits":
        sys.exit("no licence file")
    if FAULT == "crashes":
        threading.Timer(5.0, crash).start()
    if FAULT == "deaf":
        time.sleep(3600)
    if FAULT == "slow":
        print("loading a large model", flush=True)
        time.sleep(60)
    if FAULT == "greedy":
        print("filling the cache", flush=True)
        hoard = [bytearray(os.urandom(1024)) * 1024 * 16 for _ in range(64)]
        print("filled", len(hoard), flush=True)


def crash() -> None:
    """Ends the process as a segmentation fault would: at once, whatever is under way."""
    print("lost its mind", flush=True)
    os._exit(9)


def own() -> bytes:
    """What it says of itself."""
    told = {"digest": os.environ.get("APP_DIGEST", ""), "fault": FAULT, "role": os.environ.get("ROLE", "")}
    return json.dumps(told).encode()


def peer() -> bytes:
    """What the other service of the release says, which PEER is the address of."""
    with urllib.request.urlopen(os.environ["PEER"], timeout=5) as answer:
        return bytes(answer.read())


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers every path; health, version and home can be told to fail."""

    protocol_version = "HTTP/1.1"
    # Headers and body are two writes: the second would wait for a delayed ACK, 40 ms.
    disable_nagle_algorithm = True
    first_visit = 0.0

    def do_GET(self) -> None:
        if FAULT == "sluggish":
            time.sleep(0.03)
        body = peer() if self.path == "/peer" else own()
        self.send_response(500 if self.fails() else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def fails(self) -> bool:
        if FAULT == "ill":
            return self.path == "/healthz"
        if FAULT != "sours" or self.path != "/":
            return False
        Handler.first_visit = Handler.first_visit or time.monotonic()
        return time.monotonic() - Handler.first_visit > SOUR_AFTER

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


class Server(http.server.ThreadingHTTPServer):
    """Ends its threads with itself, and is silent about clients that went away."""

    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: Any) -> None:
        """Says nothing."""


if __name__ == "__main__":
    begin()
    server = Server(("", 8080), Handler)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever()
