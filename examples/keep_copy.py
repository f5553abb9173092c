"""Keeps a copy of what an account may read in a SQLite file: projects, and tasks with their tags and assignees.

    TANDEM_API_KEY=… python examples/keep_copy.py tasks.db             # bring the copy up to date
    TANDEM_API_KEY=… python examples/keep_copy.py tasks.db --follow    # and go on as things happen

The first time everything is read, then what has changed since (docs/changes.md). Whatever happens in between (this
program is killed, the network goes, months pass), the next run goes on from where the file is: a change and the cursor
behind it are written together. Needs httpx.
"""

import argparse
import json
import os
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx

EXPANDED = {"expand": ["tags", "assignees"]}
PAGE = 100
AGAIN_SECONDS = 2.0
_TABLES = """
    CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, value TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS projects (id INTEGER PRIMARY KEY, body TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS tasks (id INTEGER PRIMARY KEY, project_id INTEGER NOT NULL, body TEXT NOT NULL);
    CREATE INDEX IF NOT EXISTS tasks_of_project ON tasks (project_id);
"""


class Resync(Exception):
    """The cursor is of another history: everything is to be read again."""


class Copy:
    """The copy, and how it is brought up to date. ``client`` has the server's address and the credentials."""

    def __init__(self, client: httpx.Client, database: sqlite3.Connection) -> None:
        self._client, self.database = client, database
        database.isolation_level = None
        database.executescript(_TABLES)

    def update(self) -> int:
        """Read what has changed. Returns how many changes there were; everything is read where there is no copy yet,
        or none that could be gone on with."""
        with suppress(Resync):
            found = 0
            while (cursor := self._cursor()) is not None:
                page = self._get("/changes", {"after": cursor})
                self._write(page["changes"], page["cursor"])
                found += len(page["changes"])
                if not page["has_more"]:
                    return found
        self._read_all()
        return 0

    def follow(self) -> Iterator[int]:
        """Read what changes, as it happens; ends where the server ends the stream."""
        headers = {"Last-Event-ID": self._cursor() or "now"}
        with self._client.stream("GET", "/events", headers=headers, timeout=httpx.Timeout(10, read=30)) as stream:
            if stream.status_code != 200:
                return
            for line in stream.iter_lines():
                if line.startswith("event: "):
                    # what comes together is read together
                    yield self.update()

    def _read_all(self) -> None:
        """The cursor comes first: what happens meanwhile is told after it."""
        cursor = self._get("/changes", {"after": "now"})["cursor"]
        projects = [*self._pages("/projects")]
        tasks = [*self._pages("/tasks", EXPANDED)]
        with self._transaction():
            self.database.execute("DELETE FROM projects")
            self.database.execute("DELETE FROM tasks")
            for project in projects:
                self._keep_project(project)
            for task in tasks:
                self._keep_task(task)
            self._keep_cursor(cursor)

    def _write(self, changes: list[dict[str, Any]], cursor: str) -> None:
        """Read again what has changed, whatever of it and how often; then write all of it, and how far it goes."""
        if any(change["kind"] == "tasks.cleared" for change in changes):
            raise Resync
        projects = {change["project_id"] for change in changes if self._is_of_project(change)}
        tasks = {change["task_id"]: change["project_id"] for change in changes if change["task_id"] is not None}
        for change in changes:
            if change["entity_type"] == "user":  # tasks tell the names of those who are to do them
                tasks |= dict(self._tasks_of(change["entity_id"]))
        found = {id_: self._find(f"/projects/{id_}") for id_ in projects}
        whole = [id_ for id_, project in found.items() if project is not None]
        read = {id_: [*self._pages("/tasks", {"project_id": id_} | EXPANDED)] for id_ in whole}
        single = {id_: self._find(f"/tasks/{id_}", EXPANDED) for id_, of in tasks.items() if of not in projects}
        with self._transaction():
            # wherever it is here: one may have moved to a project that is read as a whole, and been deleted there
            self.database.executemany("DELETE FROM tasks WHERE id = ?", [[id_] for id_ in tasks])
            for id_, project in found.items():
                self.database.execute("DELETE FROM projects WHERE id = ?", [id_])
                self.database.execute("DELETE FROM tasks WHERE project_id = ?", [id_])
                if project is not None:
                    self._keep_project(project)
                for task in read.get(id_, []):
                    self._keep_task(task)
            for single_task in single.values():
                if single_task is not None:
                    self._keep_task(single_task)
            self._keep_cursor(cursor)

    def _tasks_of(self, user_id: int) -> list[tuple[int, int]]:
        """The tasks that somebody is to do, each with its project."""
        query = """
            SELECT DISTINCT tasks.id, tasks.project_id FROM tasks, json_each(tasks.body, '$.assignees') AS assignee
            WHERE json_extract(assignee.value, '$.id') = ?"""
        return self.database.execute(query, [user_id]).fetchall()

    def _is_of_project(self, change: dict[str, Any]) -> bool:
        """Whether a change is one of a project, or of what one may do there oneself."""
        own: bool = change["entity_type"] == "member" and change["entity_id"] == self._me()
        return own or bool(change["entity_type"] == "project")

    def _me(self) -> int:
        """The id of the account, which is asked for once."""
        row = self.database.execute("SELECT value FROM state WHERE name = 'me'").fetchone()
        if row is None:
            row = [self._get("/users/me")["id"]]
            self.database.execute("REPLACE INTO state VALUES ('me', ?)", row)
        return int(row[0])

    def _keep_project(self, project: dict[str, Any]) -> None:
        self.database.execute("REPLACE INTO projects VALUES (?, ?)", [project["id"], _text(project)])

    def _keep_task(self, task: dict[str, Any]) -> None:
        values = [task["id"], task["project_id"], _text(task)]
        self.database.execute("REPLACE INTO tasks VALUES (?, ?, ?)", values)

    def _keep_cursor(self, cursor: str) -> None:
        self.database.execute("REPLACE INTO state VALUES ('cursor', ?)", [cursor])

    def _cursor(self) -> str | None:
        row = self.database.execute("SELECT value FROM state WHERE name = 'cursor'").fetchone()
        return None if row is None else str(row[0])

    def _transaction(self) -> "_Transaction":
        return _Transaction(self.database)

    def _pages(self, path: str, parameters: dict[str, Any] | None = None) -> Iterator[dict[str, Any]]:
        parameters = {"limit": PAGE, "order": "asc"} | (parameters or {}) if path == "/tasks" else {"limit": PAGE}
        url: str | None = path
        while url is not None:
            answer = self._ask(url, parameters)
            yield from answer.raise_for_status().json()
            following = answer.links.get("next")
            # the link has the path of the server's root, and all parameters
            url, parameters = (None, {}) if following is None else (str(answer.url.join(following["url"])), {})

    def _find(self, path: str, parameters: dict[str, Any] | None = None) -> dict[str, Any] | None:
        """What is there; None where it is gone, or not for this account."""
        answer = self._ask(path, parameters)
        return None if answer.status_code == 404 else answer.raise_for_status().json()

    def _get(self, path: str, parameters: dict[str, Any] | None = None) -> Any:
        return self._ask(path, parameters).raise_for_status().json()

    def _ask(self, path: str, parameters: dict[str, Any] | None) -> httpx.Response:
        answer = self._send("GET", path, params=parameters or None)
        if answer.status_code == 410:
            raise Resync
        return answer

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        """What is answered, once the server has time for it."""
        while True:
            answer = self._client.request(method, path, **options)
            if answer.status_code not in (429, 503):
                return answer
            time.sleep(float(answer.headers.get("Retry-After", AGAIN_SECONDS)))


