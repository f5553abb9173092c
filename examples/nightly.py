"""A nightly job: what another system has as a CSV becomes tasks, and what has not changed since is not written.

    TANDEM_API_KEY=… python examples/nightly.py rows.csv --project 7 --source crm

The columns: id and title, and where the file has them status, priority, due (with an offset) and tags (between
semicolons). Up to 1,000 rows are one call. A task that is refused (it is in the trash, say) is told, and does not keep
the others back; the job then ends with 1. So it does at once for a value that no task can have, which is told by the id
of its row, and for a file or a server that is not there. To try what would come of it, add --dry-run.
"""

import argparse
import csv
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import httpx

ROWS = 1_000
"""What one call may hold."""
ATTEMPTS = 5


def tasks_of(path: Path, *, project: int, source: str) -> Iterator[dict[str, Any]]:
    """The rows as the API takes them. A cell that is empty leaves the task's field as it is."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        if lacking := {"id", "title"} - {*(reader.fieldnames or ())}:
            sys.exit(f"{path} has no column {' and no column '.join(sorted(lacking))}")
        for row in reader:
            task: dict[str, Any] = {
                "project_id": project,
                "external_source": source,
                "external_id": row["id"],
                "title": row["title"],
            }
            if row.get("status"):
                task["status"] = row["status"]
            if row.get("priority"):
                # what is no number is the server's to refuse
                task["priority"] = int(row["priority"]) if row["priority"].isdecimal() else row["priority"]
            if row.get("due"):
                task["due_at"] = row["due"]
            if row.get("tags"):
                task["tags"] = row["tags"].split(";")
            yield task


def send(client: httpx.Client, tasks: list[dict[str, Any]], *, dry_run: bool) -> list[dict[str, Any]]:
    """One call; where the server is busy or cannot be reached, again. That is safe: the second call changes nothing."""
    body = {"mode": "upsert_partial", "dry_run": dry_run, "tasks": tasks}
    for attempt in range(1, ATTEMPTS):
        try:
            answer = client.post("/api/v1/tasks/bulk/create", json=body)
        except httpx.TransportError:
            time.sleep(2**attempt)
            continue
        if answer.status_code not in {429, 503}:
            break
        time.sleep(float(answer.headers.get("Retry-After", 2**attempt)))
    else:
        try:
            answer = client.post("/api/v1/tasks/bulk/create", json=body)
        except httpx.TransportError as error:
            sys.exit(f"{client.base_url} cannot be reached: {error}")
    if answer.is_error:
        problem = answer.json()
        for found in problem["errors"]:
            print(f"{place(found['pointer'], tasks)}: {found['detail']}", file=sys.stderr)
        sys.exit(f"{answer.status_code}: {problem['title']}" if problem["errors"] else problem["detail"])
    results: list[dict[str, Any]] = answer.json()["results"]
    return results


def place(pointer: str, tasks: list[dict[str, Any]]) -> str:
    """Where something is wrong, by the id of its row: the pointer /tasks/7/priority is "C-1042, priority"."""
    match pointer.split("/"):
        case ["", "tasks", index, *fields]:
            return ", ".join([tasks[int(index)]["external_id"], *fields])
    return pointer


def main() -> int:
    parser = argparse.ArgumentParser(description="Bring the tasks of a project up to date with a CSV.")
    parser.add_argument("csv", type=Path)
    parser.add_argument("--project", type=int, required=True, help="the id of the project")
    parser.add_argument("--source", required=True, help="what the other system is called here, e.g. crm")
    parser.add_argument("--url", default=os.environ.get("TANDEM_URL", "http://127.0.0.1:8000"))
    parser.add_argument("--dry-run", action="store_true", help="tell what would be done, and write nothing")
    given = parser.parse_args()
    if not (key := os.environ.get("TANDEM_API_KEY")):
        parser.error("TANDEM_API_KEY must hold a key with the scope tasks:write")
    outcomes: Counter[str] = Counter()
    rows = tasks_of(given.csv, project=given.project, source=given.source)
    headers = {"X-API-Key": key}
    with httpx.Client(base_url=given.url, headers=headers, timeout=60) as client:
        while tasks := list(islice(rows, ROWS)):
            for task, result in zip(tasks, send(client, tasks, dry_run=given.dry_run), strict=True):
                outcomes[result["outcome"]] += 1
                if result["error"]:
                    print(f"{task['external_id']}: {result['error']['message']}", file=sys.stderr)
    told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
    print(f"{outcomes.total()} rows: {told}")
    return 1 if outcomes["refused"] else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        sys.exit(f"The file cannot be read as CSV in UTF-8: {error}")
