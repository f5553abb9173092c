"""Mounts /graphql: the GraphQL door over HTTP, and over WebSocket. Nothing else in ``api`` imports the schema."""

from api.graphql.http import router
from api.graphql.websocket import handle as _handle

router.add_api_websocket_route("/graphql", _handle)

__all__ = ["router"]
