"""What uvicorn is told wherever it serves the application: by itself, as gunicorn's workers, and in tests."""

import os
from typing import Any

PROTOCOL = "api.server.protocol:Protocol"
SOCKETS = "api.server.sockets:SocketProtocol"
KEEP_ALIVE_SECONDS = 75
"""Longer than the idle timeout of the usual proxies (60 s), which must be the ones to hang up."""
GRACEFUL_SECONDS = 10
"""What still runs then, after the server was told to end, is cut off: an event stream would hold it for ever."""
PING_SECONDS = 45.0
"""Between two pings of a socket: the usual proxies wait for 60 s, and each ping of thousands costs."""
BACKLOG = 2_048
"""Connections that the kernel keeps for us until they are accepted."""

OPTIONS: dict[str, Any] = {
    "http": PROTOCOL,
    "ws": SOCKETS,
    "ws_per_message_deflate": False,
    "ws_ping_interval": PING_SECONDS,
    "server_header": False,
    "access_log": False,  # the application writes its own, with request ids
    "timeout_graceful_shutdown": GRACEFUL_SECONDS,
    "timeout_keep_alive": KEEP_ALIVE_SECONDS,
    "backlog": BACKLOG,
}


def number(name: str, default: int, most: int) -> int:
    """A number of the environment, from 1. Raises ``SystemExit`` for anything else."""
    given = os.environ.get(name) or str(default)
    if not (given.isascii() and given.isdigit() and 1 <= int(given) <= most):
        raise SystemExit(f"Tandem cannot start: {name} must be a number from 1 to {most:,}, e.g. {name}={default}")
    return int(given)


def host() -> str:
    return os.environ.get("HOST") or "127.0.0.1"


def port() -> int:
    return number("PORT", 8000, 65_535)


def workers() -> int:
    return number("WORKERS", 1, 1_000)
