"""Finds a request's route by its first path segments, where FastAPI would try one route after the other.

FastAPI's nested routers match a path once on each level: 100 regular expressions and 150 µs for a task by its id, in a
version that has been included twice. Here the routes stand in one list, and those of one resource are looked up.
"""

from collections.abc import Iterable, Iterator, Sequence
from copy import copy

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute, request_response
from starlette.routing import compile_path
from starlette.types import Receive, Scope, Send

from api.http.addresses import route_path
from api.http.cache_control import fixed_headers
from api.http.methods import generality
from api.http.open_paths import as_sent, is_open
from api.http.refusals import check_router


def include(app: FastAPI, routers: Iterable[APIRouter], *, prefix: str = "", in_schema: bool = True) -> None:
    """Add the routers' routes to the application's own, as ``include_router`` would, but in one list.

    A route is worked out when it is declared, which takes milliseconds; here it is only given another place. A socket's
    route is taken as it is, without the prefix.
    """
    for router in routers:
        check_router(router, prefix)
        for route in router.routes:
            if isinstance(route, APIRoute):
                route = _placed(app, route, prefix + route.path, in_schema=in_schema)
            app.router.routes.append(route)


def _placed(app: FastAPI, route: APIRoute, path: str, *, in_schema: bool) -> APIRoute:
    """The same route at another path, with the same parameters in it."""
    there = copy(route)
    there.path = path
    there.path_regex, there.path_format, there.param_convertors = compile_path(path)
    there.include_in_schema = in_schema and route.include_in_schema
    # the application's overrides are looked up in it
    there.dependency_overrides_provider = app
    there.app = request_response(there.get_route_handler())
    return there


def _is_within(path: str, other: str) -> bool:
    """Whether some of the paths of a template are also of another one, which is more general; both are of as many
    segments, or have an open end."""
    pairs = [*zip(path.split("/"), other.split("/"), strict=False)]
    if path == other or generality(path) >= generality(other):
        return False
    return all(one == another or "{" in one + another for one, another in pairs)


class RouteIndex:
    """Finds the route of a request: by its method, the resource in its path, and how long the path is.

    As an ASGI application it stands around the router, to which it leaves what it does not find: another method, no
    such path, pages, sockets.
    """

    def __init__(self, app: FastAPI, *, prefix: str) -> None:
        self._prefix, self._depth = prefix, prefix.count("/") + 1
        self._router, self._otherwise = app.router, app.router.middleware_stack
        self._routes: dict[tuple[str, str, int], list[APIRoute]] = {}
        self._plain: dict[tuple[str, str], APIRoute] = {}
        """Those whose path has no parameters, and is that of no other one before them."""
        routes = [route for route in app.router.routes if isinstance(route, APIRoute)]
        self._longest = 2 + max((route.path.count("/") for route in routes), default=0)
        """Of more segments than any route names; paths that have still more are found as these: their end is open."""
        for route in routes:
            route.fixed_headers = fixed_headers(route.endpoint)  # type: ignore[attr-defined]  # for the middleware
            route.is_open = is_open(route)  # type: ignore[attr-defined]  # looked at for each request
            for method in route.methods or ():
                for key in self._keys(method, route):
                    others = self._routes.setdefault(key, [])
                    if not route.param_convertors and not any(each.path_regex.match(route.path) for each in others):
                        self._plain[method, route.path] = route
                    others.append(route)
        self._add_refusals(routes)
        app.router.middleware_stack = self

    def _add_refusals(self, routes: Sequence[APIRoute]) -> None:
        """Have paths refuse methods that they lack and a more general one has, which else would take them for its own:
        ``PATCH /tasks/live`` is no change of a task. The route that is found then refuses the method (405)."""
        methods: dict[str, set[str]] = {}
        named: dict[tuple[str, int], dict[str, APIRoute]] = {}
        for route in routes:
            methods.setdefault(route.path, set()).update(route.methods or ())
            refusing = copy(route)
            # the compiled handler looks at no method
            refusing.compiled = None  # type: ignore[attr-defined]  # what the middleware asks
            for _, resource, length in self._keys("", route):
                named.setdefault((resource, length), {})[route.path] = refusing
        for (method, resource, length), others in self._routes.items():
            for route in [each for each in others if each.param_convertors]:
                for path, particular in named[resource, length].items():
                    if method in methods[path] or not _is_within(path, route.path):
                        continue
                    if not particular.param_convertors:
                        self._plain.setdefault((method, path), particular)
                    elif particular not in others:
                        others.insert(others.index(route), particular)

    def match(self, scope: Scope) -> APIRoute | None:
        """The route of a request, which its scope then names with the parameters in its path; None where none fits."""
        path = route_path(scope)
        plain = self._plain.get((scope["method"], path))
        if plain is not None:
            return self._matched(scope, plain, {})
        for route in self._routes.get(self._key(scope["method"], path), ()):
            match = route.path_regex.match(path)
            if match is not None:
                open_ended = route.is_open  # type: ignore[attr-defined]  # as above
                return self._matched(scope, route, as_sent(scope, match) if open_ended else match.groupdict())
        return None

    def _matched(self, scope: Scope, route: APIRoute, path_params: dict[str, str]) -> APIRoute:
        scope["path_params"], scope["endpoint"], scope["route"] = path_params, route.endpoint, route
        scope["router"] = self._router
        return route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self.match(scope) if scope["type"] == "http" else None
        if route is not None:
            await route.handle(scope, receive, send)
        else:
            await self._otherwise(scope, receive, send)

    def _key(self, method: str, path: str) -> tuple[str, str, int]:
        parts = path.split("/")
        index = self._depth if path.startswith(self._prefix) else 1
        return method, parts[index] if len(parts) > index else "", min(len(parts), self._longest)

    def _keys(self, method: str, route: APIRoute) -> Iterator[tuple[str, str, int]]:
        """Under which a route is found: with an open end, also by paths of more segments."""
        _, resource, length = self._key(method, route.path)
        for more in range(length, self._longest + 1 if is_open(route) else length + 1):
            yield method, resource, more
