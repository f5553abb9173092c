"""Which methods a path has: the ``Allow`` header of a 405 (RFC 9110, section 10.2.1), which no single route knows.

A path that fits several templates is one of the most particular: ``/tasks/live`` is no task, whatever tasks can do.
"""

import re

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.routing import compile_path


def generality(template: str) -> tuple[bool, ...]:
    """How general a path's template is: of two that a path fits, the smaller one is meant, which names the first
    segment that the other leaves open."""
    return tuple(["{" in segment for segment in template.split("/")])


class MethodTable:
    """The methods of every path of an application, read from its routes once."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._table: list[tuple[re.Pattern[str], tuple[bool, ...], set[str]]] | None = None

    def __call__(self, path: str) -> list[str]:
        """The methods that a path has, sorted; none where there is nothing at the path."""
        if self._table is None:
            self._table = self._read()
        fitting = [(general, methods) for pattern, general, methods in self._table if pattern.match(path)]
        meant = min((general for general, _ in fitting), default=())
        allowed = {method for general, methods in fitting if general == meant for method in methods}
        return sorted(allowed | ({"HEAD"} if "GET" in allowed else set()))

    def _read(self) -> list[tuple[re.Pattern[str], tuple[bool, ...], set[str]]]:
        table = []
        for route in iter_route_contexts(self._app.routes):
            if route.path and route.methods:
                pattern, _, _ = compile_path(route.path)
                table.append((pattern, generality(route.path), set(route.methods)))
        return table
