"""A copy that is worked on without a network: what is changed is kept, and sent when there is one again.

The rules are those of docs/sync.md. Whatever ends the program, between whichever two of its steps, the next run goes on
from where the file is. No clock of this machine decides anything. Needs httpx; ``offline.py`` is the command.
"""

import json
import sqlite3
from email.utils import parsedate_to_datetime
from typing import Any
from uuid import uuid4

import httpx
from keep_copy import EXPANDED, Copy

FIELDS = ("title", "description", "status", "priority", "start_at", "due_at")
"""What can be changed here."""
NEW: dict[str, Any] = dict.fromkeys(FIELDS) | {"status": "pending", "priority": 1}
SOURCE = "offline copy"
"""What new tasks are called by (``external_source``), each by an id of its own, so that it is known again."""
KEY_SECONDS = 24 * 60 * 60
"""How long the server keeps an Idempotency-Key."""
REFUSED = {403, 404, 409, 410, 422}
"""Another attempt would be answered the same."""
_TABLES = """
    CREATE TABLE IF NOT EXISTS outbox (
        number INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, task TEXT NOT NULL, base TEXT NOT NULL,
        fields TEXT NOT NULL, sent_version INTEGER, sent_at REAL
    );
    CREATE TABLE IF NOT EXISTS aside (
        number INTEGER PRIMARY KEY AUTOINCREMENT, change INTEGER NOT NULL, kind TEXT NOT NULL, task TEXT NOT NULL,
        fields TEXT NOT NULL, theirs TEXT, why TEXT NOT NULL
    );
    CREATE TABLE IF NOT EXISTS known (local TEXT PRIMARY KEY, id INTEGER NOT NULL);
"""
Fields = dict[str, Any]


def merge(base: Fields, mine: Fields, theirs: Fields) -> tuple[Fields, list[str]]:
    """What of my changes is to be sent, and the fields that somebody else has changed meanwhile, to something else."""
    new = {field: value for field, value in mine.items() if value not in (base[field], theirs[field])}
    both = [field for field in new if theirs[field] != base[field]]
    return {field: value for field, value in new.items() if field not in both}, both


