"""Generated documents through both executors: the same bytes, data and errors.

Documents are hypothesis-graphql's over our schema, then changed: ids are those of things that exist, literals become
variables, selections become fragments, fields get conditions. For some, reading fails in one table, or a column is null
that never is. TANDEM_COMPILED says how many on each database (``make compiled DOCUMENTS=20000``).
"""

import asyncio
import os
import random
import re
import sys
from base64 import b64decode
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from graphql import (
    REMOVE,
    ArgumentNode,
    BooleanValueNode,
    DirectiveNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLArgument,
    ListValueNode,
    NamedTypeNode,
    NameNode,
    NonNullTypeNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    StringValueNode,
    TypeInfo,
    TypeInfoVisitor,
    ValueNode,
    VariableDefinitionNode,
    VariableNode,
    Visitor,
    get_named_type,
    parse,
    parse_type,
    parse_value,
    print_ast,
    visit,
)
from graphql.utilities import value_from_ast_untyped
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis_graphql import queries

from api.state import State
from core.json_texts import encode
from db.driver.database import Database
from db.driver.sessions import ReadingSession
from graphql_schema.execution.outcomes import GraphQLRequest, RequestError
from graphql_schema.schema import schema, sdl
from graphql_schema.shared.context import Context
from services.users import queries as users
from tests.actors import Person
from tests.conftest import People

DOCUMENTS = int(os.environ.get("TANDEM_COMPILED", "150"))
SEED = int(os.environ.get("TANDEM_COMPILED_SEED", "1"))
MOMENTS = ["2026-01-31T12:00:00Z", "2026-06-01T00:00:00.5+02:00", "2026-01-31"]
FIELDS = [
    *("tasks", "task", "projects", "project", "me", "users", "user", "node", "nodes", "search", "taskByRef"),
    *("comment", "tag", "relation", "savedViews", "savedView", "taskCounts", "sessions", "securityEvents", "apiKeys"),
]
# as generated they are refused, nearly always
UNLIKELY = {"last": 0.97, "before": 0.97, "after": 0.97, "filter": 0.7, "ref": 0.0, "savedViewId": 0.8}
TABLES = ["tasks", "projects", "users", "task_assignees", "task_tags", "comments", "relations", "events", "memberships"]


@pytest.fixture
async def ids(ada: Person, people: People) -> list[str]:
    """Global ids of things of every type, which hang together."""
    bob = await people()
    project = await ada.project(name="Zürich", description="A project")
    await ada.invite(project, bob)
    tasks = [
        await ada.task(
            project_id=project["id"],
            title=f"Task {n}",
            tags=["bug", "ui"][: n % 3],
            assignee_ids=[ada.id, bob.id][: n % 3],
            due_at=[None, "2027-01-31T12:00:00.25Z"][n % 2],
        )
        for n in range(6)
    ]
    found = [project["node_id"], *(task["node_id"] for task in tasks), bob.node_id, ada.node_id]
    for task in tasks[:3]:
        below = await ada.task(project_id=project["id"], parent_id=task["id"])
        comment = await ada.comment(task["id"], "A remark")
        related = await ada.post(f"/tasks/{task['id']}/relations", {"kind": "blocks", "target_id": below["id"]})
        found += [below["node_id"], comment["node_id"], related.json()["node_id"]]
    found += [tag["node_id"] for tag in (await ada.get(f"/projects/{project['id']}/tags")).json()]
    found += [event["node_id"] for event in (await ada.get(f"/tasks/{tasks[0]['id']}/history")).json()]
    view = await ada.post("/saved-views", {"name": "Mine", "filter": {"priority": {"gte": 1}}})
    found += [view.json()["node_id"], *(each["node_id"] for each in (await ada.get("/users/me/sessions")).json())]
    return found


