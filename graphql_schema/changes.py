from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from typing import Annotated, Any

import strawberry
from strawberry import UNSET

from graphql_schema.comments import Comment
from graphql_schema.milestones import Milestone
from graphql_schema.projects import Project
from graphql_schema.relations import Relation
from graphql_schema.shared.base import FieldDeclaration, as_output, output_type
from graphql_schema.shared.connections import none_if_unset
from graphql_schema.shared.context import BatchLoad, Info
from graphql_schema.shared.following import as_told
from graphql_schema.shared.ids import parse_id
from graphql_schema.shared.loading import relation_field
from graphql_schema.shared.parts import Part
from graphql_schema.shared.prices import Price, listed, priced
from graphql_schema.tags import Tag
from graphql_schema.task_lists import TaskFilter
from graphql_schema.tasks import Task
from services import changes, comments, milestones, relations, tags
from services.changes import ChangesOut
from services.events import happenings
from services.events.catalogue import CATALOGUE, COMMENT_CREATED, COMMENT_IMPORTED
from services.events.happenings import HappeningOut
from services.events.interests import Interest, interest_in
from services.projects import queries as projects
from services.shared.prices import of_filter
from services.tasks import queries as tasks


def _row(key: str, load: BatchLoad[Any], by: str, what: str) -> FieldDeclaration:
    words = f"The {what}, as it is now; null where it cannot be read, or the change is of something else."
    return relation_field(key, load, by=by, description=words)


@output_type(HappeningOut)
class Happening:
    cursor: str
    event_id: str
    kind: str
    entity_type: str
    entity_id: int
    entity_version: int | None
    task_id: int | None
    project_id: int | None
    actor_id: int | None
    occurred_at: datetime
    fields: list[str] = listed(happenings.FIELDS)

    task: Task | None = _row("tasks", tasks.by_ids, "task_id", "task that it belongs to")
    project: Project | None = _row("projects", projects.by_ids, "project_id", "project that it belongs to")
    comment: Comment | None = _row("comments", comments.by_ids, "comment_id", "comment that changed")
    tag: Tag | None = _row("tags", tags.by_ids, "tag_id", "tag that changed")
    milestone: Milestone | None = _row("milestones", milestones.by_ids, "milestone_id", "milestone that changed")
    relation: Relation | None = _row("relations", relations.by_ids, "relation_id", "relation that changed")


@output_type(ChangesOut)
class Changes:
    changes: list[Happening] = listed(changes.MAX_LIMIT)
    cursor: str
    has_more: bool


FeedCursor = Annotated[
    str | None,
    strawberry.argument(
        description="A cursor of the feed: what happened after it. 0 is the beginning, now where the feed ends."
    ),
]
Kinds = Annotated[list[str] | None, strawberry.argument(description="Of one of these kinds, e.g. task.updated.")]
OfProject = Annotated[
    strawberry.ID | None,
    strawberry.argument(description="In this project: NOT_FOUND for whoever may not read it (any more)."),
]
OfTask = Annotated[
    strawberry.ID | None,
    strawberry.argument(description="Of this task and what hangs on it: NOT_FOUND as for the project."),
]
OfTasks = Annotated[
    TaskFilter | None,
    strawberry.argument(description="Of tasks that meet this as it is told, and of what hangs on them."),
]
OF_TASKS = [kind.name for kind in CATALOGUE.values() if kind.subject == "task"]
OF_NEW_COMMENTS = [COMMENT_CREATED.name, COMMENT_IMPORTED.name]
OF_PROJECTS = [kind.name for kind in CATALOGUE.values() if kind.subject in {"project", "member"}]
_FOLLOWING = Price(call=changes.FOLLOWING, arguments={"filter": of_filter})


def _interest(kind: list[str] | None, project_id: str | None, task_id: str | None, filter: OfTasks = None) -> Interest:
    """The arguments in the service's terms. Raises ``BadUserInput``."""
    project_id, task_id = none_if_unset(project_id), none_if_unset(task_id)
    return interest_in(
        none_if_unset(kind),
        None if project_id is None else parse_id("Project", project_id, pointer="/projectId"),
        None if task_id is None else parse_id("Task", task_id, pointer="/taskId"),
        none_if_unset(filter),
    )


@strawberry.type
class ChangesQueries:
    @strawberry.field(
        description="What happened after a cursor, as far as the caller may be told now; from the beginning where none "
        "is given.",
        metadata=priced(Price(call=changes.PRICE, arguments={"filter": of_filter})),
    )
    async def changes(
        self,
        info: Info,
        after: FeedCursor = UNSET,
        first: Annotated[
            int | None, strawberry.argument(description=f"How many at most, up to {changes.MAX_LIMIT}.")
        ] = UNSET,
        wait: Annotated[
            int,
            strawberry.argument(
                description="Where there is nothing to tell: how many seconds to wait until there is, at most "
                f"{changes.MAX_WAIT}."
            ),
        ] = 0,
        kind: Kinds = UNSET,
        project_id: OfProject = UNSET,
        task_id: OfTask = UNSET,
        filter: OfTasks = UNSET,
    ) -> Changes:
        size, context = none_if_unset(first), info.context
        return as_output(
            await changes.wait(
                context.database,
                context.feed,
                context.connections,
                context.actor,
                none_if_unset(after),
                changes.DEFAULT_LIMIT if size is None else size,
                _interest(kind, project_id, task_id, filter),
                wait,
                limit_pointer="/first",
            )
        )


def _follow(info: Info, after: str | None, interest: Interest) -> AsyncGenerator[Any, None]:
    context = info.context
    told = changes.follow(context.database, context.feed, context.actor, none_if_unset(after), interest)
    return as_told(told)


def _of_tasks(kinds: Sequence[str], description: str) -> FieldDeclaration:
    """A subscription to some kinds of what happens to tasks, and to what hangs on them."""

    async def resolve(
        info: Info,
        project_id: OfProject = UNSET,
        task_id: OfTask = UNSET,
        filter: OfTasks = UNSET,
        after: FeedCursor = UNSET,
    ) -> AsyncGenerator[Happening, None]:
        async for told in _follow(info, after, _interest([*kinds], project_id, task_id, filter)):
            yield told

    return strawberry.subscription(resolver=resolve, description=description, metadata=priced(_FOLLOWING))


@strawberry.type
class ChangesSubscriptions:
    @strawberry.subscription(
        description="What happens after a cursor, or from now on where none is given, as it happens.",
        metadata=priced(_FOLLOWING),
    )
    async def changes(
        self,
        info: Info,
        after: FeedCursor = UNSET,
        kind: Kinds = UNSET,
        project_id: OfProject = UNSET,
        task_id: OfTask = UNSET,
        filter: OfTasks = UNSET,
    ) -> AsyncGenerator[Happening, None]:
        async for told in _follow(info, after, _interest(kind, project_id, task_id, filter)):
            yield told

    task_changed = _of_tasks(
        OF_TASKS, "Changes of tasks as they happen: each with the task as it is then, null where it is gone."
    )
    comment_added = _of_tasks(OF_NEW_COMMENTS, "Comments as they are written, and where they are written.")

    @strawberry.subscription(
        description="Changes of projects and of who is in them, as they happen: also that the caller joined or left.",
        metadata=priced(_FOLLOWING),
    )
    async def project_changed(
        self, info: Info, project_id: OfProject = UNSET, after: FeedCursor = UNSET
    ) -> AsyncGenerator[Happening, None]:
        async for told in _follow(info, after, _interest(OF_PROJECTS, project_id, None)):
            yield told


PART = Part(queries=ChangesQueries, subscriptions=ChangesSubscriptions)