class OfflineCopy(Copy):
    """A copy, and the changes of it that the server does not have yet (``outbox``), in their order.

    A task is named by the server's id of it, as text, or until there is one by an id made here. What cannot be sent as
    it was meant is put aside (``aside``), never thrown away.
    """

    def __init__(self, client: httpx.Client, database: sqlite3.Connection) -> None:
        super().__init__(client, database)
        database.row_factory = sqlite3.Row
        database.executescript(_TABLES)
        self._server_time = 0.0

    # --- without a network

    def tasks(self) -> dict[str, Fields]:
        """The tasks as they are to be shown: what the server said last, and above it what was changed since."""
        names = [str(row["id"]) for row in self.database.execute("SELECT id FROM tasks ORDER BY id")]
        names += [row["task"] for row in self.database.execute("SELECT task FROM outbox WHERE kind = 'create'")]
        return {name: task for name in names if (task := self.task(name)) is not None}

    def task(self, name: str) -> Fields | None:
        task = self._of_server(name)
        for row in self.database.execute("SELECT kind, fields FROM outbox WHERE task = ? ORDER BY number", [name]):
            if row["kind"] == "create":
                task = NEW | json.loads(row["fields"])
            elif row["kind"] == "delete":
                task = None
            elif task is not None:
                task |= json.loads(row["fields"])
        return task

    def create(self, project_id: int, **fields: Any) -> str:
        """Returns the name of the new task."""
        with self._transaction():
            return self._create({"project_id": project_id} | fields)

    def change(self, name: str, **fields: Any) -> None:
        """Raises ``LookupError`` where there is no such task; so does ``delete``."""
        with self._transaction():
            self._change(name, fields)

    def delete(self, name: str) -> None:
        with self._transaction():
            self._delete(name)

    def settle(self, number: int, *, mine: bool) -> None:
        """Decide about what was put aside: have it as it was meant here, or leave it as it is there."""
        with self._transaction():
            row = self.database.execute("SELECT * FROM aside WHERE number = ?", [number]).fetchone()
            if row is None:
                raise LookupError(f"nothing aside has the number {number}")
            if mine and row["kind"] == "create":
                name = self._create(json.loads(row["fields"]))
                # what else was meant for it follows
                self.database.execute("UPDATE aside SET task = ? WHERE task = ?", [name, row["task"]])
            elif mine and row["kind"] == "update":
                self._change(row["task"], json.loads(row["fields"]))
            elif mine:
                self._delete(row["task"])
            self.database.execute("DELETE FROM aside WHERE number = ?", [number])

    def _create(self, fields: Fields) -> str:
        name = str(uuid4())
        self._add("create", name, {}, fields)
        return name

    def _change(self, name: str, fields: Fields) -> None:
        name, shown = self._shown(name)
        changed = {field: value for field, value in fields.items() if shown[field] != value}
        if not changed:
            return
        last = self._last(name)
        if last is None or last["kind"] == "delete" or _is_sent(last):
            self._add("update", name, {field: shown[field] for field in changed}, changed)
            return
        # nobody has seen it yet: it becomes one change with the one before
        base = {field: shown[field] for field in changed} | json.loads(last["base"])
        values = [_text(base), _text(json.loads(last["fields"]) | changed), last["number"]]
        self.database.execute("UPDATE outbox SET base = ?, fields = ? WHERE number = ?", values)

    def _delete(self, name: str) -> None:
        name, shown = self._shown(name)
        last = self._last(name)
        if last is not None and last["kind"] == "create" and not _is_sent(last):
            self._done(last)
        else:
            self._add("delete", name, {field: shown[field] for field in FIELDS}, {})

    def _shown(self, name: str) -> tuple[str, Fields]:
        row = self.database.execute("SELECT id FROM known WHERE local = ?", [name]).fetchone()
        name = name if row is None else str(row["id"])
        if (shown := self.task(name)) is None:
            raise LookupError(f"there is no task {name}")
        return name, shown

    def _last(self, name: str) -> sqlite3.Row | None:
        query = "SELECT * FROM outbox WHERE task = ? ORDER BY number DESC LIMIT 1"
        row: sqlite3.Row | None = self.database.execute(query, [name]).fetchone()
        return row

    def _add(self, kind: str, name: str, base: Fields, fields: Fields) -> None:
        query = "INSERT INTO outbox (kind, task, base, fields) VALUES (?, ?, ?, ?)"
        self.database.execute(query, [kind, name, _text(base), _text(fields)])

    # --- with one

    def sync(self) -> None:
        """Read what has changed, then send what was changed here. Raises what httpx raises; then, again later."""
        self.update()
        send = {"create": self._send_new, "update": self._send_change, "delete": self._send_deletion}
        while (row := self.database.execute("SELECT * FROM outbox ORDER BY number LIMIT 1").fetchone()) is not None:
            send[row["kind"]](row)

    def _send_new(self, row: sqlite3.Row) -> None:
        """The key has the same call answered the same for a day; the external id tells the task apart after that."""
        if _is_sent(row):
            if self._is_there(row):
                return
            if self._server_time - row["sent_at"] > KEY_SECONDS:
                # it never arrived, or was deleted for good: who knows?
                self._put_aside(row, "it may have been deleted")
                return
        else:
            self._mark(row, sent_at=self._server_time)
        body = json.loads(row["fields"]) | {"external_source": SOURCE, "external_id": row["task"]}
        answer = self._send("POST", "/tasks", json=body, headers={"Idempotency-Key": row["task"]})
        if answer.status_code == 409 and self._is_there(row):
            return
        if not self._is_refused(row, answer):
            self._take(row, answer.json()["id"])

    def _is_there(self, row: sqlite3.Row) -> bool:
        """Whether a task was made by an attempt before this one."""
        known_by = {"external_source": SOURCE, "external_id": row["task"]}
        for trashed in (False, True):
            found = self._get("/tasks", known_by | {"trashed": trashed})
            if found and trashed:
                self._put_aside(row, "it was deleted")
            elif found:
                self._take(row, found[0]["id"])
            if found:
                return True
        return False

    def _send_change(self, row: sqlite3.Row) -> None:
        if not _is_sent(row):
            prepared = self._prepared(row)
            if prepared is None:
                return
            row = prepared
        id_, fields = int(row["task"]), json.loads(row["fields"])
        answer = self._send("PATCH", f"/tasks/{id_}", json=fields, headers=_if_match(row))
        if answer.status_code == 412:
            self._look_again(row, "task.updated", fields)
        elif not self._is_refused(row, answer):
            self._take(row, id_)

    def _prepared(self, row: sqlite3.Row) -> sqlite3.Row | None:
        """What is to be sent of a change, and that it is about to be, as it is written down; None where it is nothing.

        What somebody else has changed to something else is put aside.
        """
        theirs = self._of_server(row["task"])
        if theirs is None:
            self._put_aside(row, "the task is gone")
            return None
        base, fields = json.loads(row["base"]), json.loads(row["fields"])
        to_send, both = merge(base, fields, theirs)
        with self._transaction():
            if both:
                self._note_aside(row, {field: fields[field] for field in both}, theirs, "both have changed it")
            if not to_send:
                self._done(row)
                return None
            seen = {field: base[field] for field in to_send}
            values = [_text(seen), _text(to_send), theirs["version"], row["number"]]
            self.database.execute("UPDATE outbox SET base = ?, fields = ?, sent_version = ? WHERE number = ?", values)
        return self._last_of(row)

    def _send_deletion(self, row: sqlite3.Row) -> None:
        """What somebody has changed meanwhile is not deleted."""
        if not _is_sent(row):
            theirs, base = self._of_server(row["task"]), json.loads(row["base"])
            if theirs is None:
                self._done(row)
                return
            if any(theirs[field] != base[field] for field in FIELDS):
                self._put_aside(row, "somebody has changed the task")
                return
            row = self._mark(row, sent_version=theirs["version"])
        answer = self._send("DELETE", f"/tasks/{row['task']}", headers=_if_match(row))
        if answer.status_code == 412:
            self._look_again(row, "task.deleted", {})
        elif answer.status_code == 404 or not self._is_refused(row, answer):
            self._take(row, int(row["task"]))

    def _look_again(self, row: sqlite3.Row, kind: str, fields: Fields) -> None:
        """There is a newer version of the task. Where an attempt before this one made it, or one before it, the change
        is there, whatever has become of it since; else it is to be merged into what is there now."""
        version = row["sent_version"] + 1
        made = False
        for event in self._pages(f"/tasks/{row['task']}/history"):
            if event["entity_type"] == "task" and event["entity_version"] == version:
                after = {change["field"]: change["after"] for change in event["changes"]}
                made = (event["kind"], event["actor_id"]) == (kind, self._me()) and fields.items() <= after.items()
                break
        if made:
            self._take(row, int(row["task"]))
        else:
            task = self._find(f"/tasks/{row['task']}", EXPANDED)
            with self._transaction():
                self._replace(int(row["task"]), task)
                self.database.execute("UPDATE outbox SET sent_version = NULL WHERE number = ?", [row["number"]])

    def _is_refused(self, row: sqlite3.Row, answer: httpx.Response) -> bool:
        """Whether it was put aside because the server will not have it. Raises for what may be otherwise later."""
        if answer.status_code not in REFUSED or "Retry-After" in answer.headers:
            answer.raise_for_status()
            return False
        self._put_aside(row, answer.json()["detail"])
        return True

    # --- what is written down

    def _take(self, row: sqlite3.Row, id_: int) -> None:
        """A change is with the server: read what the task is by now, and forget the change, in one."""
        task = self._find(f"/tasks/{id_}", EXPANDED)
        with self._transaction():
            self._replace(id_, task)
            if row["kind"] == "create":
                self._know(row["task"], id_)
            self._done(row)

    def _replace(self, id_: int, task: Fields | None) -> None:
        self.database.execute("DELETE FROM tasks WHERE id = ?", [id_])
        if task is not None:
            self._keep_task(task)

    def _keep_task(self, task: Fields) -> None:
        super()._keep_task(task)
        if task["external_source"] == SOURCE:
            self._know(task["external_id"], task["id"])

    def _know(self, local: str, id_: int) -> None:
        """Have a task that was made here be the server's, with the changes that wait for it."""
        if self.database.execute("DELETE FROM outbox WHERE kind = 'create' AND task = ?", [local]).rowcount:
            self.database.execute("REPLACE INTO known VALUES (?, ?)", [local, id_])
            self.database.execute("UPDATE outbox SET task = ? WHERE task = ?", [str(id_), local])

    def _put_aside(self, row: sqlite3.Row, why: str) -> None:
        """Keep a change for somebody to decide about, and forget the task where it is gone."""
        theirs = self._of_server(row["task"])
        task = None if theirs is None else self._find(f"/tasks/{row['task']}", EXPANDED)
        with self._transaction():
            if theirs is not None:
                self._replace(theirs["id"], task)
            self._note_aside(row, json.loads(row["fields"]), task, why)
            self._done(row)

    def _note_aside(self, row: sqlite3.Row, fields: Fields, theirs: Fields | None, why: str) -> None:
        query = "INSERT INTO aside (change, kind, task, fields, theirs, why) VALUES (?, ?, ?, ?, ?, ?)"
        values = [row["number"], row["kind"], row["task"], _text(fields), theirs and _text(theirs), why]
        self.database.execute(query, values)

    def _mark(self, row: sqlite3.Row, *, sent_version: int | None = None, sent_at: float | None = None) -> sqlite3.Row:
        """Write down that a change is about to be sent, before it is."""
        query = "UPDATE outbox SET sent_version = ?, sent_at = ? WHERE number = ?"
        self.database.execute(query, [sent_version, sent_at, row["number"]])
        return self._last_of(row)

    def _last_of(self, row: sqlite3.Row) -> sqlite3.Row:
        found: sqlite3.Row = self.database.execute("SELECT * FROM outbox WHERE number = ?", [row["number"]]).fetchone()
        return found

    def _done(self, row: sqlite3.Row) -> None:
        self.database.execute("DELETE FROM outbox WHERE number = ?", [row["number"]])

    def _of_server(self, name: str) -> Fields | None:
        """What the server said last of a task."""
        row = self.database.execute("SELECT body FROM tasks WHERE id = ?", [name]).fetchone()
        return None if row is None else json.loads(row["body"])

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        answer = super()._send(method, path, **options)
        # this machine's clock may be years away
        if (date := answer.headers.get("Date")) is not None:
            self._server_time = parsedate_to_datetime(date).timestamp()
        return answer


def _is_sent(row: sqlite3.Row) -> bool:
    """Whether it may be with the server by now."""
    return row["sent_version"] is not None or row["sent_at"] is not None


def _if_match(row: sqlite3.Row) -> dict[str, str]:
    return {"If-Match": f'"{row["sent_version"]}"'}


def _text(body: Fields) -> str:
    return json.dumps(body, sort_keys=True)
