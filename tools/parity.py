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

from api.http.addresses import MAX_ADDRESS
from api.routes.task_parameters import TaskFilterQuery
from graphql_schema.execution.limits import Limits
from services.features import FEATURES, OPERATIONS
from services.shared import prices
from services.shared.pagination import DEFAULT_LIMIT, MAX_LIMIT, MAX_SKIP
from services.tasks import bulk_models
from services.tasks.aggregates import MAX_GROUPS
from services.tasks.models import MAX_DRAFTS, MAX_SUBTASK_DEPTH, MAX_TAGS

PAIRS = {name: operation.graphql for name, operation in OPERATIONS.items()}
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
}
"""GraphQL root fields without a counterpart, and why."""

SHORTHANDS = {field: operation.graphql for operation in OPERATIONS.values() for field in operation.shorthands}
"""GraphQL root fields that are others with some arguments said: ``taskChanged`` is ``changes`` of tasks' kinds."""

_NO_SHORTHANDS = {"search", "filter", "trashed", "saved_view_id"}
"""Parameters of lists of tasks that are arguments of their own on GraphQL."""
STANDS_FOR = {
    "limit": ("first", "last"),
    "cursor": ("after", "before"),
    "sort_by": ("orderBy", "thenBy"),
    "order": ("orderBy",),
    "If-Match": ("expectedVersion",),
    "Idempotency-Key": ("idempotencyKey",),
    **dict.fromkeys(TaskFilterQuery.model_fields.keys() - _NO_SHORTHANDS, ("filter",)),
}
"""Parameter or header of REST -> arguments of GraphQL, where the name is another one than in camel case."""

REST_ADDS = {
    "skip": "counts rows, for pages with numbers; a connection goes on from a cursor",
    "envelope": "is what a connection is",
    "total": "is the field totalCount of a connection, which is counted where it is selected; `exact` is its argument. "
    "Of a list without pages, its length",
    "expand": "is a selection",
    "fields": "is a selection",
    "include": "is a selection",
    "Last-Event-ID": "is what browsers say as they come back to a stream (HTML, section 9.2.4); it is `after`",
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
    "Last-Event-ID": ("`after`", ""),
    "ETag": ("`version`", ""),
    "Location": ("`id` in the payload", ""),
    "Link": ("`pageInfo`", ""),
    "X-Next-Cursor": ("`pageInfo.endCursor`", ""),
    "X-Total-Count": ("`totalCount`", "10,000 at most, unless `total=exact`, `totalCount(exact: true)`"),
    "X-Total-Count-Exact": ("`totalCountExact`", ""),
    "Accept-Query": ("", "what QUERY takes (RFC 10008)"),
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
        *((of, f"{most:,}", "") for feature in FEATURES for of, most in feature.limits.items()),
        ("tags and assignees of a task", f"{MAX_TAGS} each", ""),
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
        wanted: tuple[str, ...] = (to_camel_case(name),)
        if place != "body" and wanted[0] not in taken and taken.keys() & set(STANDS_FOR.get(name, ())):
            wanted = STANDS_FOR[name]
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
    alone += [f"| `{_signature(schema, field)}` | is a shorthand of {of} |" for field, of in SHORTHANDS.items()]
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
        default = parameter["schema"].get("default")
        # of a parameter that may repeat: that it is left out
        yield parameter["in"], parameter["name"], None if default == [] else default
    for content in operation.get("requestBody", {}).get("content", {}).values():
        model = content["schema"]["$ref"].rpartition("/")[2]
        if model.endswith("Filter"):  # the whole body is one
            yield "body", "filter", None
            continue
        for name, member in openapi["components"]["schemas"][model]["properties"].items():
            yield "body", name, member.get("x-default")


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
