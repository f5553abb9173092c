"""Writes a sample of what the code as it is leaves behind; run at a release, for the ones after it to be held to.

    .venv/bin/python -m tests.samples.make NAME > tests/samples/NAME.json

A sample holds the rows of a small database, and exchanges: calls with keys and what they answered, pages by a cursor of
every list and order, saved views, histories. ``tests/test_release_samples.py`` loads the rows into a database of either
kind, migrates it, and has every exchange again. A sample is never changed; one that a release stops honouring is
deleted, and the changelog says so.
"""

import asyncio
import itertools
import json
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
from passlib.hash import bcrypt
from sqlalchemy import JSON, Boolean

from api.main import create_app
from api.state import State
from core.passwords import PasswordHasher
from core.tokens import AccessTokens
from db.models import Base
from services.tasks.query import Direction, TaskSort
from services.transfers.runs import ImportOptions, import_jira
from tests.actors import PASSWORD, Person, make_person
from tests.conftest import SECRET, settings_for, upgrade
from tests.jira_archives import Tracker

YEARS = 50 * 365 * 24 * 3600
IMPORTED = 6

PAGED = {
    "projects": ("/projects", "{ projects(first: 1, after: $after) { edges { node { databaseId } } } }"),
    "members": (
        "/projects/{project}/members",
        "{ project(id: $project) { members(first: 1, after: $after) { edges { node { databaseId } } } } }",
    ),
    "comments": (
        "/tasks/{task}/comments",
        "{ task(id: $task) { comments(first: 1, after: $after) { edges { node { databaseId } } } } }",
    ),
    "relations": (
        "/tasks/{task}/relations",
        "{ task(id: $task) { relations(first: 1, after: $after) { edges { node { databaseId } } } } }",
    ),
    "history": (
        "/tasks/{task}/history",
        "{ task(id: $task) { history(first: 1, after: $after) { edges { node { databaseId } } } } }",
    ),
    "saved views": ("/saved-views", "{ savedViews(first: 1, after: $after) { edges { node { databaseId } } } }"),
    "users": ("/users", "{ users(first: 1, after: $after) { edges { node { databaseId } } } }"),
    "sessions": ("/users/me/sessions", "{ sessions(first: 1, after: $after) { edges { node { databaseId } } } }"),
    "API keys": ("/users/me/api-keys", "{ apiKeys(first: 1, after: $after) { edges { node { databaseId } } } }"),
}
"""Every list but that of tasks, which has orders of its own."""


