"""The application: ``uvicorn api.main:app``."""

from api.server import allocator, collector, switching

# most of a start, whatever command serves, of which a third would be looking for garbage
with collector.resting():
    import secrets
    from collections.abc import AsyncIterator
    from contextlib import asynccontextmanager
    from typing import Any

    from fastapi import FastAPI
    from pydantic import SecretStr

    from api import graphql, problems, startup
    from api.graphql.context import make_executor
    from api.http.addresses import PREFIX
    from api.http.application import Application
    from api.http.index import RouteIndex, include
    from api.http.methods import MethodTable
    from api.metrics import Metrics
    from api.middleware.compression import Compression
    from api.middleware.cors import Cors
    from api.middleware.request import RequestMiddleware
    from api.pages import guides, not_found
    from api.pages import router as pages_router
    from api.routes import ROUTERS, meta
    from api.server.bounds import Bounds
    from api.server.door import Door
    from api.state import State
    from core import logs, origins
    from core.settings import Settings, get_settings
    from core.version import VERSION
    from services.work_figures import WorkFigures

REQUEST_HEADERS = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "Last-Event-ID",
    "X-API-Key",
    "X-Request-ID",
)
EXPOSED_HEADERS = (
    "Accept-Query",
    "ETag",
    "Idempotency-Replayed",
    "Link",
    "Location",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "X-Next-Cursor",
    "X-Process-Time",
    "X-Request-ID",
    "X-Total-Count",
    "X-Total-Count-Exact",
)


def create_app(settings: Settings | None = None, *, compile_after: int = 1) -> FastAPI:
    """An application with its own state; the settings come from the environment unless given.

    GraphQL operations are compiled when their document has come again ``compile_after`` times.
    """
    settings = settings or get_settings()
    logs.configure("DEBUG" if settings.debug else settings.log_level, settings.log_format)
    state = State.from_settings(settings, *make_executor(settings, compile_after=compile_after))
    door = Door(Bounds.from_settings(settings))
    metrics = Metrics(
        version=VERSION,
        followed=state.followed,
        connections=state.connections,
        executed=state.executor.executed,
        others=[door, WorkFigures(state.work)],
    )

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        state.numberer.start()
        if state.leader is not None:
            state.leader.start()
        async with metrics.published():
            yield
        if state.leader is not None:
            await state.leader.stop()
        await state.security.outbox.close()
        await state.live_lists.stop()
        await state.feed.stop()
        await state.notification_feed.stop()
        await state.numberer.stop()
        await state.connections.stop()
        await state.security.limits.close()
        await state.database.dispose()

    app = Application(lifespan=lifespan)
    app.tandem = app.state.tandem = state
    app.state.metrics = metrics
    app.state.door = door
    include(app, [meta.router, pages_router, guides.router, graphql.router])
    include(app, ROUTERS, prefix=PREFIX)
    # the paths of the source guide, without a version: the newest one
    include(app, ROUTERS, in_schema=False)
    routes = RouteIndex(app, prefix=PREFIX)
    app.state.allowed_methods = MethodTable(app)
    problems.install(app)
    not_found.install(app)
    app.add_middleware(RequestMiddleware, state=state, routes=routes, metrics=metrics)
    app.add_middleware(Compression)
    app.add_middleware(
        Cors,
        allow_origins=settings.allowed_origins,
        allow_origin_regex=origins.LOCAL if settings.local_origins_allowed else None,
        # with "*", a browser must not send credentials on behalf of any page it has open
        allow_credentials="*" not in settings.allowed_origins,
        allow_methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY"],
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
    """``app`` is made when a server asks for it: importing this module defines things, and needs no secret."""
    if name == "app":
        settings = startup.settings_or_exit()
        startup.require_metrics_folder()
        try:
            with collector.resting():
                globals()["app"] = application = create_app(settings)
        except Exception as error:
            if (sentence := startup.explained(error)) is None:
                raise
            raise SystemExit(f"Tandem cannot start: {sentence}") from None
        collector.settle()
        allocator.settle()
        switching.settle()
        return application
    raise AttributeError(name)
