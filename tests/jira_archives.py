"""Makes archives such as a Jira leaves behind, with invented people and texts."""

import io
import itertools
import json
import secrets
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Json = dict[str, Any]

WRITTEN = "2015-03-01T08:30:00.000+0000"
CHANGED = "2015-03-02T09:45:30.250+0100"


class Tracker:
    """An invented Jira with one project, whose key and ids are nobody else's."""

    def __init__(self) -> None:
        token = secrets.token_hex(3)
        self.key = f"T{token.upper()}"
        self.source = f"jira-{token}"
        self.token = token
        self.files: dict[str, bytes] = {}
        self._ids = itertools.count(int(token, 16) * 1000)

    def person(self, name: str, /, **fields: Any) -> Json:
        key = f"{name}.{self.token}"
        return {
            "key": key,
            "name": key,
            "displayName": name.title(),
            "active": True,
            "timeZone": "Europe/Vienna",
        } | fields

    def comment(self, body: str | None = "Looks right.", *, author: Json | None = None, **fields: Any) -> Json:
        made: Json = {"id": str(next(self._ids)), "created": WRITTEN, "updated": WRITTEN}
        if author is not None:
            made |= {"author": author, "updateAuthor": author}
        return made | ({} if body is None else {"body": body}) | fields

    def link(self, other: Json, name: str = "Relates", *, inward: bool = False) -> Json:
        """A link of the kind to another issue, as the issue that has it names it."""
        return {"id": str(next(self._ids)), "type": {"name": name}, "inwardIssue" if inward else "outwardIssue": other}

    def issue(self, number: int, *, comments: list[Json] | None = None, **fields: Any) -> Json:
        """An issue; it is added to the files of the archive."""
        ref, comments = f"{self.key}-{number}", comments or []
        made: Json = {
            "id": str(next(self._ids)),
            "key": ref,
            "fields": {
                "summary": f"Issue {number}",
                "description": "As it says.",
                "status": {"name": "Open"},
                "priority": {"name": "Medium"},
                "created": WRITTEN,
                "updated": WRITTEN,
                "labels": [],
                "issuelinks": [],
                "project": {"id": self.token, "key": self.key, "name": "Invented"},
                "comment": {"comments": comments, "total": len(comments), "maxResults": len(comments), "startAt": 0},
            }
            | fields,
        }
        self.put(f"{ref}.json", made)
        return made

    def project(self, **fields: Any) -> None:
        self.put("project.json", {"id": self.token, "key": self.key, "name": "Invented"} | fields)

    def put(self, name: str, content: bytes | object) -> None:
        """Add a file, as it is or as JSON."""
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.files[f"data/{self.key}/{name}"] = raw

    def pack(self, folder: Path, name: str = "dump.tar.xz") -> Path:
        """Write the archive, compressed as its name says."""
        return pack(folder / name, self.files)


def pack(path: Path, files: Mapping[str, bytes]) -> Path:
    """A tar archive of files, in this order."""
    mode = {"xz": "w:xz", "gz": "w:gz", "tgz": "w:gz", "bz2": "w:bz2", "tar": "w:"}[path.name.rpartition(".")[2]]
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]  # the mode is one of those
        folder = tarfile.TarInfo("data")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return path
