"""JSON as both doors write it, in one go or in pieces."""

from collections.abc import Iterator
from typing import Any

import orjson

from core import turns

HEAVY = 3_000_000
"""From so many characters on, an answer is written in pieces: a tenth slower, without holding anybody up, and it ends
where it is too large, before the memory for the rest is spent. In one go, so many take 5 to 15 ms."""
VALUE = 500
"""How many characters a value may come to, with its name, that is no long text (``LONG_TEXTS`` of the services)."""
_NESTED = (dict, list)


class AnswerTooLarge(Exception):
    """The answer would have more bytes than it may."""


def encode(value: Any) -> bytes:
    """JSON with instants as both doors write them."""
    return orjson.dumps(value, option=orjson.OPT_UTC_Z)


def too_large(most: int) -> str:
    """The sentence for it, on both doors."""
    return f"The answer would be larger than {most:,} bytes: ask for less at a time"


def is_heavy(text: int, most: int) -> bool:
    """Whether an answer of up to so many characters is to be written in pieces; one that is not has ``most`` bytes or
    less, whatever stands in it (a control character takes six)."""
    return text > min(HEAVY, most // 7)


async def encode_in_pieces(value: Any, most: int) -> bytes:
    """As ``encode``, in turns with others. Raises ``AnswerTooLarge`` for more than ``most`` bytes."""
    pieces: list[bytes] = []
    size = 0
    pace = turns.Pace()
    for piece in _pieces(value):
        size += len(piece)
        if size > most:
            raise AnswerTooLarge
        pieces.append(piece)
        if pace.due():
            await turns.give()
    return b"".join(pieces)


def _pieces(value: Any) -> Iterator[bytes]:
    """The JSON of a value; a list or an object in which there is no other is one piece."""
    if type(value) is dict:
        if not any(type(item) in _NESTED for item in value.values()):
            yield encode(value)
            return
        before = b"{"
        for key, item in value.items():
            yield before + encode(key) + b":"
            yield from _pieces(item)
            before = b","
        yield b"}"
    elif type(value) is list and any(type(item) in _NESTED for item in value):
        before = b"["
        for item in value:
            yield before
            yield from _pieces(item)
            before = b","
        yield b"]"
    else:
        yield encode(value)
