"""How many tasks meet a predicate: project by project, from an index alone where the predicate asks for no more."""

from typing import Any

from sqlalchemy import ColumnElement, func, literal_column, select, true

from db.driver.planners import Planner
from db.driver.sessions import AnySelect
from db.lists import in_list
from db.models import Task
from db.models.projects import Membership
from services.shared.statements import ACTOR_PARAMETER, parameter
from services.tasks.listing import lanes
from services.tasks.listing.conditions import TaskPredicate
from services.tasks.listing.full_scan import matching_tasks
from services.tasks.visibility import live, readable

_ONE: Any = literal_column("1")


def count_statement(planner: Planner, predicate: TaskPredicate, *, dense: bool, bounded: bool) -> AnySelect:
    """How many tasks of ``ACTOR_PARAMETER`` meet a predicate; of more than ``most`` that many, where ``bounded``.

    ``dense`` says that many of the tasks of any project do as a rule: a few are found by what the predicate asks for.
    """
    if not dense or predicate.trashed or not (bounded or predicate.where is None):
        counted = matching_tasks(planner, predicate).with_only_columns(_ONE)
    elif not bounded:
        # not as a join, for which the tasks of everybody's projects may be gone through
        numbers = select(_number(_of_member_projects(predicate)).label("number")).where(_MINE).subquery("of_projects")
        return select(func.coalesce(func.sum(numbers.c.number), 0))
    elif planner.knows_lateral:
        # as many of each project, or it might be planned as that join
        of_project = _of_member_projects(predicate).limit(parameter("most")).lateral("of_project")
        counted = select(_ONE).select_from(Membership).join(of_project, true()).where(_MINE)
    else:
        counted = _of_member_projects(predicate).correlate(None).where(_MINE)
    if bounded:
        counted = counted.limit(parameter("most"))
    return select(func.count()).select_from(counted.subquery("counted"))


def set_count_statement(held: AnySelect, predicate: TaskPredicate, *, bounded: bool) -> AnySelect:
    """How many of the tasks whose ids a SELECT has, some of them several times, meet a predicate; bounded as above."""
    ids = held.distinct().subquery("held")
    [task_id] = ids.c
    # looked up one by one (OFFSET 0), or all tasks might be gone through for them
    task = select(_ONE.label("one")).select_from(Task).where(Task.id == task_id, readable(ACTOR_PARAMETER))
    task = task.where(*predicate.conditions()).offset(literal_column("0")).correlate(ids)
    counted = select(_ONE).select_from(ids).join(task.lateral("task"), true())
    if bounded:
        counted = counted.limit(parameter("most"))
    return select(func.count()).select_from(counted.subquery("counted"))


def project_counts_statement(predicate: TaskPredicate) -> AnySelect:
    """How many tasks of each of the projects ``ids`` meet a predicate, of more than ``most`` that many."""
    number = _number(_of_member_projects(predicate).limit(parameter("most")))
    return select(Membership.project_id, number).where(_MINE, in_list(Membership.project_id, "ids"))


_MINE: Any = Membership.user_id == ACTOR_PARAMETER.user_id


def _of_member_projects(predicate: TaskPredicate) -> AnySelect:
    """A row for each task of the project that a membership is of."""
    tasks: AnySelect = select(_ONE).select_from(Task).correlate(Membership)
    tasks = tasks.where(Task.project_id == Membership.project_id, live(), *predicate.conditions())
    # without statistics, SQLite takes any index that begins with the project: this one is enough by itself
    return (
        tasks.with_hint(Task, f"INDEXED BY {lanes.ALL.indexes['priority']}", "sqlite")
        if predicate.where is None
        else tasks
    )


def _number(rows: AnySelect) -> ColumnElement[int]:
    """How many rows a SELECT has that depends on a membership."""
    return select(func.count()).select_from(rows.subquery("of_project")).scalar_subquery()