def tracker() -> Tracker:
    """The invented tracker that a sample has imported: the same each time it is made."""
    made = Tracker()
    made.token, made.key, made.source = "5a5a5a", "T5A5A5A", "jira-5a5a5a"
    made._ids = itertools.count(1_000_000)
    people = [made.person(f"person{n}") for n in range(7)]
    issues: list[Any] = []
    for number in range(1, IMPORTED + 1):
        issues.append(
            made.issue(
                number,
                reporter=people[number % 7],
                assignee=people[number % 3] if number % 2 else None,
                labels=[f"label {number % 4}"],
                parent=issues[number // 2] if number % 5 == 0 else None,
                comments=[made.comment(f"{number}.{n}", author=people[n]) for n in range(number % 4)],
            )
        )
    made.project(description="Busy")
    return made


PAGES = ("cursors", "saved views' tasks")
"""Kinds of exchanges of which the ids are enough."""


def page_ids(answer: Any) -> Any:
    """The ids of a page's things, of either door."""
    if isinstance(answer, list):
        return [each["id"] for each in answer]
    while "edges" not in answer:
        [answer] = answer.values()
    return [edge["node"]["databaseId"] for edge in answer["edges"]]


class Recorder:
    """Calls on behalf of a person, and keeps what was said."""

    def __init__(self) -> None:
        self.exchanges: dict[str, list[dict[str, Any]]] = {}

    async def __call__(self, kind: str, caller: Person, name: str, method: str, path: str, **body: Any) -> Any:
        """``body`` may have ``json`` and ``key``, an idempotency key."""
        key = body.pop("key", None)
        headers = {"Idempotency-Key": key} if key else {}
        response = await caller.client.request(method, path, headers=caller.headers | headers, **body)
        answer = response.json()
        assert response.status_code < 300, response.text
        assert "errors" not in answer or path != "/graphql", response.text
        kept = {header: response.headers[header] for header in ("location", "etag") if header in response.headers}
        self.exchanges.setdefault(kind, []).append(
            {"name": name, "method": method, "path": path, "headers": headers, **body}
            | {
                "answer": {
                    "status": response.status_code,
                    "headers": kept,
                    "body": page_ids(answer) if kind in PAGES else answer,
                }
            }
        )
        return answer


async def repeats(record: Recorder, ada: Person, bob: Person) -> dict[str, Any]:
    """One call of each operation that takes a key."""

    async def rest(name: str, path: str, json: Any = None) -> Any:
        body = {} if json is None else {"json": json}
        return await record("repeats", ada, name, "POST", f"/api/v1{path}", key=f"sample-{name}", **body)

    async def graphql(name: str, mutation: str, selection: str, values: dict[str, Any]) -> Any:
        document = (
            f"mutation($input: {mutation[0].upper()}{mutation[1:]}Input!) {{ {mutation}(input: $input) {selection} }}"
        )
        variables = {"input": values | {"idempotencyKey": f"sample-{name}"}}
        body = {"query": document, "variables": variables}
        answer = await record("repeats", ada, name, "POST", "/graphql", json=body)
        return answer["data"][mutation]

    website = await rest("projects", "/projects", {"name": "Website", "key": "WEB", "description": "Øur site"})
    await graphql(
        "projects-graphql", "createProject", "{ project { id key name } }", {"name": "Backend", "key": "BACK"}
    )
    place = website["id"]
    await rest("members", f"/projects/{place}/members", {"username": bob.username, "role": "admin"})
    await rest("tags", f"/projects/{place}/tags", {"name": "Bug", "color": "#ff0000"})
    whole = {
        "title": "Everything — ☃",
        "description": "All of it",
        "status": "in_progress",
        "priority": 4,
        "start_at": "2030-01-01T08:00:00+02:00",
        "due_at": "2030-02-01T08:00:00.123456Z",
        "project_id": place,
        "assignee_ids": [ada.id],
        "tags": ["Bug", "docs"],
    }
    task = await rest("tasks", "/tasks", whole)
    await rest("tasks-short", "/tasks", {"title": "No more than a title"})
    made = await graphql(
        "tasks-graphql",
        "createTask",
        "{ task { id databaseId title status project { key } } }",
        {"title": "From the other door", "projectId": website["node_id"], "parentId": task["node_id"], "priority": 2},
    )
    other = made["task"]["databaseId"]
    await rest("comments", f"/tasks/{task['id']}/comments", {"body": "Looks good."})
    await rest("relations", f"/tasks/{task['id']}/relations", {"kind": "blocks", "target_id": other})
    view = {"name": "Mine", "filter": {"assignees": {"me": True}}, "sort_by": "due_at", "order": "asc"}
    await rest("saved_views", "/saved-views", view)
    many = {
        "mode": "partial",
        "tasks": [{"title": "One", "project_id": place, "tags": ["bug"]}, {"title": "Nowhere", "project_id": 999_999}],
    }
    bulk = await rest("bulk-create", "/tasks/bulk/create", many)
    one = bulk["results"][0]["id"]
    changes = {
        "mode": "partial",
        "tasks": [
            {"id": one, "expected_version": 1, "priority": 5},
            {"id": other, "expected_version": 77, "title": "No"},
        ],
    }
    await rest("bulk-update", "/tasks/bulk/update", changes)
    matching = {"filter": {"priority": {"gte": 5}}, "changes": {"status": "completed"}}
    await rest("bulk-matching", "/tasks/bulk/update-matching", matching)
    doomed = [(await ada.task(title=f"Doomed {n}", project_id=place))["id"] for n in (1, 2)]
    await rest("bulk-delete", "/tasks/bulk/delete", {"tasks": [{"id": task_id} for task_id in doomed]})
    await rest("restore", f"/tasks/{doomed[0]}/restore")
    return {"project": place, "task": task["id"], "other": other}


async def reads(record: Recorder, ada: Person, ids: dict[str, Any]) -> None:
    """A second page of every list in every order, by a cursor; lists by saved views; histories."""
    for n in range(4):
        values = {"start_at": f"2030-03-0{n + 1}T00:00:00Z", "due_at": f"2030-04-0{n + 1}T00:00:00Z"} if n % 2 else {}
        await ada.task(title=f"Row {n}", priority=n + 1, project_id=ids["project"], status="completed", **values)
        await ada.comment(ids["task"], f"Comment {n}")
    await ada.post(f"/tasks/{ids['other']}/relations", {"kind": "relates_to", "target_id": ids["task"]})
    await ada.post("/saved-views", {"name": "All of it", "filter": FILTER, "sort_by": "title", "order": "desc"})
    await ada.api_key("tasks:read")

    async def pages(name: str, path: str, backward: bool = False) -> None:
        """A page that begins in the middle, and what the one before it is called."""
        first = await ada.client.get(path, headers=ada.headers)
        [after] = [link.split(">")[0].lstrip(" <") for link in first.headers["link"].split(",") if 'rel="next"' in link]
        page = await record("cursors", ada, name, "GET", after)
        assert page, path
        second = await ada.client.get(after, headers=ada.headers)
        before = [link.split(">")[0].lstrip(" <") for link in second.headers["link"].split(",") if 'rel="prev"' in link]
        assert before, path
        await record("cursors", ada, f"{name}, backwards", "GET", before[0])

    for sort_by in TaskSort:
        for order in Direction:
            place = f"project_id={ids['project']}&sort_by={sort_by}&order={order}&limit=3"
            await pages(f"tasks by {sort_by} {order}", f"/api/v1/tasks?{place}")
    # where values are missing
    await pages("tasks without a due date", f"/api/v1/tasks?project_id={ids['project']}&sort_by=due_at&limit=6")
    for name, (path, document) in PAGED.items():
        path = path.format(**ids)
        await pages(name, f"/api/v1{path}?limit=1")
        found = await ada.client.get(f"/api/v1{path}?limit=1", headers=ada.headers)
        [link] = [link for link in found.headers["link"].split(",") if 'rel="next"' in link]
        variables = {"after": link.split("cursor=")[1].split(">")[0]}
        given = [each for each in ("project", "task") if f"${each}" in document]
        declared = "$after: String" + "".join(f", ${each}: ID!" for each in given)
        for each in given:
            variables[each] = (await ada.get(f"/{each}s/{ids[each]}")).json()["node_id"]
        body = {"query": f"query({declared}) {document}", "variables": variables}
        await record("cursors", ada, f"{name} on GraphQL", "POST", "/graphql", json=body)
    for view in (await ada.get("/saved-views")).json():
        await record("saved views", ada, view["name"], "GET", f"/api/v1/saved-views/{view['id']}")
        await record("saved views' tasks", ada, view["name"], "GET", f"/api/v1/tasks?saved_view_id={view['id']}")
    await record("histories", ada, "history", "GET", f"/api/v1/tasks/{ids['task']}/history?limit=100")


FILTER = {
    "and": [
        {"or": [{"status": {"in": ["pending", "in_progress", "completed"]}}, {"overdue": True}]},
        {"not": {"title": {"eq": "Doomed 1"}}},
        {"priority": {"gte": 1, "lte": 5}},
        {"created_at": {"gte": "2020-01-01T00:00:00Z"}},
        {"tags": {"none": ["nothing"]}},
    ]
}


async def credentials(state: State, ada: Person, ids: dict[str, Any]) -> dict[str, Any]:
    """What people and programs hold; the access token is one that lives long, and else as all are."""
    key = await ada.post("/users/me/api-keys", {"name": "nightly", "scopes": ["tasks:write"]})
    login = await ada.client.post("/api/v1/token", data={"username": ada.username, "password": PASSWORD})
    tokens = AccessTokens(secret=SECRET, issuer="tandem", audience="tandem-api", lifetime_seconds=YEARS)
    session_id = state.security.tokens.verify(ada.access_token).session_id
    hashes = {
        "argon2": PasswordHasher(memory_kib=19_456, rounds=2).hash_now(PASSWORD),
        "bcrypt": str(bcrypt.using(rounds=5, ident="2b").hash(PASSWORD)),
    }
    return {
        "access_token": tokens.issue(user_id=ada.id, session_id=session_id),
        "refresh_token": login.json()["refresh_token"],
        "api_key": key.json()["secret"],
        "password": PASSWORD,
        "hashes": hashes,
        "username": ada.username,
    }


def rows(path: Path) -> dict[str, Any]:
    """The rows of every table, with booleans and JSON as such and instants as SQLite keeps them."""
    found = {}
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        for table in Base.metadata.sorted_tables:
            found[table.name] = [
                {
                    name: _plain(table.columns[name].type, value)
                    for name, value in dict(row).items()
                    if value is not None
                }
                for row in connection.execute(f'SELECT * FROM "{table.name}"')  # noqa: S608 - a table of ours
            ]
        [revision] = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return {"revision": revision, "tables": found}


def _plain(kind: Any, value: Any) -> Any:
    if isinstance(kind, Boolean):
        return bool(value)
    return json.loads(value) if isinstance(kind, JSON) else value


async def make(release: str, folder: Path) -> dict[str, Any]:
    """A sample of the code as it is."""
    path = folder / "sample.db"
    app = create_app(settings_for(f"sqlite:///{path}"), compile_after=0)
    record = Recorder()
    async with app.router.lifespan_context(app):
        state: State = app.state.tandem
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            ada, bob = [await make_person(client, state) for _ in range(2)]
            ids = await repeats(record, ada, bob)
            held = await credentials(state, ada, ids)
            await reads(record, ada, ids)
            options = ImportOptions(source=tracker().source, owner=ada.username)
            await import_jira(state.database, tracker().pack(folder), options)
    return {
        "release": release,
        "caller": ada.username,
        **rows(path),
        "credentials": held,
        "exchanges": record.exchanges,
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        upgrade(f"sqlite:///{Path(folder) / 'sample.db'}")
        made = asyncio.run(make(sys.argv[1], Path(folder)))
    # a line for each row and each exchange, so that people can read it
    lines = json.dumps(made, ensure_ascii=False, indent=None, sort_keys=True)
    for part in made["tables"] | made["exchanges"]:
        start = f'"{part}": ['
        lines = lines.replace(start, f"\n{start}")
    sys.stdout.write(lines.replace('}, {"', '},\n {"') + "\n")


if __name__ == "__main__":
    main()
