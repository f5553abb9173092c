"""What every list has in common: pages, bounds and cursors, at the root and below other things."""

import json
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest

from services.shared import totals
from tests.actors import Person
from tests.conftest import People
from tests.listings import links

ROWS = 5


@dataclass
class Place:
    """Something with five rows in every list that hangs on it."""

    ada: Person
    project: dict[str, Any]
    task: dict[str, Any]

    def path(self, path: str) -> str:
        return path.format(project=self.project["id"], task=self.task["id"])


_places: dict[str, Place] = {}


@pytest.fixture
async def place(backend: str, client: httpx.AsyncClient, people: People) -> Place:
    """Made once on each database: everybody here only reads."""
    if backend not in _places:
        _places[backend] = await _make_place(await people(), people)
    made = _places[backend]
    return replace(made, ada=replace(made.ada, client=client))


async def _make_place(ada: Person, people: People) -> Place:
    project = await ada.project()
    task = await ada.task(project_id=project["id"], title="0")
    for number in range(1, ROWS):
        below = await ada.task(project_id=project["id"], parent_id=task["id"], title=str(number))
        await ada.post(f"/tasks/{task['id']}/relations", {"kind": "relates_to", "target_id": below["id"]})
        await ada.post("/saved-views", {"name": str(number)})
        await ada.comment(task["id"], str(number))
        await ada.invite(project, await people())
        await ada.project()
    last = await ada.task(project_id=project["id"], parent_id=task["id"], title="last")
    await ada.post(f"/tasks/{task['id']}/relations", {"kind": "blocks", "target_id": last["id"]})
    await ada.post("/saved-views", {"name": "last"})
    await ada.comment(task["id"], "last")
    return Place(ada, project, task)


REST = {
    "/tasks?project_id={project}": 6,
    "/tasks?parent_id={task}": 5,
    "/tasks/{task}/comments": 5,
    "/tasks/{task}/relations": 5,
    "/tasks/{task}/history": 11,
    "/saved-views": 5,
    "/projects": 6,
    "/projects/{project}/members": 5,
    "/users": 5,
    "/users/me/sessions": 1,
    "/users/me/security-events": 1,
    "/users/me/api-keys": 0,
}
# the way to a connection, its arguments as %s, and how many rows it has
GRAPHQL = {
    "tasks%s": 6,
    'search(query: "0"@)': 1,
    "projects%s": 6,
    "users%s": 5,
    "sessions%s": 1,
    "securityEvents%s": 1,
    "apiKeys%s": 0,
    "project(id: $project) { tasks%s }": 6,
    "project(id: $project) { tasks(orderBy: {field: TITLE}@) }": 6,
    "project(id: $project) { members%s }": 5,
    "task(id: $task) { comments%s }": 5,
    "task(id: $task) { relations%s }": 5,
    "task(id: $task) { history%s }": 11,
    "savedViews%s": 5,
    "task(id: $task) { subtasks%s }": 5,
    "task(id: $task) { subtasks(filter: {priority: {eq: 1}}, orderBy: {field: ID, direction: ASC}@) }": 5,
}
ROWS_ARE = "totalCount pageInfo { hasNextPage hasPreviousPage startCursor endCursor } edges { cursor node { id } }"


