"""The operations on projects and what is in them, called the same way on either door, in REST's spelling.

``run`` translates for GraphQL: ids become global ones, names camel case, enum values capitals. It asks for every field
that REST answers, so the two bodies of one operation can be compared as they are.
"""

import json
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from graphql import GraphQLEnumType, GraphQLInputObjectType, GraphQLObjectType, get_named_type
from pydantic import BaseModel
from strawberry.utils.str_converters import to_camel_case, to_snake_case

from graphql_schema.schema import schema
from services import features
from services.comments import CommentOut
from services.events.happenings import HappeningOut
from services.members import MemberOut
from services.projects.models import ProjectOut
from services.recurrences.models import OccurrenceOut, RecurrenceOut
from services.relations import RelationOut
from services.saved_views import SavedViewOut
from services.shared.features import Operation as Registered
from services.shared.node_ids import decode, encode
from services.tags import TagOut
from services.tasks.models import TaskOut
from services.tasks.query import TaskOrderOut
from services.users.models import UserSummary
from services.webhooks.models import AttemptOut, WebhookOut
from tests.actors import Anonymous
from tests.doors import Call, Door, Result, from_graphql, from_rest
from tests.examples import IDS, ROUTES, path_ids

REFERENCES = {
    **IDS,
    **dict.fromkeys(("parent_id", "target_id"), "Task"),
    **dict.fromkeys(("assignee_ids", "add_assignees", "remove_assignees"), "User"),
    "through_id": "Notification",
    "ids": "Notification",
    "delivery_ids": "WebhookDelivery",
}
_TYPES = schema._schema.type_map.values()
ENUMERATIONS = {
    to_snake_case(name)
    for type_ in _TYPES
    if isinstance(type_, (GraphQLObjectType, GraphQLInputObjectType)) and not type_.name.endswith("Filter")
    for name, declared in type_.fields.items()
    if isinstance(get_named_type(declared.type), GraphQLEnumType)
}
"""The fields that hold values of enumerations, on either door, in REST's spelling."""
_NESTED: dict[str, tuple[type[BaseModel], str]] = {
    "user": (UserSummary, "User"),
    "attempts": (AttemptOut, "WebhookAttempt"),
    "then_by": (TaskOrderOut, "TaskOrdering"),
}


