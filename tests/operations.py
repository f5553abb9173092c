"""The operations on projects and what is in them, called the same way on either door, in REST's spelling.

``run`` translates for GraphQL: ids become global ones, names camel case, enum values capitals. It asks for every field
that REST answers, so the two bodies of one operation can be compared as they are.
"""

import json
from dataclasses import dataclass
from typing import Any

from graphql import GraphQLObjectType
from pydantic import BaseModel
from strawberry.utils.str_converters import to_camel_case

from graphql_schema.schema import schema
from services.comments import CommentOut
from services.events import EventOut
from services.members import MemberOut
from services.node_ids import decode, encode
from services.projects.models import ProjectOut
from services.relations import RelationOut
from services.saved_views import SavedViewOut
from services.tags import TagOut
from services.tasks.models import TaskOut
from services.users.models import UserSummary
from tests.actors import Anonymous
from tests.doors import Call, Door, Result, from_graphql, from_rest

REFERENCES = {
    "project_id": "Project",
    "parent_id": "Task",
    "task_id": "Task",
    "comment_id": "Comment",
    "relation_id": "Relation",
    "saved_view_id": "SavedView",
    "target_id": "Task",
    "tag_id": "Tag",
    "user_id": "User",
    "assignee_ids": "User",
}
ENUMERATIONS = {"status", "role", "mode", "kind", "sort_by", "order"}
_NESTED: dict[str, tuple[type[BaseModel], str]] = {"user": (UserSummary, "User")}


def selection(model: type[BaseModel], type_name: str) -> str:
    """The fields of a REST model as a GraphQL selection that answers under REST's names."""
    type_ = schema._schema.type_map[type_name]
    assert isinstance(type_, GraphQLObjectType)
    parts = []
    for name in model.model_fields:
        if name == "id":
            parts.append("id: databaseId")
        elif name == "node_id":
            parts.append("node_id: id")
        elif name == "changes":
            parts.append("changes { field before after }")
        elif name in _NESTED:
            parts.append(f"{name} {{ {selection(*_NESTED[name])} }}")
        elif to_camel_case(name) in type_.fields:
            parts.append(f"{name}: {to_camel_case(name)}")
        else:
            relation = to_camel_case(name.removesuffix("_id"))
            assert relation in type_.fields, f"GraphQL's {type_name} lacks REST's {name}"
            parts.append(f"{name}: {relation} {{ id: databaseId }}")
    return " ".join(parts)


TASK = selection(TaskOut, "Task")
PROJECT = selection(ProjectOut, "Project")
MEMBER = selection(MemberOut, "Member")
TAG = selection(TagOut, "Tag")
COMMENT = selection(CommentOut, "Comment")
RELATION = selection(RelationOut, "Relation")
SAVED_VIEW = selection(SavedViewOut, "SavedView")
EVENT = selection(EventOut, "Event")
BULK = f"""applied succeeded failed results {{
    position node_id: taskId version task {{ {TASK} }}
    error {{ code message current_version: currentVersion errors {{ pointer detail type }} }}
}}"""


@dataclass(frozen=True, slots=True)
class Operation:
    """A route and its GraphQL document. ``answer`` says where in the document's result REST's body is."""

    rest: str
    graphql: str
    answer: str = ""
    id: str = ""
    """Which of the route's ids GraphQL calls ``id``."""


def _change(field: str, answer: str = "", fields: str = "") -> str:
    name = field[0].upper() + field[1:]
    payload = f"{answer} {{ {fields} }}" if fields else answer
    return f"mutation($input: {name}Input!) {{ result: {field}(input: $input) {{ {payload} }} }}"


def _lookup(field: str, fields: str) -> str:
    return f"query($id: ID!) {{ result: {field}(id: $id) {{ {fields} }} }}"


def _under(field: str, connection: str, fields: str) -> str:
    return _lookup(field, f"{connection}(first: 100) {{ edges {{ node {{ {fields} }} }} }}")


