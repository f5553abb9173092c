"""Who may be told of which event: one rule, which is asked of the database for one reader and a stretch of the feed,
and of what was looked up for many readers and a few events.

A rule is written once, of parts that say both: a condition on ``events`` with the reader as ``ACTOR_PARAMETER``, and a
function of a reader, an event and ``Facts``. A test walks every kind of event, place and reader, and compares the two.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, and_, exists, literal, or_, select
from sqlalchemy.orm import aliased

from db.driver.sessions import Session
from db.driver.statements import Prepared
from db.lists import in_list
from db.models import ApiKey, ApiKeyProject, Event, Membership
from services.events.catalogue import TASKS_CLEARED
from services.events.happenings import Happening
from services.projects.queries import among_visible
from services.shared.statements import ACTOR_PARAMETER


class Facts(NamedTuple):
    """What has to be known of some readers to say which of some events they may be told of."""

    members: Mapping[int | None, Collection[int]]
    """By project, those of the readers who are members of it."""
    met: Mapping[int, Collection[int]]
    """By account, those of the readers who share a project with it."""
    limits: Mapping[int | None, Collection[int | None]]
    """By API key, the projects that it is for, where it is limited to some."""


class Rule(NamedTuple):
    """Whether somebody may be told of an event."""

    condition: ColumnElement[bool]
    holds: Callable[[int, Happening, Facts], bool]


def _either(*rules: Rule) -> Rule:
    parts = [rule.holds for rule in rules]

    def holds(reader: int, item: Happening, facts: Facts) -> bool:
        return any(part(reader, item, facts) for part in parts)

    return Rule(or_(*(rule.condition for rule in rules)), holds)


def _all(*rules: Rule) -> Rule:
    parts = [rule.holds for rule in rules]

    def holds(reader: int, item: Happening, facts: Facts) -> bool:
        return all(part(reader, item, facts) for part in parts)

    return Rule(and_(*(rule.condition for rule in rules)), holds)


def _is(name: str, value: str | None) -> Rule:
    column = getattr(Event, name)
    return Rule(
        column.is_(None) if value is None else column == value, lambda _, item, __: getattr(item, name) == value
    )


def _is_reader(name: str) -> Rule:
    """A column holds the reader's id."""
    return Rule(getattr(Event, name) == ACTOR_PARAMETER.user_id, lambda reader, item, _: getattr(item, name) == reader)


def _reads_project() -> Rule:
    """The reader is a member of the event's project."""
    return Rule(
        among_visible(Event.project_id, ACTOR_PARAMETER),
        lambda reader, item, facts: reader in facts.members.get(item.project_id, ()),
    )


def _has_met() -> Rule:
    """The reader shares a project with the account that the event is about."""
    theirs, mine = aliased(Membership), aliased(Membership)
    condition = exists(
        select(literal(1))
        .select_from(theirs)
        .join(mine, mine.project_id == theirs.project_id)
        .where(theirs.user_id == Event.entity_id, mine.user_id == ACTOR_PARAMETER.user_id)
    )
    return Rule(condition, lambda reader, item, facts: reader in facts.met.get(item.entity_id, ()))


MAY_BE_TOLD = _either(
    _reads_project(),
    _all(_is("entity_type", "member"), _is_reader("entity_id")),
    _all(_is("entity_type", "saved_view"), _is_reader("actor_id")),
    _all(_is("entity_type", "follow"), _is_reader("entity_id")),
    _all(_is("entity_type", "reminder"), _is_reader("actor_id")),
    _all(_is("kind", TASKS_CLEARED.name), _is("project_id", None)),
    _all(_is("entity_type", "user"), _is("account_id", None), _either(_is_reader("entity_id"), _has_met())),
)
"""What happens in one's projects; that one joined or left one; one's own saved views and reminders, and what one
follows; that all tasks are gone; and what happened to oneself and those whom one shares a project with, but for what
concerns the security of an account."""

_MEMBERS = Prepared(
    select(Membership.project_id, Membership.user_id).where(
        in_list(Membership.project_id, "projects"), in_list(Membership.user_id, "readers")
    )
)
_theirs, _mine = aliased(Membership), aliased(Membership)
_MET = Prepared(
    select(_theirs.user_id, _mine.user_id)
    .join(_mine, _mine.project_id == _theirs.project_id)
    .where(in_list(_theirs.user_id, "people"), in_list(_mine.user_id, "readers"))
    .distinct()
)


_LIMITS = Prepared(
    select(ApiKey.id, ApiKeyProject.project_id)
    .join(ApiKeyProject, ApiKeyProject.api_key_id == ApiKey.id, isouter=True)
    .where(in_list(ApiKey.id, "keys"), ApiKey.limited)
)


def may_be_told(reader: int, key: int | None, item: Happening, facts: Facts) -> bool:
    """Whether somebody may be told of an event, by the API ``key`` that the caller came by."""
    return is_within(key, item, facts) and MAY_BE_TOLD.holds(reader, item, facts)


def is_within(key: int | None, item: Happening, facts: Facts) -> bool:
    """Whether an event is of no project, or of one that a key is for: that its owner joined another is not told."""
    limit = facts.limits.get(key)
    return limit is None or item.project_id is None or item.project_id in limit


async def look_up(
    session: Session, items: Sequence[Happening], readers: Collection[int], keys: Collection[int] = ()
) -> Facts:
    """What has to be known of the readers, and of the keys that they come by, for these events; in three statements at
    most."""
    projects = [*{item.project_id for item in items} - {None}]
    people = [*{item.entity_id for item in items if item.entity_type == "user"}]
    members: dict[int | None, set[int]] = {}
    met: dict[int, set[int]] = {}
    limits: dict[int | None, set[int | None]] = {}
    if projects and readers:
        for project_id, user_id in await session.all(_MEMBERS(projects=projects, readers=[*readers])):
            members.setdefault(project_id, set()).add(user_id)
    if people and readers:
        for person, user_id in await session.all(_MET(people=people, readers=[*readers])):
            met.setdefault(person, set()).add(user_id)
    if items and keys:
        for key, project_id in await session.all(_LIMITS(keys=[*keys])):
            limits.setdefault(key, set()).add(project_id)
    return Facts(members, met, limits)
