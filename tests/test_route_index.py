"""The index finds the route that FastAPI's router would: the first one, in the order of their declaration."""

from typing import Any

import pytest
from fastapi import APIRouter, FastAPI

from api.http.index import RouteIndex, include


def found(paths: list[str], path: str, *, root_path: str = "") -> tuple[str, dict[str, str]] | None:
    """The declared path of the route that is found for a path, and its parameters."""
    router = APIRouter()
    for declared in paths:
        router.get(declared)(lambda: None)
    app = FastAPI()
    include(app, [router], prefix="/api/v1")
    scope: dict[str, Any] = {"type": "http", "method": "GET", "path": path, "root_path": root_path}
    route = RouteIndex(app, prefix="/api/v1").match(scope)
    return None if route is None else (route.path.removeprefix("/api/v1"), scope["path_params"])


@pytest.mark.parametrize(
    ("paths", "path", "expected"),
    [
        (["/tasks"], "/api/v1/tasks", ("/tasks", {})),
        (["/tasks/{id}"], "/api/v1/tasks/7", ("/tasks/{id}", {"id": "7"})),
        (["/users/me", "/users/{id}"], "/api/v1/users/me", ("/users/me", {})),
        (["/users/{id}", "/users/me"], "/api/v1/users/me", ("/users/{id}", {"id": "me"})),
        (["/users/{id}/keys", "/users/me"], "/api/v1/users/me", ("/users/me", {})),
        (["/tasks"], "/api/v1/tasks/", None),
        (["/tasks"], "/tasks", None),
        (["/tasks"], "/api/v1/TASKS", None),
        (["/tasks"], "/api/v1//tasks", None),
    ],
)
def test_first_route_that_fits(paths: list[str], path: str, expected: object) -> None:
    assert found(paths, path) == expected


def test_path_behind_a_proxy() -> None:
    assert found(["/tasks"], "/behind/api/v1/tasks", root_path="/behind") == ("/tasks", {})