RELATIONS = "assignees { id: databaseId } tags { name }"
OPERATIONS: dict[str, Operation] = {
    "create_task": Operation("POST /tasks", _change("createTask", "task", TASK), "task"),
    "get_task": Operation("GET /tasks/{task_id}", _lookup("task", TASK), id="task_id"),
    "get_task_with_relations": Operation(
        "GET /tasks/{task_id}?expand=assignees&expand=tags", _lookup("task", f"{TASK} {RELATIONS}"), id="task_id"
    ),
    "update_task": Operation("PATCH /tasks/{task_id}", _change("updateTask", "task", TASK), "task", "task_id"),
    "put_task": Operation("PUT /tasks/{task_id}", _change("updateTask", "task", TASK), "task", "task_id"),
    "delete_task": Operation("DELETE /tasks/{task_id}", _change("deleteTask", "deletedTaskId"), id="task_id"),
    "restore_task": Operation("POST /tasks/{task_id}/restore", _change("restoreTask", "task", TASK), "task", "task_id"),
    "list_tasks": Operation(
        "GET /tasks",
        """query($filter: TaskFilter, $order: TaskOrder, $first: Int, $view: ID) {
            result: tasks(filter: $filter, orderBy: $order, first: $first, savedViewId: $view) {
                edges { node { TASK } }
            }
        }""".replace("TASK", TASK),
        "edges",
    ),
    "count_tasks": Operation(
        "GET /tasks/counts/{group_by}",
        "query($groupBy: TaskGrouping!) { result: taskCounts(groupBy: $groupBy) { key count } }",
    ),
    "create_tasks": Operation("POST /tasks/bulk/create", _change("createTasks", BULK)),
    "update_tasks": Operation("POST /tasks/bulk/update", _change("updateTasks", BULK)),
    "delete_tasks": Operation("POST /tasks/bulk/delete", _change("deleteTasks", BULK)),
    "update_matching_tasks": Operation("POST /tasks/bulk/update-matching", _change("updateMatchingTasks", BULK)),
    "create_project": Operation("POST /projects", _change("createProject", "project", PROJECT), "project"),
    "get_project": Operation("GET /projects/{project_id}", _lookup("project", PROJECT), id="project_id"),
    "list_projects": Operation(
        "GET /projects?limit=100", f"{{ result: projects(first: 100) {{ edges {{ node {{ {PROJECT} }} }} }} }}", "edges"
    ),
    "update_project": Operation(
        "PATCH /projects/{project_id}", _change("updateProject", "project", PROJECT), "project", "project_id"
    ),
    "delete_project": Operation(
        "DELETE /projects/{project_id}", _change("deleteProject", "deletedProjectId"), id="project_id"
    ),
    "list_members": Operation(
        "GET /projects/{project_id}/members?limit=100", _under("project", "members", MEMBER), "members", "project_id"
    ),
    "add_member": Operation("POST /projects/{project_id}/members", _change("addMember", "member", MEMBER), "member"),
    "update_member": Operation(
        "PATCH /projects/{project_id}/members/{user_id}", _change("updateMember", "member", MEMBER), "member"
    ),
    "remove_member": Operation(
        "DELETE /projects/{project_id}/members/{user_id}", _change("removeMember", "removedUserId")
    ),
    "list_tags": Operation(
        "GET /projects/{project_id}/tags", _lookup("project", f"tags {{ {TAG} }}"), "tags", "project_id"
    ),
    "create_tag": Operation("POST /projects/{project_id}/tags", _change("createTag", "tag", TAG), "tag"),
    "get_tag": Operation("GET /tags/{tag_id}", _lookup("tag", TAG), id="tag_id"),
    "update_tag": Operation("PATCH /tags/{tag_id}", _change("updateTag", "tag", TAG), "tag", "tag_id"),
    "delete_tag": Operation("DELETE /tags/{tag_id}", _change("deleteTag", "deletedTagId"), id="tag_id"),
    "list_comments": Operation(
        "GET /tasks/{task_id}/comments?limit=100", _under("task", "comments", COMMENT), "comments", "task_id"
    ),
    "create_comment": Operation(
        "POST /tasks/{task_id}/comments", _change("createComment", "comment", COMMENT), "comment"
    ),
    "get_comment": Operation(
        "GET /tasks/{task_id}/comments/{comment_id}", _lookup("comment", COMMENT), id="comment_id"
    ),
    "update_comment": Operation(
        "PATCH /tasks/{task_id}/comments/{comment_id}",
        _change("updateComment", "comment", COMMENT),
        "comment",
        "comment_id",
    ),
    "delete_comment": Operation(
        "DELETE /tasks/{task_id}/comments/{comment_id}", _change("deleteComment", "deletedCommentId"), id="comment_id"
    ),
    "list_relations": Operation(
        "GET /tasks/{task_id}/relations?limit=100", _under("task", "relations", RELATION), "relations", "task_id"
    ),
    "create_relation": Operation(
        "POST /tasks/{task_id}/relations", _change("createRelation", "relation", RELATION), "relation"
    ),
    "get_relation": Operation(
        "GET /tasks/{task_id}/relations/{relation_id}", _lookup("relation", RELATION), id="relation_id"
    ),
    "delete_relation": Operation(
        "DELETE /tasks/{task_id}/relations/{relation_id}",
        _change("deleteRelation", "deletedRelationId"),
        id="relation_id",
    ),
    "list_saved_views": Operation(
        "GET /saved-views?limit=100",
        f"{{ result: savedViews(first: 100) {{ edges {{ node {{ {SAVED_VIEW} }} }} }} }}",
        "edges",
    ),
    "create_saved_view": Operation(
        "POST /saved-views", _change("createSavedView", "savedView", SAVED_VIEW), "saved_view"
    ),
    "get_saved_view": Operation(
        "GET /saved-views/{saved_view_id}", _lookup("savedView", SAVED_VIEW), id="saved_view_id"
    ),
    "update_saved_view": Operation(
        "PATCH /saved-views/{saved_view_id}",
        _change("updateSavedView", "savedView", SAVED_VIEW),
        "saved_view",
        "saved_view_id",
    ),
    "delete_saved_view": Operation(
        "DELETE /saved-views/{saved_view_id}", _change("deleteSavedView", "deletedSavedViewId"), id="saved_view_id"
    ),
    "list_task_history": Operation(
        "GET /tasks/{task_id}/history?limit=100", _under("task", "history", EVENT), "history", "task_id"
    ),
}


