"""What a request costs is what it costs, on both doors: filters, counts, bulk calls and saved views."""

import json
from random import Random
from typing import Any

import pytest
from graphql import FragmentDefinitionNode, OperationDefinitionNode, parse

from graphql_schema.execution.executor import Executor
from graphql_schema.execution.limits import Limits
from graphql_schema.execution.meter import Meter
from graphql_schema.execution.outcomes import GraphQLRequest, RequestError
from graphql_schema.schema import schema
from services.shared import prices
from services.shared.errors import TooExpensive
from services.shared.prices import BUDGET, COUNT, COUNTS, LIST, SCAN, SET, SHORT_WORD, WORD, of_filter
from services.tasks.filters import TaskFilter
from tests.actors import Person
from tests.doors import Door, from_graphql, from_rest, on_both_doors
from tests.listings import graphql_filter, graphql_page
from tests.operations import ok, run

NAMES = [f"t{number}" for number in range(20)]
DEAR: dict[str, dict[str, Any]] = {
    "short words": {"or": [{"search": "q"}] * 45},
    "short words, folded": {"or": [{"search": "ÄÖ"}] * 45},
    "words": {"or": [{"search": "word"}] * 45},
    "sets": {"or": [{"tags": {"all": NAMES, "none": NAMES}}] * 45},
    "assignees": {"and": [{"assignees": {"all": [*range(1, 21)]}}] * 10},
    "relations": {"or": [{"or": [{"relations": {"is_empty": True}}] * 30}] * 2},
    "blocked": {"not": {"or": [{"and": [{"blocked": True}] * 50}] * 3}},
    "followed": {"not": {"or": [{"and": [{"followed": True}] * 25}] * 3}},
    "members of sets": {"or": [{"assignees": {"any": [*range(1, 101)]}}] * 4},
}


@pytest.fixture(scope="module")
def meter() -> Meter:
    return Meter(schema._schema, Limits())


def points(meter: Meter, query: str, variables: dict[str, Any] | None = None) -> int:
    """The price of the only operation of a document."""
    [operation] = [node for node in parse(query).definitions if isinstance(node, OperationDefinitionNode)]
    fragments = {node.name.value: node for node in parse(query).definitions if isinstance(node, FragmentDefinitionNode)}
    return meter.measure(fragments, operation, variables or {})[0].points


def literal(value: Any) -> str:
    """A value of JSON as it is written in a document; texts in capitals are enum values."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {literal(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(literal, value)) + "]"
    return str(value) if isinstance(value, str) and value.isupper() else json.dumps(value)


def some_filter(random: Random, depth: int = 0) -> dict[str, Any]:
    """A filter in GraphQL's spelling."""
    made: dict[str, Any] = {}
    for _ in range(random.randint(1, 3)):
        kind = random.choice(
            ["status", "priority", "search", "tags", "assignees", "relations", "blocked", "followed", "logic"]
        )
        if kind == "status":
            made["status"] = {"in": random.choices(["PENDING", "COMPLETED"], k=random.randint(1, 4))}
        elif kind == "priority":
            made["priority"] = {"gte": 2} if random.random() < 0.5 else {"in": [1, 2, 3]}
        elif kind == "search":
            made["search"] = random.choice(["q", "qu", "quick", "ß", "éé"])
        elif kind in ("blocked", "followed"):
            made[kind] = True
        elif kind == "logic" and depth < 3:
            parts = [some_filter(random, depth + 1) for _ in range(random.randint(1, 3))]
            made[random.choice(["and", "or"])] = parts
            if random.random() < 0.3:
                made["not"] = parts[0]
        elif kind == "relations":
            made["relations"] = {random.choice(["any", "none"]): ["a", "b"]}
        elif kind in {"tags", "assignees"}:
            made[kind] = {random.choice(["any", "all", "none"]): random.choices("abc", k=random.randint(1, 5))}
    return made


