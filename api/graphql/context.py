"""The GraphQL context, from the very dependency that gives REST its caller."""

from graphql import DocumentNode, OperationDefinitionNode
from starlette.requests import HTTPConnection

from api.addresses import client_of
from api.headers import header
from api.state import State
from graphql_schema.callers import mentions_the_schema
from graphql_schema.context import Context
from graphql_schema.errors import request_error
from graphql_schema.execution import Executor
from graphql_schema.outcomes import GraphQLRequest, RequestError
from graphql_schema.schema import schema
from services.actors import Actor

EXECUTOR = Executor(schema)
"""One for the process: documents are parsed and validated once."""


async def prepare(request: GraphQLRequest, state: State, actor: Actor) -> tuple[DocumentNode, OperationDefinitionNode]:
    """The document and the operation to execute. Raises ``RequestError``, also where it asks for the schema, and the
    server does not show that. ``__typename`` is no such question."""
    document, operation = await EXECUTOR.prepare_in_turns(request, guest=not actor.identity)
    if not state.introspection and mentions_the_schema(document, request.query):
        message = "Introspection is switched off on this server (GRAPHQL_INTROSPECTION)"
        raise RequestError(request_error(message, "INTROSPECTION_DISABLED"), code="INTROSPECTION_DISABLED")
    return document, operation


def make_context(connection: HTTPConnection, state: State, actor: Actor) -> Context:
    """A context for one operation."""
    return Context(
        actor=actor,
        database=state.database,
        security=state.security,
        feed=state.feed,
        client=client_of(connection),
        max_answer_bytes=state.settings.max_answer_bytes,
        user_agent=header(connection.scope, b"user-agent") or None,
    )
