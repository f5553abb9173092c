"""The GraphQL context, from the very dependency that gives REST its caller."""

from starlette.requests import HTTPConnection

from api.headers import header
from api.state import State
from graphql_schema.context import Context
from graphql_schema.execution import Executor
from graphql_schema.schema import schema
from services.actors import Actor

EXECUTOR = Executor(schema)
"""One for the process: documents are parsed and validated once."""


def make_context(connection: HTTPConnection, state: State, actor: Actor) -> Context:
    """A context for one operation."""
    return Context(
        actor=actor,
        database=state.database,
        security=state.security,
        feed=state.feed,
        client=(connection.scope.get("client") or ("",))[0],
        max_answer_bytes=state.settings.max_answer_bytes,
        user_agent=header(connection.scope, b"user-agent") or None,
    )
