"""An example of each body and answer: minimal, sensible, and one that works as it stands.

They are written here where what a field is called says too little; all others are made of the schemas, by the examples
of their fields.
"""

import re
from typing import Any

from api.descriptions.schemas import PREFIX, Schema
from services.shared import node_ids

PENDING = {"status": {"eq": "pending"}}
BODIES: dict[str, dict[str, object]] = {
    "register_user": {"username": "ada", "email": "ada@example.com", "password": "correct horse battery"},
    "update_me": {"full_name": "Ada Lovelace", "timezone": "Europe/Vienna"},
    "change_password": {
        "current_password": "correct horse battery",
        "new_password": "analytical engine 1843",
        "confirm_password": "analytical engine 1843",
    },
    "request_password_reset": {"login": "ada"},
    "reset_password": {"token": "tdp_…", "new_password": "correct horse battery"},
    "request_email_verification": {"login": "ada"},
    "verify_email": {"token": "tde_…"},
    "delete_me": {"password": "correct horse battery"},
    "update_user": {"disabled": False},
    "create_api_key": {"name": "nightly export", "scopes": ["tasks:read"]},
    "duplicate_project": {"name": "Website, once more", "members": True},
    "update_project": {"description": "What visitors see of us."},
    "add_member": {"username": "grace", "role": "member"},
    "update_member": {"role": "viewer"},
    "update_milestone": {"state": "closed"},
    "update_tag": {"color": "#d73a4a"},
    "create_task": {"title": "Write the docs", "priority": 3, "due_at": "2099-01-31T17:00:00Z"},
    "preview_occurrences": {
        "rule": "FREQ=MONTHLY;BYDAY=-1FR",
        "timezone": "Europe/Vienna",
        "due_at": "2099-01-30T16:00:00Z",
        "limit": 3,
    },
    "update_task": {"status": "in_progress"},
    "put_task": {"status": "in_progress"},
    "update_project_task": {"status": "in_progress"},
    "create_tasks": {"tasks": [{"title": "Write the docs"}, {"title": "Publish them"}], "dry_run": True},
    "update_tasks": {"tasks": [{"id": 1, "status": "completed"}, {"id": 2, "priority": 3}], "dry_run": True},
    "delete_tasks": {"tasks": [{"id": 1}, {"id": 2}], "dry_run": True},
    "update_matching_tasks": {"filter": PENDING, "changes": {"priority": 3}, "dry_run": True},
    "query_tasks": {"or": [{"priority": {"gte": 4}}, {"tags": {"any": ["bug"]}}], "status": {"eq": "pending"}},
    "query_projects": {"name": {"contains": "web"}, "archived": False},
    "query_comments": {"body": {"contains": "good"}},
    "query_members": {"role": {"in": ["owner", "admin"]}},
    "query_tags": {"name": {"starts_with": "b"}},
    "query_milestones": {"state": {"eq": "open"}},
    "query_saved_views": {"name": {"contains": "do"}},
    "query_webhooks": {"state": {"eq": "disabled"}},
    "query_webhook_deliveries": {"state": {"in": ["waiting", "failed"]}},
    "redeliver_webhook": {"state": "failed"},
    "create_webhook": {
        "name": "Urgent",
        "url": "https://hooks.example.com/tandem",
        "kinds": ["task.created", "task.updated"],
        "filter": {"priority": {"gte": 4}, "status": {"in": ["pending", "in_progress"]}},
        "content": "document",
        "document": "query($id: ID!) { node(id: $id) { ... on Task { ref title assignees { username } } } }",
    },
    "update_webhook": {"content": "full"},
    "query_notifications": {"unread": True, "kind": {"in": ["mentioned", "assigned"]}},
    "update_notification": {"read": True},
    "update_notifications": {"read": True},
    "query_reminders": {"waiting": True},
    "query_task_reminders": {"waiting": True},
    "create_reminder": {"before_due": 30},
    "update_reminder": {"remind_at": "2099-01-31T08:00:00Z"},
    "snooze_reminder": {"minutes": 10},
    "query_users": {"username": {"starts_with": "a"}},
    "query_api_keys": {"name": {"contains": "export"}},
    "query_sessions": {"created_at": {"gte": "2026-01-31T08:00:00Z"}},
    "query_security_events": {"kind": {"eq": "session.created"}},
    "query_task_history": {"kind": {"in": ["task.updated", "task.deleted"]}},
    "query_relations": {"kind": {"eq": "blocks"}},
    "create_relation": {"kind": "blocks", "target_id": 2},
    "create_saved_view": {
        "name": "To do",
        "filter": {"status": {"in": ["pending", "in_progress"]}, "assignees": {"me": True}},
        "sort_by": "due_at",
        "order": "asc",
        "then_by": [{"field": "priority", "direction": "desc"}],
    },
    "update_saved_view": {"name": "To do", "order": "desc"},
}
PROBLEMS: dict[int, tuple[str, str, str, list[dict[str, str]]]] = {
    401: ("UNAUTHENTICATED", "Unauthorized", "The access token has expired", []),
    403: ("FORBIDDEN", "Forbidden", "Not allowed", []),
    404: ("NOT_FOUND", "Not Found", "Task not found", []),
    409: (
        "CONFLICT",
        "Conflict",
        "/name: is taken",
        [{"pointer": "/name", "location": "body", "detail": "is taken", "type": "taken"}],
    ),
    412: ("VERSION_CONFLICT", "Precondition Failed", "The current version is 4", []),
    422: (
        "BAD_USER_INPUT",
        "Unprocessable Content",
        "/title: must not be blank",
        [{"pointer": "/title", "location": "body", "detail": "must not be blank", "type": "blank"}],
    ),
    429: ("RATE_LIMITED", "Too Many Requests", "Too many requests: try again in 12 s", []),
}
UUID, MOMENT, ID = "01a20332-f69d-74c0-b2b5-4353ac941a4d", "2026-01-31T08:00:00Z", 12
ANSWERS: dict[str, Any] = {
    "UserOut": {
        "id": ID,
        "node_id": node_ids.encode("User", ID),
        "username": "ada",
        "full_name": "Ada Lovelace",
        "email": "ada@example.com",
        "email_verified_at": MOMENT,
        "timezone": "Europe/Vienna",
        "is_admin": False,
        "disabled": False,
        "created_at": MOMENT,
    },
    "BulkOut": {
        "applied": False,
        "succeeded": 1,
        "failed": 0,
        "results": [
            {
                "position": 0,
                "id": ID,
                "node_id": node_ids.encode("Task", ID),
                "version": 2,
                "outcome": "updated",
                "error": None,
                "task": None,
            }
        ],
    },
    "EventOut": {
        "id": ID,
        "node_id": node_ids.encode("Event", ID),
        "event_id": UUID,
        "kind": "task.updated",
        "entity_type": "task",
        "entity_id": 12,
        "entity_version": 2,
        "task_id": 12,
        "project_id": 3,
        "actor_id": 1,
        "actor_method": "token",
        "request_id": UUID,
        "occurred_at": MOMENT,
        "changes": [{"field": "status", "before": "pending", "after": "in_progress"}],
    },
}
"""By the names of schemas."""
ANSWERS["EventWithActor"] = ANSWERS["EventOut"]
_BESIDE = re.compile(r"(With[A-Z][a-z]+)?(Out|Create)?$")
"""What the names of models have beside that of the thing."""
_NAMES = {"ApiKey": "nightly export", "Milestone": "Beta", "Project": "Website", "SavedView": "To do", "Tag": "bug"}
_TEXTS = {
    "access_token": "eyJhbGciOiJIUzI1NiIs…",
    "body": "Looks good to me.",
    "entity_type": "task",
    "event_id": UUID,
    "fields": "status",
    "kind": "task.updated",
    "message": "Done.",
    "prefix": "tdk_x8Yq2Lm0",
    "refresh_token": "tdr_…",
    "secret": "tdk_…",
    "title": "Write the docs",
    "token_type": "bearer",
    "username": "ada",
}
_NUMBERS = {"expires_in": 900, "project_id": 3, "task_id": 12}
_FORMATS = {"date-time": MOMENT, "uuid": UUID}
_PLAIN = {"number": 1.0, "boolean": False, "object": {}}
_KEYS: dict[str, list[object]] = {"keys": []}


