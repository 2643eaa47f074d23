"""The application, put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from starlette.staticfiles import StaticFiles

from app import NAME, VERSION, answers, api, health, pages
from app.clinic import Clinic
from app.database import Readiness, make_pool
from app.settings import Settings

MAX_BODY_BYTES = 64 * 1024


def create_app(settings: Settings) -> FastAPI:
    """The application on the database of `settings`. It starts, and says that it is alive, without the database."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        pool = make_pool(settings.database_url)
        app.state.readiness = Readiness(pool)
        app.state.clinic = Clinic(pool)
        await pool.open(wait=False)
        try:
            yield
        finally:
            await pool.close(timeout=2)

    # No interactive documentation: its pages load scripts from the network.
    app = FastAPI(
        title=NAME,
        version=VERSION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
        max_body_size=MAX_BODY_BYTES,
    )
    app.state.settings = settings
    app.include_router(health.router)
    app.include_router(api.router)
    app.include_router(pages.router)
    app.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"), name="static")
    answers.install(app)
    return app
