"""Addresses of what the application serves, below the prefix that a proxy may have (ASGI's ``root_path``)."""

from collections.abc import Collection
from urllib.parse import quote

from fastapi import Request, Response
from starlette.requests import HTTPConnection
from starlette.types import Scope

PREFIX = "/api/v1"

MAX_ADDRESS = 64_000
"""Bytes of a path and its query, as they came. uvicorn's parser refuses more than 65,535 by itself, with a 400."""


def settle(scope: Scope, own: Collection[str]) -> None:
    """Have ``path`` begin with ``root_path``, once, as ASGI has it, whatever stands before the application.

    uvicorn puts ``--root-path`` before every path: right where a proxy strips its prefix, and twice there where it does
    not. Another server leaves the path as it came, with the prefix or without. ``own`` are the first segments of the
    application's own paths: a prefix like one of them is taken away but once.
    """
    given: str = scope["root_path"]
    root = "/" + given.strip("/")
    path: str = scope["path"]
    if root == "/":
        scope["root_path"], scope["path"] = "", path[1:] if path.startswith("//") else path
        return
    if given.endswith("/") and path.startswith(given):
        path = path[len(given.rstrip("/")) :]
        rest = path[1:] if path.startswith("//") else path
    else:
        rest = _below(root, path if path.startswith("/") else "/" + path)
    if root.split("/")[1] not in own:
        rest = _below(root, rest)
    scope["root_path"], scope["path"] = root, root + rest


def _below(root: str, path: str) -> str:
    """The path without the prefix, where it has it."""
    if path == root:
        return "/"
    return path[len(root) :] if path.startswith(root + "/") else path


def route_path(scope: Scope) -> str:
    """The path as routes have it."""
    root = scope.get("root_path")
    return _below(root, scope["path"]) if root else scope["path"]


def client_of(connection: HTTPConnection) -> str:
    """The address of the client: of the one that a proxy names, where the server trusts the proxy; empty for a socket
    of the file system."""
    client = connection.scope.get("client")
    return str(client[0]) if client else ""


def prefix_of(scope: Scope) -> str:
    """The prefix, as an address has it."""
    root: str = scope.get("root_path", "")
    # an operator may have escaped it already
    return quote(root, safe="/%") if root else root


def locate(request: Request, response: Response, path: str) -> None:
    """Say in ``Location`` where something stands: at a path of the newest version."""
    response.headers["Location"] = prefix_of(request.scope) + PREFIX + path
