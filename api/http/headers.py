"""A request's headers, looked through once."""

from starlette.types import Scope

_KEY = "tandem.headers"

LISTS = frozenset({b"accept", b"if-match", b"if-none-match"})
"""Those that say the same on several lines as on one, with commas (RFC 9110, section 5.3)."""
SINGLE = frozenset({b"authorization", b"content-type", b"idempotency-key", b"x-api-key"})
"""Those of which there is one, and that decide something: whoever sends two different ones means one of them."""


class RepeatedHeader(Exception):
    """A header of which there is one stands there twice, with different values; the message is its name."""


def headers_of(scope: Scope) -> dict[bytes, bytes]:
    """The headers by their names in small letters; of one that repeats the first, or all where they are a list."""
    found: dict[bytes, bytes] | None = scope.get(_KEY)
    if found is None:
        found = scope[_KEY] = dict(reversed(scope["headers"]))
    return found


def combine(scope: Scope) -> None:
    """Put headers that repeat on one line, for whoever reads them. Raises ``RepeatedHeader``."""
    found = headers_of(scope)
    given = scope["headers"]
    for name in found.keys() & (LISTS | SINGLE):
        values = [value for other, value in given if other == name]
        if name in LISTS:
            found[name] = b", ".join(values)
        elif len(set(values)) > 1:
            raise RepeatedHeader(name.decode("ascii").title())
    once = LISTS | SINGLE
    scope["headers"] = [
        *((name, value) for name, value in given if name not in once),
        *((name, found[name]) for name in found.keys() & once),
    ]


def header(scope: Scope, name: bytes) -> str:
    """A header as text; empty where there is none."""
    return headers_of(scope).get(name, b"").decode("latin-1")
