"""Which tasks a list holds: flat parameters, REST's filter and GraphQL's filter say the same."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strawberry.utils.str_converters import to_camel_case

from api.http.addresses import MAX_ADDRESS
from db.driver.database import Database
from services.projects import queries as projects
from services.shared.node_ids import encode
from services.shared.prices import MAX_CONDITIONS, MAX_DEPTH, MAX_TEXT, MAX_VALUES
from services.tasks.creation import create_drafts
from services.tasks.models import TaskDraft
from tests.actors import Person
from tests.listings import filtered_ids, graphql_filter, graphql_ids, graphql_page, rest_ids

JANUARY, MARCH, JUNE, FAR = (
    "2020-01-01T00:00:00Z",
    "2020-03-01T00:00:00Z",
    "2020-06-01T00:00:00Z",
    "2100-01-01T00:00:00Z",
)


@dataclass
class Board:
    """Tasks of many kinds in a project, and one in the Inbox. Cases write people, projects and tasks as names."""

    ada: Person
    names: dict[str, int]
    tasks: dict[str, dict[str, Any]]

    def titles(self, found: list[int]) -> str:
        by_id = {task["id"]: title for title, task in self.tasks.items()}
        return " ".join(sorted(by_id[task_id] for task_id in found))

    def told(self, value: Any) -> Any:
        """The value with ids in the place of names."""
        if isinstance(value, dict):
            return {name: self.told(item) for name, item in value.items()}
        if isinstance(value, list):
            return [self.told(item) for item in value]
        return self.names.get(value, value) if isinstance(value, str) else value


@pytest.fixture
async def board(ada: Person, bob: Person, database: Database) -> Board:
    project = await ada.project()
    await ada.invite(project, bob)
    drafts = [
        {
            "title": "alpha",
            "due_at": JANUARY,
            "assignee_ids": [ada.id],
            "tags": ["bug"],
            "subtasks": [{"title": "eta", "priority": 2}],
        },
        {
            "title": "beta",
            "status": "in_progress",
            "priority": 3,
            "due_at": JUNE,
            "assignee_ids": [ada.id, bob.id],
            "tags": ["bug", "UI"],
        },
        {"title": "gamma", "status": "completed", "priority": 5, "due_at": MARCH, "tags": ["ui"]},
        {"title": "delta", "status": "cancelled", "priority": 2, "start_at": MARCH},
        {
            "title": "epsilon",
            "priority": 4,
            "start_at": MARCH,
            "due_at": FAR,
            "assignee_ids": [bob.id],
            "description": "The word alpha.",
        },
        {"title": "zeta", "tags": ["Straße"]},
    ]
    async with database.writing() as session:
        record = await projects.get(session, ada.actor, project["id"])
        models = [TaskDraft.model_validate(draft) for draft in drafts]
        await create_drafts(session, ada.actor, record, models, pointer="")
    await ada.task(title="inbox", priority=3)
    tasks = {task["title"]: task for task in (await ada.get("/tasks?limit=100")).json()}
    names = {
        "Ada": ada.id,
        "Bob": bob.id,
        "Project": project["id"],
        "Alpha": tasks["alpha"]["id"],
        "Beta": tasks["beta"]["id"],
    }
    return Board(ada, names, tasks)


ALL = "alpha beta delta epsilon eta gamma inbox zeta"
CASES: list[tuple[dict[str, Any] | None, dict[str, Any], str]] = [
    ({}, {}, ALL),
    ({"status": ["pending"]}, {"status": {"eq": "pending"}}, "alpha epsilon eta inbox zeta"),
    ({"status": ["completed", "cancelled"]}, {"status": {"in": ["completed", "cancelled"]}}, "delta gamma"),
    ({"priority": [3]}, {"priority": {"eq": 3}}, "beta inbox"),
    ({"priority": [4, 5]}, {"priority": {"in": [4, 5]}}, "epsilon gamma"),
    (None, {"priority": {"gt": 3}}, "epsilon gamma"),
    (None, {"priority": {"gte": 2, "lt": 4}}, "beta delta eta inbox"),
    (None, {"priority": {"lte": 1, "gte": 2}}, ""),
    (None, {"priority": {"lt": -(2**31) + 1}}, ""),
    (None, {"number": {"lte": 2}}, "alpha beta inbox"),
    (None, {"title": {"eq": "alpha"}}, "alpha"),
    (None, {"title": {"eq": "ALPHA"}}, ""),
    (None, {"title": {"in": ["zeta", "eta", "nothing"]}}, "eta zeta"),
    ({"search": "ALPHA"}, {"search": "ALPHA"}, "alpha epsilon"),
    ({"project_id": ["Project"]}, {"project": {"eq": "Project"}}, ALL.replace("inbox ", "")),
    ({"project_id": ["Project", 2**31 - 1]}, {"project": {"in": ["Project", 2**31 - 1]}}, ALL.replace("inbox ", "")),
    ({"parent_id": "Alpha"}, {"parent": {"eq": "Alpha"}}, "eta"),
    (None, {"parent": {"in": ["Alpha", "Beta"]}}, "eta"),
    (None, {"parent": {"is_null": False}}, "eta"),
    (None, {"parent": {"is_null": True}}, ALL.replace("eta gamma", "gamma")),
    (None, {"created_by": {"eq": "Ada"}}, ALL),
    (None, {"created_by": {"in": ["Bob"]}}, ""),
    (None, {"created_by": {"is_null": True}}, ""),
    ({"assignee": "me"}, {"assignees": {"me": True}}, "alpha beta"),
    ({"assignee": "none"}, {"assignees": {"is_empty": True}}, "delta eta gamma inbox zeta"),
    ({"assignee": "Bob"}, {"assignees": {"any": ["Bob"]}}, "beta epsilon"),
    (None, {"assignees": {"any": ["Ada", "Bob"]}}, "alpha beta epsilon"),
    (None, {"assignees": {"all": ["Ada", "Bob"]}}, "beta"),
    (None, {"assignees": {"none": ["Ada"]}}, "delta epsilon eta gamma inbox zeta"),
    (None, {"assignees": {"me": False}}, "delta epsilon eta gamma inbox zeta"),
    (None, {"assignees": {"is_empty": False, "none": ["Bob"]}}, "alpha"),
    ({"tag": ["bug"]}, {"tags": {"all": ["bug"]}}, "alpha beta"),
    ({"tag": ["BUG", "ui"]}, {"tags": {"all": ["BUG", "ui"]}}, "beta"),
    ({"tag": ["STRASSE"]}, {"tags": {"any": ["STRASSE"]}}, "zeta"),
    ({"tag": ["no such"]}, {"tags": {"any": ["no such"]}}, ""),
    (None, {"tags": {"any": ["Bug", "uI"]}}, "alpha beta gamma"),
    (None, {"tags": {"none": ["bug"]}}, "delta epsilon eta gamma inbox zeta"),
    (None, {"tags": {"is_empty": True}}, "delta epsilon eta inbox"),
    (None, {"tags": {"is_empty": False, "none": ["UI"]}}, "alpha zeta"),
    ({"due_after": MARCH}, {"due_at": {"gte": MARCH}}, "beta epsilon gamma"),
    ({"due_before": MARCH}, {"due_at": {"lt": MARCH}}, "alpha"),
    ({"due_after": JANUARY, "due_before": JUNE}, {"due_at": {"gte": JANUARY, "lt": JUNE}}, "alpha gamma"),
    ({"due_after": MARCH, "due_before": MARCH}, {"due_at": {"gte": MARCH, "lt": MARCH}}, ""),
    (None, {"due_at": {"gt": JANUARY, "lte": JUNE}}, "beta gamma"),
    (None, {"due_at": {"gte": "2020-03-01T01:00:00+01:00", "lte": MARCH}}, "gamma"),
    (None, {"due_at": {"is_null": True}}, "delta eta inbox zeta"),
    (None, {"due_at": {"is_null": False, "gt": MARCH}}, "beta epsilon"),
    (None, {"start_at": {"lte": MARCH}}, "delta epsilon"),
    (None, {"completed_at": {"is_null": False}}, "gamma"),
    (None, {"created_at": {"lt": "2020-01-01T00:00:00Z"}}, ""),
    (None, {"updated_at": {"gt": "2020-01-01T00:00:00Z"}}, ALL),
    ({"overdue": "true"}, {"overdue": True}, "alpha beta"),
    ({"overdue": "false"}, {"overdue": False}, "delta epsilon eta gamma inbox zeta"),
    (None, {"and": [{"priority": {"gte": 2}}, {"status": {"eq": "pending"}}]}, "epsilon eta inbox"),
    (None, {"or": [{"priority": {"gte": 5}}, {"tags": {"any": ["bug"]}}]}, "alpha beta gamma"),
    (None, {"not": {"tags": {"any": ["bug"]}}}, "delta epsilon eta gamma inbox zeta"),
    (None, {"not": {"due_at": {"lt": JUNE}}}, "beta delta epsilon eta inbox zeta"),
    (None, {"not": {"not": {"due_at": {"lt": JUNE}}}}, "alpha gamma"),
    (None, {"not": {"parent": {"eq": "Alpha"}}}, "alpha beta delta epsilon gamma inbox zeta"),
    (None, {"not": {"or": [{"due_at": {"gte": JANUARY}}, {"priority": {"eq": 1}}]}}, "delta eta inbox"),
    (None, {"not": {"and": [{"due_at": {"lt": FAR}}, {"status": {"eq": "pending"}}]}}, ALL.replace("alpha ", "")),
    (None, {"not": {}}, ""),
    (
        None,
        {
            "status": {"eq": "pending"},
            "or": [{"assignees": {"is_empty": True}}, {"search": "word"}],
            "not": {"parent": {"is_null": False}},
        },
        "epsilon inbox zeta",
    ),
    (
        {"status": ["pending"], "assignee": "none", "project_id": ["Project"]},
        {"and": [{"status": {"eq": "pending"}}, {"assignees": {"is_empty": True}}, {"project": {"eq": "Project"}}]},
        "eta zeta",
    ),
]


class TestSameOnBothDoors:
    async def test_conditions_hold_for_the_same_tasks_however_written(
        self, board: Board, subtests: pytest.Subtests
    ) -> None:
        for flat, condition, titles in CASES:
            told = board.told(condition)
            with subtests.test(condition=condition):
                assert board.titles(await filtered_ids(board.ada, told)) == titles
                assert board.titles(await graphql_ids(board.ada, filter=graphql_filter(told), first=100)) == titles
            if flat is not None:
                with subtests.test(flat=flat):
                    assert board.titles(await rest_ids(board.ada, limit=100, **board.told(flat))) == titles

    async def test_flat_parameters_and_filter_must_both_hold(self, board: Board) -> None:
        found = await rest_ids(board.ada, status="pending", search="alpha", filter='{"priority": {"gte": 2}}')

        assert board.titles(found) == "epsilon"

    async def test_graphql_search_and_filter_must_both_hold(self, board: Board) -> None:
        found = await graphql_ids(board.ada, search="ALPHA", filter={"priority": {"gte": 2}})

        assert board.titles(found) == "epsilon"

    async def test_assignee_me_is_whoever_asks(self, board: Board, bob: Person) -> None:
        assert board.titles(await rest_ids(bob, assignee="me")) == "beta epsilon"
        assert board.titles(await graphql_ids(bob, filter={"assignees": {"me": True}})) == "beta epsilon"

    async def test_rest_takes_global_ids_too(self, board: Board) -> None:
        condition = {"parent": {"eq": board.tasks["alpha"]["node_id"]}}

        assert board.titles(await filtered_ids(board.ada, condition)) == "eta"


LEAVES = st.one_of(
    st.fixed_dictionaries(
        {"status": st.fixed_dictionaries({"in": st.lists(st.sampled_from(["pending", "completed"]), min_size=1)})}
    ),
    st.fixed_dictionaries(
        {"priority": st.dictionaries(st.sampled_from(["eq", "gt", "gte", "lt", "lte"]), st.integers(0, 6), max_size=2)}
    ),
    st.fixed_dictionaries(
        {"due_at": st.sampled_from([{"lt": MARCH}, {"gte": MARCH}, {"is_null": True}, {"gt": JANUARY, "lte": JUNE}])}
    ),
    st.fixed_dictionaries({"parent": st.sampled_from([{"is_null": True}, {"eq": "Alpha"}])}),
    st.fixed_dictionaries(
        {"tags": st.sampled_from([{"any": ["BUG"]}, {"none": ["ui"]}, {"is_empty": True}, {"all": ["bug", "ui"]}])}
    ),
    st.fixed_dictionaries(
        {"assignees": st.sampled_from([{"me": True}, {"me": False}, {"any": ["Bob"]}, {"is_empty": False}])}
    ),
)
CONDITIONS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.fixed_dictionaries({"and": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"or": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"not": inner}),
    ),
    max_leaves=6,
)
COMPARE: dict[str, Any] = {
    "eq": lambda value, bound: value == bound,
    "gt": lambda value, bound: value > bound,
    "gte": lambda value, bound: value >= bound,
    "lt": lambda value, bound: value < bound,
    "lte": lambda value, bound: value <= bound,
    "in": lambda value, bound: value in bound,
}
SETS: dict[str, Any] = {
    "any": lambda held, wanted: bool(held & wanted),
    "all": lambda held, wanted: wanted <= held,
    "none": lambda held, wanted: not held & wanted,
}


def holds(condition: dict[str, Any], task: dict[str, Any]) -> bool:
    """What the filter language means, written once more in Python."""
    return all(_holds(name, value, task) for name, value in condition.items())


def _holds(name: str, value: Any, task: dict[str, Any]) -> bool:
    if name == "and":
        return all(holds(part, task) for part in value)
    if name == "or":
        return any(holds(part, task) for part in value)
    if name == "not":
        return not holds(value, task)
    if name in {"tags", "assignees"}:
        held = (
            {item["name"].casefold() for item in task["tags"]}
            if name == "tags"
            else {item["id"] for item in task["assignees"]}
        )
        for operator, wanted in value.items():
            if operator == "is_empty":
                fits = (not held) is wanted
            elif operator == "me":
                fits = (task["created_by_id"] in held) is wanted
            else:
                fits = SETS[operator](held, {item.casefold() if isinstance(item, str) else item for item in wanted})
            if not fits:
                return False
        return True
    stored = task["parent_id" if name == "parent" else name]
    return all(
        (stored is None) is bound if operator == "is_null" else stored is not None and COMPARE[operator](stored, bound)
        for operator, bound in value.items()
    )


class TestMeaning:
    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(condition=CONDITIONS)
    async def test_any_condition_means_what_it_says(self, board: Board, condition: dict[str, Any]) -> None:
        told = board.told(condition)
        listed = (await board.ada.get("/tasks?limit=100&expand=tags&expand=assignees")).json()
        expected = board.titles([task["id"] for task in listed if holds(told, task)])

        assert board.titles(await filtered_ids(board.ada, told)) == expected
        assert board.titles(await graphql_ids(board.ada, filter=graphql_filter(told), first=100)) == expected


def nested(depth: int) -> dict[str, Any]:
    condition: dict[str, Any] = {"overdue": True}
    for _ in range(depth):
        condition = {"not": condition}
    return condition


# with the pointer of the service, the same on both doors
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"due_at": {"gte": MARCH, "lt": JANUARY}}, "/filter/due_at"),
    ({"or": [{}, {"created_at": {"gt": MARCH, "lte": JANUARY}}]}, "/filter/or/1/created_at"),
    ({"due_at": {"gte": "2020-01-01T00:00:00"}}, "/filter/due_at/gte"),
    ({"due_at": {"lt": "0001-01-01T00:00:00+01:00"}}, "/filter/due_at/lt"),
    ({"search": ""}, "/filter/search"),
    ({"search": "x" * 101}, "/filter/search"),
    ({"search": "\x00"}, "/filter/search"),
    ({"title": {"eq": "\x00"}}, "/filter/title/eq"),
    ({"status": {"in": []}}, "/filter/status/in"),
    ({"tags": {"any": [" "]}}, "/filter/tags/any/0"),
    ({"assignees": {"any": [0]}}, "/filter/assignees/any/0"),
    ({"project": {"eq": 2**31}}, "/filter/project/eq"),
    ({"parent": {"in": ["nonsense"]}}, "/filter/parent/in/0"),
    ({"or": []}, "/filter/or"),
    ({"and": [{}] * 51}, "/filter/and"),
    ({"and": [{"and": [{"overdue": True}] * 50}] * (MAX_CONDITIONS // 50)}, "/filter"),
    (nested(MAX_DEPTH + 1), "/filter"),
    # of these one door took more than the other
    ({"or": [{"project": {"in": [1] * 100}}] * (MAX_VALUES // 100) + [{"priority": {"eq": 1}}]}, "/filter"),
    ({"title": {"in": ["x" * 1000] * (MAX_TEXT // 1000), "eq": "x"}}, "/filter"),
    ({"tags": {"any": ["é" * 50] * (MAX_TEXT // 100)}, "search": "x"}, "/filter"),
]


def full() -> dict[str, Any]:
    """A filter that has as much in it as one may, and takes as long an address as one can."""
    texts = MAX_TEXT // 200
    lists = (MAX_VALUES - texts - 2) // 100
    rest = MAX_VALUES - texts - lists * 100
    ids = [{"created_by": {"in": [2**31 - 1] * 100}}] * lists + [{"number": {"in": [-(2**31)] * rest}}]
    return {
        "and": [
            {"and": [{"tags": {"any": ["\U0001f600" * 50] * texts}}, *ids]},
            *[{"and": [{"completed_at": {"is_null": False}}] * 44}] * 4,
        ]
    }


FLAT_REFUSED = [
    ("status", "done"),
    ("status", "PENDING"),
    ("priority", "0"),
    ("priority", "6"),
    ("priority", "high"),
    ("project_id", "0"),
    ("project_id", str(2**31)),
    ("parent_id", "-1"),
    ("assignee", "somebody"),
    ("assignee", "0"),
    ("assignee", str(2**31)),
    ("tag", " "),
    ("due_after", "2020-01-01"),
    ("due_before", "2020-01-01T00:00:00"),
    ("overdue", "maybe"),
    ("search", ""),
    ("search", "x" * 101),
    ("search", "\x00"),
    ("sort_by", "colour"),
    ("order", "up"),
    ("skip", "-1"),
    ("skip", str(2**63)),
    ("limit", "-1"),
    ("limit", "101"),
    ("total", "perhaps"),
    ("expand", "everything"),
    ("trashed", "2"),
    ("colour", "red"),
    ("Status", "pending"),
    ("cursor", "x" * 2001),
]
OTHER_SHAPES: list[dict[str, Any]] = [
    {"colour": {"eq": "red"}},
    {"priority": {"eq": "3"}},
    {"priority": {"like": 3}},
    {"status": {"eq": "done"}},
    {"overdue": None},
    {"overdue": 1},
    {"priority": {"eq": 2**31}},
]
NO_OBJECTS = ["{", "null", "[]", '"x"', "3", '{"not": ' * 3000 + "{}" + "}" * 3000]


class TestRefusals:
    async def test_condition_that_does_not_hold_together_is_refused_alike(
        self, ada: Person, subtests: pytest.Subtests
    ) -> None:
        for condition, pointer in REFUSED:
            with subtests.test(condition=str(condition)[:60]):
                rest = await ada.get("/tasks", params={"filter": orjson.dumps(condition).decode()})
                graphql = await graphql_page(ada, filter=graphql_filter(condition))
                assert (rest.status_code, rest.json()["code"]) == (422, "BAD_USER_INPUT")
                assert [problem["pointer"] for problem in rest.json()["errors"]] == [pointer]
                assert graphql.code == "BAD_USER_INPUT"
                assert graphql.pointers == ["/".join(map(to_camel_case, pointer.split("/")))]

    async def test_condition_of_another_shape_is_refused_on_both(self, ada: Person, subtests: pytest.Subtests) -> None:
        for condition in OTHER_SHAPES:
            with subtests.test(condition=condition):
                rest = await ada.get("/tasks", params={"filter": orjson.dumps(condition).decode()})
                graphql = await graphql_page(ada, filter=graphql_filter(condition))
                assert (rest.json()["code"], graphql.code) == ("BAD_USER_INPUT", "BAD_USER_INPUT")
                [problem] = rest.json()["errors"]
                assert problem["pointer"].startswith(f"/filter/{next(iter(condition))}")

    async def test_depth_and_number_of_conditions_have_room(self, ada: Person) -> None:
        assert await filtered_ids(ada, nested(MAX_DEPTH)) == []
        assert await filtered_ids(ada, {"and": [{"and": [{"overdue": True}] * 49}] * 3}) == []

    async def test_a_full_filter_is_taken_by_both(self, ada: Person) -> None:
        text = orjson.dumps(full()).decode()
        rest = await ada.get("/tasks", params={"filter": text})
        graphql = await graphql_page(ada, filter=graphql_filter(full()))

        assert (rest.status_code, rest.json()) == (200, [])
        assert graphql.data["tasks"]["edges"] == []
        assert len(text.encode()) > 20_000

    async def test_the_longest_filter_fits_an_address(self) -> None:
        """With global ids, escaped as the strictest client does: all but letters, digits and a few marks."""
        text = orjson.dumps(full()).decode().replace(str(2**31 - 1), f'"{encode("User", 2**31 - 1)}"')
        assert MAX_ADDRESS - 3_000 < len("/api/v1/tasks?filter=" + quote(text, safe="")) < MAX_ADDRESS

    async def test_depth_beyond_all_bounds_is_named_as_such(self, ada: Person) -> None:
        for depth in (300, 900):
            text = '{"not":' * depth + "{}" + "}" * depth
            refused = await ada.get("/tasks", params={"filter": text})
            [problem] = refused.json()["errors"]
            assert (problem["type"], problem["detail"]) == ("too_deep", "is nested too deeply")
            assert problem["pointer"] == "/filter" + "/not" * 10

    async def test_filter_must_be_a_json_object(self, ada: Person, subtests: pytest.Subtests) -> None:
        for text in NO_OBJECTS:
            with subtests.test(text=text[:20]):
                refused = await ada.get("/tasks", params={"filter": text})
                assert (refused.status_code, refused.json()["code"]) == (422, "BAD_USER_INPUT")
                assert [problem["pointer"] for problem in refused.json()["errors"]] == ["/filter"]

    async def test_flat_parameter_that_does_not_hold_is_named(self, ada: Person, subtests: pytest.Subtests) -> None:
        for name, value in FLAT_REFUSED:
            with subtests.test(name=name, value=value[:20]):
                refused = await ada.get("/tasks", params={name: value})
                assert (refused.status_code, refused.json()["code"]) == (422, "BAD_USER_INPUT")
                [problem] = refused.json()["errors"]
                assert (problem["pointer"].split("/")[1], problem["location"]) == (name, "query")

    async def test_reversed_range_is_refused_where_it_ends(self, ada: Person) -> None:
        refused = await ada.get("/tasks", params={"due_after": MARCH, "due_before": JANUARY})

        assert refused.status_code == 422
        assert [problem["pointer"] for problem in refused.json()["errors"]] == ["/due_before"]
