"""The connection below a request, for what ASGI has no words for: ending one whose client never reads.

An answer waits until the client has read of it. To close the connection would wait for that as well; it can only be
broken off. uvicorn's ``send`` belongs to an object that has the connection; another server's may not, and then nothing
is broken off here, and TCP's own time limits have to do.
"""

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from starlette.types import Scope, Send

_KEY = "tandem.transport"


def remember(scope: Scope, send: Send) -> None:
    """Keep the connection of a request, if the server shows it; ``send`` as the server gave it."""
    # not the object itself, which has the scope: a cycle for each request
    scope[_KEY] = getattr(getattr(send, "__self__", None), "transport", None)


def abort(scope: Scope) -> bool:
    """Break the connection off, with all that has not been read of it. Returns whether that could be done."""
    transport: Any = scope.get(_KEY)
    if transport is None:
        return False
    transport.abort()
    return True


def bound_silence(scope: Scope, seconds: float) -> None:
    """Have the kernel break the connection off where nothing that was sent is taken for so long: the other host is
    gone, or its window stays closed (TCP_USER_TIMEOUT, RFC 5482; Linux alone has it)."""
    transport: Any = scope.get(_KEY)
    connection = None if transport is None else transport.get_extra_info("socket")
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    if connection is not None and option is not None:
        with suppress(OSError):  # a Unix socket, or one that is closed
            connection.setsockopt(socket.IPPROTO_TCP, option, int(seconds * 1000))


def bound_messages(scope: Scope, most: int) -> None:
    """Have the server take no longer message on this socket, if it can be told (``api/server/sockets.py``)."""
    transport: Any = scope.get(_KEY)
    bound = None if transport is None else getattr(transport.get_protocol(), "bound_messages", None)
    if bound is not None:
        bound(most)


def give_place(scope: Scope) -> None:
    """Let the next request in: this one waits for something to happen (``api/server/places.py``)."""
    transport: Any = scope.get(_KEY)
    give = None if transport is None else getattr(transport.get_protocol(), "give_place", None)
    if give is not None:
        give()


def adds(scope: Scope) -> Callable[[bytes], None] | None:
    """What adds a piece to an answer that is under way, at once; of a server that also ends a request's task as soon as
    its client leaves, and None of another one (``api/server/connection.py``)."""
    transport: Any = scope.get(_KEY)
    add: Callable[[bytes], None] | None = None if transport is None else getattr(transport.get_protocol(), "add", None)
    return None if scope["method"] == "HEAD" else add
