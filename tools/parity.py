"""What pairs the two doors: every REST operation with its GraphQL field, their parameters, headers and limits, and the
few that have no counterpart.

A test fails on an operation, a parameter or a header that is in none of these tables; ``python -m cli schema export``
writes docs/parity.md.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from graphql import (
    GraphQLArgument,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLObjectType,
    GraphQLSchema,
    Undefined,
    get_named_type,
)
from strawberry.utils.str_converters import to_camel_case

from api.addresses import MAX_ADDRESS
from graphql_schema.limits import Limits
from services import prices
from services.api_keys import MAX_KEYS
from services.pagination import DEFAULT_LIMIT, MAX_LIMIT, MAX_SKIP
from services.relations import MAX_RELATIONS
from services.saved_views import MAX_VIEWS
from services.tags import MAX_TAGS
from services.tasks import bulk_models
from services.tasks.aggregates import MAX_GROUPS
from services.tasks.models import MAX_DRAFTS, MAX_SUBTASK_DEPTH
from services.tasks.models import MAX_TAGS as MAX_TASK_TAGS

PAIRS = {
    "create_token": "Mutation.login",
    "refresh_token": "Mutation.refreshToken",
    "revoke_token": "Mutation.revokeToken",
    "list_sessions": "Query.sessions",
    "list_security_events": "Query.securityEvents",
    "end_session": "Mutation.endSession",
    "register_user": "Mutation.register",
    "get_me": "Query.me",
    "update_me": "Mutation.updateMe",
    "change_password": "Mutation.changePassword",
    "list_users": "Query.users",
    "get_user": "Query.user",
    "update_user": "Mutation.updateUser",
    "list_api_keys": "Query.apiKeys",
    "create_api_key": "Mutation.createApiKey",
    "delete_api_key": "Mutation.deleteApiKey",
    "list_projects": "Query.projects",
    "create_project": "Mutation.createProject",
    "get_project": "Query.project",
    "update_project": "Mutation.updateProject",
    "delete_project": "Mutation.deleteProject",
    "update_project_task": "Mutation.updateTask",
    "list_members": "Project.members",
    "add_member": "Mutation.addMember",
    "get_member": "Query.node",
    "update_member": "Mutation.updateMember",
    "remove_member": "Mutation.removeMember",
    "list_tags": "Project.tags",
    "create_tag": "Mutation.createTag",
    "get_tag": "Query.tag",
    "update_tag": "Mutation.updateTag",
    "delete_tag": "Mutation.deleteTag",
    "list_tasks": "Query.tasks",
    "count_tasks": "Query.taskCounts",
    "create_task": "Mutation.createTask",
    "get_task_by_ref": "Query.taskByRef",
    "get_task": "Query.task",
    "update_task": "Mutation.updateTask",
    "put_task": "Mutation.updateTask",
    "delete_task": "Mutation.deleteTask",
    "restore_task": "Mutation.restoreTask",
    "list_comments": "Task.comments",
    "create_comment": "Mutation.createComment",
    "get_comment": "Query.comment",
    "update_comment": "Mutation.updateComment",
    "put_comment": "Mutation.updateComment",
    "delete_comment": "Mutation.deleteComment",
    "list_relations": "Task.relations",
    "create_relation": "Mutation.createRelation",
    "get_relation": "Query.relation",
    "delete_relation": "Mutation.deleteRelation",
    "list_task_history": "Task.history",
    "list_saved_views": "Query.savedViews",
    "create_saved_view": "Mutation.createSavedView",
    "get_saved_view": "Query.savedView",
    "update_saved_view": "Mutation.updateSavedView",
    "delete_saved_view": "Mutation.deleteSavedView",
    "clear_tasks": "Mutation.clearTasks",
    "create_tasks": "Mutation.createTasks",
    "update_tasks": "Mutation.updateTasks",
    "delete_tasks": "Mutation.deleteTasks",
    "update_matching_tasks": "Mutation.updateMatchingTasks",
}
"""REST operation -> GraphQL field."""

REST_ALONE = {
    "get_root": "says where things are; a GraphQL client is there already",
    "get_health": "is for whoever watches the process",
    "get_readiness": "is for whoever watches the process",
    "get_jwks": "has a path and a form of its own (RFC 7517)",
}
"""REST operations without a counterpart, and why."""

GRAPHQL_ALONE = {
    "Query.nodes": "is several of Query.node in one",
    "Query.search": "is Query.tasks with its argument search, as GET /tasks has it",
    "Subscription.taskCreated": "the feed comes to REST with its own issue",
}
"""GraphQL root fields without a counterpart, and why."""

STANDS_FOR = {
    "limit": ("first", "last"),
    "cursor": ("after", "before"),
    "sort_by": ("orderBy",),
    "order": ("orderBy",),
    "If-Match": ("expectedVersion",),
    "Idempotency-Key": ("idempotencyKey",),
    **dict.fromkeys(
        ("status", "priority", "project_id", "parent_id", "assignee", "tag", "due_after", "due_before", "overdue"),
        ("filter",),
    ),
}
"""Parameter or header of REST -> arguments of GraphQL, where the name is another one than in camel case."""

REST_ADDS = {
    "skip": "counts rows, for pages with numbers; a connection goes on from a cursor",
    "total": "is the field totalCount of a connection, which is counted where it is selected",
    "expand": "is a selection",
    "fields": "is a selection",
    "If-None-Match": "saves an answer that a cache has; a query is posted, and not cached",
    "grant_type": "is OAuth's (RFC 6749)",
    "scope": "is OAuth's, and ignored",
    "client_id": "is OAuth's, and ignored",
    "client_secret": "is OAuth's, and ignored",
}
"""Parameters, headers and members of a body that GraphQL has no argument for, and why."""

HEADERS = {
    "Authorization": ("Authorization", "on a socket also in the payload of connection_init"),
    "X-API-Key": ("X-API-Key", "on a socket also in the payload of connection_init"),
    "Content-Type": ("Content-Type", "JSON; a login on REST is a form"),
    "X-Request-ID": ("X-Request-ID, `extensions.requestId`", "taken from a request, and in every answer"),
    "Idempotency-Key": ("`idempotencyKey`", "a repeat on either door is one of the other"),
    "Idempotency-Replayed": ("Idempotency-Replayed", ""),
    "If-Match": ("`expectedVersion`", "one version; If-Match may name several"),
    "If-None-Match": ("", REST_ADDS["If-None-Match"]),
    "ETag": ("`version`", ""),
    "Location": ("`id` in the payload", ""),
    "Link": ("`pageInfo`", ""),
    "X-Total-Count": ("`totalCount`", ""),
    "Retry-After": ("Retry-After, `extensions.retryAfter`", ""),
    "RateLimit": ("RateLimit", "of the request as a whole"),
    "RateLimit-Policy": ("RateLimit-Policy", ""),
    "X-Process-Time": ("X-Process-Time", ""),
}
"""Headers of requests and answers on REST -> what GraphQL has for them, and what there is to say about it."""


def _limits() -> list[tuple[str, str, str]]:
    """What is bounded, and how on either door; an empty text is the same as on REST."""
    rows = [
        ("rows of a page", f"0 to {MAX_LIMIT}, {DEFAULT_LIMIT} if nothing is said", ""),
        ("rows that are left out", f"{MAX_SKIP:,}", "none are"),
        ("a filter: depth", f"{prices.MAX_DEPTH}", ""),
        ("a filter: conditions", f"{prices.MAX_CONDITIONS}", ""),
        ("a filter: values that are compared with", f"{prices.MAX_VALUES:,}", ""),
        ("a filter: bytes of text among them", f"{prices.MAX_TEXT:,}", ""),
        ("points of cost of a request", f"{prices.BUDGET:,}", ""),
        ("tasks of a bulk call", f"{bulk_models.MAX_ITEMS:,}", ""),
        ("tasks that are changed by a filter", f"{bulk_models.MAX_MATCHING:,}", ""),
        ("groups of a count", f"{MAX_GROUPS:,}", ""),
        ("tasks in a new project; levels of them", f"{MAX_DRAFTS}; {MAX_SUBTASK_DEPTH}", ""),
        ("relations of a task; saved views of a person", f"{MAX_RELATIONS}; {MAX_VIEWS}", ""),
        ("tags of a project; API keys of a person", f"{MAX_TAGS:,}; {MAX_KEYS}", ""),
        ("tags and assignees of a task", f"{MAX_TASK_TAGS} each", ""),
        ("bytes of a body", "`MAX_BODY_BYTES`", ""),
        ("bytes of an address", f"{MAX_ADDRESS:,}", ""),
    ]
    # a document asks for much at once, and may be long without asking for anything
    bounds = Limits()
    rows += [(f"`{each.name}`", "does not apply", f"{getattr(bounds, each.name):,}") for each in fields(bounds)]
    return rows


_HEAD = """# Parity

