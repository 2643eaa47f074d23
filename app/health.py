"""What a load balancer, a pipeline and a person ask of the process itself."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from app import NAME, VERSION
from app.database import Readiness
from app.settings import Settings

router = APIRouter(include_in_schema=False)


@router.get("/healthz")
async def alive() -> JSONResponse:
    """The process serves; asks nothing of the database."""
    return JSONResponse({"status": "alive"})


@router.get("/readyz")
async def ready(request: Request) -> JSONResponse:
    """200 when the database answers and has this release's schema, else 503 with the reason."""
    readiness: Readiness = request.app.state.readiness
    reason = await readiness.why_not()
    if reason is None:
        return JSONResponse({"status": "ready"})
    return JSONResponse({"status": "not ready", "reason": reason}, status_code=503)


@router.get("/version")
async def version(request: Request) -> JSONResponse:
    """What the process was deployed as; null where it was not told."""
    settings: Settings = request.app.state.settings
    return JSONResponse(
        {"name": NAME, "version": VERSION, "digest": settings.digest, "commit": settings.commit},
        headers={"Cache-Control": "no-store"},
    )
