"""A request's headers, looked through once."""

from starlette.types import Scope

_KEY = "tandem.headers"


def headers_of(scope: Scope) -> dict[bytes, bytes]:
    """The headers by their names in small letters; of one that repeats the first."""
    found: dict[bytes, bytes] | None = scope.get(_KEY)
    if found is None:
        found = scope[_KEY] = dict(reversed(scope["headers"]))
    return found


def lines(scope: Scope, name: bytes) -> list[str]:
    """A header's field lines; its value is what they say together, with commas between (RFC 9110, section 5.3)."""
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def header(scope: Scope, name: bytes) -> str:
    """A header as text; empty where there is none."""
    return headers_of(scope).get(name, b"").decode("latin-1")
