"""Text: what counts as the same, and what shows nothing; in every field of every input, on both doors."""

import re
import unicodedata
from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple

import pytest
from annotated_types import MaxLen, MinLen
from pydantic import AfterValidator, BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

import graphql_schema.schema
from core import time_zones
from db.driver.database import Database
from services import accounts
from services.shared import text
from services.shared.errors import Problem, from_validation
from services.shared.inputs import Input, Line
from services.shared.operators import DateFilter
from services.tags import fold
from services.tasks.filters import TaskConditions
from services.tasks.listing.texts import fold_text
from tests.actors import PASSWORD, Anonymous, Person
from tests.doors import Call, Door, Result, on_both_doors
from tests.examples import IDS, ROUTES, body_model, new, path_ids
from tests.listings import graphql_ids, rest_ids
from tests.operations import ACCOUNTS, OPERATIONS, ok, run
from tests.stored import unchanged

INPUTS_ARE_KNOWN = (graphql_schema.schema, accounts)
"""With these imported, every input of the services is there."""

KINDS = {
    "line": [
        *("title", "name", "full_name", "tags", "add_tags", "remove_tags", "any", "all", "none"),
        *("external_source", "external_id"),
    ],
    "shown": ["body", "search"],
    "kept": ["description"],
    "composed": ["eq", "ne", "in", "not_in"],
    "part": ["contains", "starts_with"],
    # compared as services/users/models.py and core/passwords.py say
    "account": ["username", "email", "password", "current_password", "new_password", "confirm_password", "login"],
    # of ASCII alone, or looked up as it stands
    "closed": [
        *("gt", "gte", "lt", "lte"),
        "key",
        "color",
        "timezone",
        "refresh_token",
        "token",
        "invitation",
        "url",
        "kinds",
        "document",
    ],
}
"""What each text of an input is, by its name: a new one has to be put somewhere."""
KIND_OF = {name: kind for kind, names in KINDS.items() for name in names}

JOINED = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"
"""A Persian word, whose parts a joiner keeps from being joined."""
BLANK = [
    *("", " ", "\t\n", "\u00a0", "\u2003", "\u3000", "\u1680", "\u0085", "\u2028", "\u2029"),
    *("\u200b", "\ufeff", "\u2060", "\u00ad", "\u034f", "\u061c", "\u180e", "\u200d", "\u200e", "\u202e", "\ufe0f"),
    *("\u3164", "\u115f", "\u1160", "\uffa0", "\u2800", "\u17b4", "\U0001d159", "\U000e0041", "\U000e0100", "\ufff9"),
    *("\x07", "\x1b", "\x00", "\x7f", "\x9b", " \u200b\u00ad\u3164 "),
]
SEVERAL_LINES = [f"two{end}lines" for end in ("\n", "\r", "\r\n", "\v", "\f", "\x85", "\u2028", "\u2029", "\x1e")]
CONTROLS = ["bell\x07", "a\ttab", "\x1b[31mred", "NUL\x00", "C1\x9b"]
LINES = {  # what is sent, what is kept
    " x \n": "x",
    "\u3000x\u00a0": "x",
    "\ufeffx\u200b\u2060": "x",
    "Cafe\u0301": "Caf\u00e9",
    "\u212bngstro\u0308m": "\u00c5ngstr\u00f6m",
    "\u1112\u1161\u11ab": "\ud55c",
    "e\u0301" * 50: "\u00e9" * 50,
} | {
    same: same
    for same in (
        *("👩\u200d👩\u200d👧", "❤\ufe0f", "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"),
        *(JOINED, "a\u00adb", "\u202eright to left", "a\u00a0b", "\u0600", "q\u0301"),
    )
}


def _type_of(field: FieldInfo) -> Any:
    return Annotated[field.annotation, None, *field.metadata]


def texts_of(model: type[Input]) -> Iterator[tuple[str, bool, Any]]:
    """The names of a model's texts, whether there is a list of them, and how one is validated."""
    schema = model.model_json_schema()
    properties = schema.get("$defs", {}).get(model.__name__, schema).get("properties", {})
    for name, field in model.model_fields.items():
        options = properties[field.alias or name].get("anyOf", [properties[field.alias or name]])
        listed = any("items" in option for option in options)
        leaves = [option.get("items", option) for option in options]
        if any(leaf.get("type") == "string" and leaf.get("format") not in ("date", "date-time") for leaf in leaves):
            yield field.alias or name, listed, TypeAdapter(_type_of(field))