class TestRest:
    @pytest.mark.parametrize("path", REST)
    async def test_pages_make_up_the_whole_both_ways(self, place: Place, path: str) -> None:
        def page(path: str, extra: str) -> str:
            return f"{path}{'&' if '?' in path else '?'}{extra}"

        ada, path, count = place.ada, place.path(path), REST[path]
        whole = (await ada.get(page(path, "limit=100"))).json()
        assert len(whole) == count
        assert len({row["id"] for row in whole}) == count
        back, forwards, following = "", [], page(f"/api/v1{path}", "limit=2")
        while following:
            answer = await ada.client.get(following, headers=ada.headers)
            forwards += answer.json()
            back, following = links(answer).get("prev", ""), links(answer).get("next", "")
        assert forwards == whole
        if count > 2:
            before = await ada.client.get(back, headers=ada.headers)
            assert before.json() == whole[(count - 1) // 2 * 2 - 2 :][:2]

    @pytest.mark.parametrize("path", REST)
    async def test_rows_are_counted_where_that_is_asked(self, place: Place, path: str) -> None:
        start = place.path(path) + ("&" if "?" in path else "?")
        for query in ("limit=1&total=true", "limit=0&total=true", "skip=2&total=1"):
            answer = await place.ada.get(start + query)
            assert answer.headers["x-total-count"] == str(REST[path]), query
        for query in ("limit=1", "total=false"):
            assert "x-total-count" not in (await place.ada.get(start + query)).headers

    @pytest.mark.parametrize("path", REST)
    async def test_rows_are_counted_up_to_a_bound(
        self, place: Place, path: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        start = place.path(path) + ("&" if "?" in path else "?")

        async def counted(total: str) -> tuple[str, str]:
            answer = await place.ada.get(f"{start}limit=1&total={total}")
            return answer.headers["x-total-count"], answer.headers["x-total-count-exact"]

        number = REST[path]
        for bound in (number, max(0, number - 1)):
            monkeypatch.setattr(totals, "MAX_COUNTED", bound)
            assert await counted("true") == (str(min(number, bound)), "true" if number <= bound else "false")
            assert await counted("exact") == (str(number), "true")

    async def test_what_total_may_be_is_said(self, place: Place) -> None:
        for value in ("about", "2", "Exact", ""):
            refused = await place.ada.get(f"/tasks?total={value}")
            assert (refused.status_code, refused.json()["code"]) == (422, "BAD_USER_INPUT"), value
            assert refused.json()["errors"] == [
                {
                    "pointer": "/total",
                    "location": "query",
                    "detail": "must be true, false or exact",
                    "type": "total",
                }
            ]

    @pytest.mark.parametrize("path", REST)
    async def test_no_rows_may_be_asked_for(self, place: Place, path: str) -> None:
        """As GraphQL's ``first: 0``."""
        answer = await place.ada.get(f"{place.path(path)}{'&' if '?' in path else '?'}limit=0")
        assert (answer.status_code, answer.json(), [*links(answer)]) == (200, [], ["first"])

    async def test_nobody_counts_what_they_may_not_read(self, place: Place, bob: Person) -> None:
        for path in REST:
            answer = await bob.get(f"{place.path(path)}{'&' if '?' in path else '?'}limit=0&total=true")
            if answer.status_code == 200:
                own = {"/projects": "1", "/users": "1", "/users/me/sessions": "1", "/users/me/security-events": "1"}
                assert answer.headers["x-total-count"] == own.get(path, "0"), path
            else:
                assert answer.status_code == 404, path

    @pytest.mark.parametrize("path", REST)
    async def test_parameters_outside_the_bounds_are_refused(self, place: Place, path: str) -> None:
        for name, value in (
            ("limit", "-1"),
            ("limit", "101"),
            ("limit", "x"),
            ("skip", "-1"),
            ("skip", str(2**63)),
            ("cursor", "nonsense"),
            ("cursor", "prev.nonsense"),
            ("cursor", ""),
            ("page", "2"),
        ):
            target = place.path(path)
            refused = await place.ada.get(f"{target}{'&' if '?' in target else '?'}{name}={value}")
            assert (refused.status_code, refused.json()["code"]) == (422, "BAD_USER_INPUT"), (name, value)
            assert refused.json()["errors"][0]["pointer"] == f"/{name}"


class TestGraphQL:
    async def ask(self, place: Place, way: str, rows: str = ROWS_ARE, /, **arguments: Any) -> Any:
        given = ", ".join(f"{name}: {json.dumps(value)}" for name, value in arguments.items())
        field = way.replace("%s", f"({given})" if given else "").replace("@", f", {given}" if given else "")
        inner = f"{{ {rows} }}"
        field = f"{field[:-1]} {inner} }}" if field.endswith("}") else f"{field} {inner}"
        declared = ", ".join(f"${name}: ID!" for name in ("project", "task") if f"${name}" in field)
        query = f"query({declared}) {{ {field} }}" if declared else f"{{ {field} }}"
        variables = {"project": place.project["node_id"], "task": place.task["node_id"]}
        answer = await place.ada.gql(query, {name: value for name, value in variables.items() if f"${name}" in field})
        if "errors" in answer.body:
            return answer
        found = next(iter(answer.data.values()))
        return found if "totalCount" in found else next(iter(found.values()))

    @pytest.mark.parametrize("way", GRAPHQL)
    async def test_pages_make_up_the_whole_both_ways(self, place: Place, way: str) -> None:
        whole = await self.ask(place, way, first=100)
        assert len(whole["edges"]) == whole["totalCount"] == GRAPHQL[way]
        assert (whole["pageInfo"]["hasNextPage"], whole["pageInfo"]["hasPreviousPage"]) == (False, False)
        for size, cursor, more, place_of in (
            ("first", "after", "hasNextPage", "endCursor"),
            ("last", "before", "hasPreviousPage", "startCursor"),
        ):
            pages, page = [], await self.ask(place, way, **{size: 2})
            pages.append(page["edges"])
            while page["pageInfo"][more]:
                page = await self.ask(place, way, **{size: 2, cursor: page["pageInfo"][place_of]})
                pages.append(page["edges"])
            walked = [edge for page in (pages if size == "first" else pages[::-1]) for edge in page]
            assert walked == whole["edges"]

    @pytest.mark.parametrize("way", GRAPHQL)
    async def test_rows_are_counted_up_to_a_bound(
        self, place: Place, way: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        number = GRAPHQL[way]
        for bound in (number, max(0, number - 1)):
            monkeypatch.setattr(totals, "MAX_COUNTED", bound)
            found = await self.ask(place, way, "totalCount totalCountExact all: totalCount(exact: true)", first=0)
            counts = {"totalCount": min(number, bound), "totalCountExact": number <= bound, "all": number}
            assert found == counts

    @pytest.mark.parametrize("way", GRAPHQL)
    async def test_arguments_outside_the_bounds_are_refused(self, place: Place, way: str) -> None:
        for argument, value in (
            ("first", 101),
            ("first", -1),
            ("last", 101),
            ("after", "nonsense"),
            ("before", "nonsense"),
        ):
            refused = await self.ask(place, way, **{argument: value})
            assert (refused.code, refused.pointers) == ("BAD_USER_INPUT", [f"/{argument}"])