class TestFilters:
    @on_both_doors
    @pytest.mark.parametrize("name", DEAR)
    async def test_one_that_costs_too_much_is_refused_in_the_same_words(
        self, ada: Person, door: Door, name: str
    ) -> None:
        condition = DEAR[name]
        assert of_filter(condition) > BUDGET
        if door == "rest":
            result = from_rest(await ada.get("/tasks", params={"filter": json.dumps(condition)}))
        else:
            result = from_graphql(await graphql_page(ada, filter=graphql_filter(condition)))

        assert (result.status, result.code) == (400, "TOO_EXPENSIVE")
        assert result.message.startswith("The request comes to ")
        assert result.message.endswith(f" points of cost; at most {BUDGET:,} are allowed")

    def test_the_model_costs_what_was_sent_for_it(self) -> None:
        for condition in DEAR.values():
            assert of_filter(TaskFilter.model_validate(condition)) == of_filter(condition)

    def test_short_words_are_told_apart_as_the_index_does(self) -> None:
        prices_of = {
            word: of_filter({"search": word}) - SCAN for word in ("ab", "abc", "ß", "ßa", "ﬃ", "é", "e\u0301x")
        }
        assert prices_of == {
            "ab": SHORT_WORD,
            "abc": WORD,
            "ß": SHORT_WORD,  # ss
            "ßa": WORD,  # ssa
            "ﬃ": WORD,  # ffi
            "é": SHORT_WORD,
            "e\u0301x": SHORT_WORD,  # two, composed
        }

    @pytest.mark.parametrize(
        "given",
        [None, [], "", 3, {}, {"or": None}, {"or": 3}, {"tags": []}, {"tags": {"all": None}}, {"search": 3}, {3: 4}],
    )
    def test_what_is_no_filter_costs_next_to_nothing(self, given: Any) -> None:
        assert of_filter(given) < BUDGET // 10

    def test_a_deep_one_is_not_followed(self) -> None:
        deep: dict[str, Any] = {}
        for _ in range(900):
            deep = {"not": deep}
        assert of_filter(deep) < BUDGET

    def test_variables_cost_what_literals_do(self, meter: Meter) -> None:
        random = Random(7)
        for _ in range(200):
            condition = some_filter(random)
            written = points(meter, f"{{ tasks(filter: {literal(condition)}) {{ totalCount }} }}")
            sent = points(meter, "query($f: TaskFilter) { tasks(filter: $f) { totalCount } }", {"f": condition})
            default = f"query($f: TaskFilter = {literal(condition)}) {{ tasks(filter: $f) {{ totalCount }} }}"
            parts = {"a": condition, "b": {"search": "q"}}
            inside = "query($a: TaskFilter, $b: TaskFilter!) { tasks(filter: {or: [$a, $b]}) { totalCount } }"
            together = {"or": [condition, {"search": "q"}]}

            assert written == sent == points(meter, default)
            assert points(meter, inside, parts) == points(
                meter, f"{{ tasks(filter: {literal(together)}) {{ totalCount }} }}"
            )

    def test_one_more_variable_is_priced_where_the_document_is_known(self) -> None:
        executor = Executor(schema)
        query = (
            "query($w: String!, $names: [String!])"
            " { tasks(filter: {search: $w, or: [{tags: {all: $names}}, {tags: {all: $names}}]}) { totalCount } }"
        )
        codes = []
        for word, names in (("quick", ["a"]), ("quick", ["b"]), ("quick", NAMES), ("quick", NAMES[:2]), ("q", NAMES)):
            try:
                executor.prepare(GraphQLRequest(query, {"w": word, "names": names}))
                codes.append("")
            except RequestError as error:
                codes.append(error.outcome.errors[0]["extensions"]["code"])
        assert codes == ["", "", "TOO_EXPENSIVE", "", "TOO_EXPENSIVE"]


