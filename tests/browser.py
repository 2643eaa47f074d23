"""A headless Chromium, driven by the DevTools protocol: what a page shows, says on its console and asks for."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import websocket

PROGRAMS = (
    "chromium-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome-stable",
    "google-chrome",
    "chrome",
)
_PATIENCE = 60.0


def program() -> str:
    """The browser's path, or empty where none is installed."""
    return next(filter(None, map(shutil.which, PROGRAMS)), "")


@dataclass
class Page:
    """One tab. `events` are all that the browser told of it so far."""

    socket: websocket.WebSocket
    events: list[Mapping[str, Any]] = field(default_factory=list)
    _asked: int = 0

    def ask(self, method: str, **parameters: Any) -> Mapping[str, Any]:
        """Sends a command and waits for its answer."""
        self._asked += 1
        self.socket.send(json.dumps({"id": self._asked, "method": method, "params": parameters}))
        while True:
            message: dict[str, Any] = json.loads(self.socket.recv())
            if message.get("id") == self._asked:
                assert "error" not in message, f"{method}: {message['error']}"
                found: Mapping[str, Any] = message["result"]
                return found
            self.events.append(message)

    def open(self, address: str) -> None:
        """Goes there and waits until everything that is to be loaded is loaded or has failed."""
        del self.events[:]
        self.ask("Page.navigate", url=address)
        end = time.monotonic() + _PATIENCE
        while not self.told("Page.loadEventFired"):
            assert time.monotonic() < end, f"{address} was not loaded"
            self.events.append(json.loads(self.socket.recv()))
        self.evaluate(
            "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))"
        )

    def told(self, method: str) -> list[Mapping[str, Any]]:
        """What the events of this kind say."""
        return [event["params"] for event in self.events if event.get("method") == method]

    @property
    def complaints(self) -> list[str]:
        """Errors and warnings: of the console, of the browser, and uncaught ones."""
        logged = [entry["entry"]["text"] for entry in self.told("Log.entryAdded")]
        said = [json.dumps(call["args"]) for call in self.told("Runtime.consoleAPICalled")]
        thrown = [call["exceptionDetails"]["text"] for call in self.told("Runtime.exceptionThrown")]
        return [*logged, *said, *thrown]

    @property
    def requested(self) -> list[str]:
        """Every address that was asked for, also those that the page's policy blocked."""
        return [request["request"]["url"] for request in self.told("Network.requestWillBeSent")]

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, or of the promise that it gives."""
        answer = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def size(self, width: int, height: int = 844) -> None:
        """The window's size; up to 500 pixels wide it is a phone's."""
        phone = width <= 500
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=phone,
        )

    def scheme(self, name: str) -> None:
        """`light` or `dark`."""
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def pdf(self) -> bytes:
        """The page as it is printed on A4."""
        answer = self.ask("Page.printToPDF", paperWidth=8.27, paperHeight=11.69, printBackground=True)
        return base64.b64decode(answer["data"])

    def picture(self) -> bytes:
        """What the window shows, as PNG."""
        return base64.b64decode(self.ask("Page.captureScreenshot", format="png")["data"])


@contextmanager
def browser(profile: Path) -> Iterator[Page]:
    """A page of a browser of its own, which is ended afterwards; `profile` is an empty folder for what it keeps."""
    # Chromium's sandbox needs user namespaces, which root in a container seldom has; what is opened here is our own.
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    arguments = ["--headless", *sandbox, "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    own = [f"--user-data-dir={profile}", "--remote-debugging-port=0", "--remote-debugging-address=127.0.0.1"]
    with (profile / "output.txt").open("wb") as output:
        process = subprocess.Popen(
            [program(), *arguments, *own, "about:blank"], stdout=output, stderr=output, start_new_session=True
        )
    try:
        address = _address(process, profile)
        socket = websocket.create_connection(address, timeout=_PATIENCE, suppress_origin=True)
        try:
            yield _page(socket, address)
        finally:
            socket.close()
    finally:
        # The whole group: what is called chromium is a script that starts it, and it starts others.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _address(process: subprocess.Popen[bytes], profile: Path) -> str:
    """Where the browser listens; it writes port and path to a file once it does."""
    told, end = profile / "DevToolsActivePort", time.monotonic() + _PATIENCE
    while time.monotonic() < end and process.poll() is None:
        lines = told.read_text().splitlines() if told.exists() else []
        if len(lines) == 2:
            return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
        time.sleep(0.05)
    said = (profile / "output.txt").read_text("utf-8", "replace")
    raise AssertionError(f"{program()} did not start ({process.poll()}):\n{said}")


def _page(whole: websocket.WebSocket, address: str) -> Page:
    """A connection to the one tab: the browser's own connection leads to no page."""
    tabs = Page(whole).ask("Target.getTargets")["targetInfos"]
    tab = next(tab["targetId"] for tab in tabs if tab["type"] == "page")
    base = address.partition("/devtools/")[0]
    own = websocket.create_connection(f"{base}/devtools/page/{tab}", timeout=_PATIENCE, suppress_origin=True)
    page = Page(own)
    for domain in ("Page", "Runtime", "Log", "Network"):
        page.ask(f"{domain}.enable")
    return page