def models(root: type[Input] = Input) -> Iterator[type[Input]]:
    for model in root.__subclasses__():
        inner = model.__name__.startswith("_") or model in (TaskConditions, DateFilter)  # of which no text is kept
        if model.__module__.startswith("services.") and not inner:
            yield model
        yield from models(model)


class Field(NamedTuple):
    model: str
    name: str
    listed: bool
    adapter: TypeAdapter[Any]

    def keeps(self, value: str) -> str:
        """What becomes of a text. Raises ``ValidationError``."""
        kept = self.adapter.validate_python([value] if self.listed else value)
        return str(kept[0] if self.listed else kept)

    def refuses(self, value: str) -> str:
        """The type of the only error, which is at the text itself."""
        with pytest.raises(ValidationError) as refused:
            self.keeps(value)
        [error] = refused.value.errors()
        assert error["loc"] == ((0,) if self.listed else ())
        return str(error["type"])


FIELDS = [Field(model.__name__, *field) for model in dict.fromkeys(models()) for field in texts_of(model)]


def of_kind(*kinds: str) -> list[Field]:
    return [field for field in FIELDS if KIND_OF[field.name] in kinds]


class TestFields:
    def test_every_text_of_every_input_is_of_a_kind(self) -> None:
        assert {field.name for field in FIELDS} == KIND_OF.keys()

    @pytest.mark.parametrize("field", of_kind("line", "shown"), ids=lambda field: f"{field.model}.{field.name}")
    def test_text_that_shows_nothing_is_blank(self, field: Field) -> None:
        for value in BLANK:
            nul = KIND_OF[field.name] == "shown" and "\x00" in value
            assert field.refuses(value) == ("value_error" if nul else "blank"), ascii(value)

    @pytest.mark.parametrize("field", of_kind("line"), ids=lambda field: f"{field.model}.{field.name}")
    def test_line_is_one_and_composed(self, field: Field) -> None:
        assert {field.refuses(value) for value in SEVERAL_LINES} == {"line_break"}
        assert {field.refuses(value) for value in CONTROLS} == {"control_character"}
        for sent, kept in LINES.items():
            assert field.keeps(sent) == kept
            assert field.keeps(kept) == kept

    @pytest.mark.parametrize("field", of_kind("line"), ids=lambda field: f"{field.model}.{field.name}")
    def test_length_counts_as_it_is_kept(self, field: Field) -> None:
        most = {"title": 200, "name": 100, "full_name": 200, "external_id": 255}.get(field.name, 50)
        most = 50 if field.model in {"TagCreate", "TagUpdate"} else most

        assert field.keeps(" " + "e\u0301" * most + "\n") == "\u00e9" * most
        for value in ("e\u0301" * most + "x", "\u0958" * most):  # which is composed of two
            with pytest.raises(ValidationError, match="at most"):
                field.keeps(value)

    @pytest.mark.parametrize("field", of_kind("shown", "kept"), ids=lambda field: f"{field.model}.{field.name}")
    def test_long_text_is_kept_to_the_letter(self, field: Field) -> None:
        for value in (*SEVERAL_LINES, "bell\x07", "Cafe\u0301", " x\u200b "):
            assert field.keeps(value) == value

    @pytest.mark.parametrize("field", of_kind("composed"), ids=lambda field: f"{field.model}.{field.name}")
    def test_what_titles_are_compared_with_is_composed(self, field: Field) -> None:
        assert [field.keeps(value) for value in ("Cafe\u0301", "", " x ")] == ["Caf\u00e9", "", " x "]

    @pytest.mark.parametrize("field", of_kind("closed"), ids=lambda field: f"{field.model}.{field.name}")
    def test_line_break_behind_a_word_is_no_part_of_it(self, field: Field) -> None:
        word = {"key": "WEB", "color": "#ffffff", "timezone": "UTC"}.get(field.name)
        for value in (f"{word}\n", f" {word}", "\uff37\uff25\uff22"):
            if word is not None:
                with pytest.raises(ValidationError):
                    field.keeps(value)

    def test_every_line_that_is_taken_fits_the_published_schema(self) -> None:
        pattern = TypeAdapter(Line).json_schema()["pattern"]
        for value in (*LINES, "\x85x\x85", "\u2028x\u2029", "\t\v\fx"):
            assert re.search(pattern, value), ascii(value)
        for value in (*SEVERAL_LINES, *CONTROLS, *BLANK[:8]):
            assert not re.search(pattern, value), ascii(value)


HERE = object()