class TestFields:
    def test_aliases_are_added_up(self, meter: Meter) -> None:
        one = points(meter, '{ tasks(first: 0, search: "q") { totalCount } }')
        many = " ".join(f'a{number}: tasks(first: 0, search: "q") {{ totalCount }}' for number in range(100))
        fragments = "{ ...A } fragment A on Query { " + many + " }"

        assert one >= LIST + COUNT + 2 * SHORT_WORD
        assert 99 * one <= points(meter, f"{{ {many} }}") == points(meter, fragments)

    def test_a_page_without_rows_costs_its_statement(self, meter: Meter) -> None:
        assert points(meter, "{ tasks(first: 0) { edges { node { id } } } }") >= LIST

    def test_counting_costs_the_filter_once_more(self, meter: Meter) -> None:
        base = '{{ tasks(first: 0, filter: {{tags: {{any: ["a"]}}}}) {{ {} }} }}'
        more = points(meter, base.format("totalCount")) - points(meter, base.format("__typename"))
        assert more == COUNT + SET + SCAN

    def test_the_same_field_twice_is_read_once(self, meter: Meter) -> None:
        edges = "edges { node { tags { name } assignees { id } } }"
        once = f"{{ tasks {{ {edges} }} }}"
        twice = (
            f"{{ tasks {{ ...A edges {{ node {{ tags {{ name }} }} }} }} }} fragment A on TaskConnection {{ {edges} }}"
        )
        assert points(meter, once) == points(meter, twice)

    def test_a_name_has_the_price_of_its_type(self, meter: Meter) -> None:
        """A project's tags are a thousand, a task's are fifty."""
        of_project = points(meter, '{ project(id: "x") { tags { name } } }')
        of_task = points(meter, '{ task(id: "x") { tags { name } } }')
        assert of_project > 5 * of_task

    def test_nodes_cost_as_many_as_are_named(self, meter: Meter) -> None:
        query = "query($ids: [ID!]!) { nodes(ids: $ids) { ... on Project { tags { name } } } }"
        none, one, ten = (points(meter, query, {"ids": ["x"] * number}) for number in (0, 1, 10))
        written = points(meter, '{ nodes(ids: ["x", "y"]) { ... on Project { tags { name } } } }')

        assert 9 * (one - none) < ten - none
        assert written == points(meter, query, {"ids": ["x", "y"]})

    def test_projects_with_all_their_tags_are_counted_as_they_may_be(self) -> None:
        executor = Executor(schema)
        query = "query($n: Int) { projects(first: $n) { edges { node { tags { name } } } } }"
        executor.prepare(GraphQLRequest(query, {"n": 20}))
        with pytest.raises(RequestError):
            executor.prepare(GraphQLRequest(query, {"n": 100}))


class TestRest:
    async def test_a_count_costs_the_filter_once_more(self, ada: Person) -> None:
        condition = json.dumps({"or": [{"search": "q"}] * 5})
        assert (await ada.get("/tasks", params={"filter": condition})).status_code == 200
        counted = await ada.get("/tasks", params={"filter": condition, "total": True})

        assert (counted.status_code, counted.json()["code"]) == (400, "TOO_EXPENSIVE")

    async def test_counts_in_groups_are_priced(self, ada: Person) -> None:
        response = await ada.get("/tasks/counts/status", params={"filter": json.dumps(DEAR["short words"])})
        assert (response.status_code, response.json()["code"]) == (400, "TOO_EXPENSIVE")

    def test_whatever_a_page_may_have_besides_is_within_the_budget(self) -> None:
        """A request without a filter is not measured."""
        from api.routes.task_parameters import TaskListQuery
        from services.tasks.models import Expansion

        dearest = TaskListQuery(limit=100, total=True, expand=[*Expansion])
        assert COUNTS < dearest.price(0) < BUDGET