class _Enricher(Visitor):
    """Makes a document of what hypothesis-graphql does not: real ids, variables, fragments, conditions, aliases."""

    def __init__(self, info: TypeInfo, chance: random.Random, ids: Sequence[str]) -> None:
        super().__init__()
        self._info, self._chance, self._ids = info, chance, ids
        self.definitions: list[VariableDefinitionNode] = []
        self.fragments: list[FragmentDefinitionNode] = []
        self.values: dict[str, Any] = {}

    def leave_argument(self, node: ArgumentNode, *_: Any) -> Any:
        argument: GraphQLArgument | None = self._info.get_argument()
        if argument is None or self._info.get_directive() is not None:
            return None
        value, name = node.value, node.name.value
        if name in UNLIKELY and self._chance.random() < UNLIKELY[name]:
            return REMOVE
        if get_named_type(argument.type).name == "ID" and self._chance.random() < 0.95:
            value = self._real_ids(value)
        elif name == "first" and self._chance.random() < 0.95:
            value = parse_value(str(self._chance.randrange(5)))
        if self._chance.random() < 0.4:
            name = f"v{len(self.definitions)}"
            self.definitions.append(
                VariableDefinitionNode(
                    variable=VariableNode(name=NameNode(value=name)), type=parse_type(str(argument.type)), directives=()
                )
            )
            self.values[name] = value_from_ast_untyped(value)
            value = VariableNode(name=NameNode(value=name))
        return ArgumentNode(name=node.name, value=value)

    def _real_ids(self, value: ValueNode) -> ValueNode:
        if isinstance(value, ListValueNode):
            return ListValueNode(values=tuple(self._real_ids(item) for item in value.values))
        parent = self._info.get_field_def()
        wanted = get_named_type(parent.type).name if parent is not None else ""
        fitting = [id_ for id_ in self._ids if b64decode(id_).decode().partition(":")[0] == wanted]
        return StringValueNode(value=self._chance.choice(fitting or self._ids))

    def leave_field(self, node: FieldNode, *_: Any) -> Any:
        directives = list(node.directives or ())
        if self._chance.random() < 0.15:
            directives.append(self._condition())
        selections = node.selection_set
        parent = self._info.get_type()
        if selections is not None and parent is not None and self._chance.random() < 0.15:
            name = f"F{len(self.fragments)}"
            self.fragments.append(
                FragmentDefinitionNode(
                    name=NameNode(value=name),
                    type_condition=NamedTypeNode(name=NameNode(value=get_named_type(parent).name)),
                    selection_set=selections,
                    directives=(),
                )
            )
            spread = FragmentSpreadNode(name=NameNode(value=name), directives=())
            kept = selections.selections if self._chance.random() < 0.5 else ()
            selections = SelectionSetNode(selections=(*kept, spread))
        return FieldNode(
            alias=node.alias,
            name=node.name,
            arguments=node.arguments,
            directives=tuple(directives),
            selection_set=selections,
        )

    def _condition(self) -> DirectiveNode:
        name = self._chance.choice(["include", "skip"])
        value: Any = BooleanValueNode(value=self._chance.random() < 0.5)
        if self._chance.random() < 0.5:
            variable = f"c{len(self.definitions)}"
            self.values[variable] = value.value
            node = VariableNode(name=NameNode(value=variable))
            type_ = NonNullTypeNode(type=NamedTypeNode(name=NameNode(value="Boolean")))
            self.definitions.append(VariableDefinitionNode(variable=node, type=type_, directives=()))
            value = node
        argument = ArgumentNode(name=NameNode(value="if"), value=value)
        return DirectiveNode(name=NameNode(value=name), arguments=(argument,))


def enriched(document: str, chance: random.Random, ids: Sequence[str]) -> GraphQLRequest:
    """The request that is made of a generated document."""
    parsed = parse(document)
    info = TypeInfo(schema._schema)
    enricher = _Enricher(info, chance, ids)
    changed: DocumentNode = visit(parsed, TypeInfoVisitor(info, enricher))
    definitions: list[Any] = []
    for definition in changed.definitions:
        if isinstance(definition, OperationDefinitionNode):
            definition = OperationDefinitionNode(
                operation=OperationType.QUERY,
                name=definition.name,
                variable_definitions=tuple(enricher.definitions),
                directives=(),
                selection_set=definition.selection_set,
            )
        definitions.append(definition)
    return GraphQLRequest(print_ast(DocumentNode(definitions=(*definitions, *enricher.fragments))), enricher.values)


@dataclass(frozen=True)
class Fault:
    """What goes wrong while a document is executed, the same whichever executor reads."""

    table: str
    column: int | None
    """The column that is null in every third row of statements on the table; None: they fail."""


