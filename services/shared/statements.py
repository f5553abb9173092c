"""Statements that are built once: what varies, the caller first of all, is a parameter."""

from typing import Any, cast

from sqlalchemy import bindparam

from services.shared.actors import Actor

ACTOR_PARAMETER = Actor("token", user_id=cast(int, bindparam("caller_id", required=True)))
"""Stands for whoever calls, in the ``visible`` of a service; the statement is then given a ``caller_id``."""


def parameter(name: str, type_: Any = None) -> Any:
    """A value that is given when the statement is run; of the type of what it is compared with, unless told."""
    return bindparam(name, type_=type_, required=True)