@on_both_doors
class TestBulk:
    async def test_filter_that_costs_too_much_changes_nothing(self, ada: Person, door: Door) -> None:
        task = await ada.task(title="kept")
        body = {"filter": DEAR["sets"], "changes": {"priority": 5}}
        result = await run(door, "update_matching_tasks", ada, body)

        assert (result.status, result.code) == (400, "TOO_EXPENSIVE")
        assert (await ada.get(f"/tasks/{task['id']}")).json()["priority"] == 1

    async def test_tasks_count_with_what_hangs_on_them(self, ada: Person, door: Door) -> None:
        tasks = [{"title": "x", "tags": [f"t{number}" for number in range(50)]} for _ in range(1_000)]
        result = await run(door, "create_tasks", ada, {"tasks": tasks, "dry_run": True})

        assert (result.status, result.code) == (400, "TOO_EXPENSIVE")

    async def test_tasks_of_a_new_project_count_as_well(self, ada: Person, door: Door) -> None:
        names = [f"t{number}" for number in range(50)]
        below = [{"title": "y", "tags": names}] * 8
        body = {"name": "Dear", "tasks": [{"title": "x", "tags": names, "subtasks": below}] * 100}
        result = await run(door, "create_project", ada, body)

        assert (result.status, result.code) == (400, "TOO_EXPENSIVE")
        assert all(project["name"] != "Dear" for project in (await ada.get("/projects")).json())

    async def test_a_thousand_with_twenty_each_are_within_the_budget(self, ada: Person, door: Door) -> None:
        assert prices.of_tasks([{"title": "x", "tags": NAMES}] * 1_000) <= BUDGET


class TestSavedViews:
    async def test_view_that_no_list_could_show_is_not_saved(self, ada: Person) -> None:
        for door in ("rest", "graphql"):
            result = await run(door, "create_saved_view", ada, {"name": "x", "filter": DEAR["short words"]})
            assert (result.status if door == "rest" else 400, result.code) == (400, "TOO_EXPENSIVE")

    async def test_views_are_priced_when_they_are_read(self, ada: Person) -> None:
        view = await ok("rest", "create_saved_view", ada, {"name": "x", "filter": {"or": [{"search": "q"}] * 4}})
        one = await ada.get("/tasks", params={"saved_view_id": view["id"]})
        more = await ada.get("/tasks", params={"saved_view_id": view["id"], "total": True})
        assert (one.status_code, more.status_code) == (200, 200)
        dear = await ada.get("/tasks", params={"saved_view_id": view["id"], "total": True, "filter": '{"search": "w"}'})
        assert dear.json()["code"] == "TOO_EXPENSIVE"

    @on_both_doors
    async def test_their_further_keys_are_priced_as_those_of_a_list(
        self, ada: Person, door: Door, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        further = [{"field": "due_at"}, {"field": "title"}]
        views = [
            await ok(door, "create_saved_view", ada, {"name": "x", "sort_by": "priority", "then_by": further[:number]})
            for number in range(3)
        ]
        monkeypatch.setattr(prices, "BUDGET", 2 * prices.FURTHER_KEY - 1)
        asked = [await run(door, "list_tasks", ada, view=view["id"], limit=1) for view in views]
        assert [answer.code for answer in asked] == [None, None, "TOO_EXPENSIVE"]
        # in another order, what the view is ordered by costs nothing
        assert (
            await run(door, "list_tasks", ada, view=views[2]["id"], limit=1, sort_by="id", order="asc")
        ).code is None
        refused = await run(door, "create_saved_view", ada, {"name": "x", "sort_by": "priority", "then_by": further})
        assert refused.code == "TOO_EXPENSIVE"

    async def test_views_of_one_operation_are_added_up(self, ada: Person) -> None:
        view = await ok("rest", "create_saved_view", ada, {"name": "x", "filter": {"or": [{"search": "q"}] * 3}})
        query = "query($v: ID) {{ {} }}".format(
            " ".join(f"a{number}: tasks(savedViewId: $v) {{ edges {{ node {{ id }} }} }}" for number in range(4))
        )
        answer = await ada.gql(query, {"v": view["node_id"]})
        codes = {error["extensions"]["code"] for error in answer.errors}

        assert codes == {"TOO_EXPENSIVE"}


def test_demand_says_how_much() -> None:
    prices.demand(BUDGET)
    with pytest.raises(TooExpensive, match="1,000,001 points of cost; at most 1,000,000 are allowed"):
        prices.demand(BUDGET + 1)
