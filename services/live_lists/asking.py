"""Which tasks match, for many followers at once: what events cannot tell is asked of the database, in one statement for
many filters and callers.

Each filter is a SELECT, whose SQL is that of lists (``services.tasks.listing.conditions``). Callers that ask the same
of some tasks share one, which goes from their memberships: so the caller is a column there, and no parameter.
"""

from collections.abc import Collection, Hashable, Mapping, Sequence
from functools import partial
from typing import NamedTuple, cast

from sqlalchemy import ColumnElement, Integer, literal_column, select, union
from sqlalchemy import cast as sql_cast
from sqlalchemy.orm import aliased

from db.driver.sessions import AnySelect, Session
from db.driver.statements import Bound, Prepared, Together
from db.lists import in_list, taken_for_few
from db.models import Membership, Project, Relation, Task, TaskAssignee
from services.live_lists.models import MAX_TASKS
from services.live_lists.scopes import MAX_IDS
from services.shared.actors import Actor
from services.shared.limited_keys import LimitedOwner
from services.shared.statements import ACTOR_PARAMETER, parameter
from services.tasks.listing.conditions import TaskPredicate
from services.tasks.listing.index_scan import prepared
from services.tasks.listing.names import asks_names, each_with_names
from services.tasks.models import TaskRecord
from services.tasks.visibility import COLUMNS, live, readable

_FOLLOWER = "follower"
_follower = aliased(Membership, name=_FOLLOWER)
# no column of a table: within subqueries it would be taken for one of theirs
_EACH_CALLER = Actor("token", user_id=cast(int, literal_column(f"{_FOLLOWER}.user_id", Integer)))


ALIKE = 128
"""So many questions of one shape have a statement of their own, or of twice as many."""


class Match(NamedTuple):
    """A task that matches, of those that one question was about."""

    question: int
    caller: int
    """Whose it is, where several asked; else 0."""
    id: int
    version: int
    project_id: int


class Question(NamedTuple):
    """Which tasks match a filter: among some, among those of some projects, or among all; of all and of projects, one
    more than ``MAX_TASKS`` is told at most. Several callers may ask for some together, unless a key limits one."""

    predicate: TaskPredicate
    callers: Sequence[int]
    ids: Collection[int] | None = None
    projects: Collection[int] | None = None

    @property
    def shape(self) -> Hashable:
        """The same for those whose SQL is the same."""
        return self.is_shared, self._among, self.predicate.shape

    @property
    def _among(self) -> str:
        return "ids" if self.ids is not None else "projects" if self.projects is not None else ""

    @property
    def is_shared(self) -> bool:
        """Whether callers ask it together: not where names mean to each those of his own projects."""
        limited = isinstance(self.callers[0], LimitedOwner)
        return self.ids is not None and not limited and not asks_names(self.predicate)

    def bound(self, session: Session, number: int) -> Bound[Match]:
        """The statement that asks it, as the one of a number."""
        among, hint = self._among, session.planner.joins_by_estimate
        build = partial(_of_callers if self.is_shared else partial(_of_one, among, hint), self.predicate)
        values: dict[str, object] = {"question": number, **self.predicate.values()}
        if among:
            values[among] = self.ids if self.ids is not None else self.projects
        values |= {"callers": self.callers} if self.is_shared else {"caller_id": self.callers[0]}
        return prepared(("live", session.planner, self.shape), build, Match)(**values)


def _of_callers(predicate: TaskPredicate) -> AnySelect:
    return (
        select(_number(), _follower.user_id.label("caller"), Task.id, Task.version, Task.project_id)
        .select_from(_follower)
        .join(Task, Task.project_id == _follower.project_id)
        .where(in_list(_follower.user_id, "callers"), in_list(Task.id, "ids"), live())
        .where(*predicate.conditions(_EACH_CALLER))
    )


