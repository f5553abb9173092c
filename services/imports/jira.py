"""Jira's issues as files, one JSON document each (``KEY-n.json``, the shape of its REST API), and ``project.json``."""

import json
import re
from datetime import UTC, datetime
from typing import Any

import orjson

from core import time_zones
from core.clock import now, to_utc
from services.imports.archives import ArchivedFile, ArchiveError
from services.imports.jira_terms import CATEGORIES, DONE, LINKS, NOT_DONE, PRIORITIES, STATUSES
from services.imports.records import Issue, Link, Notes, Person, Place, Remark
from services.imports.sources import shorten
from services.node_ids import MAX_DATABASE_ID
from services.relations import RelationKind
from services.tasks.models import TaskStatus
from services.text import as_line

Json = dict[str, Any]

_ISSUE_FILE = re.compile(r"([A-Za-z][A-Za-z0-9_]*)-[0-9]+\.json", re.ASCII)
_KEY = re.compile(r"([A-Z][A-Z0-9_]*)-([1-9][0-9]{0,9})", re.ASCII)
MAX_LABEL = 50


class JiraReader:
    """Makes records of files. ``projects`` (keys) are read, or all when there are none; ``notes`` says what was odd."""

    def __init__(self, projects: frozenset[str] = frozenset()) -> None:
        self.notes = Notes()
        self._projects = projects
        self._people: dict[str, Person] = {}
        self._timezones = time_zones.known()

    def read(self, file: ArchivedFile) -> Issue | Place | None:
        """The record in a file; None for a file that is none of Jira's or not wanted.

        Raises ``ArchiveError`` where the JSON is broken.
        """
        match = _ISSUE_FILE.fullmatch(file.name)
        if match is None and file.name != "project.json":
            return None
        if match is not None and not self._wanted(match[1].upper()):
            return None
        document = _parse(file)
        if match is None:
            return self._place(document) if isinstance(document, dict) else None
        issue = self._issue(document) if isinstance(document, dict) else None
        if issue is None:
            self.notes.not_issues += 1
        elif not self._wanted(issue.place.key):
            return None
        return issue

    def _wanted(self, key: str) -> bool:
        return not self._projects or key in self._projects

    def _place(self, document: Json) -> Place | None:
        key = document.get("key")
        if not isinstance(key, str) or not self._wanted(key):
            return None
        return Place(
            key=key,
            name=as_line(self._text(document.get("name"), key)) or key,
            description=self._text(document.get("description"), key) or None,
        )

    def _issue(self, document: Json) -> Issue | None:
        ref, fields = document.get("key"), document.get("fields")
        match = _KEY.fullmatch(ref) if isinstance(ref, str) else None
        if match is None or not isinstance(fields, dict) or int(match[2]) > MAX_DATABASE_ID:
            return None
        ref = match[0]
        status = self._status(fields)
        created = self._moment(fields.get("created"))
        updated = self._moment(fields.get("updated"))
        resolved = self._moment(fields.get("resolutiondate"))
        created_at = created or updated or resolved or now()
        updated_at = updated or created_at
        self.notes.attachments += len(_list(fields, "attachment"))
        parent = _object(fields, "parent")
        external_id = self._id(document.get("id"), ref)
        return Issue(
            external_id=external_id,
            place=self._place_of(fields, match[1]),
            ref=ref,
            number=int(match[2]),
            title=as_line(self._text(fields.get("summary"), ref)) or ref,
            description=self._text(fields.get("description"), ref) or None,
            status=status.value,
            priority=self._priority(fields),
            created_at=created_at,
            updated_at=updated_at,
            # an issue may be closed without a date of its own: its last change is the nearest to it
            completed_at=(resolved or updated_at) if status is TaskStatus.COMPLETED else None,
            reporter=self._person(fields.get("reporter"), ref) or self._person(fields.get("creator"), ref),
            assignee=self._person(fields.get("assignee"), ref),
            labels=self._labels(fields, ref),
            parent_external_id=self._id(parent.get("id") or parent.get("key"), "") or None,
            remarks=self._remarks(fields, ref),
            links=self._links(fields, external_id),
        )

    def _place_of(self, fields: Json, key: str) -> Place:
        project = _object(fields, "project")
        if project.get("key") != key:
            project = {}  # an issue belongs where its key says
        name = as_line(self._text(project.get("name"), key)) or key
        return Place(key, name)

    def _status(self, fields: Json) -> TaskStatus:
        state = _object(fields, "status")
        word = str(state.get("name") or "")
        status = STATUSES.get(word.strip().casefold())
        if status is None:
            status = CATEGORIES.get(str(_object(state, "statusCategory").get("key")))
        if status is None:
            self.notes.unknown["status", self._text(word, "status") or "(none)"] += 1
            return TaskStatus.PENDING
        if status is TaskStatus.COMPLETED and not self._was_done(fields):
            return TaskStatus.CANCELLED
        return status

    def _was_done(self, fields: Json) -> bool:
        word = str(_object(fields, "resolution").get("name") or "")
        folded = word.strip().casefold().replace("’", "'")
        if folded and folded not in DONE and folded not in NOT_DONE:
            self.notes.unknown["resolution", self._text(word, "resolution") or ""] += 1
        return folded not in NOT_DONE

    def _priority(self, fields: Json) -> int:
        word = str(_object(fields, "priority").get("name") or "None")
        priority = PRIORITIES.get(word.strip().casefold())
        if priority is None:
            self.notes.unknown["priority", self._text(word, "priority") or ""] += 1
        return priority or 1

    def _labels(self, fields: Json, ref: str) -> tuple[str, ...]:
        labels = []
        for value in _list(fields, "labels"):
            label = as_line(self._text(value, ref))
            if len(label) > MAX_LABEL:
                self.notes.shortened_labels += 1
                label = label[: MAX_LABEL - 1].rstrip() + "…"
            if label:
                labels.append(label)
        return tuple(labels)

    def _remarks(self, fields: Json, ref: str) -> tuple[Remark, ...]:
        comment = _object(fields, "comment")
        entries = [entry for entry in _list(comment, "comments") if isinstance(entry, dict)]
        total = comment.get("total")
        if isinstance(total, int):
            self.notes.comments_not_in_archive += max(0, total - len(entries))
        return tuple(self._remark(entry, ref, index) for index, entry in enumerate(entries))

    def _remark(self, entry: Json, ref: str, index: int) -> Remark:
        external_id = self._id(entry.get("id"), f"{ref}#{index}")
        body = self._text(entry.get("body"), f"{ref} comment {external_id}") or ""
        author = self._person(entry.get("author"), ref)
        created = self._moment(entry.get("created"))
        updated = self._moment(entry.get("updated"))
        self.notes.empty_comments += not body
        self.notes.comments_without_author += author is None
        created_at = created or updated or now()
        return Remark(external_id, author, body, created_at, updated if updated and updated != created_at else None)

    def _links(self, fields: Json, external_id: str) -> tuple[Link, ...]:
        links = []
        for entry in _list(fields, "issuelinks"):
            if not isinstance(entry, dict):
                continue
            outward, inward = _object(entry, "outwardIssue"), _object(entry, "inwardIssue")
            far = outward or inward
            other = self._id(far.get("id") or far.get("key"), "")
            if not other or other == external_id:
                continue
            word = str(_object(entry, "type").get("name")).strip().casefold()
            kind, outward_first = LINKS.get(word, (RelationKind.RELATES_TO, False))
            ends = (external_id, other) if bool(outward) != outward_first else (other, external_id)
            links.append(Link(kind.value, *ends))
        return tuple(links)

    def _person(self, value: object, where: str) -> Person | None:
        """Server and Data Center know people by ``key``, Cloud by ``accountId``."""
        if not isinstance(value, dict):
            return None
        identity = next((value[name] for name in ("key", "accountId", "name") if value.get(name)), None)
        if identity is None:
            return None
        external_id = self._id(identity, "")
        if external_id not in self._people:
            full_name = as_line(self._text(value.get("displayName"), where)) or None
            name = self._text(value.get("name") or value.get("key"), where) or full_name or external_id
            zone = str(value.get("timeZone"))
            self._people[external_id] = Person(external_id, name, full_name, zone if zone in self._timezones else "UTC")
        return self._people[external_id]

    def _moment(self, value: object) -> datetime | None:
        """Jira writes 2011-04-15T02:41:12.000+0000; a time without an offset is taken as UTC."""
        if value is None:
            return None
        try:
            moment = datetime.fromisoformat(str(value))
            return to_utc(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
        except ValueError:
            self.notes.bad_times += 1
            return None

    def _id(self, value: object, default: str) -> str:
        return shorten(self._text(value, default) or default)

    def _text(self, value: object, where: str) -> str | None:
        """The text, whole, less what no database stores: U+0000 and lone surrogates."""
        if value is None:
            return None
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        cleaned = text.replace("\x00", "").encode("utf-8", "ignore").decode("utf-8")
        if cleaned != text:
            self.notes.cleaned[where] += len(text) - len(cleaned)
        return cleaned


def _parse(file: ArchivedFile) -> Any:
    content = file.read()
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        pass
    try:  # more lenient: takes lone surrogates, which are cleaned later
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ArchiveError(f"{file.path} holds no valid JSON: {reason}") from None


def _object(fields: Json, name: str) -> Json:
    value = fields.get(name)
    return value if isinstance(value, dict) else {}


def _list(fields: Json, name: str) -> list[Any]:
    value = fields.get(name)
    return value if isinstance(value, list) else []