ACCOUNTS = {
    "get_me": Call("GET /users/me", "{ result: me { id } }"),
    "get_user": Call("GET /users/{id}", "query($id: ID!) { result: user(id: $id) { id } }", node="User"),
    "list_users": Call("GET /users", "{ result: users { edges { node { id } } } }"),
    "update_me": Call("PATCH /users/me", _change("updateMe", "user { id }")),
    "change_password": Call("POST /users/me/password", _change("changePassword", "user { id }")),
    "list_sessions": Call("GET /users/me/sessions", "{ result: sessions { edges { node { id } } } }"),
    "list_security_events": Call(
        "GET /users/me/security-events", "{ result: securityEvents { edges { node { id } } } }"
    ),
    "end_session": Call(
        "DELETE /users/me/sessions/{id}", _change("endSession", "endedSessionId"), node="Session", id_in_input=True
    ),
    "list_api_keys": Call("GET /users/me/api-keys", "{ result: apiKeys { edges { node { id } } } }"),
    "create_api_key": Call("POST /users/me/api-keys", _change("createApiKey", "secret")),
    "delete_api_key": Call(
        "DELETE /users/me/api-keys/{id}", _change("deleteApiKey", "deletedApiKeyId"), node="ApiKey", id_in_input=True
    ),
    "update_user": Call("PATCH /admin/users/{id}", _change("updateUser", "user { id }"), node="User", id_in_input=True),
    "clear_tasks": Call("DELETE /admin/clear-tasks", _change("clearTasks", "message")),
}
"""The operations on accounts, called on either door; they ask for little of the answer."""


async def run(
    door: Door,
    name: str,
    caller: Anonymous,
    body: Any = None,
    *,
    expected: int | None = None,
    key: Any = None,
    **ids: Any,
) -> Result:
    """Call an operation. ``expected`` is the version the caller knows; the answer's body is REST's on both doors.

    ``key`` is an idempotency key. ``list_tasks`` takes filter, sort_by, order, limit and view beside ids. A lookup that
    finds nothing is NOT_FOUND here on GraphQL, too, where it answers null.
    """
    return await call(OPERATIONS[name], door, name, caller, body, expected=expected, key=key, **ids)