def _of_one(among: str, hint: bool, predicate: TaskPredicate) -> AnySelect:
    tasks = select(
        _number(), literal_column("0", Integer).label("caller"), Task.id, Task.version, Task.project_id
    ).where(readable(ACTOR_PARAMETER), *predicate.conditions())
    if among == "ids":
        return tasks.where(in_list(Task.id, "ids"))
    if among == "projects":
        tasks = tasks.where(in_list(Task.project_id, "projects"))
    if hint:
        tasks = tasks.where(taken_for_few(Task.number))
    return tasks.limit(MAX_TASKS + 1)


def _number() -> ColumnElement[int]:
    return sql_cast(parameter("question", Integer()), Integer).label("question")


async def ask(session: Session, questions: Sequence[Question]) -> Sequence[Match]:
    """The answers to some questions, in one statement beside those that look names up; as many as ``Round.parts`` puts
    together."""
    questions = await _with_names(session, questions)
    selects = [each.bound(session, number) for number, each in enumerate(questions)]
    first = questions[0]
    if len(questions) >= ALIKE and first.shape == questions[-1].shape and (first.ids or first.projects):
        # with some that ask about nothing: the statement is the same then, however many ask
        nothing = first._replace(ids=None if first.ids is None else [], projects=None if first.projects is None else [])
        selects += [nothing.bound(session, 0)] * (-len(selects) % ALIKE)
    return await session.all(Together(selects))


async def _with_names(session: Session, questions: Sequence[Question]) -> Sequence[Question]:
    """The questions, with the projects and people that names mean to those who ask."""
    if not any(asks_names(each.predicate) for each in questions):
        return questions
    found = await each_with_names(session, [(each.callers[0], each.predicate) for each in questions])
    return [each._replace(predicate=predicate) for each, predicate in zip(questions, found, strict=True)]


_MEMBERS = Prepared(
    select(Membership.project_id, Membership.user_id).where(
        in_list(Membership.project_id, "projects"), in_list(Membership.user_id, "callers")
    ),
    tuple,
)
_below = select(Task.id).where(in_list(Task.parent_id, "ids"))
_targets = select(Relation.target_id).where(in_list(Relation.source_id, "ids"))
_sources = select(Relation.source_id).where(in_list(Relation.target_id, "ids"))
_RELATED = Prepared(union(_below, _targets, _sources).limit(MAX_IDS + 1), tuple)
_ASSIGNED = Prepared(
    select(TaskAssignee.task_id).where(in_list(TaskAssignee.user_id, "people")).limit(MAX_IDS + 1), tuple
)
_ROWS = Prepared(
    select(*COLUMNS).join(Project, Project.id == Task.project_id).where(in_list(Task.id, "ids")), TaskRecord
)


async def members(
    session: Session, projects: Collection[int], callers: Collection[int]
) -> Mapping[int, Collection[int]]:
    """By project, those of the callers who are members of it."""
    found: dict[int, set[int]] = {}
    if projects and callers:
        for project_id, user_id in await session.all(_MEMBERS(projects=[*projects], callers=[*callers])):
            found.setdefault(project_id, set()).add(user_id)
    return found


async def related(session: Session, ids: Collection[int]) -> Collection[int] | None:
    """The tasks below some tasks, and those that they relate to; None where there are more than ``MAX_IDS``."""
    return _few(await session.all(_RELATED(ids=[*ids]))) if ids else ()


async def assigned(session: Session, people: Collection[int]) -> Collection[int] | None:
    """The tasks that some people are to do; None where there are more than ``MAX_IDS``."""
    return _few(await session.all(_ASSIGNED(people=[*people]))) if people else ()


def _few(rows: Sequence[tuple[int, ...]]) -> Collection[int] | None:
    return None if len(rows) > MAX_IDS else {row[0] for row in rows}


async def rows(session: Session, ids: Collection[int]) -> Mapping[int, TaskRecord]:
    """Some tasks, whoever may read them: to be told to those for whom they match in the same version alone."""
    return {row.id: row for row in await session.all(_ROWS(ids=[*ids]))} if ids else {}
