"""GraphQL over HTTP (the GraphQL Foundation's specification): media types, methods, statuses."""

from functools import lru_cache
from typing import Any

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from api.answers import json_response
from api.bodies import body_of, is_large
from api.caching import CREDENTIALS, NO_STORE, PRIVATE, Kind, answers
from api.dependencies import AppState, get_actor
from api.graphql import sse
from api.graphql.context import EXECUTOR, make_context, prepare
from api.graphql.requests import BadRequest, from_query_string, parse_json, to_request
from api.headers import header, headers_of
from api.media_types import IDEMPOTENCY_KEY
from api.pages import graphiql_page
from api.plans import PlannedRoute
from api.problems import SwitchedOff
from core.answers import encode
from graphql_schema.callers import answers_credentials, needs_no_caller
from graphql_schema.errors import format_error, from_service, request_error
from graphql_schema.execution import MUTATION, QUERY, SUBSCRIPTION
from graphql_schema.outcomes import GraphQLRequest, Outcome, RequestError
from services.actors import ANONYMOUS, Actor
from services.errors import BadUserInput, Forbidden, TandemError, TooExpensive, Unauthenticated
from services.failures import from_database

router = APIRouter(include_in_schema=False, route_class=PlannedRoute)

RESPONSE_JSON = "application/graphql-response+json"
LEGACY_JSON = "application/json"
# errors that show in the status: of a request, and some also of an operation that came to nothing
STATUS = {"UNAUTHENTICATED": 401, "FORBIDDEN": 403, "RATE_LIMITED": 429, "UNAVAILABLE": 503, "DEADLINE_EXCEEDED": 504}
SHOWN = STATUS.keys() - {"FORBIDDEN"}
_VARIED = {"Vary": f"Accept, {CREDENTIALS}"}
_VARY = (b"vary", _VARIED["Vary"].encode())
_KEY_HEADER = IDEMPOTENCY_KEY.lower().encode()


@router.get("/graphql")
@answers(Kind.OWN)
async def graphql_get(request: Request, state: AppState) -> Response:
    """A query in the URL; GraphiQL for a browser."""
    accept = header(request.scope, b"accept")
    if "query" not in request.query_params and "text/html" in accept:
        if not state.settings.graphiql_on:
            raise SwitchedOff("GRAPHIQL")
        return graphiql_page()
    media_type = _negotiate(accept)
    stream = media_type is None and sse.accepted(accept)
    if media_type is None and not stream:
        return _not_acceptable()
    media_type = media_type or RESPONSE_JSON
    try:
        graphql_request = from_query_string(request.query_params)
    except BadRequest as error:
        return _bad_request(str(error), media_type)
    return await _run(request, state, graphql_request, media_type, stream=stream, allowed={QUERY})


@router.post("/graphql")
@answers(Kind.OWN)
async def graphql_post(request: Request, state: AppState) -> Response:
    """An operation in a JSON body."""
    accept = header(request.scope, b"accept")
    media_type = _negotiate(accept)
    stream = media_type is None and sse.accepted(accept)
    if media_type is None and not stream:
        return _not_acceptable()
    media_type = media_type or RESPONSE_JSON
    if not _is_json(header(request.scope, b"content-type")):
        message = "The body must be application/json in UTF-8"
        return _bad_request(message, media_type, status=415, code="UNSUPPORTED_MEDIA_TYPE")
    try:
        body = await body_of(request)
        payload, strict = parse_json(body)
        graphql_request = to_request(payload, strict=strict, large=is_large(body))
    except BadRequest as error:
        return _bad_request(str(error), media_type)
    except TooExpensive as error:
        return _refused(error, media_type)
    return await _run(request, state, graphql_request, media_type, stream=stream, allowed={QUERY, MUTATION})


def _is_json(content_type: str) -> bool:
    """Whether a body is JSON in UTF-8, as far as its media type says."""
    if content_type == LEGACY_JSON:
        return True
    media_type, _, parameters = content_type.partition(";")
    charset = parameters.lower().replace(" ", "").replace('"', "")
    return media_type.strip().lower() == LEGACY_JSON and ("charset=" not in charset or "charset=utf-8" in charset)


