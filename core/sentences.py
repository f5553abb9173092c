"""What is wrong with a value, in words for people: one catalogue of the types of errors that pydantic tells apart.

Both doors, the settings and the commands speak by it. A sentence follows the name of what it is about: *title must have
at most 200 characters*. What was sent is never in one, for it may be a password.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from core.request_context import suggesting

SENTENCES: Mapping[str, str] = {
    "missing": "is required",
    "missing_argument": "is required",
    "frozen_field": "cannot be changed",
    # text
    "string_type": "must be text",
    "string_unicode": "must be text in UTF-8",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "string_not_ascii": "must be ASCII characters",
    "bytes_type": "must be text",
    "json_invalid": "must be valid JSON",
    "json_type": "must be valid JSON",
    "uuid_type": "must be a UUID",
    "uuid_parsing": "must be a UUID",
    "url_type": "must be an address such as https://example.com/path",
    "url_parsing": "must be an address such as https://example.com/path",
    "url_scheme": "must be an address that begins with {expected_schemes}",
    "url_too_long": "must have at most {max_length} characters",
    # numbers
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing_size": "is a number with too many digits",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "decimal_type": "must be a number",
    "decimal_parsing": "must be a number",
    "decimal_max_digits": "must have at most {max_digits} digits",
    "decimal_max_places": "must have at most {decimal_places} decimal places",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "none_required": "must be null",
    # times
    "date_type": "must be a date, such as 2026-01-31",
    "date_parsing": "must be a date, such as 2026-01-31",
    "date_from_datetime_parsing": "must be a date, such as 2026-01-31",
    "date_from_datetime_inexact": "must be a date without a time, such as 2026-01-31",
    "time_type": "must be a time, such as 17:30",
    "time_parsing": "must be a time, such as 17:30",
    "datetime_type": "must be a date and time with a UTC offset, such as 2026-01-31T12:00:00Z",
    "datetime_parsing": "must be a date and time with a UTC offset, such as 2026-01-31T12:00:00Z",
    "datetime_from_date_parsing": "must be a date and time with a UTC offset, such as 2026-01-31T12:00:00Z",
    "timezone_aware": "must have a UTC offset, as in 2026-01-31T12:00:00Z",
    "time_delta_type": "must be a length of time, such as P3DT12H",
    "time_delta_parsing": "must be a length of time, such as P3DT12H",
    # several, and objects
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "set_type": "must be a list",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
    "dict_type": "must be an object",
    "mapping_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "recursion_loop": "is nested too deeply",
    "recursion_depth_exceeded": "is nested too deeply",
}
"""By pydantic's types. Others are worded by what has the rule, or below."""
OTHERWISE = "is not valid"
LONGEST_NAME = 64
"""Characters of a misspelt name that are compared."""
_PATTERNS: dict[str, str] = {}
_QUOTED = re.compile(r"'([^']*)'")


def pattern(expression: str, words: str) -> str:
    """A regular expression, for a field; the words are told of what does not match it. Raises ``ValueError`` where it
    has others."""
    if _PATTERNS.setdefault(expression, words) != words:
        raise ValueError(f"two sentences for the pattern {expression}")
    return expression


def words_for(detail: Mapping[str, Any], *, names: Iterable[str] = ()) -> str:
    """The sentence for one of pydantic's errors (an entry of ``ValidationError.errors()``).

    ``names`` are what a place takes, for one that it does not; or the values of an enumeration, where they
    are called otherwise than pydantic has them. An error that was made by us may have its ``words`` in ``ctx``.
    """
    kind, context = str(detail["type"]), detail.get("ctx") or {}
    if "words" in context:
        return str(context["words"])
    if kind == "extra_forbidden":
        location = detail["loc"]
        return unknown(location[-1] if location else None, names)
    if kind in ("enum", "literal_error"):
        return choice([*names] or _QUOTED.findall(str(context.get("expected"))), detail.get("input"))
    if kind == "string_pattern_mismatch":
        return _PATTERNS.get(context.get("pattern", ""), OTHERWISE)
    if kind == "too_long" and context.get("actual_length") is not None and not counts_characters(detail):
        return f"{_filled(SENTENCES[kind], context)}, and has {context['actual_length']:,}"
    if counts_characters(detail):
        kind = f"string_{kind}"
    if kind in SENTENCES:
        return _filled(SENTENCES[kind], context)
    message = str(detail["msg"])
    if kind == "value_error" and "reason" in context:  # of pydantic's own, for addresses
        return f"must be an e-mail address, such as ada@example.com ({_reason(str(context['reason']))})"
    # ours, which are worded where the rule is; pydantic names the exception that they were raised by
    return message.removeprefix("Value error, ").removeprefix("Assertion failed, ") or OTHERWISE


def counts_characters(detail: Mapping[str, Any]) -> bool:
    """Whether an error about too few or too many is about characters: pydantic calls them items in a text that is
    checked in several steps."""
    return detail["type"] in ("too_short", "too_long") and (detail.get("ctx") or {}).get("field_type") == "Value"


def unknown(name: object, names: Iterable[str], noun: str = "field") -> str:
    """The sentence for a name that a place does not take."""
    return f"is not a {noun} that can be sent here{did_you_mean(name, names)}"


def choice(values: Sequence[str], given: object = None) -> str:
    """The sentence for what is none of the values."""
    if len(values) == 1:
        return f"must be {values[0]}"
    return f"must be one of {', '.join(values)}{did_you_mean(given, values)}"


def did_you_mean(given: object, names: Iterable[str], *, cutoff: float = 0.7) -> str:
    """The end of a sentence, which names the one of the names that is closest to what was given; nothing where none is
    as close as ``cutoff`` (1 is the same), or nothing is to be suggested to the request in hand."""
    if not isinstance(given, str) or not 0 < len(given) <= LONGEST_NAME or not suggesting.get():
        return ""
    by_letters: dict[str, str] = {}
    for name in names:
        by_letters.setdefault(_letters(name), name)
    found = get_close_matches(_letters(given), by_letters, n=1, cutoff=cutoff)
    return f"; did you mean {by_letters[found[0]]}?" if found else ""


def _letters(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _filled(sentence: str, context: Mapping[str, Any]) -> str:
    numbers = {name: _number(value) for name, value in context.items()}
    filled = sentence.format_map(numbers)
    if 1 in (context.get("min_length"), context.get("max_length")):
        filled = filled.replace("characters", "character").replace("entries", "entry")
    return filled


def _number(value: object) -> object:
    whole = int(value) if isinstance(value, float) and value.is_integer() else value
    return f"{whole:,}" if type(whole) is int else value


def _reason(sentence: str) -> str:
    sentence = sentence.strip().rstrip(".")
    return sentence[:1].lower() + sentence[1:]