def selection(model: type[BaseModel], type_name: str) -> str:
    """The fields of a REST model as a GraphQL selection that answers under REST's names."""
    type_ = schema._schema.type_map[type_name]
    assert isinstance(type_, GraphQLObjectType)
    parts = []
    # what may be left out is read along where it is asked for
    for name in (each for each, field in model.model_fields.items() if field.is_required()):
        if name == "id":
            parts.append("id: databaseId")
        elif name == "node_id":
            parts.append("node_id: id")
        elif name == "changes":
            parts.append("changes { field before after }")
        elif name in _NESTED:
            parts.append(f"{name}: {to_camel_case(name)} {{ {selection(*_NESTED[name])} }}")
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
HAPPENING = selection(HappeningOut, "Happening")
MOVED = f"task {{ {TASK} }} moved left_behind: leftBehind {{ task_id: taskId what id }}"
WEBHOOK = selection(WebhookOut, "Webhook")
BULK = f"""applied succeeded failed results {{
    position node_id: taskId version outcome task {{ {TASK} }}
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


def _regular(operation: Registered) -> Operation:
    """An operation whose route and field are called as most are: made of what both declare."""
    route = ROUTES[operation.rest]
    [method] = route.methods or {"GET"}
    ids = path_ids(operation.rest)
    model = get_args(route.response_model)[0] if get_origin(route.response_model) is list else route.response_model
    type_name, field = operation.graphql.split(".")
    declared = _object(type_name).fields[field]
    type_: Any = get_named_type(declared.type)
    if type_name == "Mutation":
        [(payload, declared_payload)] = type_.fields.items()
        of_input: Any = get_named_type(declared.args["input"].type)
        id_ = ids[-1] if "id" in of_input.fields else ""
        if model is None:
            return Operation(f"{method} {route.path_format}", _change(field, payload), id=id_)
        fields = selection(model, get_named_type(declared_payload.type).name)
        return Operation(f"{method} {route.path_format}", _change(field, payload, fields), to_snake_case(payload), id_)
    if type_name == "Query" and ids:
        return Operation(f"{method} {route.path_format}", _lookup(field, selection(model, type_.name)), id=ids[-1])
    is_connection = type_.name.endswith("Connection")
    shown: Any = _object(type_.name.replace("Connection", "Edge")).fields["node"].type if is_connection else type_
    fields = selection(model, get_named_type(shown).name)
    if operation.rest.startswith("query_"):
        [filter_] = [str(each.type) for each_name, each in declared.args.items() if each_name == "filter"]
        return _filtered(f"{method} {route.path_format}", type_name, field, filter_, fields, is_connection, ids)
    if is_connection:
        listed, rest = (
            f"{field}(first: 100) {{ edges {{ node {{ {fields} }} }} }}",
            f"{method} {route.path_format}?limit=100",
        )
    else:
        listed, rest = f"{field} {{ {fields} }}", f"{method} {route.path_format}"
    if type_name == "Query":
        return Operation(rest, f"{{ result: {listed} }}", "edges")
    return Operation(rest, _lookup(type_name.lower(), listed), to_snake_case(field), ids[-1])


def _filtered(
    rest: str, type_name: str, field: str, filter_: str, fields: str, is_connection: bool, ids: list[str]
) -> Operation:
    """A list whose filter is the body."""
    shown = f"edges {{ node {{ {fields} }} }}" if is_connection else fields
    listed = f"{field}(filter: $filter{', first: 100' * is_connection}) {{ {shown} }}"
    rest += "?limit=100" * is_connection
    if type_name == "Query":
        return Operation(rest, f"query($filter: {filter_}) {{ result: {listed} }}", "edges")
    document = f"query($id: ID!, $filter: {filter_}) {{ result: {type_name.lower()}(id: $id) {{ {listed} }} }}"
    return Operation(rest, document, to_snake_case(field), ids[-1])


def _object(name: str) -> GraphQLObjectType:
    type_ = schema._schema.type_map[name]
    assert isinstance(type_, GraphQLObjectType)
    return type_


RELATIONS = "assignees { id: databaseId } tags { name }"
OCCURRENCE = selection(OccurrenceOut, "Occurrence")
_IRREGULAR: dict[str, Operation] = {
    "get_task": Operation("GET /tasks/{task_id}", _lookup("task", TASK), id="task_id"),
    "get_task_with_relations": Operation(
        "GET /tasks/{task_id}?expand=assignees&expand=tags", _lookup("task", f"{TASK} {RELATIONS}"), id="task_id"
    ),
    "preview_occurrences": Operation(
        "POST /occurrences",
        f"query($input: OccurrencesInput!) {{ result: occurrences(input: $input) {{ {OCCURRENCE} }} }}",
    ),
    "list_tasks": Operation(
        "GET /tasks",
        """query($filter: TaskFilter, $order: TaskOrder, $then: [TaskOrder!], $first: Int, $view: ID) {
            result: tasks(filter: $filter, orderBy: $order, thenBy: $then, first: $first, savedViewId: $view) {
                edges { node { TASK } }
            }
        }""".replace("TASK", TASK),
        "edges",
    ),
    "query_tasks": Operation(
        "POST /tasks/query?limit=100",
        "query($filter: TaskFilter) { result: tasks(filter: $filter, first: 100) { edges { node { TASK } } } }".replace(
            "TASK", TASK
        ),
        "edges",
    ),
    "count_tasks": Operation(
        "GET /tasks/counts/{group_by}",
        "query($groupBy: TaskGrouping!) { result: taskCounts(groupBy: $groupBy) { key count exact } }",
    ),
    "list_changes": Operation(
        "GET /changes", f"{{ result: changes {{ cursor has_more: hasMore changes {{ {HAPPENING} }} }} }}"
    ),
    "update_notifications": Operation("PATCH /notifications", _change("updateNotifications", "changed")),
    "create_tasks": Operation("POST /tasks/bulk/create", _change("createTasks", BULK)),
    "update_tasks": Operation("POST /tasks/bulk/update", _change("updateTasks", BULK)),
    "upsert_task": Operation(
        "PUT /tasks/by-external-id/{external_source}/{external_id}", _change("upsertTask", "task", TASK), "task"
    ),
    "move_task": Operation("POST /tasks/{task_id}/move", _change("moveTask", MOVED), id="task_id"),
    "delete_tasks": Operation("POST /tasks/bulk/delete", _change("deleteTasks", BULK)),
    "create_webhook": Operation("POST /webhooks", _change("createWebhook", "webhook", WEBHOOK), "webhook"),
    "rotate_webhook_secret": Operation(
        "POST /webhooks/{webhook_id}/rotate",
        _change("rotateWebhookSecret", "webhook", WEBHOOK),
        "webhook",
        "webhook_id",
    ),
    "redeliver_webhook": Operation(
        "POST /webhooks/{webhook_id}/redeliver", _change("redeliverWebhook", "redelivered"), id="webhook_id"
    ),
    "update_matching_tasks": Operation("POST /tasks/bulk/update-matching", _change("updateMatchingTasks", BULK)),
}
WITH_RECURRENCE = Operation(
    "GET /tasks/{task_id}?expand=recurrence",
    _lookup("task", f"{TASK} recurrence {{ {selection(RecurrenceOut, 'Recurrence')} }}"),
    id="task_id",
)
"""A task with how it recurs; another form of ``get_task``."""
_APART = {
    *("create_token", "refresh_token", "revoke_token", "register_user"),
    *("request_password_reset", "reset_password", "request_email_verification", "verify_email", "unsubscribe"),
    *("get_task_by_ref", "get_member", "update_project_task", "put_comment"),
    *("follow_changes", "follow_live_list", "follow_notifications"),
}
"""Operations that tests call in ways of their own."""


def _queried(field: str, filter_: str) -> str:
    return f"query($input: {filter_}) {{ result: {field}(filter: $input) {{ edges {{ node {{ id }} }} }} }}"


ACCOUNTS = {
    "get_me": Call("GET /users/me", "{ result: me { id } }"),
    "get_user": Call("GET /users/{id}", "query($id: ID!) { result: user(id: $id) { id } }", node="User"),
    "list_users": Call("GET /users", "{ result: users { edges { node { id } } } }"),
    "query_users": Call("POST /users/query", _queried("users", "UserFilter")),
    "update_me": Call("PATCH /users/me", _change("updateMe", "user { id }")),
    "get_notification_preferences": Call(
        "GET /notifications/preferences", "{ result: notificationPreferences { version } }"
    ),
    "update_notification_preferences": Call(
        "PATCH /notifications/preferences",
        _change("updateNotificationPreferences", "notificationPreferences { version }"),
    ),
    "change_password": Call("POST /users/me/password", _change("changePassword", "user { id }")),
    "delete_me": Call("POST /users/me/delete", _change("deleteMe", "deleted")),
    "list_sessions": Call("GET /users/me/sessions", "{ result: sessions { edges { node { id } } } }"),
    "query_sessions": Call("POST /users/me/sessions/query", _queried("sessions", "SessionFilter")),
    "query_security_events": Call("POST /users/me/security-events/query", _queried("securityEvents", "EventFilter")),
    "query_api_keys": Call("POST /users/me/api-keys/query", _queried("apiKeys", "ApiKeyFilter")),
    "list_security_events": Call(
        "GET /users/me/security-events", "{ result: securityEvents { edges { node { id } } } }"
    ),
    "end_session": Call(
        "DELETE /users/me/sessions/{id}", _change("endSession", "endedSessionId"), node="Session", id_in_input=True
    ),
    "list_api_keys": Call("GET /users/me/api-keys", "{ result: apiKeys { edges { node { id } } } }"),
    "create_api_key": Call("POST /users/me/api-keys", _change("createApiKey", "secret")),
    "update_api_key": Call(
        "PATCH /users/me/api-keys/{id}", _change("updateApiKey", "apiKey { id }"), node="ApiKey", id_in_input=True
    ),
    "rotate_api_key": Call(
        "POST /users/me/api-keys/{id}/rotate", _change("rotateApiKey", "secret"), node="ApiKey", id_in_input=True
    ),
    "delete_api_key": Call(
        "DELETE /users/me/api-keys/{id}", _change("deleteApiKey", "deletedApiKeyId"), node="ApiKey", id_in_input=True
    ),
    "update_user": Call("PATCH /admin/users/{id}", _change("updateUser", "user { id }"), node="User", id_in_input=True),
    "clear_tasks": Call("DELETE /admin/clear-tasks", _change("clearTasks", "message")),
}
"""The operations on accounts, called on either door; they ask for little of the answer."""
OPERATIONS = {
    name: _regular(operation)
    for name, operation in features.OPERATIONS.items()
    if not {name} & (ACCOUNTS.keys() | _IRREGULAR.keys() | _APART)
} | _IRREGULAR
"""All others but those of ``_APART``; every new feature's are among them."""


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

    ``key`` is an idempotency key. ``list_tasks`` takes filter, sort_by, order (of one field without ``-``), limit and
    view beside ids. A lookup that finds nothing is NOT_FOUND here on GraphQL, too, where it answers null.
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
        if name.startswith("query_"):
            body = body or {}
        options: dict[str, Any] = {} if body is None else {"json": body}
        if name == "list_tasks":
            options["params"] = _list_parameters(ids)
        elif flags := {key: str(value).lower() for key, value in ids.items() if isinstance(value, bool)}:
            options["params"] = flags
        answer = from_rest(await caller.rest(method, path.format(**ids), headers=headers, **options))
        if isinstance(answer.body, dict):
            answer.body.pop("secret", None)  # another one each time
        return _tidied(answer, "")
    given = {
        "id" if key == operation.id else key: encode(REFERENCES[key], value) if key in REFERENCES else value
        for key, value in ids.items()
    }
    if name == "list_tasks":
        given = _list_variables(ids)
    if name == "query_tasks":
        given = _list_variables({"filter": body or {}})
    elif name.startswith("query_"):
        given["filter"] = to_graphql(body or {})
    if "group_by" in given:
        given = {"groupBy": given["group_by"].upper()}
    if "$input" in operation.graphql:
        path_ids = {to_camel_case(key): value for key, value in given.items() if f"{{{key}}}" in operation.rest}
        known = {"id": given["id"]} if "id" in given else path_ids
        known |= {to_camel_case(key): value for key, value in given.items() if isinstance(value, bool)}
        version = {} if expected is None else {"expectedVersion": expected}
        repeatable = {} if key is None else {"idempotencyKey": key}
        variables: dict[str, Any] = {"input": {**to_graphql(body or {}), **known, **version, **repeatable}}
    else:
        variables = given
    return _tidied(from_graphql(await caller.gql(operation.graphql, variables)), operation.answer)


def _says_directions(given: dict[str, Any]) -> bool:
    """Whether the order is said as REST says that of several fields."""
    return "," in (given.get("sort_by") or "") or (given.get("sort_by") or "").startswith("-")


def _list_parameters(given: dict[str, Any]) -> dict[str, Any]:
    parameters = {"limit": 100} | {name: value for name, value in given.items() if value is not None}
    if _says_directions(parameters):
        parameters.pop("order", None)
    if "filter" in parameters:
        parameters["filter"] = json.dumps(parameters["filter"])
    if "view" in parameters:
        parameters["saved_view_id"] = parameters.pop("view")
    return parameters


def _list_variables(given: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {"first": given.get("limit", 100)}
    if given.get("filter") is not None:
        made["filter"] = to_graphql(given["filter"])
    if _says_directions(given):
        keys = [
            {"field": key.removeprefix("-").upper(), "direction": "DESC" if key.startswith("-") else "ASC"}
            for key in given["sort_by"].split(",")
        ]
        made |= {"order": keys[0], "then": keys[1:]}
    elif given.get("sort_by") is not None:
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