async def _run(
    request: Request,
    state: AppState,
    graphql_request: GraphQLRequest,
    media_type: str,
    *,
    stream: bool,
    allowed: set[Any],
) -> Response:
    if _KEY_HEADER in headers_of(request.scope):
        return _refuse_key(media_type)
    try:
        # before anything else: whoever asks too often costs no more than this
        actor, refusal = await _caller(request, state)
    except TandemError as error:
        return _refused(error, media_type)
    try:
        document, operation = await prepare(graphql_request, state, actor)
    except RequestError as error:
        if refusal:
            return _refused(refusal, media_type)
        return sse.refuse(error, state.settings.socket_send_seconds) if stream else _respond(error.outcome, media_type)
    # as on REST: logging in and the like need no caller, and a stale token is no hindrance there
    if refusal and not needs_no_caller(operation):
        return _refused(refusal, media_type)
    kind = operation.operation
    if kind is SUBSCRIPTION and not stream:
        message = "A subscription needs a WebSocket, or Accept: text/event-stream"
        wanted = format_error(request_error(message, "BAD_REQUEST"))
        return _respond(Outcome(errors=[wanted], executed=False), media_type)
    if kind not in allowed | {SUBSCRIPTION}:
        return _bad_request(
            "A mutation needs POST", media_type, status=405, code="METHOD_NOT_ALLOWED", headers={"Allow": "POST"}
        )
    context = make_context(request, state, actor)
    context.large = graphql_request.large
    if stream:
        try:
            return sse.respond(request, state, graphql_request, context, document, operation)
        except TandemError as error:  # too many at once
            return _refused(error, media_type)
    outcome = await EXECUTOR.execute(graphql_request, context, document, operation)
    if outcome.heavy:
        await outcome.write(context.max_answer_bytes)
    mutation = kind is MUTATION
    response = _respond(outcome, media_type, keep=mutation, secret=mutation and answers_credentials(operation))
    if context.replayed:
        response.headers["Idempotency-Replayed"] = "true"
    return response


async def _caller(request: Request, state: AppState) -> tuple[Actor, TandemError | None]:
    """The caller; an anonymous one, and why, where the credentials are no good. Raises other ``TandemError``."""
    try:
        return await get_actor(request, state), None
    except (Unauthenticated, Forbidden) as error:
        return ANONYMOUS, error
    except Exception as error:
        raise from_database(error) or error from error


def _refuse_key(media_type: str) -> Response:
    """A header could not say which of a document's mutations it means: refused as on REST where none is taken."""
    detail = "not a header here: send idempotencyKey in the mutation's input"
    error = from_service(BadUserInput.at(f"/{IDEMPOTENCY_KEY}", detail, "extra_forbidden"))
    body = {"errors": [format_error(error)]}
    return Response(orjson.dumps(body), 400, _VARIED, f"{media_type}; charset=utf-8")


def _refused(error: TandemError, media_type: str) -> Response:
    return _respond(Outcome(errors=[format_error(from_service(error))], executed=False), media_type)


def _respond(outcome: Outcome, media_type: str, *, keep: bool = False, secret: bool = False) -> Response:
    """The response; ``keep`` says that what came of an operation matters although a part of it was refused, ``secret``
    that it may hold a credential."""
    status = 200
    codes = outcome.codes if outcome.errors else ()
    code = next((code for code in STATUS if code in codes), None)
    if not outcome.executed:
        status = STATUS[code] if code else 400 if media_type == RESPONSE_JSON else 200
    elif code in SHOWN and not (outcome.data_survived and (keep or code != "UNAUTHENTICATED")):
        # as on REST. A query without a caller ran for an anonymous one: what it read is no loss
        status, outcome.data = STATUS[code], None
    headers = [NO_STORE if secret or status >= 400 else PRIVATE, _VARY]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    elif status in {429, 503}:
        seconds = max(error["extensions"].get("retryAfter", 1) for error in outcome.errors)
        headers.append((b"retry-after", str(seconds).encode()))
    return json_response(encode(outcome.body()), status, headers, f"{media_type}; charset=utf-8".encode())


def _bad_request(
    message: str,
    media_type: str,
    *,
    status: int = 400,
    code: str = "BAD_REQUEST",
    headers: dict[str, str] | None = None,
) -> Response:
    body = {"errors": [format_error(request_error(message, code))]}
    return Response(orjson.dumps(body), status, _VARIED | (headers or {}), f"{media_type}; charset=utf-8")


@lru_cache(maxsize=500)
def _negotiate(accept: str) -> str | None:
    """The media type of the response (section 6.1): the one that the client likes best, JSON where it names none."""
    if not accept.strip():
        return LEGACY_JSON
    best: tuple[float, int, str] | None = None
    for part in accept.split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    quality = float(parameter[2:])
                except ValueError:
                    quality = 0.0
        if quality <= 0:
            continue
        if name in {RESPONSE_JSON, "application/*", "*/*"}:
            # a wildcard is answered with what every client reads
            candidate = RESPONSE_JSON if name == RESPONSE_JSON else LEGACY_JSON
            rank = 2 if name == RESPONSE_JSON else 0
        elif name == LEGACY_JSON:
            candidate, rank = LEGACY_JSON, 1
        else:
            continue
        if best is None or (quality, rank) > best[:2]:
            best = (quality, rank, candidate)
    return best[2] if best else None


def _not_acceptable() -> Response:
    body = {"errors": [format_error(request_error(f"Accept {RESPONSE_JSON} or {LEGACY_JSON}", "NOT_ACCEPTABLE"))]}
    return Response(orjson.dumps(body), 406, _VARIED, f"{LEGACY_JSON}; charset=utf-8")
