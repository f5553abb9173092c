"""Jira's issues as files, one JSON document each (``KEY-n.json``, the shape of its REST API), and ``project.json``."""

import json
import re
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError

from core.clock import now
from services.relations import RelationKind
from services.shared.node_ids import MAX_DATABASE_ID
from services.shared.text import shows
from services.tasks.models import TaskStatus
from services.transfers.archives import ArchivedFile, ArchiveError
from services.transfers.formats.jira import other_fields
from services.transfers.formats.jira.other_fields import Json
from services.transfers.formats.jira.terms import CATEGORIES, DONE, LINKS, NOT_DONE, PLAIN_LINKS, PRIORITIES, STATUSES
from services.transfers.formats.jira.values import JiraValues, identity
from services.transfers.records import (
    ImportedComment,
    ImportedProject,
    ImportedRelation,
    ImportedTask,
    ImportedUser,
    Notes,
)
from services.users.models import Timezone

_ISSUE_FILE = re.compile(r"([A-Za-z][A-Za-z0-9_]*)-[0-9]+\.json", re.ASCII)
_KEY = re.compile(r"([A-Z][A-Z0-9_]*)-([1-9][0-9]*)", re.ASCII)
_TIMEZONE: TypeAdapter[str] = TypeAdapter(Timezone)
MAX_LABEL = 50
MAX_PROJECT_NAME = 100
MAX_TITLE, MAX_TEXT, MAX_LABELS, MAX_NAME = 200, 65_536, 50, 200
"""What the API takes. What is longer in the source is kept whole, and counted."""


