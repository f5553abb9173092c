"""What documents and compiled operations keep of a worker's memory, and when they give it back."""

import gc
import weakref
from collections.abc import Iterator
from types import FunctionType
from typing import Any

import pytest
from graphql import GraphQLError, OperationDefinitionNode, get_introspection_query, get_location, print_ast
from graphql.language.parser import parse

from graphql_compiler import CompiledOperation, compile_operation
from graphql_schema.execution.bindings import SCALARS, bindings
from graphql_schema.execution.documents import CachedDocument, DocumentCache
from graphql_schema.execution.executor import Executor
from graphql_schema.execution.outcomes import GraphQLRequest, RequestError
from graphql_schema.execution.parsing import MAX_NAME, NameTooLong, parse_document
from graphql_schema.schema import schema

BINDINGS = bindings(schema)
TASK = "id ref title description project { id name key } assignees { username } tags { id name }"


def large(number: int) -> str:
    """A document of about 4 kB that no other number has."""
    page = "tasks(first: 2) {{ edges {{ node {{ {} }} }} }}".format(TASK)  # noqa: UP032 - braces
    return f"query Q{number} {{ {' '.join(f'n{number}x{each}: {page}' for each in range(28))} }}"


def compiled_of(document: Any) -> CompiledOperation:
    [operation] = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    return compile_operation(schema._schema, document, operation, {}, binding_of=BINDINGS, scalars=SCALARS)


@pytest.fixture
def uncollected() -> Iterator[None]:
    """Without the garbage collector: what is freed now is freed by the last reference to it."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def left_over() -> list[object]:
    """What has to be collected of graphql-core and of ours; servers in other threads leave other things meanwhile."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        return [each for each in gc.garbage if str(_module_of(each)).partition(".")[0] in OURS]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()


OURS = {"graphql", "graphql_compiler", "graphql_schema"}


def _module_of(thing: object) -> object:
    return thing.__module__ if isinstance(thing, FunctionType) else type(thing).__module__


class TestFreed:
    def test_compiled_operation_is_freed_with_its_last_reference(self, uncollected: None) -> None:
        compiled = compiled_of(parse_document(large(1), 2_500))
        root: Any = compiled._roots[0]
        held: list[weakref.ref[Any]] = [weakref.ref(compiled), weakref.ref(root.complete)]
        del compiled, root
        assert [ref() for ref in held] == [None, None]
        assert left_over() == []

    def test_document_is_freed_with_its_last_reference(self, uncollected: None) -> None:
        document = parse_document(large(2), 2_500)
        del document
        assert len(left_over()) < 20  # of the parser's own: it is one object for each document


class TestParsing:
    def test_nodes_know_where_they_stand(self) -> None:
        text = "{\n  me { id }\n}"
        document, ordinary = parse_document(text, 100), parse(text)
        assert print_ast(document) == print_ast(ordinary)
        assert document == ordinary
        assert document.token_count == ordinary.token_count
        field = document.definitions[0].selection_set.selections[0]  # type: ignore[attr-defined]  # an operation
        assert get_location(field.loc.source, field.loc.start) == (2, 3)
        assert GraphQLError("x", field).locations == [(2, 3)]

    def test_name_longer_than_any_need_be_is_refused(self) -> None:
        assert parse_document(f"{{ {'a' * MAX_NAME}: me {{ id }} }}", 100).definitions
        with pytest.raises(NameTooLong):
            parse_document(f"{{ {'a' * (MAX_NAME + 1)}: me {{ id }} }}", 100)


class TestKept:
    def test_documents_and_what_is_compiled_of_them_are_bounded_by_bytes(self) -> None:
        documents = DocumentCache(8_000_000)
        for number in range(40):
            cached = CachedDocument(parse_document(large(number), 2_500))
            documents.keep(large(number), cached)
            cached.keep_compiled((number,), compiled_of(cached.document))
            documents.keep(large(number), cached)
            assert documents.size <= 8_000_000
            assert documents.find(large(number)) is cached
        assert 2 <= len(documents) < 20
        assert documents.find(large(0)) is None

    def test_size_is_about_what_is_taken(self) -> None:
        import tracemalloc

        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        cached = [CachedDocument(parse_document(large(number), 2_500)) for number in range(100, 105)]
        for each in cached:
            each.keep_compiled((), compiled_of(each.document))
        taken = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        assert 0.7 < sum(each.size for each in cached) / taken < 2

    def test_conditions_make_only_so_many_operations(self) -> None:
        cached = CachedDocument(parse_document("{ me { id } }", 100))
        for number in range(100):
            cached.keep_compiled((number,), None)
        assert len(cached.compiled) == 32


class TestGuests:
    def test_nothing_is_kept_of_what_they_may_not_do(self) -> None:
        executor = Executor(schema)
        for number in range(50):
            executor.prepare(GraphQLRequest(f"query Q{number} {{ tasks {{ totalCount }} }}"), guest=True)
        assert (len(executor.preparer.guests), len(executor.preparer.documents)) == (0, 0)

    @pytest.mark.parametrize(
        "query", ["{ __typename }", 'mutation { logout: revokeToken(input: {refreshToken: "x"}) { revoked } }']
    )
    def test_what_is_for_them_is_kept_apart(self, query: str) -> None:
        executor = Executor(schema)
        try:
            first = executor.prepare(GraphQLRequest(query), guest=True)
        except RequestError as error:
            pytest.fail(str(error.outcome.errors))
        assert executor.prepare(GraphQLRequest(query), guest=True).document is first.document
        assert (len(executor.preparer.guests), len(executor.preparer.documents)) == (1, 0)

    def test_they_may_write_less(self) -> None:
        executor = Executor(schema)
        for query in (
            f"{{ {' '.join(f'a{n}: __schema {{ __typename }}' for n in range(70))} }}",
            "{ __schema { __typename } }".ljust(20_000),
        ):
            assert executor.prepare(GraphQLRequest(query))
            with pytest.raises(RequestError) as refused:
                executor.prepare(GraphQLRequest(query), guest=True)
            assert refused.value.outcome.codes == {"TOO_EXPENSIVE"}

    def test_tools_may_ask_for_the_schema(self) -> None:
        query = get_introspection_query(
            specified_by_url=True, directive_is_repeatable=True, schema_description=True, input_value_deprecation=True
        )
        assert Executor(schema).prepare(GraphQLRequest(query), guest=True)
