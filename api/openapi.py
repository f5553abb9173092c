"""The OpenAPI document: security schemes, the errors of every operation, and what FastAPI leaves out."""

from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi
from starlette.responses import JSONResponse

from api.descriptions.examples import add_examples
from api.descriptions.schemas import describe_defaults, without_titles
from api.descriptions.titles import title_of
from api.http.addresses import prefix_of
from api.problems import MEDIA_TYPE, STATUS, ProblemDetails, SwitchedOff
from api.sse import MEDIA_TYPE as EVENT_STREAM
from api.state import State
from services.features import FEATURES, OPERATIONS
from services.shared.features import Who

DESCRIPTION = """
Projects, tasks, comments and their history, through REST and, with the same rules and errors, through
[GraphQL](graphql).

**Authentication.** Register with `POST /api/v1/users`, log in with `POST /api/v1/token`, and send the access token as
`Authorization: Bearer …`; servers send an API key as `X-API-Key`.

**Lists** are plain arrays; the `Link` header has the next page. **Errors** are `application/problem+json` (RFC 9457)
with a stable `code`. **Versions**: single things have an `ETag`; send it back as `If-Match` to write only if nobody
else has. **Repeats**: operations that take an `Idempotency-Key` can be sent again; all others refuse one.
"""
TAGS = [
    # tasks first: of so many sections Swagger UI draws those that are in sight
    *(
        {"name": feature.tag, "description": feature.about}
        for feature in sorted(FEATURES, key=lambda each: each.tag != "tasks")
        if feature.about is not None
    ),
    {"name": "meta", "description": "The server itself."},
]
SCHEMES = {
    "BearerAuth": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "The access token of `POST /api/v1/token`.",
    },
    "ApiKeyAuth": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "A key for servers."},
    "PasswordAuth": {
        "type": "oauth2",
        "description": "Logs in from this page.",
        "flows": {"password": {"tokenUrl": "/api/v1/token", "refreshUrl": "/api/v1/token/refresh", "scopes": {}}},
    },
}
SECURITY: list[dict[str, list[str]]] = [{"BearerAuth": []}, {"ApiKeyAuth": []}, {"PasswordAuth": []}]
PUBLIC = {name for name, each in OPERATIONS.items() if each.who is Who.ANYBODY}
OPEN_TO_ALL = {"get_root", "get_health", "get_readiness", "get_jwks"}
MEANINGS = {
    400: "The request is malformed, e.g. not JSON.",
    401: "No token, or one that is not valid.",
    403: "The caller may not do this.",
    404: "Not there, or not for the caller to see.",
    406: "The Accept header leaves out what is answered here.",
    408: "The body came too slowly.",
    409: "It conflicts with what is stored.",
    410: "A cursor of the feed leads nowhere any more.",
    412: "If-Match, or expected_version, names another version than the current one.",
    413: "The body is too large.",
    414: "The address is too long.",
    415: "The body is of another media type.",
    422: "Something in the request does not hold; errors says what and where.",
    429: "Too many requests.",
    500: "Something went wrong on the server's side.",
    503: "Temporarily unavailable.",
    504: "It took longer than a request may.",
}


def document(app: FastAPI) -> dict[str, Any]:
    """The document, made once."""
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title,
            version=app.version,
            summary="A task backend with two doors: REST and GraphQL.",
            description=DESCRIPTION.strip(),
            routes=app.routes,
            tags=TAGS,
            contact={"name": "Tandem"},
            servers=[{"url": "/", "description": "This server"}],
        )
        components = schema.setdefault("components", {})
        components["securitySchemes"] = SCHEMES
        schemas = components.setdefault("schemas", {})
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        own = ProblemDetails.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(own.pop("$defs"))
        schemas["ProblemDetails"] = own
        components["responses"] = {_name(status): _response(status) for status in MEANINGS}
        for path, _, operation in operations(schema):
            _complete(path, operation, schemas)
        _name_query(schema["paths"])
        schema["paths"] = dict(sorted(schema["paths"].items(), key=lambda each: _section(each[1])))
        for part in ("components", "paths"):
            schema[part] = without_titles(schema[part])
        describe_defaults(schema)
        add_examples(schema)
        app.openapi_schema = schema
    return app.openapi_schema


def below(schema: dict[str, Any], prefix: str) -> dict[str, Any]:
    """The document of an application that clients find below a prefix."""
    if not prefix:
        return schema
    components = schema["components"]
    schemes = components["securitySchemes"]
    password = schemes["PasswordAuth"]["flows"]["password"]
    password = password | {name: prefix + password[name] for name in ("tokenUrl", "refreshUrl")}
    schemes = schemes | {"PasswordAuth": schemes["PasswordAuth"] | {"flows": {"password": password}}}
    servers = [server | {"url": prefix} for server in schema["servers"]]
    return schema | {"servers": servers, "components": components | {"securitySchemes": schemes}}