async def call(
    operation: Operation,
    door: Door,
    name: str,
    caller: Anonymous,
    body: Any = None,
    *,
    expected: int | None = None,
    key: Any = None,
    **ids: Any,
) -> Result:
    """As ``run``, for another form of the operation with that name."""
    if door == "rest":
        method, path = operation.rest.split(" ")
        headers = {} if expected is None else {"If-Match": f'"{expected}"'}
        headers |= {} if key is None else {"Idempotency-Key": key}
        options: dict[str, Any] = {} if body is None else {"json": body}
        if name == "list_tasks":
            options["params"] = _list_parameters(ids)
        return _tidied(from_rest(await caller.rest(method, path.format(**ids), headers=headers, **options)), "")
    given = {
        "id" if key == operation.id else key: encode(REFERENCES[key], value) if key in REFERENCES else value
        for key, value in ids.items()
    }
    if name == "list_tasks":
        given = _list_variables(ids)
    if "group_by" in given:
        given = {"groupBy": given["group_by"].upper()}
    if "$input" in operation.graphql:
        path_ids = {to_camel_case(key): value for key, value in given.items() if f"{{{key}}}" in operation.rest}
        known = {"id": given["id"]} if "id" in given else path_ids
        version = {} if expected is None else {"expectedVersion": expected}
        repeatable = {} if key is None else {"idempotencyKey": key}
        variables: dict[str, Any] = {"input": {**to_graphql(body or {}), **known, **version, **repeatable}}
    else:
        variables = given
    return _tidied(from_graphql(await caller.gql(operation.graphql, variables)), operation.answer)


def _list_parameters(given: dict[str, Any]) -> dict[str, Any]:
    parameters = {"limit": 100} | {name: value for name, value in given.items() if value is not None}
    if "filter" in parameters:
        parameters["filter"] = json.dumps(parameters["filter"])
    if "view" in parameters:
        parameters["saved_view_id"] = parameters.pop("view")
    return parameters


def _list_variables(given: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {"first": given.get("limit", 100)}
    if given.get("filter") is not None:
        made["filter"] = to_graphql(given["filter"])
    if given.get("sort_by") is not None:
        made["order"] = {"field": given["sort_by"].upper(), "direction": given["order"].upper()}
    if given.get("view") is not None:
        made["view"] = encode("SavedView", given["view"])
    return made


async def ok(door: Door, name: str, caller: Anonymous, body: Any = None, **options: Any) -> Any:
    """The body that a call which must succeed answers."""
    result = await run(door, name, caller, body, **options)
    assert result.code is None, (result.code, result.message)
    return result.body


def to_graphql(value: Any, name: str = "") -> Any:
    """A REST body as a GraphQL input. What is no id or enum value is left as it is, to be refused there."""
    if isinstance(value, dict):
        return {
            to_camel_case(key): to_graphql(item, name if name in ENUMERATIONS else key) for key, item in value.items()
        }
    if isinstance(value, list):
        return [to_graphql(item, name) for item in value]
    if name == "id" and type(value) is int:  # of a task of a bulk call
        return encode("Task", value)
    if name in REFERENCES and type(value) is int:
        return encode(REFERENCES[name], value)
    return value.upper() if name in ENUMERATIONS and isinstance(value, str) else value


def _tidied(result: Result, answer: str) -> Result:
    if result.code is not None:
        return result
    body = result.body
    if body is None and result.status == 200:
        return Result(404, "NOT_FOUND", "null", [], None, result.headers)
    if answer and answer != "edges":
        body = body[answer]
    return Result(result.status, None, "", [], _plain(body), result.headers)


def _plain(value: Any, name: str = "") -> Any:
    """A body in REST's spelling, with people and tags that hang on something by id and name."""
    if isinstance(value, list):
        return [_plain(item, name) for item in value]
    if name == "parent_id" and isinstance(value, str):  # GraphQL's is a global id
        decoded = decode(value)
        assert decoded is not None
        assert decoded[0] == "Task"
        return decoded[1]
    if not isinstance(value, dict):
        return value.lower() if name in ENUMERATIONS and isinstance(value, str) else value
    if name == "filter":  # kept as REST spells it
        return value
    if "edges" in value:
        return [_plain(edge["node"]) for edge in value["edges"]]
    if name == "tags":
        return value["name"]
    if name == "assignees" or (name.endswith("_id") and set(value) == {"id"}):
        return value["id"]
    return {key: _plain(item, key) for key, item in value.items()}