class _Transaction:
    """All of a block, or nothing of it."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def __enter__(self) -> None:
        self._database.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, *_: object) -> None:
        self._database.execute("COMMIT" if kind is None else "ROLLBACK")


def _text(body: dict[str, Any]) -> str:
    return json.dumps(body, sort_keys=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Keep a copy of projects and tasks.")
    parser.add_argument("file", help="a SQLite file, which is made where there is none")
    parser.add_argument("--url", default=os.environ.get("TANDEM_URL", "http://127.0.0.1:8000"))
    parser.add_argument("--follow", action="store_true", help="go on as things happen, until it is interrupted")
    given = parser.parse_args()
    key = os.environ.get("TANDEM_API_KEY")
    if not key:
        sys.exit("TANDEM_API_KEY is not set: make a key with the scope tasks:read (POST /api/v1/users/me/api-keys)")
    with httpx.Client(base_url=f"{given.url}/api/v1", headers={"X-API-Key": key}, timeout=30) as client:
        copy = Copy(client, sqlite3.connect(given.file))
        print(f"{copy.update()} changes")
        while given.follow:
            with suppress(httpx.TransportError):
                for changes in copy.follow():
                    print(f"{changes} changes")
                copy.update()
            time.sleep(AGAIN_SECONDS)


if __name__ == "__main__":
    main()
