"""The pictures of a report in the documentation: `.venv/bin/python scripts/report_pictures.py RUN_DIRECTORY`.

Takes a run that was compared with production: its folder has a report.html. Light, as wide as a laptop's window.
"""

from __future__ import annotations

import base64
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from tests.browser import Page, browser  # noqa: E402

IMAGES = ROOT / "docs" / "images"
WIDTH = 1120
LARGEST = 300_000
PARTS = {
    "report.png": ("header", "#stages"),
    "report-load.png": ("#load-staging .sides", "#load-staging .forest tbody tr:nth-child(10)"),
}
"""Each picture, and the elements that it begins and ends with."""

_BOX = """(([first, last]) => {{
    const box = name => document.querySelector(name).getBoundingClientRect();
    return [box(first).top + scrollY, box(last).bottom + scrollY];
}})({})"""


def main(arguments: Sequence[str]) -> int:
    report = Path(arguments[0]).resolve() / "report.html"
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile, browser(Path(profile)) as page:
        page.size(WIDTH)
        page.scheme("light")
        page.open(report.as_uri())
        for name, ends in PARTS.items():
            picture = taken(page, ends)
            if len(picture) > LARGEST:
                print(
                    f"error: {name} has {len(picture)} bytes, at most {LARGEST} are wanted", file=sys.stderr
                )
                return 1
            (IMAGES / name).write_bytes(picture)
            print(f"{IMAGES / name}: {len(picture)} bytes")
    return 0


def taken(page: Page, ends: tuple[str, str]) -> bytes:
    top, bottom = page.evaluate(_BOX.format(list(ends)))
    clip = {"x": 0, "y": max(0, top - 16), "width": WIDTH, "height": bottom - top + 32, "scale": 1}
    answer = page.ask("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
    return base64.b64decode(answer["data"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
