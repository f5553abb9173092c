"""Mounts /graphql: the GraphQL door over HTTP, and over WebSocket. Nothing else in ``api`` imports the schema."""

from api.graphql.asyncapi import asyncapi_json as _asyncapi
from api.graphql.http import router
from api.graphql.sdl import schema_text as _schema_text
from api.graphql.websocket import Sockets as _Sockets

# an ASGI application, and no function of FastAPI's: there may be thousands of sockets, each for hours
router.add_websocket_route("/graphql", _Sockets())  # type: ignore[arg-type]  # Starlette takes such, too
router.add_api_route("/graphql/schema.graphql", _schema_text, methods=["GET", "HEAD"])
router.add_api_route("/asyncapi.json", _asyncapi, methods=["GET", "HEAD"])

__all__ = ["router"]
