"""What a feature says of itself, once: both doors, the documents and the tables of the tests read it.

Every feature has a ``FEATURE`` in its own module, and a line in ``services.features``. Modules of the same name in
``api/routes`` and ``graphql_schema`` have its routes and its part of the schema.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from pydantic import BaseModel
from sqlalchemy.orm import InstrumentedAttribute

from db.driver.sessions import Session
from services.shared.actors import Actor, Scope
from services.shared.errors import TandemError

LoadByIds = Callable[[Session, Actor, Collection[int]], Awaitable[Mapping[int, object]]]
"""Reads things by their ids: those that the caller may read, by id."""


class Who(Enum):
    """Who may carry an operation out. For others it is refused, or, where they may not read the thing, not there."""

    ANYBODY = auto()
    """Without credentials, too."""
    ACCOUNT = auto()
    """Whoever has an account: it is about the caller's own things, or leaves out what the caller may not read."""
    LOGIN = auto()
    """As ``ACCOUNT``, by login alone: not with an API key."""
    SELF = auto()
    """Whose it is; it is not there for anybody else."""
    VIEWER = auto()
    """Every member of the project."""
    MEMBER = auto()
    """Members of the project, but for viewers."""
    MATCHING_MEMBER = auto()
    """As ``MEMBER``, in the projects of the tasks that match a filter: where none does, there is nothing to refuse."""
    ADMIN = auto()
    """Admins and owners of the project."""
    OWNER = auto()
    """Owners of the project."""
    AUTHOR = auto()
    """Who wrote it."""
    AUTHOR_OR_ADMIN = auto()
    """Who wrote it, and admins of the project."""
    SERVER_ADMIN = auto()
    """Administrators of the server."""
    SERVER_KEY = auto()
    """An API key with the scope admin, or the server's own."""


@dataclass(frozen=True, slots=True)
class Operation:
    """Something that can be done, by its name on either door, and who may."""

    rest: str
    """REST's ``operationId``, which is the name of the route's function."""
    graphql: str
    """GraphQL's field, with its type: ``Mutation.createTag``."""
    who: Who
    scope: Scope | None = None
    """What an API key needs for it; None where keys may not, or no credentials are needed."""
    repeatable: bool = False
    """Whether it takes an idempotency key."""
    raises: tuple[type[TandemError], ...] = ()
    """Errors that few operations have: what most may answer is not said of each."""
    shorthands: tuple[str, ...] = ()
    """GraphQL's other fields for it, which say some of its arguments by their name."""


@dataclass(frozen=True, slots=True)
class NodeType:
    """A type of things with global ids."""

    name: str
    """As in GraphQL, and in the ids."""
    load: LoadByIds
    output: type[BaseModel]
    """What REST answers of one."""
    label: InstrumentedAttribute[object] | None = None
    """What tasks are counted by, where they are counted by things of this type."""
    logins_only: bool = False
    """An account's own things, which API keys are not told of."""


@dataclass(frozen=True, slots=True)
class Feature:
    """A feature: its name is that of its module in every layer."""

    name: str
    operations: tuple[Operation, ...]
    about: str | None = None
    """A sentence for its tag in the OpenAPI document; None where its routes are under another one's."""
    nodes: tuple[NodeType, ...] = ()
    limits: Mapping[str, int] = field(default_factory=dict)
    """How many of something there can be, for docs/parity.md."""
    schema_modules: tuple[str, ...] | None = None
    """Its modules in ``graphql_schema``, each with a ``PART``, where it is not one of the feature's own name."""

    @property
    def tag(self) -> str:
        """What its routes are listed under in the OpenAPI document."""
        return self.name.replace("_", " ")

    @property
    def parts(self) -> tuple[str, ...]:
        """The modules in ``graphql_schema`` that have a part of the schema for it."""
        return (self.name,) if self.schema_modules is None else self.schema_modules


def registered(*features: Feature) -> tuple[Feature, ...]:
    """The features, in the order in which both doors list them. Raises ``ValueError`` where anything is said twice."""
    _refuse_twice("a feature", (each.name for each in features))
    _refuse_twice("a node type", (node.name for each in features for node in each.nodes))
    _refuse_twice("an operation", (one.rest for each in features for one in each.operations))
    _refuse_twice("a limit", (name for each in features for name in each.limits))
    return features


def _refuse_twice(what: str, names: Iterable[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f"registered twice as {what}: {', '.join(twice)}")
