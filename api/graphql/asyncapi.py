"""``GET /asyncapi.json``: the document of what the server says unasked, of both doors.

It stands here because of the subscriptions, which are the schema's; where the server does not show its schema, they are
left out.
"""

from typing import Any

from fastapi import Request
from starlette.responses import JSONResponse, Response

from api import openapi
from api.dependencies.state import AppState
from api.descriptions import streams
from api.descriptions.socket_frames import Subscription
from api.http.addresses import prefix_of
from api.http.cache_control import Kind, answers
from graphql_schema.schema import schema


def document(rest: dict[str, Any], *, introspection: bool = True) -> dict[str, Any]:
    """The AsyncAPI document beside an OpenAPI document."""
    return streams.document(rest, _subscriptions() if introspection else ())


def _subscriptions() -> list[Subscription]:
    root = schema._schema.subscription_type
    fields = {} if root is None else root.fields
    return [
        Subscription(
            name,
            field.description or "",
            {argument: str(given.type) for argument, given in field.args.items()},
            str(field.type),
        )
        for name, field in fields.items()
    ]


@answers(Kind.ANYBODYS)
async def asyncapi_json(request: Request, state: AppState) -> Response:
    """The document, made once for each application."""
    openapi.require_api_docs(request)
    app = request.app
    if not hasattr(app.state, "asyncapi"):
        app.state.asyncapi = document(openapi.document(app), introspection=state.introspection)
    return JSONResponse(streams.below(app.state.asyncapi, prefix_of(request.scope)))