class JiraReader(JiraValues):
    """Makes records of files. ``projects`` (keys) are read, or all when there are none; ``notes`` says what was odd."""

    def __init__(self, projects: frozenset[str] = frozenset()) -> None:
        super().__init__(Notes())
        self._projects = projects
        self._people: dict[str, ImportedUser] = {}
        self._projects_named: dict[tuple[str, str], ImportedProject] = {}

    def read(self, file: ArchivedFile) -> ImportedTask | ImportedProject | None:
        """The record in a file; None for a file that is none of Jira's or not wanted.

        Raises ``ArchiveError`` where the JSON is broken.
        """
        match = _ISSUE_FILE.fullmatch(file.name)
        if match is None and file.name != "project.json":
            self.notes.other_files.add(file.name)
            return None
        if match is not None and not self._wanted(match[1].upper()):
            return None
        document = _parse(file)
        if match is None:
            return self._project(document, file)
        fields = document.get("fields") if isinstance(document, dict) else None
        if not isinstance(fields, dict) or (numbered := self._numbered(document)) is None:
            self.notes.not_issues.add(file.name)
            return None
        key, number = numbered
        return self._issue(document, fields, key, number) if self._wanted(key) else None

    def _wanted(self, key: str) -> bool:
        return not self._projects or key in self._projects

    def _numbered(self, document: Json) -> tuple[str, int] | None:
        """The key and number in an issue's own key; None where there is none, or a number that no database stores."""
        ref = document.get("key")
        match = _KEY.fullmatch(ref) if isinstance(ref, str) else None
        # not by int(): Python refuses to read thousands of digits
        if match is None or len(match[2]) > len(str(MAX_DATABASE_ID)) or int(match[2]) > MAX_DATABASE_ID:
            return None
        return match[1], int(match[2])

    def _project(self, document: object, file: ArchivedFile) -> ImportedProject | None:
        key = document.get("key") if isinstance(document, dict) else None
        if not isinstance(document, dict) or not isinstance(key, str):
            self.notes.other_files.add(file.name)
            return None
        if not self._wanted(key):
            return None
        for label, number in other_fields.of_project(document):
            self.notes.left_out[label] += number
        description = self.text(document.get("description"), key)
        if description and len(description) > MAX_TEXT:
            self.notes.too_long["descriptions"] += 1
        return ImportedProject(key, self._project_name(document.get("name"), key), description or None)

    def _issue(self, document: Json, fields: Json, key: str, number: int) -> ImportedTask:
        ref = f"{key}-{number}"
        notes = self.notes
        status = self._status(fields)
        created = self.moment(fields.get("created"), f"{ref} created")
        updated = self.moment(fields.get("updated"), f"{ref} updated")
        resolved = self.moment(fields.get("resolutiondate"), f"{ref} resolutiondate")
        created_at = created or updated or resolved or now()
        updated_at = updated or created_at
        description = self.text(fields.get("description"), ref)
        if description and len(description) > MAX_TEXT:
            notes.too_long["descriptions"] += 1
        for label, count in other_fields.of_issue(document, fields):
            notes.left_out[label] += count
        if resolved and status is not TaskStatus.COMPLETED:
            notes.left_out["resolution dates of what was not completed"] += 1
        reporter, creator = identity(fields.get("reporter")), identity(fields.get("creator"))
        if reporter and creator and reporter != creator:
            notes.left_out["creators who were not the reporter"] += 1
        parent = self.nested(fields, "parent")
        created_by = self._person(fields.get("reporter"), ref) or self._person(fields.get("creator"), ref)
        assignee = self._person(fields.get("assignee"), ref)
        external_id = self.external_id(document.get("id"), ref)
        due_at, due_on = self.due(fields.get("duedate"), ref)
        return ImportedTask(
            external_id=external_id,
            project=self._project_of(fields, key),
            ref=ref,
            number=number,
            title=self._title(fields, ref),
            description=description or None,
            status=status,
            priority=self._priority(fields),
            created_at=created_at,
            updated_at=updated_at,
            due_at=due_at,
            due_on=due_on,
            # an issue may be closed without a date of its own: its last change is the nearest to it
            completed_at=(resolved or updated_at) if status is TaskStatus.COMPLETED else None,
            created_by=created_by,
            assignees=() if assignee is None else (assignee,),
            tags=self._labels(fields, ref),
            parent_external_id=self.external_id(parent.get("id") or parent.get("key"), "") or None,
            comments=self._comments(fields, ref),
            relations=self._links(fields, external_id),
            restricted=other_fields.is_restricted_issue(fields),
        )

    def _title(self, fields: Json, ref: str) -> str:
        title = self.line(fields.get("summary"), ref) or ref
        if len(title) > MAX_TITLE:
            self.notes.too_long["titles"] += 1
        return title

    def _project_of(self, fields: Json, key: str) -> ImportedProject:
        project = self.nested(fields, "project")
        # an issue belongs where its key says
        name = project.get("name") if project.get("key") == key else None
        if not isinstance(name, str):
            name = ""
        if (key, name) not in self._projects_named:
            self._projects_named[key, name] = ImportedProject(key, self._project_name(name, key))
        return self._projects_named[key, name]

    def _project_name(self, value: object, key: str) -> str | None:
        name = self.line(value, key)
        if name and len(name) > MAX_PROJECT_NAME:
            self.notes.shortened["names of projects"] += 1
            name = name[: MAX_PROJECT_NAME - 1].rstrip() + "…"
        return name or None

    def _status(self, fields: Json) -> TaskStatus:
        state = self.nested(fields, "status")
        word = str(state.get("name") or "")
        status = STATUSES.get(word.strip().casefold())
        if status is None:
            status = CATEGORIES.get(str(self.nested(state, "statusCategory").get("key")))
        if status is None:
            self.notes.unknown["status", self.text(word, "status") or "(none)"] += 1
            return TaskStatus.PENDING
        if status is TaskStatus.COMPLETED and not self._was_done(fields):
            return TaskStatus.CANCELLED
        return status

    def _was_done(self, fields: Json) -> bool:
        word = str(self.nested(fields, "resolution").get("name") or "")
        folded = word.strip().casefold().replace("’", "'")
        if folded and folded not in DONE and folded not in NOT_DONE:
            self.notes.unknown["resolution", self.text(word, "resolution") or ""] += 1
        return folded not in NOT_DONE

    def _priority(self, fields: Json) -> int:
        word = str(self.nested(fields, "priority").get("name") or "None")
        priority = PRIORITIES.get(word.strip().casefold())
        if priority is None:
            self.notes.unknown["priority", self.text(word, "priority") or ""] += 1
        return priority or 1

    def _labels(self, fields: Json, ref: str) -> tuple[str, ...]:
        labels = []
        for value in self.entries(fields, "labels"):
            is_word = isinstance(value, str | int | float) and not isinstance(value, bool)
            label = self.line(value, ref) if is_word else None
            if not label:
                self.notes.unreadable["labels"] += 1
                continue
            if len(label) > MAX_LABEL:
                self.notes.shortened["labels"] += 1
                label = label[: MAX_LABEL - 1].rstrip() + "…"
            labels.append(label)
        if len(labels) > MAX_LABELS:
            self.notes.too_long["lists of tags"] += 1
        return tuple(labels)

    def _comments(self, fields: Json, ref: str) -> tuple[ImportedComment, ...]:
        comment = self.nested(fields, "comment")
        entries = self.entries(comment, "comments")
        total = comment.get("total")
        if isinstance(total, int):
            self.notes.comments_not_in_archive += max(0, total - len(entries))
        comments = [self._comment(entry, ref, index) for index, entry in enumerate(entries) if isinstance(entry, dict)]
        if len(comments) < len(entries):
            self.notes.unreadable["comments"] += len(entries) - len(comments)
        return tuple(comments)

    def _comment(self, entry: Json, ref: str, index: int) -> ImportedComment:
        notes = self.notes
        external_id = self.external_id(entry.get("id"), f"{ref}#{index}")
        where = f"{ref} comment {external_id}"
        body = self.text(entry.get("body"), where) or ""
        author = self._person(entry.get("author"), ref)
        created = self.moment(entry.get("created"), where)
        updated = self.moment(entry.get("updated"), where)
        notes.empty_comments += not shows(body)
        notes.comments_without_author += author is None
        if len(body) > MAX_TEXT:
            notes.too_long["comments"] += 1
        editor = entry.get("updateAuthor")
        if editor != entry.get("author") and identity(editor) not in (None, identity(entry.get("author"))):
            notes.left_out["editors of comments who were not the author"] += 1
        created_at = created or updated or now()
        edited_at = updated if updated and updated != created_at else None
        restricted = other_fields.is_restricted_comment(entry)
        return ImportedComment(external_id, author, body, created_at, edited_at, restricted)

    def _links(self, fields: Json, external_id: str) -> tuple[ImportedRelation, ...]:
        links = []
        for entry in self.entries(fields, "issuelinks"):
            entry = entry if isinstance(entry, dict) else {}
            outward, inward = self.nested(entry, "outwardIssue"), self.nested(entry, "inwardIssue")
            far = outward or inward
            other = self.external_id(far.get("id") or far.get("key"), "")
            if not other or other == external_id:
                self.notes.unreadable["links"] += 1
                continue
            word = str(self.nested(entry, "type").get("name")).strip().casefold()
            kind, outward_first = LINKS.get(word, (RelationKind.RELATES_TO, False))
            if kind is RelationKind.RELATES_TO and outward and word not in PLAIN_LINKS:
                self.notes.left_out["kinds of links that say more than “relates”"] += 1
            ends = (external_id, other) if bool(outward) != outward_first else (other, external_id)
            links.append(ImportedRelation(kind, *ends))
        return tuple(links)

    def _person(self, value: object, where: str) -> ImportedUser | None:
        if value is None:
            return None
        known_by = identity(value)
        if known_by is None or not isinstance(value, dict):
            self.notes.unreadable["people"] += 1
            return None
        external_id = self.external_id(known_by, "")
        if external_id not in self._people:
            self._people[external_id] = self._new_person(value, external_id, where)
        return self._people[external_id]

    def _new_person(self, value: Json, external_id: str, where: str) -> ImportedUser:
        notes = self.notes
        full_name = self.line(value.get("displayName"), where) or None
        if full_name and len(full_name) > MAX_NAME:
            notes.too_long["names of people"] += 1
        name = self.text(value.get("name") or value.get("key"), where) or full_name or external_id
        notes.inactive_people += value.get("active") is False
        if value.get("emailAddress"):
            notes.left_out["e-mail addresses"] += 1
        return ImportedUser(external_id, name, full_name, self._timezone(value.get("timeZone")))

    def _timezone(self, value: object) -> str:
        if value is None:
            return "UTC"
        try:
            return _TIMEZONE.validate_python(value)
        except ValidationError:
            self.notes.unknown["time zone", self.text(value, "time zone") or "(none)"] += 1
            return "UTC"


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
