"""Who tasks are assigned to and which tags they have: as they are stored, and written as they are to be."""

from collections import defaultdict
from collections.abc import Collection, Mapping, MutableMapping, Sequence
from typing import Any

from sqlalchemy import delete as sql_delete
from sqlalchemy import select

from core import turns
from db.driver.sessions import Session
from db.driver.statements import Prepared
from db.lists import one_of
from db.models import Tag, TaskAssignee, TaskTag
from services import tags
from services.events import log
from services.projects.models import ProjectRecord
from services.shared.actors import Actor
from services.shared.bulk_writing import write_all
from services.shared.errors import BadUserInput
from services.shared.statements import parameter
from services.tasks.insertion import ASSIGN, LABEL
from services.tasks.models import MAX_ASSIGNEES, MAX_TAGS, TaskRecord

Planned = Mapping[int, tuple[dict[str, Any], log.Changes]]
"""By task: the values that it is to have, and those that change."""


PEOPLE = frozenset({"assignee_ids", "add_assignees", "remove_assignees"})
TAGS = frozenset({"tags", "add_tags", "remove_tags"})
"""The fields that say whom a task is assigned to, and which tags it has: as a whole, or as an edit of what there is."""


def assigned_by(sent: Mapping[str, Any]) -> set[int]:
    """The people that a change may assign."""
    return {*sent.get("assignee_ids", ()), *sent.get("add_assignees", ())}


def settled(sent: Mapping[str, Any], old: Mapping[str, Any]) -> dict[str, Any]:
    """What is sent, with whole sets in the place of edits."""
    new = {name: value for name, value in sent.items() if name not in PEOPLE | TAGS}
    if not PEOPLE.isdisjoint(sent):
        people = {*sent.get("assignee_ids", old["assignee_ids"]), *sent.get("add_assignees", ())}
        new["assignee_ids"] = sorted(people.difference(sent.get("remove_assignees", ())))
    if not TAGS.isdisjoint(sent):
        removed = {tags.fold(name) for name in sent.get("remove_tags", ())}
        names = [*sent.get("tags", old["tags"]), *sent.get("add_tags", ())]
        new["tags"] = distinct_tags([name for name in names if tags.fold(name) not in removed], old["tags"])
    return new


def check_edits(sent: Mapping[str, Any], changed: log.Changes) -> None:
    """Raises ``BadUserInput`` for an edit that adds and removes the same, or adds to a set which then has more than a
    task may have; one that an import made larger may become smaller."""
    if not set(sent.get("add_assignees", ())).isdisjoint(sent.get("remove_assignees", ())):
        raise BadUserInput.at("/remove_assignees", "names somebody who is added in the same call", "exclusive")
    if not {*map(tags.fold, sent.get("add_tags", ()))}.isdisjoint(map(tags.fold, sent.get("remove_tags", ()))):
        raise BadUserInput.at("/remove_tags", "names a tag that is added in the same call", "exclusive")
    for field, name, most in (("assignee_ids", "add_assignees", MAX_ASSIGNEES), ("tags", "add_tags", MAX_TAGS)):
        before, after = changed.get(field, ((), ()))
        if name in sent and len(after) > max(most, len(before)):
            raise BadUserInput.at(
                f"/{name}", f"a task has at most {most} of them: these would be {len(after)}", "too_long"
            )


async def read_into(
    session: Session,
    before: MutableMapping[int, dict[str, Any]],
    *,
    assigned: Collection[int],
    tagged: Collection[int],
) -> None:
    """Add to the values of tasks whom some are assigned to, and the tags of others."""
    for ids, field in ((assigned, "assignee_ids"), (tagged, "tags")):
        for task_id in ids:
            before[task_id][field] = []
    if assigned:
        for task_id, user_id in await session.all(
            select(TaskAssignee.task_id, TaskAssignee.user_id)
            .where(one_of(TaskAssignee.task_id, assigned))
            .order_by(TaskAssignee.user_id)
        ):
            before[task_id]["assignee_ids"].append(user_id)
    if tagged:
        for task_id, name in await session.all(
            select(TaskTag.task_id, Tag.name)
            .join(Tag, TaskTag.tag_id == Tag.id)
            .where(one_of(TaskTag.task_id, tagged))
            .order_by(Tag.name_folded)
        ):
            before[task_id]["tags"].append(name)


async def set_assignees(session: Session, planned: Planned) -> None:
    """Assign whom changes name, and nobody else any more."""
    gone: list[dict[str, int]] = []
    new: list[dict[str, int]] = []
    for task_id, (_, changed) in planned.items():
        before, after = changed.get("assignee_ids", ((), ()))
        gone += ({"the_task": task_id, "the_user": user_id} for user_id in set(before) - set(after))
        new += ({"task_id": task_id, "user_id": user_id} for user_id in sorted(set(after) - set(before)))
    await write_all(session, _UNASSIGN, gone)
    await write_all(session, ASSIGN, new)


async def set_tags(
    session: Session,
    actor: Actor,
    tasks: Mapping[int, TaskRecord],
    projects: Mapping[int, ProjectRecord],
    planned: Planned,
) -> None:
    """Give tasks the tags that changes name, and no others; those that a project lacks are created."""
    by_project: dict[int, dict[int, list[str]]] = defaultdict(dict)
    for task_id, (values, changed) in planned.items():
        if "tags" in changed:
            by_project[tasks[task_id].project_id][task_id] = values["tags"]
    for project_id, wanted in sorted(by_project.items()):
        ids = await tags.ensure(
            session, actor, projects[project_id], [name for names in wanted.values() for name in names]
        )
        await session.execute(sql_delete(TaskTag).where(one_of(TaskTag.task_id, wanted)))
        links: list[dict[str, int]] = []
        pace = turns.Pace()
        for task_id, names in wanted.items():
            if pace.due():
                await turns.give()
            links += ({"task_id": task_id, "tag_id": ids[tags.fold(name)]} for name in names)
        await write_all(session, LABEL, links)


_UNASSIGN = Prepared(
    sql_delete(TaskAssignee).where(
        TaskAssignee.task_id == parameter("the_task"), TaskAssignee.user_id == parameter("the_user")
    )
)


def distinct_tags(names: Sequence[str], stored: Sequence[str]) -> list[str]:
    """The names once each in the order of their folds; a tag that is there keeps the spelling it has."""
    spelling = {tags.fold(name): name for name in [*reversed(names), *stored]}
    return [spelling[folded] for folded in sorted({tags.fold(name) for name in names})]
