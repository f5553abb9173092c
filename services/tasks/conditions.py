"""From a filter to SQL: conditions in order, whose shape finds a statement that was built before."""

import operator as operators
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Integer, String, and_, exists, func, literal, not_, or_, select, true, type_coerce
from sqlalchemy.orm import aliased

from core.clock import now
from db import trigrams
from db.models import Comment, CommentText, Relation, Tag, Task, TaskAssignee, TaskTag, TaskText
from db.sessions import AnySelect
from db.statements import in_rows
from services.actors import Actor
from services.errors import BadUserInput
from services.prices import MAX_CONDITIONS, MAX_DEPTH, MAX_TEXT, MAX_VALUES
from services.tags import fold
from services.tasks.filters import TaskFilter
from services.tasks.models import TaskStatus
from services.tasks.visibility import live, readable
from services.text import fold as fold_case

OPEN = (TaskStatus.PENDING.value, TaskStatus.IN_PROGRESS.value)
_LOGIC = ("and_", "or_", "not_")

_COLUMNS: dict[str, Any] = {
    "status": Task.status,
    # compared as what callers may send, not as the SMALLINT that PostgreSQL keeps
    "priority": type_coerce(Task.priority, Integer),
    "number": Task.number,
    "title": Task.title,
    "project": Task.project_id,
    "parent": Task.parent_id,
    "created_by": Task.created_by_id,
    "start_at": Task.start_at,
    "due_at": Task.due_at,
    "completed_at": Task.completed_at,
    "created_at": Task.created_at,
    "updated_at": Task.updated_at,
}


class Condition(NamedTuple):
    """A condition as the compiler takes it: what it is, the values in it, and the conditions that it is made of."""

    kind: tuple[Any, ...]
    values: tuple[Any, ...] = ()
    parts: tuple["Condition", ...] = ()

    @property
    def shape(self) -> Hashable:
        """What conditions have in common whose SQL differs in the values alone."""
        return self.kind, len(self.values), tuple([part.shape for part in self.parts])

    @property
    def together(self) -> tuple["Condition", ...]:
        """The conditions all of which have to hold for this one to hold."""
        return self.parts if self.kind == ("and_",) else (self,)

    def all_values(self) -> list[Any]:
        """The values, in the order in which ``compile_condition`` binds them."""
        values = list(self.values)
        for part in self.parts:
            values += part.all_values()
        return values


Bind = Callable[[Any], Any]
"""How a value stands in SQL: as itself, or as a parameter."""


def compile_filter(data: TaskFilter, actor: Actor, *, trashed: bool = False) -> ColumnElement[bool]:
    """The condition on ``tasks``, or on those in the trash, whose comments cannot be read and are not searched.

    Raises ``BadUserInput`` for one nested too deeply, or with too much in it.
    """
    return compile_condition(condition(data, trashed=trashed), actor, lambda value: value)


def condition(data: TaskFilter, *, trashed: bool = False) -> Condition:
    """The filter, checked and put in order. Raises ``BadUserInput`` as ``compile_filter`` does."""
    return _condition(data, _Budget(), "search_task" if trashed else "search", depth=0)


class _Budget:
    """What is left of the bounds of a filter."""

    __slots__ = ("conditions", "text", "values")

    def __init__(self) -> None:
        self.conditions, self.values, self.text = MAX_CONDITIONS, MAX_VALUES, MAX_TEXT

    def spend_condition(self) -> None:
        self.conditions -= 1
        if self.conditions < 0:
            raise BadUserInput.at("/filter", f"more than {MAX_CONDITIONS} conditions")

    def spend(self, values: Sequence[Any]) -> None:
        self.values -= len(values)
        if self.values < 0:
            raise BadUserInput.at("/filter", f"more than {MAX_VALUES:,} values")
        if isinstance(values[0], str):
            self.text -= sum(len(value) if value.isascii() else len(value.encode()) for value in values)
            if self.text < 0:
                raise BadUserInput.at("/filter", f"more than {MAX_TEXT:,} bytes of text")


