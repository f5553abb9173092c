"""Which methods a path has: the ``Allow`` header of a 405 (RFC 9110, section 10.2.1), which no single route knows."""

import re

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.routing import compile_path


class MethodTable:
    """The methods of every path of an application, read from its routes once."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._table: list[tuple[re.Pattern[str], set[str]]] | None = None

    def __call__(self, path: str) -> list[str]:
        """The methods that a path has, sorted; none where there is nothing at the path."""
        if self._table is None:
            self._table = self._read()
        allowed: set[str] = set()
        for pattern, methods in self._table:
            if pattern.match(path):
                allowed |= methods
        return sorted(allowed | ({"HEAD"} if "GET" in allowed else set()))

    def _read(self) -> list[tuple[re.Pattern[str], set[str]]]:
        table = []
        for route in iter_route_contexts(self._app.routes):
            if route.path and route.methods:
                pattern, _, _ = compile_path(route.path)
                table.append((pattern, set(route.methods)))
        return table
