"""Answers as releases up to d36c06b kept them: arrays by position, under the names of Python's modules.

The field lists are frozen: they say what those releases wrote, whatever the records have become. Keys live for 24
hours, so nothing needs this module a day after the last of those servers was replaced.
"""

from collections.abc import Mapping
from typing import TypeAlias

import orjson

Shape: TypeAlias = "Mapping[str, Shape] | list[Shape] | None"
"""The fields in their order, each with the shape of its value; a list of things of one shape; or a plain value."""

_TASK: Shape = dict.fromkeys(
    (
        "id",
        "project_id",
        "project_key",
        "number",
        "title",
        "description",
        "status",
        "priority",
        "start_at",
        "due_at",
        "completed_at",
        "parent_id",
        "created_by_id",
        "version",
        "created_at",
        "updated_at",
        "deleted_at",
    )
)
_PROJECT: Shape = dict.fromkeys(
    ("id", "key", "name", "description", "is_inbox", "version", "created_at", "updated_at", "archived_at", "role")
)
_USER: Shape = dict.fromkeys(("id", "username", "full_name", "email", "timezone", "is_admin", "disabled", "created_at"))
_MEMBER: Shape = {"user": _USER, "role": None, "created_at": None, "project_id": None, "id": None}
_TAG: Shape = dict.fromkeys(("id", "project_id", "name", "color"))
_COMMENT: Shape = dict.fromkeys(("id", "task_id", "author_id", "body", "version", "created_at", "edited_at"))
_RELATION: Shape = dict.fromkeys(("id", "kind", "source_id", "target_id", "created_by_id", "created_at"))
_SAVED_VIEW: Shape = dict.fromkeys(("id", "name", "filter", "sort_by", "order", "version", "created_at", "updated_at"))
_BULK_ERROR: Shape = {
    "code": None,
    "message": None,
    "errors": [dict.fromkeys(("pointer", "detail", "type"))],
    "current_version": None,
}
_BULK: Shape = {
    "applied": None,
    "succeeded": None,
    "failed": None,
    "results": [{"position": None, "id": None, "version": None, "error": _BULK_ERROR, "task": _TASK}],
}
_OPERATIONS: Mapping[str, tuple[str, Shape]] = {
    "task.create": ("services.tasks.commands.create", _TASK),
    "task.restore": ("services.tasks.removal.restore", _TASK),
    "task.bulk_create": ("create_tasks", _BULK),
    "task.bulk_update": ("update_tasks", _BULK),
    "task.bulk_delete": ("delete_tasks", _BULK),
    "task.bulk_update_matching": ("update_matching_tasks", _BULK),
    "project.create": ("services.projects.commands.create", _PROJECT),
    "member.add": ("services.members.add", _MEMBER),
    "tag.create": ("services.tags.create", _TAG),
    "comment.create": ("services.comments.create", _COMMENT),
    "relation.create": ("services.relations.create", _RELATION),
    "saved_view.create": ("services.saved_views.create", _SAVED_VIEW),
}


def former_name(operation: str) -> str | None:
    """What an operation was called then; None for one that came later."""
    return _OPERATIONS[operation][0] if operation in _OPERATIONS else None


def by_names(operation: str, answer: str) -> object:
    """What was kept for an operation of today's name, with its fields' names. Raises ``ValueError``."""
    return _named(orjson.loads(answer), _OPERATIONS[operation][1])


def _named(value: object, shape: Shape) -> object:
    if value is None or shape is None:
        return value
    if not isinstance(value, list):
        raise ValueError("no array")
    if isinstance(shape, list):
        return [_named(item, shape[0]) for item in value]
    return {name: _named(item, inner) for (name, inner), item in zip(shape.items(), value, strict=True)}