async def serve(request: Request) -> JSONResponse:
    """``GET /openapi.json``."""
    require_api_docs(request)
    found = below(document(request.app), prefix_of(request.scope))
    return JSONResponse(found, headers={"Cache-Control": "no-cache"})


def require_api_docs(request: Request) -> None:
    """Raises ``SwitchedOff`` where the server does not show what describes its REST door."""
    state: State = request.app.state.tandem
    if not state.settings.api_docs_on:
        raise SwitchedOff("API_DOCS")


def operations(schema: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every operation of a document: path, method, object."""
    for path, item in schema["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def _section(item: dict[str, Any]) -> int:
    """Where the section of a path stands: readers look for the first paths where the first sections are."""
    [first, *_] = item.values()
    return [each["name"] for each in TAGS].index(first["tags"][0])


def _complete(path: str, operation: dict[str, Any], schemas: Mapping[str, Any]) -> None:
    name = operation["operationId"]
    operation["summary"] = title_of(name)
    responses = operation["responses"]
    responses.pop("422", None)
    statuses = {429, 500, 503, 504}
    if name in OPEN_TO_ALL:
        operation["security"] = []
        statuses = {500, 503} if name == "get_readiness" else {500}
    else:
        operation["security"] = [{}] if name in PUBLIC else SECURITY
        # a bad token or key is refused even where none is needed
        statuses |= {401, 403}
        # a parameter that it does not take
        statuses |= {414, 422}
    parameters = operation.get("parameters", [])
    for parameter in parameters:
        parameter["schema"] = _without_null(parameter["schema"])
    for media in operation.get("requestBody", {}).get("content", {}).values():
        if "$ref" in media["schema"]:  # what pydantic puts beside it is said of another place that the model stands in
            media["schema"] = {"$ref": media["schema"]["$ref"]}
        if media["schema"] == {"$ref": "#/components/schemas/TaskFilter"}:  # the filter is the body, and stands once
            parameters = operation["parameters"] = [each for each in parameters if each["name"] != "filter"]
    statuses.add(422)  # where there is nothing else to refuse, an Idempotency-Key
    if "{" in path:
        statuses.add(404)
    content = responses.get("200", {}).get("content", {})
    if EVENT_STREAM in content:
        content.pop("application/json", None)  # FastAPI's, who knows of no other answer
        statuses.add(406)
    if name in OPERATIONS:
        statuses |= {STATUS[error.code] for error in OPERATIONS[name].raises}
    if "requestBody" in operation:
        statuses |= {400, 404, 408, 409, 413, 415}
    if any(parameter["name"] == "If-Match" for parameter in parameters):
        statuses |= {409, 412}
    if _has(operation.get("requestBody"), "expected_version", schemas):  # a version for each task
        statuses.add(412)
    if "delete_" in name or "remove_" in name or "restore" in name:
        statuses.add(409)
    if any(parameter["name"] == "If-None-Match" for parameter in parameters):
        responses["304"] = {"description": "Not modified: the ETag is still the one in If-None-Match."}
    for status in statuses:
        responses[str(status)] = {"$ref": f"#/components/responses/{_name(status)}"}
    operation["responses"] = dict(sorted(responses.items()))


def _has(part: Any, name: str, schemas: Mapping[str, Any], known: tuple[str, ...] = ()) -> bool:
    """Whether a property of a name stands somewhere in a part of the document, or in the schemas that it is made of."""
    if isinstance(part, list):
        return any(_has(each, name, schemas, known) for each in part)
    if not isinstance(part, dict):
        return False
    reference = str(part.get("$ref", "")).rpartition("/")[2]
    if reference and reference not in known and _has(schemas[reference], name, schemas, (*known, reference)):
        return True
    return name in part.get("properties", {}) or any(_has(each, name, schemas, known) for each in part.values())


def _name_query(paths: dict[str, Any]) -> None:
    """Say at each list that it takes QUERY, for which OpenAPI 3.1 has no place."""
    for path, item in paths.items():
        if (twin := f"{path}/query") in paths:
            said = f"QUERY (RFC 10008) at this address takes the filter as a JSON body, as POST {twin} does."
            item["get"]["description"] = f"{item['get']['description']}\n\n{said}"


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter is left out or has a value: there is no null in a URL or a header."""
    kinds = schema.get("anyOf", [])
    if {"type": "null"} not in kinds:
        return schema
    kind: dict[str, Any] = next(kind for kind in kinds if kind != {"type": "null"})
    return kind | {name: value for name, value in schema.items() if name != "anyOf"}


def _name(status: int) -> str:
    return f"Problem{status}"


def _response(status: int) -> dict[str, Any]:
    codes = [code for code, mapped in STATUS.items() if mapped == status]
    return {
        "description": MEANINGS[status] + (f" Code {' or '.join(codes)}." if codes else ""),
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}},
    }
