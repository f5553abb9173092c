"""The vocabulary that every feature's input models are written in. Validation is written here and there, once."""

import re
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Any, Self, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    StrictBool,
    WithJsonSchema,
)
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from core.clock import to_utc
from services.shared import node_ids
from services.shared import text as texts

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)
# what a regular expression of any dialect can say of a line: blanks around it, no controls within, something to see
# (more characters than these show nothing)
_LINE = (
    r"^[\s\x85]*[^\x00-\x1f\x7f-\x9f\u2028\u2029]*[^\s\x00-\x1f\x7f-\x9f]"
    r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]*[\s\x85]*$"
)
_SHOWN = r"^[^\x00]*[^\s\x00-\x1f\x7f-\x9f][^\x00]*$"


class Input(BaseModel):
    """A body. Unknown and read-only fields are refused by name."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: object) -> None:
        """Lift descriptions out of ``X | None``, where neither OpenAPI nor GraphQL would show them with the field."""
        super().__pydantic_init_subclass__(**kwargs)
        lifted = False
        for field in cls.model_fields.values():
            if field.description is None and (found := _described(field.annotation)) is not None:
                field.description, field.examples = found.description, field.examples or found.examples
                lifted = True
        if lifted:
            cls.model_rebuild(force=True, raise_errors=False)

    def sent(self) -> dict[str, Any]:
        """The fields that the caller sent, with their values; a field left out is not there."""
        return {name: getattr(self, name) for name in self.model_fields_set}


def _described(annotation: object) -> FieldInfo | None:
    """The first description in the metadata of an annotation's parts."""
    if get_origin(annotation) is Annotated:
        for item in get_args(annotation)[1:]:
            if isinstance(item, FieldInfo) and item.description:
                return item
    for part in get_args(annotation):
        if (found := _described(part)) is not None:
            return found
    return None


class DescribedEnum(StrEnum):
    """An enumeration whose values say what they stand for: ``NAME = value, description``."""

    description: str

    def __new__(cls, value: str, description: str) -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.description = description
        return member


def out_of_order(message: str) -> PydanticCustomError:
    """The error for a range whose end is before its start."""
    return PydanticCustomError("range", message)


def absent() -> Any:
    """The default factory of a field of a partial update: nullable types say so themselves, others refuse null.

    With a factory, and no plain default, neither OpenAPI nor GraphQL prints a default that a client might send back.
    """
    return None


class Usual:
    """The default factory of a field whose value is this one where it is left out, and counts as left out.

    As with ``absent``, no default is printed: GraphQL's executor would fill it in, and nobody knew what was sent.
    """

    def __init__(self, value: object) -> None:
        self.value = value

    def __call__(self) -> Any:
        return self.value


