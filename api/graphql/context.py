"""The GraphQL context, from the very dependency that gives REST its caller."""

from starlette.requests import HTTPConnection

from api.http.addresses import client_of
from api.http.headers import header
from api.state import State
from core.settings import Settings
from graphql_schema.execution import making
from graphql_schema.execution.errors import request_error
from graphql_schema.execution.executor import Executor
from graphql_schema.execution.guests import mentions_the_schema
from graphql_schema.execution.outcomes import GraphQLRequest, RequestError
from graphql_schema.execution.preparing import PreparedOperation
from graphql_schema.execution.webhook_documents import WebhookDocuments
from graphql_schema.shared.context import Context
from services.shared.actors import Actor
from services.webhooks.documents import Documents


def make_executor(settings: Settings, *, compile_after: int) -> tuple[Executor, Documents]:
    """What executes an application's operations, and by that the documents of webhooks. Raises ``ValueError`` for a
    file of trusted documents that does not hold."""
    executor = making.make_executor(settings, compile_after=compile_after)
    return executor, WebhookDocuments(executor)


async def prepare(request: GraphQLRequest, state: State, actor: Actor) -> PreparedOperation:
    """The operation to execute. Raises ``RequestError``, also where it asks for the schema, and the server does not
    show that. ``__typename`` is no such question."""
    guest = not actor.identity
    documents = state.executor.documents
    if request.named is not None or documents.trusted is not None:
        request = documents.find(request, guest=guest)
    prepared = await state.executor.prepare_in_turns(request, guest=guest)
    if request.named is not None and (prepared.cached is not None or not guest):
        documents.keep(request, guest=guest)
    if not state.introspection and mentions_the_schema(prepared.document, request.query):
        message = "Introspection is switched off on this server (GRAPHQL_INTROSPECTION)"
        raise RequestError(request_error(message, "INTROSPECTION_DISABLED"), code="INTROSPECTION_DISABLED")
    return prepared


def make_context(connection: HTTPConnection, state: State, actor: Actor) -> Context:
    """A context for one operation."""
    return Context(
        actor=actor,
        database=state.database,
        security=state.security,
        feed=state.feed,
        notification_feed=state.notification_feed,
        live_lists=state.live_lists,
        connections=state.connections,
        outlet=state.outlet,
        client=client_of(connection),
        max_answer_bytes=state.settings.max_answer_bytes,
        user_agent=header(connection.scope, b"user-agent") or None,
    )
