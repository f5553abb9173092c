"""GraphQL over HTTP (the GraphQL Foundation's specification): media types, methods, statuses."""

import orjson
from fastapi import APIRouter, Request
from graphql import OperationType
from starlette.responses import Response

from api.dependencies.auth import get_actor
from api.dependencies.state import AppState
from api.graphql import sse
from api.graphql.context import make_context, prepare
from api.graphql.media_types import LEGACY_JSON, RESPONSE_JSON, STREAM, Form, negotiate
from api.graphql.requests import DOCUMENT_IDS, BadRequest, from_query_string, parse_json, to_request
from api.http.bodies import body_of, is_large
from api.http.cache_control import CREDENTIALS, NO_STORE, PRIVATE, Kind, answers
from api.http.compiler import CompiledRoute
from api.http.headers import header, headers_of
from api.http.route import IDEMPOTENCY_KEY
from api.http.serializers import json_response
from api.pages import graphiql_page
from api.problems import BEARER, SwitchedOff, challenge_of
from api.sse import accepted
from core.json_texts import encode
from graphql_schema.execution.errors import format_error, from_service, request_error
from graphql_schema.execution.executor import MUTATION, QUERY, SUBSCRIPTION
from graphql_schema.execution.guests import answers_credentials, needs_no_caller
from graphql_schema.execution.outcomes import GraphQLRequest, Outcome, RequestError
from services.shared.actors import ANONYMOUS, Actor
from services.shared.database_errors import from_database
from services.shared.errors import BadUserInput, Forbidden, TandemError, TooExpensive, Unauthenticated

router = APIRouter(include_in_schema=False, route_class=CompiledRoute)

# errors that show in the status: of a request, and some also of an operation that came to nothing
STATUS = {"UNAUTHENTICATED": 401, "FORBIDDEN": 403, "RATE_LIMITED": 429, "UNAVAILABLE": 503, "DEADLINE_EXCEEDED": 504}
SHOWN = STATUS.keys() - {"FORBIDDEN"}
ASKED = frozenset({"query", "extensions", *DOCUMENT_IDS})
"""The parameters of which a query in the URL has one; without any, a browser gets the playground."""
_VARIED = {"Vary": f"Accept, {CREDENTIALS}"}
_VARY = (b"vary", _VARIED["Vary"].encode())
_KEY_HEADER = IDEMPOTENCY_KEY.lower().encode()


@router.get("/graphql")
@answers(Kind.OWN)
async def graphql_get(request: Request, state: AppState) -> Response:
    """A query in the URL; GraphiQL for a browser."""
    accept = header(request.scope, b"accept")
    if "text/html" in accept and not ASKED.intersection(request.query_params):
        if not state.settings.graphiql_on:
            raise SwitchedOff("GRAPHIQL")
        return graphiql_page()
    form = negotiate(accept)
    stream = form is None and accepted(accept)
    if form is None and not stream:
        return _not_acceptable()
    form = form or STREAM
    try:
        graphql_request = from_query_string(request.query_params)
    except BadRequest as error:
        return _bad_request(error, form)
    return await _run(request, state, graphql_request, form, stream=stream, allowed=(QUERY, SUBSCRIPTION))