def add_examples(document: Schema) -> None:
    """An example for each body, each answer that was asked for, and the common refusals."""
    schemas: dict[str, Schema] = document["components"]["schemas"]
    for item in document["paths"].values():
        for operation in item.values():
            name = operation["operationId"]
            for media in operation.get("requestBody", {}).get("content", {}).values():
                media["example"] = BODIES[name] if name in BODIES else _made(media["schema"], schemas)
            for status, response in operation["responses"].items():
                media = response.get("content", {}).get("application/json")
                if media is not None and media["schema"] and status.startswith("2"):
                    media["example"] = _KEYS if name == "get_jwks" else _made(media["schema"], schemas)
    for status, (code, title, detail, errors) in PROBLEMS.items():
        for media in document["components"]["responses"][f"Problem{status}"]["content"].values():
            media["example"] = {
                "type": f"urn:tandem:problem:{code.lower().replace('_', '-')}",
                "title": title,
                "status": status,
                "detail": detail,
                "code": code,
                "errors": errors,
                "request_id": UUID,
            }


def _made(schema: Schema, schemas: dict[str, Schema], name: str = "", thing: str = "") -> Any:
    """An example of a schema: that of the field ``name`` of some ``thing``."""
    if "$ref" in schema:
        model = schema["$ref"].removeprefix(PREFIX)
        thing = _BESIDE.sub("", model.removeprefix("New"))
        return ANSWERS[model] if model in ANSWERS else _made(schemas[model], schemas, name, thing)
    if name == "node_id":
        return node_ids.encode(thing.removesuffix("Summary"), ID)
    if examples := schema.get("examples"):
        return examples[0]
    if "enum" in schema:
        return schema["enum"][0]
    if kinds := schema.get("anyOf"):
        some = [kind for kind in kinds if kind.get("type") != "null"]
        return None if len(some) < len(kinds) else _made(some[0], schemas, name, thing)
    kind = schema.get("type")
    if kind == "array":
        return [_made(schema["items"], schemas, name, thing)]
    if kind == "integer":
        return _NUMBERS.get(name, 1)
    if kind == "string":
        return _FORMATS.get(schema.get("format", "")) or (name == "name" and _NAMES.get(thing)) or _TEXTS.get(name, "…")
    properties: dict[str, Schema] = schema.get("properties", {})
    if kind == "object" and properties:
        # of what may be left out, a change has one part
        names = schema.get("required") or [*properties][:1]
        return {key: _made(properties[key], schemas, key, thing) for key in names}
    return _PLAIN.get(str(kind))
