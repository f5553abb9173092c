"""What refusals say: sentences for people, by one catalogue, whichever rule of whichever input is broken."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import islice
from typing import Any

import pytest
from graphql import GraphQLInputObjectType, get_named_type, is_leaf_type
from pydantic import BaseModel, TypeAdapter, ValidationError

import cli.main
import graphql_schema.schema
from core import sentences
from core.field_names import names_at
from core.sentences import OTHERWISE, choice, did_you_mean, pattern, unknown, words_for
from graphql_schema.schema import schema
from services.shared.errors import problem_of
from services.shared.inputs import Input
from tests.actors import Person
from tests.examples import ROUTES, body_model
from tests.test_text import models

EVERYTHING_IS_KNOWN = (graphql_schema.schema, cli.main)
"""With these imported, every input there is is there."""

MARK = "Rosebud-77"
"""In what is sent: no sentence may repeat it."""
JARGON = re.compile(
    r"\bitems?\b|dictionary|instance of|[Ii]nput should|Extra inputs|String should|Value error|Assertion|validation"
    r"|permitted|pydantic|valid (integer|string|number|boolean|list)|regex|pattern|\\[dwxu]|[\[\]{}^$]|Field required"
    r"|\bNone\b|timedelta|out of range|must be in "
)
LIMITS = ("ge", "gt", "le", "lt", "min_length", "max_length", "max_digits", "decimal_places", "multiple_of")
WRONG: list[Any] = [
    *(None, True, 5, 1.5, 0, -1, -(10**30), 10**30, 2**31, 2**40, "", " ", "x", "5", MARK, f"{MARK}@", "a b", "é"),
    *("\x00", "a\x00b", "a\nb", "a\tb", "a\ud800", "x" * 70_000, "2026-01-31", "2026-13-45T00:00:00Z", "VXNlcjow"),
    *("2026-02-30T00:00:00Z", "0000-01-01T00:00:00Z", "2026-01-31T24:01:00Z", "2026-01-31T12:00:00+99:00"),
    *("0001-01-01T00:00:00+14:00", f"{MARK} <a@b.example>", "a@localhost", "@", [], [None], [5], [MARK], [{}]),
    ["x"] * 1_001,
    *([1] * 1_001, [{}] * 1_001, {}, {MARK: 1}, {"eq": MARK}, {"in": []}, ["a\ud800"], ["x" * 1_001], [10**30]),
    [-(10**30)],
]  # fmt: skip

IN_TEXT = [
    *map(str, WRONG[:24]),
    ["0"],
    ["77"],
    [str(10**12)],
    *(value for value in WRONG if value in ([MARK], ["x"] * 1_001, ["x" * 1_001])),
]
"""What an address can hold."""


def query_models() -> Iterator[type[BaseModel]]:
    """The models of parameters and forms, which are REST's alone."""
    for route in ROUTES.values():
        waiting = [route.dependant]
        while waiting:
            dependant = waiting.pop()
            waiting += dependant.dependencies
            for field in (*dependant.query_params, *dependant.body_params):
                kind = field.field_info.annotation
                if isinstance(kind, type) and issubclass(kind, BaseModel):
                    yield kind


MODELS = {model.__name__: model for model in (*models(), *query_models())}


@cache
def broken(model: type[BaseModel], name: str) -> list[dict[str, Any]]:
    """pydantic's errors for one field of a model, and what each wrong value makes of it."""
    adapter = TypeAdapter(model)
    seen: list[dict[str, Any]] = []
    for value in WRONG if issubclass(model, Input) else IN_TEXT:
        try:
            adapter.validate_python({name: value})
        except ValidationError as error:
            found = ({**detail} for detail in error.errors() if detail["loc"][:1] == (name,))
            seen += islice(found, 3)
    return seen


def complaint(detail: Mapping[str, Any], words: str) -> str | None:
    """What is wrong with a sentence; None for a good one."""
    if JARGON.search(words):
        return "jargon"
    if words == OTHERWISE or not 8 <= len(words) <= 400 or "\n" in words:
        return "says nothing, or too much"
    if not words[0].islower() or words.endswith((".", ":", ",")):
        return "does not go on where the name of the field ends"
    if MARK in words:
        return "repeats what was sent"
    context = detail.get("ctx") or {}
    told = {f"{context[limit]:,}" for limit in LIMITS if isinstance(context.get(limit), int)}
    if not all(limit in words for limit in told):
        return f"does not name the limit {told}"
    return None