def filled(template: Any, value: str, ids: dict[str, Any]) -> Any:
    if isinstance(template, dict):
        return {key: filled(item, value, ids) for key, item in template.items()}
    if isinstance(template, list):
        return [filled(item, value, ids) for item in template]
    return value if template is HERE else ids.get(template, template) if isinstance(template, str) else template


def place(template: Any) -> str | None:
    """The pointer to where the value stands."""
    if template is HERE:
        return ""
    parts = (
        template.items() if isinstance(template, dict) else enumerate(template) if isinstance(template, list) else ()
    )
    return next((f"/{key}{inner}" for key, item in parts if (inner := place(item)) is not None), None)


REGISTER = Call("POST /users", "mutation($input: RegisterInput!) { result: register(input: $input) { user { id } } }")
ACCOUNT = {"username": "nobody_yet", "email": "nobody_yet@example.com", "password": PASSWORD}
BODIES: dict[str, tuple[str | Call, Any]] = {
    "TaskCreate.title": ("create_task", {"title": HERE}),
    "TaskCreate.tags": ("create_task", {"title": "x", "tags": ["ok", HERE]}),
    "TaskDraft.title": ("create_project", {"name": "x", "tasks": [{"title": "x", "subtasks": [{"title": HERE}]}]}),
    "TaskDraft.tags": ("create_project", {"name": "x", "tasks": [{"title": "x", "tags": [HERE]}]}),
    "TaskUpdate.title": ("update_task", {"title": HERE}),
    "TaskUpdate.tags": ("update_task", {"tags": [HERE]}),
    "BulkUpdateItem.title": ("update_tasks", {"tasks": [{"id": "task_id", "title": HERE}]}),
    "BulkUpdateItem.tags": ("update_tasks", {"tasks": [{"id": "task_id", "tags": [HERE]}]}),
    "ApiKeyUpdate.name": (ACCOUNTS["update_api_key"], {"name": HERE}),
    "ApiKeyCreate.name": (ACCOUNTS["create_api_key"], {"name": HERE, "scopes": ["tasks:read"]}),
    "UserCreate.full_name": (REGISTER, ACCOUNT | {"full_name": HERE}),
    "UserUpdate.full_name": (ACCOUNTS["update_me"], {"full_name": HERE}),
    "TagsFilter.any": ("create_saved_view", {"name": "x", "filter": {"tags": {"any": [HERE]}}}),
    "TagsFilter.all": ("update_matching_tasks", {"filter": {"tags": {"all": [HERE]}}, "changes": {}}),
    "TagsFilter.none": ("update_saved_view", {"filter": {"not": {"tags": {"none": [HERE]}}}}),
    "TaskFilter.search": ("update_matching_tasks", {"filter": {"search": HERE}, "changes": {}}),
}
_OF = {model.__name__: name for name in ROUTES if name in OPERATIONS and (model := body_model(name))}
_NEEDED = {
    "TaskCreate": {"title": "x"},
    "TaskUpsert": {"title": "x"},
    "ProjectCreate": {"name": "x"},
    "CommentCreate": {"body": "x"},
    "WebhookCreate": {"name": "x", "url": "https://hooks.example.com/"},
}
_PAIRED = {"external_source": {"external_id": "1"}, "external_id": {"external_source": "x"}}


def _template(field: Field) -> dict[str, Any]:
    """A body that has the text, and what goes with it."""
    value = [HERE] if field.listed else HERE
    return {**_NEEDED.get(field.model, {}), **_PAIRED.get(field.name, {}), field.name: value}


BODIES |= {
    f"{field.model}.{field.name}": ("update_tasks", {"tasks": [{"id": "task_id", **_template(field)}]})
    for field in of_kind("line")
    if field.model == "BulkUpdateItem" and f"{field.model}.{field.name}" not in BODIES
}
BODIES |= {
    f"{field.model}.{field.name}": (_OF[field.model], _template(field))
    for field in of_kind("line", "shown")
    if field.model in _OF and f"{field.model}.{field.name}" not in BODIES
}
REFUSED = {" ": "blank", "\u200b": "blank", "\u3164\ufeff": "blank", "\x07": "blank"}
REFUSED_AS_LINES = {"two\nlines": "line_break", "two\u2028lines": "line_break", "bell\x07": "control_character"}


async def ids_for(ada: Person, *names: str) -> dict[str, Any]:
    """One thing of each kind that calls with these bodies name."""
    known: dict[str, Any] = {"external_source": "crm", "external_id": "C-1", "project_id": (await ada.project())["id"]}
    known["task_id"] = (await ada.task(project_id=known["project_id"]))["id"]
    wanted: set[str] = set()
    for name in names:
        operation = BODIES[name][0]
        wanted |= {"api_key_id"} if isinstance(operation, Call) else {*path_ids(operation)}
    return known | {each: (await new(ada, IDS[each], **known))["id"] for each in sorted(wanted - known.keys())}


