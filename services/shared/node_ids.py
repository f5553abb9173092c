"""Global ids (Relay's Object Identification): ``node_id`` on REST, ``id`` on GraphQL, the same text."""

from base64 import b64decode
from binascii import b2a_base64
from functools import lru_cache
from typing import cast

MAX_DATABASE_ID = 2**31 - 1
"""What both databases and GraphQL's Int can hold."""


@lru_cache(maxsize=20_000)
def encode(type_name: str, database_id: int) -> str:
    """The global id of the row of a type."""
    return b2a_base64(f"{type_name}:{database_id}".encode(), newline=False).decode()


def decode(node_id: object) -> tuple[str, int] | None:
    """The type's name and the database id, or None for anything that is no global id."""
    decoded = read(node_id)
    return decoded if decoded is not None and 1 <= decoded[1] <= MAX_DATABASE_ID else None


def read(node_id: object) -> tuple[str, int] | None:
    """As ``decode``, also where the number is none that a database gives; None for what ``encode`` does not write."""
    # long ones are nobody's, and would stay in memory
    return _read_again(node_id) if type(node_id) is str and len(node_id) <= USUAL else _read(node_id)


USUAL = 40
"""Characters: as long as a global id gets."""


@lru_cache(maxsize=20_000)
def _read_again(node_id: str) -> tuple[str, int] | None:
    return _read(node_id)


def _read(node_id: object) -> tuple[str, int] | None:
    try:
        type_name, _, number = b64decode(cast(str, node_id), validate=True).decode().partition(":")
        database_id = int(number)
    except (ValueError, TypeError):
        return None
    return (type_name, database_id) if encode(type_name, database_id) == node_id else None