def told_of(model: type[BaseModel], detail: Mapping[str, Any]) -> str:
    return problem_of(detail, model=model).detail


@pytest.mark.parametrize("name", MODELS)
def test_every_broken_rule_of_every_field_is_a_sentence_for_people(name: str) -> None:
    model = MODELS[name]
    faults = set()
    for field, info in model.model_fields.items():
        spelt = info.alias or field
        seen = broken(model, spelt)
        # what takes every text takes some of these as well
        assert seen, spelt
        for detail in seen:
            words = told_of(model, detail)
            if (fault := complaint(detail, words)) is not None:
                faults.add((spelt, detail["type"], words[:200], fault))
    assert not faults


@pytest.mark.parametrize("name", MODELS)
def test_every_limit_that_is_declared_is_broken_here_and_told(name: str) -> None:
    model = MODELS[name]
    document = model.model_json_schema()
    properties = document.get("$defs", {}).get(name, document)["properties"]
    for field, declared in properties.items():
        told = " | ".join(words_for(detail, names=()) for detail in broken(model, field))
        for option in declared.get("anyOf", [declared]):
            for keyword, limit in _limits(option):
                if field == "timezone":  # longer ones are no time zones, which is said first
                    continue
                assert limit in told, (field, keyword, told)


def _limits(declared: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    keywords = {
        "maxLength": "string",
        "maximum": "integer",
        "minimum": "integer",
        "maxItems": "array",
        "minItems": "array",
    }
    for keyword in keywords:
        # a number below 1 is refused by another sentence where it is an id of a thing in words
        if isinstance(declared.get(keyword), int):
            yield keyword, f"{declared[keyword]:,}"
    if "items" in declared and "$ref" not in declared["items"]:
        yield from _limits(declared["items"])


@pytest.mark.parametrize("name", MODELS)
def test_misspelt_name_is_told_which_was_meant(name: str) -> None:
    model = MODELS[name]
    if model.model_config.get("extra") != "forbid":
        return
    for field, info in model.model_fields.items():
        spelt = info.alias or field
        if len(spelt) < 4:
            continue
        wrong = spelt[:-2] + spelt[-1]
        if wrong in model.model_fields:
            continue
        with pytest.raises(ValidationError) as refused:
            model.model_validate({wrong: 1})
        [detail] = [each for each in refused.value.errors() if each["loc"] == (wrong,)]
        assert re.search(r"; did you mean \w+\?$", told_of(model, {**detail})), wrong


class TestCatalogue:
    def test_name_of_another_spelling_is_found(self) -> None:
        names = ["title", "due_at", "assignee_ids", "project_id"]
        meant = {
            "tilte": "title",
            "dueAt": "due_at",
            "DUE-AT": "due_at",
            "assignees_ids": "assignee_ids",
            "subject": "",
        }
        for given, found in meant.items():
            assert did_you_mean(given, names) == (f"; did you mean {found}?" if found else "")

    @pytest.mark.parametrize("given", [None, 5, "", "x" * 65, "nothing like it", ["title"]])
    def test_nothing_is_meant_by_what_is_not_close(self, given: object) -> None:
        assert did_you_mean(given, ["title", "due_at"]) == ""

    def test_value_of_an_enumeration(self) -> None:
        assert choice(["asc", "desc"], "ascc") == "must be one of asc, desc; did you mean asc?"
        assert choice(["password"]) == "must be password"

    def test_one_is_no_plural(self) -> None:
        detail = {"type": "string_too_short", "loc": (), "msg": "", "ctx": {"min_length": 1}}
        assert words_for(detail) == "must have at least 1 character"

    def test_pattern_has_one_sentence(self) -> None:
        expression = pattern("^x{7}$", "must be seven of it")
        assert pattern(expression, "must be seven of it") == "^x{7}$"
        with pytest.raises(ValueError, match="two sentences"):
            pattern(expression, "must be something else")

    def test_every_sentence_can_be_filled(self) -> None:
        context = dict.fromkeys([*LIMITS, "expected_schemes"], 7)
        for kind in sentences.SENTENCES:
            words = words_for({"type": kind, "loc": (), "msg": "", "ctx": context})
            assert complaint({"ctx": {}}, words) is None, kind

    def test_names_below_lists_and_what_may_be_null(self) -> None:
        model = MODELS["BulkCreate"]
        assert "title" in names_at(model, ("tasks", 0))
        assert names_at(model, ("tasks", 0, "title")) == []
        assert names_at(None, ()) == []
        assert "in" in names_at(MODELS["TaskFilter"], ("and", 0, "status"))


def bodies() -> list[str]:
    return [name for name in ROUTES if (model := body_model(name)) is not None and model.model_fields]


class TestDoors:
    """Every operation with a body says which name was meant, REST in its spelling and GraphQL in its own."""

    @pytest.mark.parametrize("name", bodies())
    async def test_misspelt_field_of_every_body(self, ada: Person, name: str) -> None:
        model = body_model(name)
        assert model is not None
        field = max((info.alias or each for each, info in model.model_fields.items()), key=len)
        route = ROUTES[name]
        method = next(iter(route.methods or ()))
        url = re.sub(r"{\w+}", "1", route.path_format)
        answer = await ada.rest(method, url, json={f"{field}s": 1})

        assert answer.status_code == 422
        [problem] = [each for each in answer.json()["errors"] if each["pointer"] == f"/{field}s"]
        assert problem["detail"] == unknown(f"{field}s", [field])
        assert all(complaint({}, each["detail"]) is None for each in answer.json()["errors"])

    async def test_misspelt_field_of_every_input(self, ada: Person) -> None:
        mutation = schema._schema.mutation_type
        assert mutation is not None
        for name, field in mutation.fields.items():
            for argument, definition in field.args.items():
                type_ = get_named_type(definition.type)
                if not isinstance(type_, GraphQLInputObjectType):
                    continue
                spelt = max(type_.fields, key=len)
                leaf = "" if is_leaf_type(get_named_type(field.type)) else " { __typename }"
                query = f"mutation($v: {definition.type}) {{ {name}({argument}: $v){leaf} }}"
                answer = await ada.gql(query, {"v": {f"{spelt}s": 1}})
                problems = answer.errors[0]["extensions"]["errors"]
                [problem] = [each for each in problems if each["pointer"].endswith(f"/{spelt}s")]
                assert problem["detail"] == unknown(f"{spelt}s", [spelt]), name
                assert all(complaint({}, each["detail"]) is None for each in problems)

    async def test_misspelt_parameter(self, ada: Person) -> None:
        answer = await ada.rest("GET", "/tasks?pirority=3&limits=5&colour=red")

        told = {each["pointer"]: each["detail"] for each in answer.json()["errors"]}
        assert told == {
            "/pirority": "is not a parameter that can be sent here; did you mean priority?",
            "/limits": "is not a parameter that can be sent here; did you mean limit?",
            "/colour": "is not a parameter that can be sent here",
        }
        assert answer.json()["detail"].startswith("/pirority: is not a parameter")

    async def test_misspelt_value(self, ada: Person) -> None:
        on_rest = await ada.rest("POST", "/tasks", json={"title": "x", "status": "complete"})
        create = "mutation($input: CreateTaskInput!) { createTask(input: $input) { task { id } } }"
        on_graphql = await ada.gql(create, {"input": {"title": "x", "status": "COMPLETE"}})

        told = [on_rest.json()["errors"][0], on_graphql.errors[0]["extensions"]["errors"][0]]
        assert [each["detail"] for each in told] == [
            "must be one of pending, in_progress, completed, cancelled; did you mean completed?",
            "must be one of PENDING, IN_PROGRESS, COMPLETED, CANCELLED; did you mean COMPLETED?",
        ]

    async def test_misspelt_condition_deep_in_a_filter(self, ada: Person) -> None:
        condition = {"and": [{"not": {"due_at": {"lte": "2026-01-31T12:00:00Z", "greater": 1, "is_nul": True}}}]}
        answer = await ada.rest("POST", "/saved-views", json={"name": "x", "filter": condition})

        told = {each["pointer"].rpartition("/")[2]: each["detail"] for each in answer.json()["errors"]}
        assert told["is_nul"].endswith("did you mean is_null?")
        assert "did you mean" not in told["greater"]

    async def test_misspelt_field_of_a_large_body(self, ada: Person) -> None:
        tasks = [{"title": "x" * 150, "descripton": "y"} for _ in range(300)]
        answer = await ada.rest("POST", "/tasks/bulk/create", json={"tasks": tasks})

        [*problems] = answer.json()["errors"]
        assert len(problems) == 50
        assert {each["detail"] for each in problems} == {unknown("descripton", ["description"])}

    async def test_time_zone_that_is_nearly_one(self, ada: Person) -> None:
        answer = await ada.rest("PATCH", "/users/me", json={"timezone": "Europe/Viena"})

        assert answer.json()["detail"].endswith("time zone of the IANA database; did you mean Europe/Vienna?")