async def call(door: Door, caller: Anonymous, name: str, value: str, ids: dict[str, Any]) -> Result:
    operation, template = BODIES[name]
    body = filled(template, value, ids)
    if isinstance(operation, Call):
        return await operation.on(door, caller, _scopes(door, body), id=ids["api_key_id"])
    known = {key: id_ for key, id_ in ids.items() if f"{{{key}}}" in OPERATIONS[operation].rest}
    return await run(door, operation, caller, body, **known)


def _scopes(door: Door, body: dict[str, Any]) -> dict[str, Any]:
    return body | {"scopes": ["TASKS_READ"]} if "scopes" in body and door == "graphql" else body


def types_of(result: Result) -> list[str]:
    errors = result.body["errors"]
    return [item["type"] for error in errors for item in error.get("extensions", {}).get("errors", [error])]


def test_every_line_and_shown_text_has_a_call() -> None:
    assert {f"{field.model}.{field.name}" for field in of_kind("line", "shown")} == BODIES.keys()


class TestBothDoors:
    @pytest.mark.parametrize("name", BODIES)
    async def test_both_refuse_in_the_same_words(self, ada: Person, database: Database, name: str) -> None:
        pointer, ids = place(BODIES[name][1]), await ids_for(ada, name)
        expected = REFUSED | (REFUSED_AS_LINES if KIND_OF[name.partition(".")[2]] == "line" else {})
        async with unchanged(database):
            for value, type_ in expected.items():
                answers = [await call(door, ada, name, value, ids) for door in ("rest", "graphql")]
                assert [answer.refusal for answer in answers] == [("BAD_USER_INPUT", [pointer])] * 2, ascii(value)
                assert [types_of(answer) for answer in answers] == [[type_]] * 2
                assert len({answer.message.partition(": ")[2] for answer in answers}) == 1

    @pytest.mark.one_rule
    @on_both_doors
    @pytest.mark.parametrize("name", BODIES)
    async def test_what_is_seen_is_taken(self, ada: Person, door: Door, name: str) -> None:
        ids = await ids_for(ada, name)
        answer = await call(door, ada, name, " \u202eCafe\u0301 ❤\ufe0f\u200b", ids)

        assert answer.code is None or answer.refusal == ("CONFLICT", ["/username", "/email"]), answer.message

    @on_both_doors
    async def test_names_are_answered_composed(self, ada: Person, door: Door) -> None:
        names = ("TaskCreate.title", "ProjectUpdate.name", "TagUpdate.name", "SavedViewCreate.name")
        ids = await ids_for(ada, *names)
        for name in names:
            answer = await call(door, ada, name, "Cafe\u0301\n", ids)
            assert (answer.body.get("title") or answer.body["name"]) == "Caf\u00e9"

    @on_both_doors
    async def test_titles_are_found_in_any_form(self, ada: Person, door: Door) -> None:
        task = await ok(door, "create_task", ada, {"title": "Cafe\u0301"})
        for title in ("Caf\u00e9", "Cafe\u0301"):
            for condition in ({"eq": title}, {"in": ["x", title]}):
                found = await ok(door, "list_tasks", ada, filter={"title": condition})
                assert [item["id"] for item in found] == [task["id"]]

    async def test_parameters_are_as_the_filter(self, ada: Person) -> None:
        task = await ada.task(title="\u03aa\u0301", tags=["Cafe\u0301"])
        for value in ("caf\u00e9", "CAFE\u0301", "c\u00adaf\u00e9"):
            assert await rest_ids(ada, tag=value) == [task["id"]]
            assert await graphql_ids(ada, filter={"tags": {"any": [value]}}) == [task["id"]]
        assert (
            await rest_ids(ada, search="\u0390") == await graphql_ids(ada, filter={"search": "\u0390"}) == [task["id"]]
        )
        for name in ("tag", "search"):
            refused = await ada.get("/tasks", params={name: "\u200b"})
            assert refused.status_code == 422
            assert {problem["type"] for problem in refused.json()["errors"]} == {"blank"}