What one door does, the other does. Generated by `make schema` from the tables in `tools/parity.py` and from the two
schemas; a test fails on an operation that is missing there.

| REST | | GraphQL |
|---|---|---|
"""


_PARAMETERS = """
## Parameters and bodies

What both doors name alike (`due_at` is `dueAt`) with the same default is left out, as are the ids in a path, for which
GraphQL has one global id. A project's tags are one list on both, without pages.

| REST | parameters and headers, each with GraphQL's |
|---|---|
"""
_LIMITS = """
## Limits

| Of | REST | GraphQL |
|---|---|---|
"""


@dataclass(frozen=True, slots=True)
class Input:
    """A parameter, header or member of a body, and GraphQL's arguments for it; either may be missing."""

    rest: str | None
    graphql: tuple[str, ...]
    default: Any = None
    other_default: Any = None

    @property
    def plain(self) -> bool:
        """Whether there is nothing to say of it."""
        same = self.rest is not None and self.graphql == (to_camel_case(self.rest),)
        return same and self.default == self.other_default

    @property
    def is_paired(self) -> bool:
        return bool(self.rest and (self.graphql or self.rest in REST_ADDS))

    @property
    def text(self) -> str:
        default = "" if self.default in (None, "", []) else f" = {str(self.default).lower()}"
        return f"`{self.rest}{default}`: " + (" or ".join(f"`{name}`" for name in self.graphql) or "none")


