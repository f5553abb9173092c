"""Bodies that are large: 32 KB or more, of which a call with a thousand tasks has several hundred.

Reading one, and checking it by pydantic, takes up to a tenth of a second, so it is done aside (``core.aside``);
FastAPI, which does it on the event loop, is not asked. How many values there are is looked at before any is made: a
JSON text of 2 MB may hold a million.
"""

import json
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import orjson
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from core.aside import LARGE, aside
from services.shared.errors import MAX_MISTAKES, MAX_PROBLEMS, TOO_MANY_MISTAKES, TooExpensive

MAX_VALUES = 200_000
"""Values in a body: a call with a thousand tasks, each with 50 tags and 50 people, has about half as many."""
UNREAD = "tandem.unread"
"""Set in the scope of a request whose large body FastAPI is not given, because something else of it is refused."""
_TEXTS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)


async def body_of(request: Request) -> bytes:
    """The body, which the request keeps, as with Starlette's own method. Raises ``ClientDisconnect``."""
    if not hasattr(request, "_body"):
        parts: list[bytes] = []
        more = True
        while more:
            message = await request.receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            parts.append(message.get("body", b""))
            more = message.get("more_body", False)
        request._body = parts[0] if len(parts) == 1 else b"".join(parts)
    return request._body


class Invalid:
    """In the place of a body that is refused, until those before it have been asked."""

    def __init__(self, error: Exception) -> None:
        self.error = error


@lru_cache(maxsize=100)
def is_json(content_type: bytes | None) -> bool:
    """Whether FastAPI would read a body of the type as JSON."""
    if content_type == b"application/json":
        return True
    media_type = (content_type or b"").partition(b";")[0].strip().lower()
    return media_type.startswith(b"application/") and (media_type[12:] == b"json" or media_type.endswith(b"+json"))


NOT_READ = "There was an error parsing the body"
"""FastAPI's words, for what is nested too deeply or holds a number that is too long; ``api.problems`` has others."""


def is_large(body: bytes) -> bool:
    """Whether to read a body by ``read``."""
    return len(body) >= LARGE


def check_values(body: bytes) -> None:
    """Raises ``TooExpensive`` for JSON that holds more than ``MAX_VALUES`` values."""
    if len(body) > MAX_VALUES and _values(body) > MAX_VALUES and _values(_TEXTS.sub(b"0", body)) > MAX_VALUES:
        raise TooExpensive(f"The body holds more than {MAX_VALUES:,} values")


def _values(text: bytes) -> int:
    """How many values JSON may hold: each but the first stands behind one of these, or is inside of a text."""
    return text.count(b",") + text.count(b"[") + text.count(b"{")


async def read(validate: Callable[..., Any], body: bytes) -> Any:
    """What a field of FastAPI's makes of a body: its value, or ``Invalid`` with the error that FastAPI would raise."""
    return await aside(_read, validate, body)


def _read(validate: Callable[..., Any], body: bytes) -> Any:
    try:
        check_values(body)
        return validate(_loads(body), from_attributes=True)
    except TooExpensive as error:
        return Invalid(error)
    except ValidationError as error:
        return Invalid(RequestValidationError(_located(error)))
    except json.JSONDecodeError:
        return Invalid(RequestValidationError([{"type": "json_invalid", "loc": ("body",), "msg": "JSON decode error"}]))
    except (ValueError, RecursionError):
        return Invalid(HTTPException(400, NOT_READ))


def _loads(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return json.loads(body)  # as FastAPI: a NaN or a lone surrogate is refused where it stands


def _located(error: ValidationError) -> list[dict[str, Any]]:
    if error.error_count() > MAX_MISTAKES:
        return [{"type": TOO_MANY_MISTAKES.type, "loc": ("body",), "msg": TOO_MANY_MISTAKES.detail}]
    details = error.errors(include_url=False)[:MAX_PROBLEMS]
    return [{**detail, "loc": ("body", *detail["loc"])} for detail in details]
