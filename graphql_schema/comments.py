from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import strawberry
from strawberry import UNSET

from graphql_schema.shared.base import FieldDeclaration, Node, attribute, output_type
from graphql_schema.shared.conditions import filter_argument
from graphql_schema.shared.connections import After, Before, ConnectionView, First, Last, none_if_unset, page_request
from graphql_schema.shared.context import Context, Info
from graphql_schema.shared.external_ids import ExternalIdArgument, ExternalSourceArgument, with_external
from graphql_schema.shared.loading import (
    PAGED,
    ChildPages,
    PageArguments,
    batched_field,
    filtered_pages,
    relation_field,
    requested,
)
from graphql_schema.shared.parts import Part
from graphql_schema.shared.root_fields import create_field, delete_field, node_field, update_field
from graphql_schema.users import User
from services import comments
from services.comments import CommentCreate, CommentFilter, CommentOut, CommentRecord, CommentUpdate
from services.shared.inputs import CommentId, TaskId
from services.shared.pagination import Identified
from services.tasks import queries as tasks

if TYPE_CHECKING:
    from graphql_schema.tasks import Task


@output_type(CommentOut, record=CommentRecord)
class Comment(Node):
    database_id: int = attribute("id")
    body: str
    external_source: str | None
    external_id: str | None
    version: int
    created_at: datetime
    edited_at: datetime | None

    author: User | None = relation_field(
        "comment.author",
        comments.authors,
        selective="User",
        description="The user who wrote it; null where that is not known.",
    )
    task: Annotated["Task", strawberry.lazy("graphql_schema.tasks")] | None = relation_field(
        "tasks", tasks.by_ids, by="task_id", description="The task that it is on."
    )


class _Arguments(PageArguments, total=False):
    filter: CommentFilter | None
    external_source: str | None
    external_id: str | None


def comments_field(*, description: str) -> FieldDeclaration:
    """The connection of the comments on a task: one statement for all tasks of a page."""

    async def resolve(
        root: Identified,
        info: Info,
        external_source: ExternalSourceArgument = UNSET,
        external_id: ExternalIdArgument = UNSET,
        filter: Any = UNSET,
        first: First = UNSET,
        after: After = UNSET,
        last: Last = UNSET,
        before: Before = UNSET,
    ) -> ConnectionView[CommentRecord]:
        pages = _pages(none_if_unset(filter), external_source, external_id)
        return await pages.under_one(info.context, root.id, page_request(first, after, last, before))

    async def load_batch(
        context: Context, parents: Sequence[Identified], arguments: _Arguments
    ) -> Sequence[ConnectionView[CommentRecord]]:
        pages = _pages(arguments.get("filter"), arguments.get("external_source"), arguments.get("external_id"))
        return await pages.under_each(context, parents, requested(arguments))

    resolve.__annotations__["filter"] = filter_argument(CommentFilter)
    return batched_field(resolve, load_batch, description, PAGED, needs=("id",))


def _pages(
    filter_: CommentFilter | None, external_source: str | None, external_id: str | None
) -> ChildPages[CommentRecord]:
    which = with_external(CommentFilter, filter_, external_source, external_id)
    # all of them are counted together with the field that only counts
    return filtered_pages("task.comments", comments.pages, comments.counts, which)


@strawberry.type
class CommentQueries:
    comment: Comment | None = node_field(
        "Comment", comments.get, "A comment that the caller may read; null where there is none."
    )


@strawberry.type
class CommentMutations:
    create_comment = create_field(
        Comment,
        comments.create,
        CommentCreate,
        "Comment on a task.",
        telling=True,
        task_id=(TaskId, "The task that it is on."),
    )
    update_comment = update_field(
        Comment, comments.update, CommentUpdate, "Change a comment. Only its author may.", telling=True, id=CommentId
    )
    delete_comment = delete_field(
        Comment,
        comments.delete,
        CommentId,
        "Delete a comment. Its author may, and admins of the project.",
        telling=True,
    )


PART = Part(queries=CommentQueries, mutations=CommentMutations)
