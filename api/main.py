"""The application: ``uvicorn api.main:app``."""

import gc

gc.disable()  # until all is imported, of which nothing is garbage: looking for it is a third of the start

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from pydantic import SecretStr

from api import graphql, openapi, problems
from api.addresses import PREFIX
from api.application import Application
from api.compression import Compression
from api.cors import Cors
from api.directory import Directory, include
from api.graphql.context import EXECUTOR
from api.logs import configure_logging
from api.methods import MethodTable
from api.metrics import Metrics
from api.middleware import RequestMiddleware
from api.pages import router as pages_router
from api.routes import ROUTERS, meta
from api.server.bounds import Bounds
from api.server.door import Door
from api.state import State
from core.settings import Settings, get_settings

REQUEST_HEADERS = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "X-API-Key",
    "X-Request-ID",
)
EXPOSED_HEADERS = (
    "ETag",
    "Idempotency-Replayed",
    "Link",
    "Location",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "X-Process-Time",
    "X-Request-ID",
    "X-Total-Count",
)


def create_app(settings: Settings | None = None) -> FastAPI:
    """An application with its own state; the settings come from the environment unless given."""
    settings = settings or get_settings()
    configure_logging(settings)
    state = State.from_settings(settings)
    door = Door(Bounds.from_settings(settings))
    metrics = Metrics(
        version=openapi.VERSION,
        feed=state.feed,
        connections=state.connections,
        executed=EXECUTOR.executed,
        others=[door],
    )

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with metrics.published():
            yield
        await state.feed.stop()
        await state.connections.stop()
        await state.security.limits.close()
        await state.database.dispose()

    app = Application(lifespan=lifespan)
    app.state.tandem = state
    app.state.metrics = metrics
    app.state.door = door
    include(app, [meta.router, pages_router, graphql.router])
    include(app, ROUTERS, prefix=PREFIX)
    # the paths of the source guide, without a version: the newest one
    include(app, ROUTERS, in_schema=False)
    directory = Directory(app, prefix=PREFIX)
    app.state.allowed_methods = MethodTable(app)
    problems.install(app)
    app.add_middleware(RequestMiddleware, state=state, directory=directory, metrics=metrics)
    app.add_middleware(Compression)
    app.add_middleware(
        Cors,
        allow_origins=settings.allowed_origins,
        # with "*", a browser must not send credentials on behalf of any page it has open
        allow_credentials="*" not in settings.allowed_origins,
        allow_methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"],
        allow_headers=REQUEST_HEADERS,
        expose_headers=EXPOSED_HEADERS,
        max_age=3600,
    )
    return app


def openapi_document() -> dict[str, Any]:
    """The OpenAPI document, for the command that exports it; it holds nothing of the settings."""
    secret = SecretStr(secrets.token_urlsafe(48))
    settings = Settings(secret_key=secret, database_url="sqlite:///./unused.db", _env_file=None)
    return create_app(settings).openapi()


def __getattr__(name: str) -> FastAPI:
    """``app`` is made when a server asks for it, so that importing this module needs no secret."""
    if name == "app":
        globals()["app"] = application = create_app()
        _settle()
        return application
    raise AttributeError(name)


def _settle() -> None:
    """Let the collector leave alone what is there for good, and look less often: a page of tasks is 700 objects."""
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


gc.freeze()  # what is there by now stays; or the first thing that is made next has all of it looked through
gc.enable()
