"""The index finds the route that FastAPI's router would: the first one, in the order of their declaration."""

import time
from typing import Any
from urllib.parse import unquote

import pytest
from fastapi import APIRouter, FastAPI

from api.http.index import RouteIndex, include
from api.http.open_paths import open_end


def found(
    paths: list[str], path: str, *, root_path: str = "", raw_path: str | None = None
) -> tuple[str, dict[str, str]] | None:
    """The declared path of the route that is found for a path, and its parameters."""
    router = APIRouter()
    for declared in paths:
        router.get(declared)(lambda: None)
    app = FastAPI()
    include(app, [router], prefix="/api/v1")
    scope: dict[str, Any] = {"type": "http", "method": "GET", "path": path, "root_path": root_path}
    if raw_path is not None:
        scope["raw_path"] = raw_path.encode()
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


OPEN = "/tasks/by/{source}" + open_end("id")
DEEPER = "/tasks/{task}/comments/{comment}/replies/{reply}"


@pytest.mark.parametrize(
    ("raw_path", "source", "id_"),
    [
        ("/tasks/by/crm/1", "crm", "1"),
        ("/tasks/by/crm/owner/repo%2312", "crm", "owner/repo#12"),
        ("/tasks/by/crm/owner%2frepo%2312", "crm", "owner/repo#12"),
        ("/tasks/by/a%2Fb/c", "a/b", "c"),
        ("/tasks/by/a/b%2Fc", "a", "b/c"),
        ("/tasks/by/%252F/%25", "%2F", "%"),
        ("/tasks/by/crm/https:%2F%2Fx/y//z/", "crm", "https://x/y//z/"),
        ("/tasks/by/crm/two%0Alines%2F", "crm", "two\nlines/"),
        ("/tasks/by/crm/../.", "crm", "../."),
        ("/tasks/by/crm/", "crm", ""),
        ("/tasks/by/a%2Fb", "a/b", ""),
        ("/tasks/by/crm/comments/1/replies/2", "crm", "comments/1/replies/2"),
        ("/tasks/by/crm/1/2/3/4/5/6/7/8/9", "crm", "1/2/3/4/5/6/7/8/9"),
        ("/tasks/by/crm/%C3%A9%2F%ff", "crm", "é/\ufffd"),
    ],
)
@pytest.mark.parametrize("prefix", ["", "/behind", "/be%2Fhind"])
def test_open_end_takes_all_that_follows(raw_path: str, source: str, id_: str, prefix: str) -> None:
    """A slash that was escaped divides nothing, whatever a proxy puts before the path."""
    paths, raw_path = [DEEPER, OPEN], "/api/v1" + raw_path
    expected = (OPEN, {"source": source, "id": id_})
    root_path = unquote(prefix)
    for sent in (prefix + raw_path, raw_path):
        assert found(paths, root_path + unquote(raw_path), root_path=root_path, raw_path=sent) == expected


def test_path_as_it_was_sent_may_be_unknown() -> None:
    for raw_path in (None, "", "/something/else%2F", "/api/v1/tasks/by%2Fa/b/c"):
        assert found([OPEN], "/api/v1/tasks/by/a/b/c", raw_path=raw_path) == (OPEN, {"source": "a", "id": "b/c"})


def test_more_particular_route_is_found_beside_an_open_end() -> None:
    ids = {"task": "1", "comment": "2", "reply": "3"}
    assert found([OPEN, DEEPER], "/api/v1/tasks/1/comments/2/replies/3") == (DEEPER, ids)
    assert found([OPEN, DEEPER], "/api/v1/tasks/1/comments/2/replies") is None
    assert found([OPEN], "/api/v1/tasks/by") is None
    assert found([OPEN], "/api/v1/tasks/by/crm") is None


def test_a_long_address_is_taken_apart_in_no_time() -> None:
    path = "/api/v1/tasks/by/crm/" + "%2F/" * 20_000
    started = time.perf_counter()
    assert found([OPEN], unquote(path), raw_path=path) == (OPEN, {"source": "crm", "id": "//" * 20_000})
    assert time.perf_counter() - started < 1
