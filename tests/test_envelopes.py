"""Lists in an envelope: what a plain array leaves to headers stands beside the rows."""

from typing import Any

import pytest
from fastapi.routing import APIRoute

from tests.actors import Person
from tests.examples import ROUTES
from tests.listings import ids, links


def _takes_an_envelope(route: APIRoute) -> bool:
    waiting = [route.dependant]
    while waiting:
        dependant = waiting.pop()
        if any(
            "envelope" in getattr(each.field_info.annotation, "model_fields", ()) for each in dependant.query_params
        ):
            return True
        waiting += dependant.dependencies
    return False


LISTS = {name: route.path for name, route in ROUTES.items() if _takes_an_envelope(route)}


class TestEnvelope:
    async def test_rows_stand_under_their_name(self, ada: Person) -> None:
        made = [(await ada.task(title=f"Task {number}"))["id"] for number in range(5)]
        path = "/tasks?envelope=true&limit=2&sort_by=id&order=asc"
        first = await ada.get(path)
        body = first.json()
        second = (await ada.get(f"{path}&cursor={body['next_cursor']}")).json()
        skipped = (await ada.get(f"{path}&skip=4")).json()

        assert list(body) == ["total", "total_exact", "skip", "limit", "next_cursor", "tasks"]
        assert (body["total"], body["skip"], body["limit"], ids(body["tasks"])) == (5, 0, 2, made[:2])
        assert ids(second["tasks"]) == made[2:4]
        assert (skipped["skip"], skipped["next_cursor"], ids(skipped["tasks"])) == (4, None, made[4:])
        assert (first.headers["x-total-count"], first.headers["x-total-count-exact"]) == ("5", "true")
        assert (await ada.get(links(first)["next"].removeprefix("/api/v1"))).json()["tasks"] == second["tasks"]

    async def test_rows_are_those_of_the_plain_list(self, ada: Person) -> None:
        await ada.task(tags=["a"])
        for query in ("", "&fields=id,title", "&expand=tags&expand=project", "&limit=0", "&filter={}&search=nothing"):
            plain, wrapped = await ada.get(f"/tasks?total=true{query}"), await ada.get(f"/tasks?envelope=true{query}")
            assert wrapped.json()["tasks"] == plain.json(), query
            assert wrapped.headers["content-type"] == "application/json"
            assert str(wrapped.json()["total"]) == plain.headers["x-total-count"]

    async def test_it_can_be_refused(self, ada: Person) -> None:
        plain = await ada.get("/tasks?envelope=false")
        wrong = await ada.get("/tasks?envelope=perhaps")

        assert plain.json() == []
        assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "/envelope")

    async def test_count_is_paid_for(self, ada: Person) -> None:
        query = "&".join(["expand=assignees&expand=tags", "limit=100", *["filter=" + "%20" * 3 + "{}"]])
        assert (await ada.get(f"/tasks?envelope=true&{query}")).status_code == 200

    @pytest.mark.parametrize("name", sorted(LISTS))
    async def test_every_list_has_one(self, ada: Person, name: str) -> None:
        project = await ada.project()
        task = await ada.task(project_id=project["id"])
        webhook = (await ada.post("/webhooks", {"name": "CI", "url": "https://hooks.example.com/tandem"})).json()
        assert (await ada.post(f"/webhooks/{webhook['id']}/test")).status_code == 202
        path = LISTS[name].format(project_id=project["id"], task_id=task["id"], webhook_id=webhook["id"])
        method = "POST" if name.startswith("query_") else "GET"
        sent: dict[str, Any] = {"json": {}} if method == "POST" else {}
        plain = (await ada.rest(method, path, **sent)).json()
        wrapped = (await ada.rest(method, f"{path}?envelope=true", **sent)).json()
        rows = path.removesuffix("/query").rpartition("/")[2].replace("-", "_")

        assert list(wrapped) == ["total", "total_exact", "skip", "limit", "next_cursor", rows]
        assert wrapped[rows] == plain
        assert (wrapped["total"], wrapped["total_exact"]) == (len(plain), True)


def test_lists_are_found() -> None:
    assert {"list_tasks", "list_projects", "list_comments", "list_members", "list_api_keys"} <= LISTS.keys()