def _no_nul(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not hold the character U+0000")
    return text


def _line(text: str) -> str:
    if text.isascii() and text.isprintable() and (plain := text.strip()):
        return plain
    text = _shown(texts.trimmed(text))
    if not text.isprintable():
        _check_line(text)
    return texts.composed(text)


def one_line(text: str) -> str:
    """The text. Raises for a line break in it."""
    if texts.has_line_break(text):
        raise PydanticCustomError("line_break", "must be one line: it holds a line break")
    return text


def _check_line(text: str) -> None:
    one_line(text)
    if texts.has_control(text):
        raise PydanticCustomError("control_character", "must not hold control characters")


def _shown(text: str) -> str:
    if not texts.shows(text):
        raise PydanticCustomError("blank", "must not be blank")
    return text


def parse_timestamp(value: object) -> datetime:
    """The instant in UTC. Raises ``ValueError`` for what is none, or has no offset."""
    if isinstance(value, datetime):
        return to_utc(value)
    if not isinstance(value, str) or not _RFC3339.fullmatch(value):
        raise ValueError("must be a date and time with a UTC offset, such as 2026-01-31T12:00:00Z")
    try:
        moment = datetime.fromisoformat(value.upper().replace(",", "."))
    except ValueError:
        raise ValueError(
            "must be a day of the calendar (0001-01-01 to 9999-12-31), a time to 23:59:59 and an offset below 24 hours"
        ) from None
    return to_utc(moment)


_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def parse_day(value: object) -> date:
    """The day. Raises ``ValueError`` for what is none of the calendar, or has a time."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    if not isinstance(value, str) or not _DAY.fullmatch(value):
        raise ValueError("must be a date without a time, such as 2026-01-31")
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise ValueError("is no day of the calendar: it goes from 0001-01-01 to 9999-12-31") from None


def _strict_text(value: object) -> object:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError("must be whole characters, and holds half of one (a lone surrogate)") from None
    return value


Text = Annotated[
    str,
    BeforeValidator(_strict_text),
    AfterValidator(_no_nul),
    Field(json_schema_extra={"pattern": r"^[^\x00]*$"}),
]
"""Any Unicode text but U+0000 and lone surrogates."""

Line = Annotated[
    str,
    BeforeValidator(_strict_text),
    AfterValidator(_line),
    Field(json_schema_extra={"pattern": _LINE}),
]
"""One line of text that shows something, kept composed (NFC) and without the blanks around it: so its length counts."""

Composed = AfterValidator(texts.composed)
"""Behind a text that is compared with what lines are kept as."""

ShownText = Annotated[Text, AfterValidator(_shown), Field(min_length=1, json_schema_extra={"pattern": _SHOWN})]
"""Text, kept to the letter, of which there is something to see."""

LongText = Annotated[Text, Field(max_length=65_536)]

Timestamp = Annotated[
    datetime,
    BeforeValidator(parse_timestamp),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""An instant, RFC 3339 with an offset; kept in UTC. Naive ones are refused."""


Day = Annotated[date, BeforeValidator(parse_day), WithJsonSchema({"type": "string", "format": "date"})]
"""A day without a time: RFC 3339's full-date."""


def _whole(value: object) -> object:
    """1.0 is an integer to JSON Schema and to GraphQL; 1.5, true and "1" are not."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value


Whole = BeforeValidator(_whole)
"""Behind the bounds of a strict integer: last in the metadata, so that JSON Schema shows the bounds."""

Int = Annotated[int, Field(strict=True, ge=-(2**31), lt=2**31), Whole]
"""An integer of 32 bits, as GraphQL's Int."""
Bool = StrictBool

ExpectedVersion = Annotated[
    Int,
    Field(
        description="Change it only if its version is still this one; else VERSION_CONFLICT, and nothing is written."
    ),
]
"""Optimistic concurrency in an input; REST's ``If-Match`` says the same of one thing."""

TagName = Annotated[Line, Field(max_length=50, description="The name of a tag.", examples=["bug"])]


def _a(type_name: str) -> str:
    """A thing of a type, in words: an API key, a saved view."""
    words = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in type_name).strip()
    words = words.replace("api key", "API key")
    return f"{'an' if words[0] in 'aeioA' else 'a'} {words}"


class NodeRef:
    """Marks an integer field as the id of a thing of one type.

    REST takes the database id (or the node id, so that a client can change doors); GraphQL declares the field as ID and
    takes the node id.
    """

    def __init__(self, type_name: str) -> None:
        self.type_name = type_name

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(
            self._parse, core_schema.int_schema(ge=1, le=node_ids.MAX_DATABASE_ID, strict=True)
        )

    def _parse(self, value: object) -> object:
        if not isinstance(value, str):
            return _whole(value)
        decoded = node_ids.read(value)  # its bounds are those of the number
        if decoded is None or decoded[0] != self.type_name:
            raise ValueError(f"is not the id of {_a(self.type_name)}")
        return decoded[1]


UserId = Annotated[int, NodeRef("User")]
SessionId = Annotated[int, NodeRef("Session")]
ApiKeyId = Annotated[int, NodeRef("ApiKey")]
ProjectId = Annotated[int, NodeRef("Project")]
TagId = Annotated[int, NodeRef("Tag")]
TaskId = Annotated[int, NodeRef("Task")]
CommentId = Annotated[int, NodeRef("Comment")]
RelationId = Annotated[int, NodeRef("Relation")]
SavedViewId = Annotated[int, NodeRef("SavedView")]
NotificationId = Annotated[int, NodeRef("Notification")]
ReminderId = Annotated[int, NodeRef("Reminder")]
