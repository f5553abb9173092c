"""The things that events tell of, read along with them: as they are now, with the rights of whoever is told."""

from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum

from pydantic import Field

from db.driver.sessions import Session
from services import comments, milestones, relations, tags
from services.comments import CommentOut
from services.events.happenings import Happening, HappeningOut
from services.milestones import MilestoneOut
from services.projects import queries as projects
from services.projects.models import ProjectOut
from services.relations import RelationOut
from services.shared.actors import Actor
from services.shared.expansions import Along, Expanded, expand
from services.tags import TagOut
from services.tasks import queries as tasks
from services.tasks.models import TaskOut


class Included(StrEnum):
    """What can be read along with events."""

    TASK = "task"
    PROJECT = "project"
    COMMENT = "comment"
    TAG = "tag"
    MILESTONE = "milestone"
    RELATION = "relation"


class HappeningWithRows(HappeningOut):
    """One change, with the things that ``include`` names as they are now; the others are left out."""

    task: TaskOut | None = Field(
        default=None, description="With include=task: the task that it belongs to; null where it cannot be read now."
    )
    project: ProjectOut | None = Field(
        default=None, description="With include=project: the project that it belongs to; null as for the task."
    )
    comment: CommentOut | None = Field(
        default=None, description="With include=comment: the comment that changed; null as for the task."
    )
    tag: TagOut | None = Field(
        default=None, description="With include=tag: the tag that changed; null as for the task."
    )
    milestone: MilestoneOut | None = Field(
        default=None, description="With include=milestone: the milestone that changed; null as for the task."
    )
    relation: RelationOut | None = Field(
        default=None, description="With include=relation: the relation that changed; null as for the task."
    )


_ROWS: Mapping[str, Along] = {
    Included.TASK: Along(tasks.by_ids, "task_id"),
    Included.PROJECT: Along(projects.by_ids, "project_id"),
    Included.COMMENT: Along(comments.by_ids, "comment_id"),
    Included.TAG: Along(tags.by_ids, "tag_id"),
    Included.MILESTONE: Along(milestones.by_ids, "milestone_id"),
    Included.RELATION: Along(relations.by_ids, "relation_id"),
}


async def include(
    session: Session, actor: Actor, items: Sequence[Happening], names: Collection[Included]
) -> Sequence[Happening | Expanded]:
    """The events with the things named, in one statement for each kind of them."""
    return await expand(session, actor, items, [name.value for name in names], _ROWS)
