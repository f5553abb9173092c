"""Paths that fit several templates: the one that names more of them is meant, with its methods and no others."""

import itertools
import re

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from tests.actors import Person


@pytest.fixture
def templates(app: FastAPI) -> dict[str, set[str]]:
    """The methods of each path below the prefix of the version."""
    found: dict[str, set[str]] = {}
    for route in app.router.routes:
        if isinstance(route, APIRoute) and route.path.startswith("/api/v1"):
            found.setdefault(route.path.removeprefix("/api/v1"), set()).update(route.methods or ())
    return found


def _shared(one: str, other: str) -> str | None:
    """A path that both templates have: with every name that stands in one of them, and a number for what none names."""
    if one == other or one.count("/") != other.count("/"):
        return None
    segments = []
    for each, another in zip(one.split("/"), other.split("/"), strict=True):
        if "{" not in each + another and each != another:
            return None
        segments.append(another if "{" in each else each)
    return re.sub(r"\{[^}]*\}", "1", "/".join(segments))


async def test_a_path_refuses_the_methods_of_a_more_general_one(ada: Person, templates: dict[str, set[str]]) -> None:
    patterns = {template: re.compile(re.sub(r"\{[^}]*\}", "[^/]+", template)) for template in templates}
    pairs = itertools.combinations(templates, 2)
    asked = 0
    for path in sorted({shared for pair in pairs if (shared := _shared(*pair)) is not None}):
        fitting = [template for template, pattern in patterns.items() if pattern.fullmatch(path)]
        meant = min(fitting, key=lambda template: ["{" in segment for segment in template.split("/")])
        own = templates[meant] | ({"HEAD"} if "GET" in templates[meant] else set())
        for method in {*itertools.chain(*map(templates.__getitem__, fitting))} - own:
            answer = await ada.rest(method, path, json={})
            assert (answer.status_code, answer.json()["code"]) == (405, "METHOD_NOT_ALLOWED"), (method, path)
            assert answer.headers["allow"] == ", ".join(sorted(own)), (method, path)
            asked += 1
    assert asked > 30


async def test_what_is_meant_is_answered(ada: Person) -> None:
    task = await ada.task()
    assert (await ada.get(f"/tasks/by-ref/{task['ref']}")).json() == task
    assert (await ada.post(f"/tasks/{task['id']}/duplicate", {})).status_code == 201
    refused = await ada.patch("/tasks/live", {"title": "x"})
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")
    other = await ada.rest("BREW", "/tasks/live")
    assert (other.status_code, other.headers["allow"]) == (405, "GET, HEAD")