def _condition(data: TaskFilter, budget: _Budget, search: str, *, depth: int) -> Condition:
    if depth > MAX_DEPTH:
        raise BadUserInput.at("/filter", f"nested more than {MAX_DEPTH} deep")
    parts: list[Condition] = []
    for name in sorted(data.model_fields_set):
        value = getattr(data, name)
        budget.spend_condition()
        if name in _LOGIC:
            inner = value if isinstance(value, list) else [value]
            parts.append(
                Condition((name,), (), tuple(_condition(part, budget, search, depth=depth + 1) for part in inner))
            )
        elif name == "search":
            budget.spend([value])
            folded = fold_text(value)
            parts.append(Condition((search, trigrams.is_indexed(folded)), trigrams.patterns(folded)))
        elif name == "overdue":
            parts.append(Condition(("overdue", value), (now(),)))
        elif name == "blocked":
            parts.append(Condition(("blocked", value)))
        else:
            parts += [_operation(name, operator, given, budget) for operator, given in sorted(value.sent().items())]
    return parts[0] if len(parts) == 1 else Condition(("and_",), (), tuple(parts))


def _operation(name: str, operator: str, given: Any, budget: _Budget) -> Condition:
    if isinstance(given, bool):
        return Condition((name, operator, given))
    values = given if isinstance(given, list) else [given]
    budget.spend(values)
    return Condition((name, operator), tuple(map(fold, values) if name == "tags" else values))


def compile_condition(condition: Condition, actor: Actor, bind: Bind) -> ColumnElement[bool]:
    """The SQL of a condition on ``tasks``."""
    name, *rest = condition.kind
    values = [bind(value) for value in condition.values]
    parts = [compile_condition(part, actor, bind) for part in condition.parts]
    if name == "and_":
        return and_(*parts) if parts else true()
    if name == "or_":
        return or_(*parts)
    if name == "not_":
        # a condition on a missing value is unknown in SQL: for the opposite it counts as false
        return _not(parts[0])
    if name == "search":
        return _SEARCHES[rest[0]](*values)
    if name == "search_task":
        return Task.id.in_(_tasks_with(*values))
    if name == "overdue":
        overdue = and_(Task.due_at < values[0], Task.status.in_(OPEN))
        return overdue if rest[0] else _not(overdue)
    if name == "blocked":
        blocked = _related(actor, Relation.target_id, Relation.kind == "blocks", _OTHER.status.in_(OPEN))
        return blocked if rest[0] else not_(blocked)
    if name in _SETS:
        return _of_set(_SETS[name](actor), actor, values, *rest)
    return _of_column(_COLUMNS[name], values, *rest)


