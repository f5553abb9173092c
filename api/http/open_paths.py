"""Paths whose end is open: the last parameter is all that follows, with its slashes.

What other systems call things may hold slashes (``owner/repo#12``). Servers hand a path on decoded, where a slash that
was escaped (%2F) looks like one that divides segments; the path as it was sent tells them apart.
"""

import re
from urllib.parse import unquote

from starlette.convertors import PathConvertor, register_url_convertor
from starlette.routing import BaseRoute
from starlette.types import Scope


class Rest(PathConvertor):
    """The rest of a path, whatever is in it; nothing at all is refused by the parameter's own rules."""

    regex = "(?s:.*)"


_NAME = "rest"
register_url_convertor(_NAME, Rest())


def open_end(name: str) -> str:
    """The end of a route's path, for a parameter that is all of what follows."""
    return f"/{{{name}:{_NAME}}}"


def is_open(route: BaseRoute) -> bool:
    """Whether the end of a route's path is open."""
    return any(isinstance(each, Rest) for each in getattr(route, "param_convertors", {}).values())


def as_sent(scope: Scope, match: re.Match[str]) -> dict[str, str]:
    """The parameters of a path with an open end, by the slashes that were sent as such: an escaped one belongs to its
    segment. ``match`` is of the path as it was handed on."""
    start = match.start(1)
    tail = _sent(scope, match.string[start:])
    if tail is None:
        return match.groupdict()
    path = match.string[:start] + tail
    # where all that were sent are escaped, nothing follows the segment
    found = match.re.match(path) or match.re.match(path + "/")
    return match.groupdict() if found is None else {name: unquote(value) for name, value in found.groupdict().items()}


def _sent(scope: Scope, tail: str) -> str | None:
    """The end of a path, as it was sent; None where it was sent as it is, or that is not known."""
    raw: bytes = scope.get("raw_path") or b""
    if b"%2f" not in raw.lower():
        return None
    segments = raw.decode("latin-1").split("/")
    first, length = len(segments), -1
    while first and length < len(tail):
        first -= 1
        length += 1 + len(unquote(segments[first]))
    sent = "/".join(segments[first:])
    # what a proxy's prefix makes of the path is before it
    return sent if unquote(sent) == tail else None
