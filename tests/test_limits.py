"""What a document may cost, on paper and in processor time, and that ordinary ones are let through."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, ClassVar, get_args, get_origin

import pytest
from graphql import validate
from pydantic import BaseModel

from graphql_schema.execution import preparing
from graphql_schema.execution.documents import CachedDocument
from graphql_schema.execution.executor import Executor
from graphql_schema.execution.limits import Limits
from graphql_schema.execution.outcomes import GraphQLRequest, RequestError
from graphql_schema.execution.parsing import parse_document
from graphql_schema.schema import schema
from services.projects.models import ProjectCreate
from services.shared.pagination import DEFAULT_LIMIT
from services.tasks.bulk_models import BulkCreate, BulkDelete, BulkUpdate
from services.tasks.models import MAX_DRAFTS, TaskCreate, TaskDraft
from tests.actors import Anonymous, Person
from tests.documents import SIZE, full, hostile_documents, ordinary_documents, spreads
from tests.documents import fragments as defined

LIMITS = Limits()
CPU_SECONDS = 0.1
"""On a machine that takes ``REFERENCE_SECONDS`` for ``reference``."""
REFERENCE_SECONDS = 0.035
TRIES = 8
DOUBLING = "{ ...F0 } " + defined(20, lambda i: f"...F{i + 1} ...F{i + 1}" if i < 19 else "__typename")
HOSTILE, ORDINARY = hostile_documents(), ordinary_documents()
Refuse = Callable[..., str]


def reference() -> float:
    """Processor time of a fixed piece of work. Neighbours on the same processor double it, from second to second."""
    started, total = time.process_time(), 0
    for number in range(1_000_000):
        total += number
    return time.process_time() - started


def affordable(seconds: float) -> bool:
    """Whether something that took so long just now stays within the bound on the reference machine."""
    return seconds < CPU_SECONDS or seconds < CPU_SECONDS * reference() / REFERENCE_SECONDS


@pytest.fixture
def executor() -> Executor:
    return Executor(schema)


@pytest.fixture
def refusal(executor: Executor) -> Refuse:
    """The code that a document is refused with; empty where it passes."""

    def prepare(query: str, variables: dict[str, Any] | None = None, name: str | None = None) -> str:
        try:
            executor.prepare(GraphQLRequest(query, variables, name))
        except RequestError as error:
            code: str = error.outcome.errors[0]["extensions"]["code"]
            return code
        return ""

    return prepare


def page(field: str, size: object, inner: str) -> str:
    return f"{field}(first: {size}) {{ edges {{ node {{ {inner} }} }} }}"


class TestSelections:
    def test_doubling_fragments_are_counted_not_followed(self, refusal: Refuse) -> None:
        assert len(DOUBLING) < 1_000
        assert refusal(DOUBLING) == "TOO_EXPENSIVE"

    @pytest.mark.parametrize(
        "query",
        [
            "{ ...F0 } fragment F0 on Query { ...F0 }",
            "{ ...F0 } fragment F0 on Query { ...F1 } fragment F1 on Query { me { id } ...F0 }",
            "{ tasks { edges { node { ...A } } } } fragment A on Task { parent { ...A } }",
        ],
    )
    def test_fragment_that_contains_itself_is_refused(self, refusal: Refuse, query: str) -> None:
        assert refusal(query) == "TOO_EXPENSIVE"

    def test_unused_cycle_is_invalid(self, refusal: Refuse) -> None:
        assert refusal("{ __typename } fragment A on Query { ...A }") == "GRAPHQL_VALIDATION_FAILED"

    @pytest.mark.parametrize(("aliases", "code"), [(LIMITS.aliases, ""), (LIMITS.aliases + 1, "TOO_EXPENSIVE")])
    def test_aliases_are_bounded(self, refusal: Refuse, aliases: int, code: str) -> None:
        flat = "".join(f"a{number}: __typename " for number in range(aliases))
        assert refusal(f"{{ {flat} }}") == code
        assert refusal(f"{{ ...F0 }} fragment F0 on Query {{ {flat} }}") == code

    def test_a_thousand_aliases_of_a_list_are_refused(self, refusal: Refuse) -> None:
        assert refusal("{" + " ".join(f"a{i}: tasks {{ totalCount }}" for i in range(1_000)) + "}")

    def test_ten_thousand_unknown_fields_are_refused_in_a_sentence(self, executor: Executor) -> None:
        with pytest.raises(RequestError) as caught:
            executor.prepare(GraphQLRequest("{" + " ".join(f"u{i}" for i in range(10_000)) + "}"))
        assert len(caught.value.outcome.errors) == 1

    @pytest.mark.parametrize(
        "wrap", ["parent {{ {} }}", "... {{ parent {{ {} }} }}", "parent {{ ... on Task {{ {} }} }}"]
    )
    def test_nesting_is_bounded(self, refusal: Refuse, wrap: str) -> None:
        codes = []
        for depth in range(1, 40):
            inner = "id"
            for _ in range(depth):
                inner = wrap.format(inner)
            codes.append(refusal(f'{{ task(id: "x") {{ {inner} }} }}'))
        assert codes[:6] == [""] * 6
        assert codes == sorted(codes)
        assert codes[20:] == ["TOO_EXPENSIVE"] * 19

    def test_nesting_is_counted_through_fragments(self, refusal: Refuse) -> None:
        chain = defined(12, lambda i: f"parent {{ parent {{ ...F{i + 1} }} }}" if i < 11 else "id", "Task")
        shared = "shared: task(id: 1) { ...F11 ...F6 }"
        assert (
            refusal(f'{{ task(id: "x") {{ ...F6 }} }} {chain}') == "GRAPHQL_VALIDATION_FAILED"
        )  # the others are unused
        assert refusal(f'{{ task(id: "x") {{ ...F0 }} }} {chain}') == "TOO_EXPENSIVE"
        assert refusal(f'{{ {shared} task(id: "x") {{ parent {{ ...F0 }} }} }} {chain}') == "TOO_EXPENSIVE"

    @pytest.mark.parametrize(("times", "code"), [(LIMITS.repeats, ""), (LIMITS.repeats + 1, "TOO_EXPENSIVE")])
    def test_repetition_is_bounded(self, refusal: Refuse, times: int, code: str) -> None:
        assert refusal("{" + "me { id } " * times + "}") == code
        assert refusal("{ me {" + "id " * times + "} }") == code

    @pytest.mark.parametrize("times", [1, 100])
    def test_fields_are_counted_through_fragments(self, refusal: Refuse, times: int) -> None:
        many = defined(1, lambda _: "...{ me { id } }" * 10)
        assert refusal("{" + "...F0 " * times + "} " + many) == ("" if times == 1 else "TOO_EXPENSIVE")


class TestRoots:
    LOGIN = 'login(input: {username: "a", password: "b"}) { accessToken }'

    @pytest.mark.parametrize(
        "around",
        ["mutation {{ {} }}", "mutation {{ ... {{ {} }} }}", "mutation {{ ...F }} fragment F on Mutation {{ {} }}"],
    )
    def test_mutations_are_bounded_however_they_are_written(self, refusal: Refuse, around: str) -> None:
        codes = [
            refusal(around.format(" ".join(f"a{i}: {self.LOGIN}" for i in range(number))))
            for number in (LIMITS.root_mutations, LIMITS.root_mutations + 1)
        ]
        assert codes == ["", "TOO_EXPENSIVE"]

    async def test_none_of_too_many_is_run(self, ada: Person) -> None:
        create = 'createTask(input: {title: "x"}) { task { id } }'
        answer = await ada.gql("mutation {" + " ".join(f"a{i}: {create}" for i in range(50)) + "}")

        assert (answer.status, answer.code) == (400, "TOO_EXPENSIVE")
        assert (await ada.get("/tasks")).json() == []

    def test_operations_are_bounded(self, refusal: Refuse) -> None:
        for number, code in ((LIMITS.operations, ""), (LIMITS.operations + 1, "TOO_EXPENSIVE")):
            assert refusal("".join(f"query Q{i} {{ __typename }}" for i in range(number)), name="Q0") == code

    def test_other_operations_may_ask_for_more_but_not_be_longer(self, refusal: Refuse) -> None:
        many = page("projects", 100, page("tasks", 100, TestNodes.THREE))
        assert refusal(f"query A {{ __typename }} query B {{ {many} }}", name="A") == ""
        assert refusal(f"query A {{ __typename }} query B {{ {many} }}", name="B") == "TOO_EXPENSIVE"
        long = defined(1, lambda _: " ".join(f"unknown{number}" for number in range(1_100)))
        assert (
            refusal(f"query A {{ ...F0 }} query B {{ ...F0 }} query C {{ ...F0 }} {long}", name="A") == "TOO_EXPENSIVE"
        )


class TestNodes:
    THREE = "parent { id } createdBy { id }"
    """A task with which three things are answered."""

    @pytest.mark.parametrize(("size", "code"), [(83, ""), (84, "TOO_EXPENSIVE")])
    def test_pages_multiply(self, refusal: Refuse, size: int, code: str) -> None:
        assert LIMITS.nodes == 100 + 100 * 83 * 3
        assert refusal("{" + page("projects", 100, page("tasks", size, self.THREE)) + "}") == code
        last = page("tasks", size, self.THREE).replace("first", "last")
        assert refusal("{" + page("projects", 100, last) + "}") == code

    def test_a_full_page_in_each_row_of_a_full_page_is_let_through(self, refusal: Refuse) -> None:
        assert refusal("{" + page("projects", 100, page("tasks", 100, "id title status")) + "}") == ""

    @pytest.mark.parametrize(
        ("declared", "sent", "code"),
        [
            ("Int", {"n": 83}, ""),
            ("Int", {"n": 100}, "TOO_EXPENSIVE"),
            ("Int", {"n": 100.0}, "TOO_EXPENSIVE"),
            ("Int", {"n": 10**9}, "TOO_EXPENSIVE"),
            ("Int", {"n": -5}, ""),
            ("Int", {}, ""),
            ("Int", {"n": None}, ""),
            ("Int", {"n": "100"}, ""),
            ("Int = 100", {}, "TOO_EXPENSIVE"),
            ("Int = 100", {"n": 83}, ""),
            ("Int = 1", {"n": 100}, "TOO_EXPENSIVE"),
            ("Int! = 100", None, "TOO_EXPENSIVE"),
        ],
    )
    def test_variables_and_their_defaults_count(
        self, refusal: Refuse, declared: str, sent: dict[str, Any] | None, code: str
    ) -> None:
        assert (
            refusal(f"query($n: {declared}) {{ {page('projects', 100, page('tasks', '$n', TestNodes.THREE))} }}", sent)
            == code
        )

    def test_page_of_no_size_has_the_usual_one(self, refusal: Refuse) -> None:
        three = "projects { edges { node { tasks { edges { node { comments { edges { node { id } } } } } } } } }"
        nodes = DEFAULT_LIMIT + DEFAULT_LIMIT**2 + DEFAULT_LIMIT**3
        for times in range(1, 5):
            aliases = " ".join(f"a{number}: {three}" for number in range(times))
            assert refusal(f"{{ {aliases} }}") == ("" if times * nodes <= LIMITS.nodes else "TOO_EXPENSIVE")
        assert 2 * nodes < LIMITS.nodes < 4 * nodes

    def test_counting_is_cheap(self, refusal: Refuse) -> None:
        assert refusal("{" + page("projects", 100, page("tasks", 99, "id") + " members { totalCount }") + "}") == ""

    def test_relations_of_all_results_of_a_bulk_call_are_let_through(self, refusal: Refuse) -> None:
        task = "project { key } parent { ref } createdBy { username } assignees { username } tags { name }"
        result = f"results {{ task {{ {task} }} error {{ code errors {{ pointer }} }} }}"
        bulk = f"updateTasks(input: $input) {{ succeeded {result} }}"
        whole, half = ({"input": {"tasks": [{"id": "x"}] * number}} for number in (1_000, 500))

        one = f"mutation($input: UpdateTasksInput!) {{ {bulk} }}"
        two = f"mutation($input: UpdateTasksInput!) {{ a: {bulk} b: {bulk} }}"
        assert [refusal(one, whole), refusal(two, half)] == ["", ""]
        assert refusal(two, whole) == "TOO_EXPENSIVE"

    def test_values_count_too(self, refusal: Refuse) -> None:
        wide = " ".join(f"a{i}: title" for i in range(30))
        assert refusal("{" + page("projects", 90, page("tasks", 90, wide)) + "}") == "TOO_EXPENSIVE"


class TestIntrospection:
    def test_deep_one_is_refused(self, refusal: Refuse) -> None:
        assert refusal("{ __schema { types { fields { type { fields { type { fields { name } } } } } } } }")

    def test_wide_one_is_refused(self, refusal: Refuse) -> None:
        wide = " ".join(
            f"a{i}: __schema {{ types {{ fields {{ type {{ fields {{ name }} }} }} }} }}" for i in range(20)
        )
        assert refusal(f"{{ {wide} }}") == "TOO_EXPENSIVE"


class TestVariables:
    QUERY = "query($ids: [ID!]!) { nodes(ids: $ids) { id } }"

    MANY: ClassVar[dict[str, Callable[[], dict[str, Any]]]] = {
        "list": lambda: {"ids": ["x"] * 1_000_000},
        "lists": lambda: {"ids": [["x"] * 200] * 1_300},
        "unused": lambda: {"ids": [], "unused": [0] * 5_000},
        "names": lambda: {f"unused{number}": number for number in range(260_000)},
        "objects": lambda: {"ids": {"a": {str(number): {} for number in range(260_000)}}},
    }

    @pytest.mark.parametrize("kind", MANY)
    def test_million_elements_are_refused_before_they_are_looked_at(self, refusal: Refuse, kind: str) -> None:
        variables = self.MANY[kind]()
        started = time.process_time()
        assert refusal(self.QUERY, variables) == "TOO_EXPENSIVE"
        assert affordable(time.process_time() - started)

    async def test_deep_ones_are_refused(self, ada: Person) -> None:
        nested: dict[str, Any] = {}
        for _ in range(300):
            nested = {"and": [nested]}
        answer = await ada.gql("query($f: TaskFilter) { tasks(filter: $f) { totalCount } }", {"f": nested})

        assert (answer.status, answer.code) == (422, "BAD_USER_INPUT")

    def test_as_many_as_an_operation_may_need_are_let_through(self, refusal: Refuse) -> None:
        assert refusal(self.QUERY, {"ids": ["x"] * 1_000}) == ""

    @pytest.mark.parametrize("name", ["BulkCreate", "BulkUpdate", "BulkDelete", "ProjectCreate"])
    def test_whatever_the_services_take_is_let_through(self, name: str) -> None:
        model = {model.__name__: model for model in (BulkCreate, BulkUpdate, BulkDelete, ProjectCreate)}[name]
        longest, values = largest(model)

        assert 100 <= longest <= LIMITS.variable_list
        assert values <= LIMITS.variable_items

    @pytest.mark.parametrize(("tasks", "code"), [(1_000, ""), (1_001, ""), (1_501, "BAD_USER_INPUT")])
    def test_list_that_is_too_long_for_the_service_is_refused_in_its_words(
        self, executor: Executor, refusal: Refuse, tasks: int, code: str
    ) -> None:
        query = "mutation($input: CreateTasksInput!) { createTasks(input: $input) { failed } }"
        variables = {"input": {"tasks": [{"title": "x"}] * tasks}}

        assert refusal(query, variables) == code
        if code:
            with pytest.raises(RequestError) as refused:
                executor.prepare(GraphQLRequest(query, variables))
            [problem] = refused.value.outcome.errors[0]["extensions"]["errors"]
            assert problem["pointer"] == "/tasks"
            assert problem["detail"] == f"must have at most 1,000 entries, and has {tasks:,}"


def largest(model: type[BaseModel]) -> tuple[int, int]:
    """The longest list that a model takes, and how many values it may have in all; of drafts as many as are taken.

    Who names all tags and people of a task cannot add and remove some as well, which may be more of them.
    """
    if model is TaskDraft:
        longest, values = largest(TaskCreate)
        return longest, values * MAX_DRAFTS
    longest, total = 0, len(model.model_fields)
    whole = {"assignee_ids", "tags"} if {"add_assignees", "add_tags"} <= model.model_fields.keys() else set()
    for name, field in model.model_fields.items():
        if name in whole:
            continue
        bound = next((item.max_length for item in field.metadata if hasattr(item, "max_length")), 0)
        if get_origin(field.annotation) is list:
            [item] = get_args(field.annotation)
            inner, values = largest(item) if isinstance(item, type) and issubclass(item, BaseModel) else (0, 0)
            longest, total = max(longest, inner, bound), total + (1 if item is TaskDraft else bound) * (1 + values)
    return longest, total


class TestOrdinaryDocuments:
    @pytest.mark.parametrize("name", ORDINARY)
    def test_are_let_through(self, refusal: Refuse, name: str) -> None:
        assert refusal(ORDINARY[name], name="Q0" if "query Q0" in ORDINARY[name] else None) == ""

    async def test_introspection_is_answered(self, anonymous: Anonymous) -> None:
        assert (await anonymous.gql(ORDINARY["full introspection"])).status == 200


class TestProcessorTime:
    @pytest.mark.parametrize("name", HOSTILE)
    def test_of_a_hostile_document_is_bounded(
        self, executor: Executor, name: str, record_property: Callable[[str, object], None]
    ) -> None:
        document = HOSTILE[name]()
        assert len(document.encode()) <= SIZE + 100
        operation = next((known for known in ("Q0", "A") if f"query {known}" in document), None)
        seconds = []
        for _ in range(TRIES):
            started = time.process_time()
            with suppress(RequestError):
                executor.prepare(GraphQLRequest(document, None, operation))
            seconds.append(time.process_time() - started)
            if affordable(seconds[-1]):
                break
            executor = Executor(schema)
        else:
            pytest.fail(f"{name}: {seconds}")
        record_property("cpu_ms", round(min(seconds) * 1000))

    @pytest.mark.parametrize("name", ["unknown keys, parsed", "long unknown fields, parsed", "wrong ids, parsed"])
    async def test_answer_is_not_larger_than_the_question(self, anonymous: Anonymous, name: str) -> None:
        response = await anonymous.client.post("/graphql", json={"query": HOSTILE[name]()})

        assert len(response.content) < 16_000


class TestCache:
    @pytest.fixture
    def validated(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """The documents that were validated."""
        seen: list[str] = []

        def noted(schema: Any, document: Any, *rest: Any, **options: Any) -> Any:
            seen.append(document.loc.source.body)
            return validate(schema, document, *rest, **options)

        monkeypatch.setattr(preparing, "validate", noted)
        return seen

    def test_document_is_validated_once(self, executor: Executor, validated: list[str]) -> None:
        first = executor.prepare(GraphQLRequest("{ me { id } }"))
        assert executor.prepare(GraphQLRequest("{ me { id } }", {"unused": 1})).document is first.document
        assert validated == ["{ me { id } }"]

    def test_operations_of_a_document_share_it(self, executor: Executor, validated: list[str]) -> None:
        both = "query A { me { id } } query B { me { id } }"
        a, b = (executor.prepare(GraphQLRequest(both, None, name)) for name in "AB")

        assert a.document is b.document
        assert a.operation is not b.operation
        assert len(validated) == 1

    def test_invalid_ones_are_not_kept(self, executor: Executor, refusal: Refuse, validated: list[str]) -> None:
        assert [refusal("{ nothing }") for _ in range(2)] == ["GRAPHQL_VALIDATION_FAILED"] * 2
        assert len(validated) == 2

    def test_known_one_is_measured_with_each_request_s_variables(self, refusal: Refuse) -> None:
        query = f"query($n: Int) {{ {page('projects', 100, page('tasks', '$n', TestNodes.THREE))} }}"
        assert [refusal(query, {"n": size}) for size in (1, 100, 1, 100)] == ["", "TOO_EXPENSIVE"] * 2

    def test_known_one_is_measured_for_each_of_its_operations(self, refusal: Refuse) -> None:
        query = f"query A {{ __typename }} query B {{ {page('projects', 100, page('tasks', 100, TestNodes.THREE))} }}"
        assert [refusal(query, name=name) for name in "ABAB"] == ["", "TOO_EXPENSIVE"] * 2

    def test_only_the_newest_are_kept(self, validated: list[str]) -> None:
        one = CachedDocument(parse_document("{ a: __typename }", 100)).size
        executor = Executor(schema, cache_bytes=4 * one)
        for name in "abcdabec":
            executor.prepare(GraphQLRequest(f"{{ {name}: __typename }}"))

        assert [query[2] for query in validated] == list("abcdec")

    def test_document_too_large_to_keep_is_still_answered(self, validated: list[str]) -> None:
        tiny = Executor(schema, cache_bytes=4 * CachedDocument(parse_document("{ __typename }", 100)).size)
        for query in ("{ __typename }", "{ __typename }".ljust(1_000)) * 2:
            assert tiny.prepare(GraphQLRequest(query))

        assert validated == ["{ __typename }", *["{ __typename }".ljust(1_000)] * 2]

    def test_document_beyond_the_limit_is_refused_unread(self, refusal: Refuse) -> None:
        assert refusal("{ __typename }" + " " * LIMITS.characters) == "TOO_EXPENSIVE"
        assert refusal(full(lambda i: f"a{i}: __typename ", parsed=False)) == "GRAPHQL_PARSE_FAILED"
        assert refusal("{ " + spreads(3) + "}" + defined(3, lambda _: "__typename")) == ""