@contextmanager
def faulty(fault: Fault | None) -> Iterator[None]:
    """Within the block, reading goes wrong."""
    if fault is None:
        yield
        return
    true_all = ReadingSession.all

    async def all_(self: ReadingSession, statement: Any, rows: Any = None) -> Sequence[Any]:
        sql = self._compiler.command(statement).sql
        found = await true_all(self, statement, rows)
        if not _concerns(sql, fault.table) or not found:
            return found
        if fault.column is None:
            raise RuntimeError(f"{fault.table} cannot be read")
        width = 1 + len(users.COLUMNS) if "task_assignees" in sql else len(found[0])
        return [_spoiled(row, 1 + fault.column % max(1, width - 1)) for row in found]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ReadingSession, "all", all_)
        yield


def _concerns(sql: str, table: str) -> bool:
    """Whether a statement reads a table whichever columns are wanted: who reads tasks reads projects for their keys
    alone."""
    reads = {name for name in ("tasks", table) if re.search(rf"\b{name}\b", sql)}
    return table in reads and not (table == "projects" and "tasks" in reads)


def _spoiled(row: Any, column: int) -> Any:
    values = list(row)
    if column < len(values) and hash(str(values[0])) % 3 == 0:  # a list may have left out the last columns
        values[column] = None
    return tuple.__new__(type(row), values)


def _sorted(body: Mapping[str, Any]) -> dict[str, Any]:
    """The response, its errors in the order of their paths: siblings are read at the same time."""
    errors = sorted(body.get("errors", ()), key=lambda error: encode([str(error.get("path")), error]))
    return {**body, **({"errors": errors} if errors else {})}


class Both:
    """Executes requests compiled and not."""

    def __init__(self, ada: Person, database: Database) -> None:
        state: State = ada.client._transport.app.state.tandem  # type: ignore[attr-defined]  # the application under test
        self._executor = state.executor
        self._context: Callable[[], Context] = lambda: Context(
            actor=ada.actor,
            database=database,
            security=state.security,
            feed=state.feed,
            notification_feed=state.notification_feed,
            live_lists=state.live_lists,
            connections=state.connections,
            outlet=state.outlet,
        )
        self.seen: Counter[str] = Counter()

    async def compare(self, request: GraphQLRequest, fault: Fault | None) -> None:
        try:
            prepared = self._executor.prepare(request)
            self._executor.prepare(request)  # a document is compiled when it comes again
        except RequestError as error:
            self.seen[f"not executed: {error.outcome.errors[0]['extensions']['code']}"] += 1
            return
        before = Counter(self._executor.executed)
        with faulty(fault):
            compiled = await self._executor.execute(prepared, self._context())
            ordinary = await self._executor.execute_ordinarily(prepared, self._context())
        [how] = (self._executor.executed - before).keys()
        self.seen[f"{how}, {'errors' if compiled.errors else 'no errors'}{', fault' if fault else ''}"] += 1
        assert encode(_sorted(compiled.body())) == encode(_sorted(ordinary.body())), (request, fault, how)


async def test_both_executors_answer_the_same(ada: Person, ids: list[str], database: Database) -> None:
    both = Both(ada, database)
    loop = asyncio.get_running_loop()
    scalars = {
        "DateTime": st.sampled_from([StringValueNode(value=moment) for moment in MOMENTS]),
        "JSON": st.just(StringValueNode(value="x")),
    }

    def run(field: str, seeded: int) -> None:
        documents = queries(sdl(), fields=[field], custom_scalars=scalars)

        @seed(seeded)
        @settings(
            max_examples=-(-DOCUMENTS // len(FIELDS)),
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(documents, st.integers(0, 2**32))
        def compare(document: str, number: int) -> None:
            chance = random.Random(number)
            fault = None
            if chance.random() < 0.4:
                column = chance.randrange(20) if chance.random() < 0.7 else None
                fault = Fault(chance.choice(TABLES), column)
            request = enriched(document, chance, ids)
            asyncio.run_coroutine_threadsafe(both.compare(request, fault), loop).result(60)

        compare()

    for number, field in enumerate(FIELDS):
        await asyncio.to_thread(run, field, SEED + number)
    sys.stdout.write(f"{sum(both.seen.values())} documents, seed {SEED}: {dict(sorted(both.seen.items()))}\n")
    executed = sum(count for how, count in both.seen.items() if how.startswith(("compiled", "both")))
    assert executed > sum(both.seen.values()) / 3, "too few were compiled to say much"
