"""Tasks that are worked on without a network; what is changed is sent when there is one again (docs/sync.md).

    TANDEM_API_KEY=… python examples/offline.py tasks.db sync      # read what has changed, then send
    python examples/offline.py tasks.db list
    python examples/offline.py tasks.db add 7 "Write the docs" priority=3
    python examples/offline.py tasks.db set 42 status=completed
    python examples/offline.py tasks.db delete 43
    python examples/offline.py tasks.db aside                      # what needs somebody's decision
    python examples/offline.py tasks.db settle 1 mine              # or: theirs

The key needs the scope tasks:write. Needs httpx.
"""

import argparse
import os
import sqlite3
import sys
from typing import Any

import httpx
from offline_copy import FIELDS, OfflineCopy


def _given(pairs: list[str]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for pair in pairs:
        name, _, value = pair.partition("=")
        if name not in FIELDS:
            sys.exit(f"{name}: not one of {', '.join(FIELDS)}")
        fields[name] = (int(value) if name == "priority" else value) if value else None
    return fields


def main() -> None:
    parser = argparse.ArgumentParser(description="Work on tasks without a network.")
    parser.add_argument("file", help="a SQLite file, which is made where there is none")
    parser.add_argument("--url", default=os.environ.get("TANDEM_URL", "http://127.0.0.1:8000"))
    deeds = parser.add_subparsers(dest="deed", required=True)
    add = deeds.add_parser("add", help="a new task")
    add.add_argument("project", type=int)
    add.add_argument("title")
    change = deeds.add_parser("set", help="other values of a task")
    delete = deeds.add_parser("delete", help="move a task to the trash")
    for deed in (change, delete):
        deed.add_argument("task")
    for deed in (add, change):
        deed.add_argument("fields", nargs="*", metavar="field=value")
    settle = deeds.add_parser("settle", help="decide about what was put aside")
    settle.add_argument("number", type=int)
    settle.add_argument("whose", choices=["mine", "theirs"])
    for name, does in (("list", "the tasks"), ("aside", "what was put aside"), ("sync", "read and send what changed")):
        deeds.add_parser(name, help=does)
    given = parser.parse_args()
    headers = {"X-API-Key": os.environ.get("TANDEM_API_KEY", "")}
    with httpx.Client(base_url=f"{given.url}/api/v1", headers=headers, timeout=30) as client:
        copy = OfflineCopy(client, sqlite3.connect(given.file))
        match given.deed:
            case "add":
                print(copy.create(given.project, title=given.title, **_given(given.fields)))
            case "set":
                copy.change(given.task, **_given(given.fields))
            case "delete":
                copy.delete(given.task)
            case "settle":
                copy.settle(given.number, mine=given.whose == "mine")
            case "sync":
                copy.sync()
            case "aside":
                for row in copy.database.execute("SELECT * FROM aside ORDER BY number"):
                    print(row["number"], row["kind"], row["task"], row["fields"], row["why"])
            case _:
                for name, task in copy.tasks().items():
                    print(name, task["status"], task["title"])


if __name__ == "__main__":
    main()
