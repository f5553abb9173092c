"""Who may open a socket: what a handshake has to say for itself, before it is answered by 101.

The rules are HTTP's, and so are the refusals: a handshake is a request (RFC 6455, section 4.2.1).
"""

from fastapi import WebSocket
from starlette.responses import Response

from api import problems
from api.http.addresses import MAX_ADDRESS
from api.http.headers import RepeatedHeader, combine, header, headers_of
from api.server.hosts import is_host
from api.state import State
from core.origins import is_local

ONCE = (b"host", b"origin")
"""Headers of which a handshake has one, whatever its value."""


def refusal(websocket: WebSocket, state: State) -> Response | None:
    """The response that refuses a handshake; None where it may be accepted."""
    scope = websocket.scope
    if len(scope["path"]) + len(scope["query_string"]) > MAX_ADDRESS:
        return problems.problem(414, "URI_TOO_LONG", f"The address is longer than {MAX_ADDRESS:,} bytes")
    if len(headers_of(scope)) != len(scope["headers"]):
        try:
            combine(scope)
        except RepeatedHeader as repeated:
            return _bad(f"{repeated} is there more than once, with different values")
    given = [name for name, _ in scope["headers"] if name in ONCE]
    for name in ONCE:
        if given.count(name) > 1:
            return _bad(f"{name.decode().title()} is there more than once")
    if not is_host(headers_of(scope).get(b"host", b"")):
        return _bad("The request needs one Host header, which names a host")
    if not _origin_allowed(websocket, state):
        return problems.problem(403, "FORBIDDEN", "Pages of this origin may not open a socket: ALLOWED_ORIGINS")
    return None


def _bad(detail: str) -> Response:
    return problems.problem(400, "BAD_REQUEST", detail)


def _origin_allowed(websocket: WebSocket, state: State) -> bool:
    """Browsers name the page that opens a socket: only our own pages and the allowed origins may."""
    scope = websocket.scope
    if b"origin" not in headers_of(scope):
        return True
    origin, allowed = header(scope, b"origin"), state.settings.allowed_origins
    if state.settings.local_origins_allowed and is_local(origin):
        return True
    return origin in allowed or "*" in allowed or origin.partition("://")[2] == header(scope, b"host")