def _not(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    return not_(func.coalesce(condition, literal(False)))


def contains_text(words: str) -> ColumnElement[bool]:
    """Tasks whose title, description or comment has the words as they stand, whatever the case (Unicode case folding).

    Words of fewer than three characters, folded, have no index: every text is read.
    """
    return _contains(*trigrams.patterns(fold_text(words)))


def _contains(*patterns: Any) -> ColumnElement[bool]:
    in_comments = (
        select(Comment.task_id)
        .join(CommentText, CommentText.comment_id == Comment.id)
        .where(trigrams.contains(CommentText, *patterns))
    )
    return Task.id.in_(_tasks_with(*patterns).union(in_comments))


def _tasks_with(*patterns: Any) -> AnySelect:
    """The tasks whose title or description has the words."""
    return select(TaskText.task_id).where(trigrams.contains(TaskText, *patterns))


def _contains_rare(like: Any, _phrase: Any, rarest: Any) -> ColumnElement[bool]:
    """As ``_contains``, of words that few texts hold, all of which hold the ``rarest`` part of them: by a plan of
    PostgreSQL's that is the same for any words."""

    def holding(text: type[TaskText | CommentText]) -> ColumnElement[bool]:
        # a pattern that is known to the planner makes it plan anew for each: looking through the statistics of texts
        # takes 0.4 ms. Behind SELECT it is not known; and what is no column is not looked up in the index
        part = select(type_coerce(rarest, String)).scalar_subquery()
        return text.folded.like(part, escape="/") & text.folded.concat("").like(like, escape="/")

    in_tasks = select(TaskText.task_id).where(holding(TaskText))
    in_comments = select(CommentText.comment_id).where(holding(CommentText))
    # as arrays, what is found counts as little to the planner
    return in_rows(Task.id, in_tasks.union(select(Comment.task_id).where(in_rows(Comment.id, in_comments))))


def contains_each(task_id: Any, like: Any, _phrase: Any = None) -> ColumnElement[bool]:
    """As ``contains_text``, by looking into the texts of each task, whatever the index knows."""
    # a value, not EXISTS: PostgreSQL would rather find all the texts with the words first
    text = select(TaskText.folded.like(like, escape="/")).where(TaskText.task_id == task_id).scalar_subquery()
    comment = (
        select(Comment.id)
        .join(CommentText, CommentText.comment_id == Comment.id)
        .where(Comment.task_id == task_id, CommentText.folded.like(like, escape="/"))
        .limit(1)
        .scalar_subquery()
    )
    return or_(text, comment.is_not(None))


_SEARCHES: dict[Any, Callable[..., ColumnElement[bool]]] = {
    True: _contains,
    False: _contains,
    "each": partial(contains_each, Task.id),
    "rare": _contains_rare,
}
"""By whether the words have an index, and by what ``services.tasks.words`` knows of them."""


def fold_text(text: str) -> str:
    """What search compares: case-folded and composed (NFC), so that é is é however it was typed."""
    return fold_case(text)


def _of_column(column: Any, values: list[Any], operator: str, wanted: bool | None = None) -> ColumnElement[bool]:
    if operator == "is_null":
        found: ColumnElement[bool] = column.is_(None) if wanted else column.is_not(None)
    elif operator == "in_":
        found = column.in_(values)
    else:
        found = _COMPARISONS[operator](column, values[0])
    return found


_COMPARISONS: dict[str, Any] = {
    "eq": operators.eq,
    "gt": operators.gt,
    "gte": operators.ge,
    "lt": operators.lt,
    "lte": operators.le,
}


def _of_set(
    some: "Some", actor: Actor, values: list[Any], operator: str, wanted: bool | None = None
) -> ColumnElement[bool]:
    """A condition on what hangs on a task: ``some`` says whether there is any, or one of these."""
    if operator == "any":
        return some(values)
    if operator == "all":
        return and_(*(some([value]) for value in values))
    if operator == "none":
        return not_(some(values))
    if operator == "me":
        return some([actor.user_id]) if wanted else not_(some([actor.user_id]))
    return not_(some(None)) if wanted else some(None)


Some = Callable[[list[Any] | None], ColumnElement[bool]]


def _assigned(_actor: Actor) -> Some:
    def some(ids: list[Any] | None) -> ColumnElement[bool]:
        among = [] if ids is None else [TaskAssignee.user_id.in_(ids)]
        return exists(select(literal(1)).where(TaskAssignee.task_id == Task.id, *among))

    return some


def _tagged(_actor: Actor) -> Some:
    def some(names: list[Any] | None) -> ColumnElement[bool]:
        among = [] if names is None else [Tag.name_folded.in_(names)]
        tags = select(literal(1)).select_from(TaskTag).join(Tag, Tag.id == TaskTag.tag_id)
        return exists(tags.where(TaskTag.task_id == Task.id, *among))

    return some


_OTHER = aliased(Task)


def _relating(actor: Actor) -> Some:
    def some(ids: list[Any] | None) -> ColumnElement[bool]:
        among = [] if ids is None else [_OTHER.id.in_(ids)]
        return or_(*(_related(actor, near, *among) for near in (Relation.source_id, Relation.target_id)))

    return some


_SETS = {"assignees": _assigned, "tags": _tagged, "relations": _relating}


def _related(actor: Actor, near: Any, *conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    """Whether the task is at that end of a relation to another one, which the actor may read as it may the task."""
    far = Relation.target_id if near is Relation.source_id else Relation.source_id
    return exists(
        select(literal(1))
        .select_from(Relation)
        .join(_OTHER, _OTHER.id == far)
        .where(near == Task.id, live(), readable(actor, _OTHER), *conditions)
    )