def inputs(operation: Mapping[str, Any], openapi: Mapping[str, Any], schema: GraphQLSchema) -> Iterator[Input]:
    """What an operation takes on REST, each with GraphQL's arguments, and what GraphQL takes besides."""
    taken = _arguments(schema, PAIRS[operation["operationId"]])
    left = set(taken)
    ids = 0
    for place, name, default in _rest_inputs(operation, openapi):
        if place == "path" and name.endswith("_id"):
            ids += 1
            left.discard(to_camel_case(name))
            continue
        wanted = (to_camel_case(name),) if place == "body" else STANDS_FOR.get(name, (to_camel_case(name),))
        if not taken.keys() & set(wanted):
            wanted = (to_camel_case(name),)
        found = tuple(other for other in wanted if other in taken)
        left.difference_update(found)
        yield Input(name, found, default, taken[found[0]] if found else None)
    if ids:
        left.discard("id")
    for name in sorted(left):
        yield Input(None, (name,))


def page(openapi: Mapping[str, Any], schema: GraphQLSchema, statuses: Mapping[str, int]) -> str:
    """docs/parity.md: each operation beside its field, the exceptions with their reasons, and the error codes."""
    routes = {
        operation["operationId"]: (f"{method.upper()} {path}", _sentence(operation["description"]))
        for path, method, operation in _operations(openapi)
    }
    rows = [
        f"| `{route}` | {text} | `{_signature(schema, PAIRS[name])}` |"
        for name, (route, text) in routes.items()
        if name in PAIRS
    ]
    alone = [f"| `{routes[name][0]}` | {reason} |" for name, reason in REST_ALONE.items()]
    alone += [f"| `{_signature(schema, field)}` | {reason} |" for field, reason in GRAPHQL_ALONE.items()]
    given = []
    for _, _, operation in _operations(openapi):
        if (name := operation["operationId"]) in PAIRS:
            pairs = "<br>".join(each.text for each in inputs(operation, openapi, schema) if not each.plain)
            if pairs:
                given.append(f"| `{routes[name][0]}` | {pairs} |")
    others = [f"| `{name}` | {reason} |" for name, reason in REST_ADDS.items()]
    headers = [f"| `{name}` | {other or 'none'} | {remark} |" for name, (other, remark) in HEADERS.items()]
    limits = [f"| {what} | {rest} | {graphql or 'the same'} |" for what, rest, graphql in _limits()]
    codes = [
        f"| `{code}` | {status} | `{code}` |" for code, status in sorted(statuses.items(), key=lambda item: item[1])
    ]
    return "\n".join(
        [
            _HEAD + "\n".join(rows),
            "\n## On one door alone\n\n| | because it |\n|---|---|\n" + "\n".join(alone),
            _PARAMETERS + "\n".join(given),
            "\nOn REST alone:\n\n| | because it |\n|---|---|\n" + "\n".join(others),
            "\n## Headers\n\n| REST | GraphQL | |\n|---|---|---|\n" + "\n".join(headers),
            _LIMITS + "\n".join(limits),
            "\n## Errors\n\nThe service layer's, the same on both doors; see [errors.md](errors.md).\n",
            "| REST's `code` | status | GraphQL's `extensions.code` |\n|---|---|---|\n" + "\n".join(codes) + "\n",
        ]
    )


def _sentence(text: str) -> str:
    """The first sentence of a description, in one line."""
    return " ".join(text.split("\n\n")[0].split()).split(". ")[0].rstrip(".")


def _signature(schema: GraphQLSchema, field: str) -> str:
    type_name, name = field.split(".")
    type_ = schema.type_map[type_name]
    if not isinstance(type_, GraphQLObjectType):
        raise TypeError(f"{type_name} has no fields")
    arguments = ", ".join(type_.fields[name].args)
    return f"{type_name}.{name}({arguments})" if arguments else field


def _operations(openapi: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for path, item in openapi["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def _rest_inputs(operation: Mapping[str, Any], openapi: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Where it stands, its name and its default."""
    for parameter in operation.get("parameters", ()):
        yield parameter["in"], parameter["name"], parameter["schema"].get("default")
    for content in operation.get("requestBody", {}).get("content", {}).values():
        model = openapi["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
        for name, member in model["properties"].items():
            yield "body", name, member.get("default")


def _arguments(schema: GraphQLSchema, field: str) -> dict[str, Any]:
    """The arguments of a field, those of its ``input`` among them, with their defaults."""
    type_name, name = field.split(".")
    type_ = schema.type_map[type_name]
    if not isinstance(type_, GraphQLObjectType):
        raise TypeError(f"{type_name} has no fields")
    found: dict[str, GraphQLArgument | GraphQLInputField] = {}
    for argument, declared in type_.fields[name].args.items():
        inner = get_named_type(declared.type)
        if argument == "input" and isinstance(inner, GraphQLInputObjectType):
            found |= inner.fields
        else:
            found[argument] = declared
    return {name: None if each.default_value is Undefined else each.default_value for name, each in found.items()}
