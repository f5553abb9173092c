"""The schema as SDL, for generators: what introspection says, without a request of 50 fields, and to nobody else."""

import hashlib
from functools import cache

from fastapi import Request
from starlette.responses import Response

from api.dependencies.state import AppState
from api.http.cache_control import Kind, answers
from api.problems import SwitchedOff
from graphql_schema.schema import sdl

MEDIA_TYPE = "text/plain; charset=utf-8"
"""A browser shows that; there is no media type that is registered for SDL."""


@answers(Kind.ANYBODYS)
async def schema_text(request: Request, state: AppState) -> Response:
    """The schema, where the server shows it."""
    if not state.introspection:
        raise SwitchedOff("GRAPHQL_INTROSPECTION")
    text, etag = _made()
    if etag in {tag.strip().removeprefix("W/") for tag in request.headers.get("If-None-Match", "").split(",")}:
        return Response(status_code=304, headers={"ETag": etag})
    return Response(text, headers={"ETag": etag}, media_type=MEDIA_TYPE)


@cache
def _made() -> tuple[bytes, str]:
    text = sdl().encode()
    return text, f'"{hashlib.sha256(text).hexdigest()[:32]}"'
