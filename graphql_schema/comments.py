from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry
from pydantic import Field

from graphql_schema.base import Node, attribute, described, narrow, service_input, shown
from graphql_schema.context import Info
from graphql_schema.ids import NodeId, parse_id
from graphql_schema.loading import loaded
from graphql_schema.users import User
from services import comments, node_ids
from services.comments import CommentCreate, CommentOut, CommentRecord, CommentUpdate
from services.errors import NotFound
from services.idempotency import KeyText
from services.inputs import CommentId, ExpectedVersion, Input, TaskId, absent
from services.tasks import queries as tasks

if TYPE_CHECKING:
    from graphql_schema.tasks import Task


@described(CommentOut, record=CommentRecord)
class Comment(Node):
    database_id: int = attribute("id")
    body: str
    version: int
    created_at: datetime
    edited_at: datetime | None

    author: User | None = loaded(
        "comment.author",
        comments.authors,
        selective="User",
        description="The user who wrote it; null where that is not known.",
    )
    task: Annotated["Task", strawberry.lazy("graphql_schema.tasks")] | None = loaded(
        "tasks", tasks.by_ids, by="task_id", description="The task that it is on."
    )


@service_input()
class CreateCommentInput(CommentCreate):
    """Writes a comment."""

    task_id: TaskId = Field(description="The task that it is on.")
    idempotency_key: KeyText | None = Field(default_factory=absent)


@service_input()
class UpdateCommentInput(CommentUpdate):
    """Changes a comment."""

    id: CommentId = Field(description="The comment.")
    expected_version: ExpectedVersion | None = Field(default_factory=absent)


@strawberry.type(description="The new comment.")
class CreateCommentPayload:
    comment: Comment = strawberry.field(description="The comment.")


@strawberry.type(description="The comment after the change.")
class UpdateCommentPayload:
    comment: Comment = strawberry.field(description="The comment.")


@service_input()
class DeleteCommentInput(Input):
    """Deletes a comment."""

    id: CommentId = Field(description="The id.")
    expected_version: ExpectedVersion | None = Field(default_factory=absent)


@strawberry.type(description="The comment that was deleted.")
class DeleteCommentPayload:
    deleted_comment_id: strawberry.ID = strawberry.field(description="The id of the comment.")


@strawberry.type
class CommentQueries:
    @strawberry.field(description="A comment that the caller may read; null where there is none.")
    async def comment(self, info: Info, id: NodeId) -> Comment | None:
        comment_id = parse_id("Comment", id)
        async with info.context.reading() as session:
            try:
                return shown(await comments.get(session, info.context.actor, comment_id))
            except NotFound:
                return None


@strawberry.type
class CommentMutations:
    @strawberry.mutation(description="Comment on a task.")
    async def create_comment(self, info: Info, input: CreateCommentInput) -> CreateCommentPayload | None:
        data = narrow(CommentCreate, input)
        async with info.context.writing() as session:
            comment = await info.context.once(session, input.idempotency_key, comments.create, input.task_id, data)
        return CreateCommentPayload(comment=shown(comment))

    @strawberry.mutation(description="Change a comment. Only its author may.")
    async def update_comment(self, info: Info, input: UpdateCommentInput) -> UpdateCommentPayload | None:
        async with info.context.writing() as session:
            comment = await comments.update(
                session,
                info.context.actor,
                input.id,
                narrow(CommentUpdate, input),
                expected_version=input.expected_version,
            )
        return UpdateCommentPayload(comment=shown(comment))

    @strawberry.mutation(description="Delete a comment. Its author may, and admins of the project.")
    async def delete_comment(self, info: Info, input: DeleteCommentInput) -> DeleteCommentPayload | None:
        async with info.context.writing() as session:
            await comments.delete(session, info.context.actor, input.id, expected_version=input.expected_version)
        return DeleteCommentPayload(deleted_comment_id=strawberry.ID(node_ids.encode("Comment", input.id)))