@router.post("/graphql")
@answers(Kind.OWN)
async def graphql_post(request: Request, state: AppState) -> Response:
    """An operation in a JSON body."""
    accept = header(request.scope, b"accept")
    form = negotiate(accept)
    stream = form is None and accepted(accept)
    if form is None and not stream:
        return _not_acceptable()
    form = form or STREAM
    if not _is_json(header(request.scope, b"content-type")):
        return _refuse("The body must be application/json in UTF-8", 415, "UNSUPPORTED_MEDIA_TYPE", form)
    try:
        body = await body_of(request)
        payload, strict = parse_json(body)
        graphql_request = to_request(payload, strict=strict, large=is_large(body))
    except BadRequest as error:
        return _bad_request(error, form)
    except TooExpensive as error:
        return _refused(error, form)
    return await _run(request, state, graphql_request, form, stream=stream, allowed=(QUERY, MUTATION, SUBSCRIPTION))


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
    form: Form,
    *,
    stream: bool,
    allowed: tuple[OperationType, ...],
) -> Response:
    if _KEY_HEADER in headers_of(request.scope):
        return _refuse_key(form)
    try:
        # before anything else: whoever asks too often costs no more than this
        actor, refusal = await _caller(request, state)
    except TandemError as error:
        return _refused(error, form)
    try:
        prepared = await prepare(graphql_request, state, actor)
    except RequestError as error:
        if refusal:
            return _refused(refusal, form)
        return sse.refuse(error, state.settings.socket_send_seconds) if stream else _respond(error.outcome, form)
    # as on REST: logging in and the like need no caller, and a stale token is no hindrance there
    if refusal and not needs_no_caller(prepared.operation):
        return _refused(refusal, form)
    kind = prepared.operation.operation
    if kind is SUBSCRIPTION and not stream:
        message = "A subscription needs a WebSocket, or Accept: text/event-stream"
        wanted = format_error(request_error(message, "BAD_REQUEST"))
        return _respond(Outcome(errors=[wanted], executed=False), form)
    if kind not in allowed:
        return _refuse("A mutation needs POST", 405, "METHOD_NOT_ALLOWED", form, {"Allow": "POST"})
    context = make_context(request, state, actor)
    context.large = graphql_request.large
    if stream:
        try:
            return sse.respond(request, state, prepared, context)
        except TandemError as error:  # too many at once
            return _refused(error, form)
    outcome = state.executor.priced(prepared, await state.executor.execute(prepared, context))
    if outcome.heavy:
        await outcome.write(context.max_answer_bytes)
    mutation = kind is MUTATION
    response = _respond(outcome, form, keep=mutation, secret=mutation and answers_credentials(prepared.operation))
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


def _refuse_key(form: Form) -> Response:
    """A header could not say which of a document's mutations it means: refused as on REST where none is taken."""
    detail = "not a header here: send idempotencyKey in the mutation's input"
    error = from_service(BadUserInput.at(f"/{IDEMPOTENCY_KEY}", detail, "extra_forbidden"))
    body = {"errors": [format_error(error)]}
    return Response(orjson.dumps(body), form.malformed, _VARIED, form.content_type(form.malformed))


def _refused(error: TandemError, form: Form) -> Response:
    return _respond(Outcome(errors=[format_error(from_service(error))], executed=False), form, challenge_of(error))


def _respond(
    outcome: Outcome, form: Form, challenge: str = BEARER, *, keep: bool = False, secret: bool = False
) -> Response:
    """The response; ``keep`` says that what came of an operation matters although a part of it was refused, ``secret``
    that it may hold a credential. ``challenge`` is what a 401 asks for (RFC 6750, section 3)."""
    if outcome.executed and not outcome.errors and not secret:
        return json_response(encode(outcome.body()), 200, (PRIVATE, _VARY), form.content_type(200).encode())
    status = 200
    codes = outcome.codes if outcome.errors else ()
    code = next((code for code in STATUS if code in codes), None)
    if not outcome.executed:
        status = STATUS[code] if code else form.status_of(*codes)
    elif code in SHOWN and not (outcome.data_survived and (keep or code != "UNAUTHENTICATED")):
        # as on REST. A query without a caller ran for an anonymous one: what it read is no loss
        status, outcome.executed = STATUS[code], False
    elif codes:
        status = form.partial
    headers = [NO_STORE if secret or status >= 400 else PRIVATE, _VARY]
    if status == 401:
        headers.append((b"www-authenticate", challenge.encode()))
    elif status in {429, 503}:
        seconds = max(error["extensions"].get("retryAfter", 1) for error in outcome.errors)
        headers.append((b"retry-after", str(seconds).encode()))
    return json_response(encode(outcome.body()), status, headers, form.content_type(status).encode())


def _bad_request(error: BadRequest, form: Form) -> Response:
    return _refuse(str(error), form.malformed if error.readable else 400, "BAD_REQUEST", form)


def _refuse(message: str, status: int, code: str, form: Form, headers: dict[str, str] | None = None) -> Response:
    body = {"errors": [format_error(request_error(message, code))]}
    return Response(orjson.dumps(body), status, _VARIED | (headers or {}), form.content_type(status))


def _not_acceptable() -> Response:
    body = {"errors": [format_error(request_error(f"Accept {RESPONSE_JSON} or {LEGACY_JSON}", "NOT_ACCEPTABLE"))]}
    return Response(orjson.dumps(body), 406, _VARIED, f"{LEGACY_JSON}; charset=utf-8")
