"""HTML out of the templates, with everything escaped that is not the template's own."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import jinja2
from fastapi.responses import HTMLResponse

_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    auto_reload=False,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(template: str, status: int = 200, **values: object) -> HTMLResponse:
    """The page made of `template` and `values`."""
    today = datetime.now(UTC).date().isoformat()
    return HTMLResponse(_TEMPLATES.get_template(template).render(today=today, **values), status)