class TestFolding:
    LETTERS = (
        "aAeEiIoOuUjJwWyYsS\u00df\u1e9e\u0130\u0131\u01f0\u0390\u03b0\u03a3\u03c3\u03c2\u1fb7\u1f80\u212a\u212b\ufb01"
    )
    MARKS = "\u0300\u0301\u0308\u030a\u030c\u0307\u0323\u0327\u0342\u0345"

    def test_is_the_same_for_every_form_and_case_and_stays(self) -> None:
        texts = [
            letter + one + other for letter in self.LETTERS for one in ("", *self.MARKS) for other in ("", *self.MARKS)
        ]
        for folding in (text.fold, fold, fold_text):
            for value in texts:
                folded = folding(value)
                forms = {unicodedata.normalize(form, value) for form in ("NFC", "NFD")}
                assert {folding(form) for form in (*forms, folded)} == {folded}, ascii(value)
                assert unicodedata.is_normalized("NFC", folded)

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("Stra\u00dfe", "STRASSE"),
            ("\u0390", "\u03aa\u0301"),
            ("\u01f0", "J\u030c"),
            ("\u1fb7", "\u0391\u0342\u0399"),
            ("\u03c3\u03c2", "\u03a3\u03a3"),
            ("\ufb01x", "FIX"),
        ],
    )
    def test_case_does_not_count(self, one: str, other: str) -> None:
        assert text.fold(one) == text.fold(other)

    def test_what_cannot_be_seen_of_a_name_does_not_count(self) -> None:
        assert fold("b\u00adu\u200bg\ufe0f") == fold("BUG")
        assert fold("a\u00a0b") == fold("a b")
        assert fold("e\u200b\u0301") == fold("\u00e9")
        # these are seen: joined letters, joined people, another flag
        assert len({fold(word) for word in (JOINED, JOINED.replace("\u200c", ""), "👩\u200d👧", "👩👧")}) == 4
        assert fold("🏴") != fold("🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f")

    def test_folded_name_fits_its_column(self) -> None:
        assert all(len(fold(chr(code))) <= 3 for code in range(0x110000) if not 0xD800 <= code < 0xE000)

    def test_table_of_what_shows_nothing_is_whole(self) -> None:
        """By the categories of this Python's Unicode. What is none of these is there for its name."""
        drawn = "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
        for code in range(0x110000):
            character = chr(code)
            category = unicodedata.category(character)
            if category in {"Cc", "Cf", "Zs", "Zl", "Zp"}:
                assert text.shows(character) == (character in drawn), hex(code)
            elif category[0] in "LMNPS" and not text.shows(character):
                name = unicodedata.name(character)
                assert re.search("FILLER|VARIATION SELECTOR|BLANK|NULL|JOINER|INHERENT", name), name

    def test_line_of_something_imported_is_as_a_line_is_kept(self) -> None:
        sent = {"two\r\nlines": "two lines", "\ta\x07b ": "a b", "Cafe\u0301": "Caf\u00e9", "\u200b\n": "", "": ""}

        assert {value: text.as_line(value) for value in sent} == sent
        assert text.as_line(None) == ""


class TestTimeZones:
    def test_are_ianas_whatever_the_machine_has(self) -> None:
        known = time_zones.known()

        assert {"UTC", "Europe/Vienna", "US/Pacific", "Etc/GMT+5", "America/Argentina/Buenos_Aires"} <= known
        assert not known & {"localtime", "posixrules", "Factory", "posix/UTC", "right/UTC", "tzdata.zi", "", "zone.tab"}

    @on_both_doors
    @pytest.mark.parametrize("name", ["localtime", "Factory", "posixrules", "posix/UTC", "right/UTC", "europe/vienna"])
    async def test_other_names_are_refused(self, ada: Person, door: Door, name: str) -> None:
        refused = await ACCOUNTS["update_me"].on(door, ada, {"timezone": name})

        assert (refused.refusal, types_of(refused)) == (("BAD_USER_INPUT", ["/timezone"]), ["time_zone"])


class _Texts(BaseModel):
    """As inputs say it: the length is that of what a function has made of the text."""

    short: Annotated[str, AfterValidator(str.strip), MaxLen(3)] = ""
    long: Annotated[str, AfterValidator(str.strip), MinLen(2)] = "xx"


class TestLengths:
    """pydantic counts "items" of what it does not know to be text; its sentences are put into ours."""

    @pytest.mark.parametrize(
        ("given", "problem"),
        [
            ({"short": "four"}, Problem("/short", "must have at most 3 characters", "string_too_long")),
            ({"long": "x"}, Problem("/long", "must have at least 2 characters", "string_too_short")),
        ],
    )
    def test_are_told_in_characters(self, given: dict[str, str], problem: Problem) -> None:
        with pytest.raises(ValidationError) as refused:
            _Texts(**given)
        assert from_validation(refused.value).errors == (problem,)
