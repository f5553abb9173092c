"""The documents of webhooks: looked at when they are given, and resolved, as queries are, when something is told."""

from collections.abc import Mapping
from typing import Any

from graphql import NamedTypeNode, NonNullTypeNode, OperationDefinitionNode, OperationType, TypeNode

from core.deadlines import DeadlinePassed
from core.json_texts import encode
from core.settings import Settings
from db.driver.database import Database
from graphql_schema.execution.errors import too_late
from graphql_schema.execution.executor import Executor
from graphql_schema.execution.guests import mentions_the_schema
from graphql_schema.execution.making import make_executor
from graphql_schema.execution.outcomes import GraphQLRequest, Outcome, RequestError
from graphql_schema.execution.preparing import PreparedOperation
from graphql_schema.shared.context import Context
from services.shared.actors import Actor
from services.shared.errors import BadUserInput, Problem, TooExpensive, Unavailable
from services.webhooks.documents import VARIABLES
from services.webhooks.models import MAX_DOCUMENT_POINTS, MAX_PAYLOAD

_SAMPLE = dict.fromkeys(VARIABLES, "") | {"matches": True}
"""Values as a change gives them, by which the price of an operation is known: it depends on none of them."""
_NOBODYS: Any = None
"""In the place of what queries have no use for: only a mutation logs in, only a subscription follows."""


class WebhookDocuments:
    """Looks at documents and resolves them; see ``services.webhooks.documents.Documents``."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def check(self, text: str) -> None:
        """Raises ``BadUserInput`` for what is no document with one query that is within the limits of a request, and
        whose variables a change gives; ``TooExpensive`` for what comes to more than ``MAX_DOCUMENT_POINTS``."""
        try:
            prepared = await self._prepared(GraphQLRequest(text, _SAMPLE))
        except RequestError as error:
            raise _refused(error) from None
        document, operation = prepared.document, prepared.operation
        if sum(isinstance(node, OperationDefinitionNode) for node in document.definitions) > 1:
            raise _wrong("must have one operation, a query")
        if operation.operation is not OperationType.QUERY:
            raise _wrong(f"must be a query: a {operation.operation.value} is not carried out for a webhook")
        if mentions_the_schema(document, text):
            raise _wrong("must not ask for the schema (__schema, __type)")
        for definition in operation.variable_definitions or ():
            _check_variable(definition.variable.name.value, definition.type)
        points = self._executor.preparer.price(prepared).points
        if points > MAX_DOCUMENT_POINTS:
            raise TooExpensive(
                f"The document comes to {points:,} points of cost at each change; "
                f"at most {MAX_DOCUMENT_POINTS:,} are allowed"
            )

    async def resolve(self, database: Database, actor: Actor, text: str, variables: Mapping[str, object]) -> bytes:
        """What a document answers to somebody: JSON with ``data``, ``errors`` or both. What takes longer than the work
        in hand may, or comes to more than a payload has, has an error instead. Raises ``Unavailable`` where the
        database does not answer."""
        try:
            outcome = await self._outcome(database, actor, GraphQLRequest(text, variables))
        except DeadlinePassed as error:
            outcome = Outcome(errors=[late] if (late := too_late(error)) else [], executed=False)
        if Unavailable.code in outcome.codes:
            raise Unavailable
        return encode(outcome.body())

    async def _outcome(self, database: Database, actor: Actor, request: GraphQLRequest) -> Outcome:
        try:
            prepared = await self._prepared(request)
        except RequestError as error:
            return error.outcome
        context = Context(
            actor,
            database,
            security=_NOBODYS,
            feed=_NOBODYS,
            notification_feed=_NOBODYS,
            connections=_NOBODYS,
            outlet=_NOBODYS,
            live_lists=_NOBODYS,
            max_answer_bytes=MAX_PAYLOAD,
        )
        outcome = await self._executor.execute(prepared, context)
        await outcome.write(MAX_PAYLOAD)
        return outcome

    async def _prepared(self, request: GraphQLRequest) -> PreparedOperation:
        """Raises ``RequestError``, also where the server executes its trusted documents alone."""
        documents = self._executor.documents
        if documents.trusted is not None:
            request = documents.find(request, guest=False)
        return await self._executor.prepare_in_turns(request, guest=False)


def make_documents(settings: Settings) -> WebhookDocuments:
    """What resolves documents in a process that executes no others."""
    return WebhookDocuments(make_executor(settings))


def _check_variable(name: str, type_: TypeNode) -> None:
    wanted = VARIABLES.get(name)
    if wanted is None:
        known = ", ".join(f"${each}" for each in VARIABLES)
        raise _wrong(f"a change gives no variable ${name[:50]}: there are {known}")
    named = type_.type if isinstance(type_, NonNullTypeNode) else type_
    if not isinstance(named, NamedTypeNode) or named.name.value != wanted:
        raise _wrong(f"${name} must be of the type {wanted}")


def _refused(error: RequestError) -> BadUserInput | TooExpensive:
    """What is said of a document that could not be asked at the door either, in the words that are said there."""
    told = error.outcome.errors
    if told[0]["extensions"]["code"] == TooExpensive.code:
        return TooExpensive(told[0]["message"])
    if told[0]["extensions"]["code"] == "OPERATION_RESOLUTION_FAILURE":
        return _wrong("must have one operation, a query")
    problems = [Problem("/document", each["message"], each["extensions"]["code"].lower()) for each in told]
    return BadUserInput("; ".join(problem.detail for problem in problems[:3]), errors=problems)


def _wrong(detail: str) -> BadUserInput:
    return BadUserInput.at("/document", detail, "document")
