"""A page of tasks at a cost that does not grow with the number of tasks.

Read in the obvious way, the newest tasks of several projects are found by sorting all of them (160 ms for 24,000).
Where an index has each project's tasks in the order asked for, the page is in the first rows of each: they are read
from the index, merged, and what hangs on a row is looked up for those of the page alone.
"""

from collections.abc import Callable, Collection, Hashable, Sequence
from functools import partial

from db.sessions import AnySelect, Session
from db.statements import Bound
from services.actors import Actor
from services.pagination import Ordering, PageRequest, order_terms
from services.prepared import parameter
from services.tasks.conditions import Condition
from services.tasks.lookups import looked_up
from services.tasks.models import TaskRecord
from services.tasks.stretches import (
    INDEXES,
    Question,
    beyond_position,
    in_order,
    left_out,
    merge,
    position_of,
    prepared,
    stretch_of,
    stretches,
)
from services.tasks.words import Walk

DENSE = frozenset({"status", "priority", "project", "created_at", "updated_at", "due_at", "start_at", "overdue"})
"""What a filter may be made of, for its first matches to be near the beginning of any order as a rule. The others are
found by indexes of their own: a word (unless it is a common one), a person, a tag."""


async def page(
    session: Session,
    actor: Actor,
    question: Question,
    ordering: Ordering,
    request: PageRequest,
    asked: Callable[[Question], AnySelect],
    wanted: Collection[str] | None = None,
) -> Sequence[TaskRecord]:
    """The tasks of a page, and one more where there are more. Raises ``BadUserInput`` for a cursor that does not hold.

    ``asked`` makes the statement for all the tasks of ``CALLER`` in a question, for the orders that have no index.
    Columns of ``OPTIONAL`` that are not ``wanted`` are left out, where an index is read.
    """
    size = request.size + 1
    indexed = _has_index(question, ordering, request)
    walking = indexed and _is_dense(question.where)
    question = await looked_up(session, actor, question, Walk(ordering, request) if walking else None)
    values = {"caller_id": actor.user_id, "skip": request.skip, **question.values()}
    position = position_of(ordering, request, values)
    if question.is_never_met:
        return []
    shape = (session.dialect, question.shape, ordering.signature, request.backward)

    def first(rows: int, kind: Hashable, build: Callable[[], AnySelect]) -> Bound[TaskRecord]:
        statement = prepared((kind, *shape), build, TaskRecord)
        return statement(**values, rows=rows, most=rows + request.skip)

    if not (indexed and _is_dense(question.where)):
        build = partial(_sorted, partial(asked, question), ordering, request.backward, position)
        return await session.all(first(size, ("sorted", position), build))
    merged = await merge(session, actor, values)
    if merged is None:
        return []
    without = left_out(wanted, question, ordering)
    found: list[TaskRecord] = []
    for stretch in stretches(session.dialect, ordering.key.nullable, position, request.backward):
        if len(found) < size:
            build = partial(stretch_of, session.dialect, merged, question, ordering, request.backward, stretch, without)
            rows = await session.all(first(size - len(found), (merged, stretch, without), build))
            found += in_order(rows, ordering, request.backward, stretch) if session.dialect == "sqlite" else rows
    return found


def from_index(question: Question, ordering: Ordering, request: PageRequest) -> bool:
    """Whether the rows of a page are the first ones of each project's index, as a rule."""
    return _has_index(question, ordering, request) and _is_dense(question.where)


def _has_index(question: Question, ordering: Ordering, request: PageRequest) -> bool:
    """Whether an index has each project's tasks in the order asked for."""
    return not question.trashed and ordering.key.name in INDEXES and not (ordering.key.nullable and request.skip)


def _is_dense(condition: Condition | None) -> bool:
    """Whether the rows of a page are among the first ones of each project's index, as a rule."""
    if condition is None:
        return True
    if condition.parts:
        return all(map(_is_dense, condition.parts))
    # a word that is still there when words have been looked up is a common one
    return condition.kind[0] in DENSE or condition.kind in {("and_",), ("search",)}


def _sorted(asked: Callable[[], AnySelect], ordering: Ordering, backward: bool, position: str) -> AnySelect:
    """All the tasks in question, sorted."""
    statement = beyond_position(asked(), ordering, position, backward=backward)
    statement = statement.order_by(*order_terms(ordering, backward=backward))
    return statement.limit(parameter("rows")).offset(parameter("skip"))
