from datetime import datetime

import strawberry
from pydantic import Field
from strawberry import UNSET
from strawberry.scalars import JSON

import graphql_schema.task_lists  # noqa: F401 - declares the filter and the enumerations
from graphql_schema.base import Node, attribute, described, narrow, service_input, shown
from graphql_schema.connections import After, Before, Connection, First, Last, connect, page_request
from graphql_schema.context import Info
from graphql_schema.ids import NodeId, parse_id
from graphql_schema.loading import PAGED
from graphql_schema.prices import priced
from services import node_ids, saved_views
from services.errors import NotFound
from services.idempotency import KeyText
from services.inputs import ExpectedVersion, Input, SavedViewId, absent
from services.saved_views import SavedViewCreate, SavedViewOut, SavedViewRecord, SavedViewUpdate
from services.tasks.queries import Direction, TaskSort


@described(SavedViewOut, record=SavedViewRecord)
class SavedView(Node):
    database_id: int = attribute("id")
    name: str
    filter: JSON
    sort_by: TaskSort
    order: Direction
    version: int
    created_at: datetime
    updated_at: datetime


@service_input()
class CreateSavedViewInput(SavedViewCreate):
    """Saves a view of tasks."""

    idempotency_key: KeyText | None = Field(default_factory=absent)


@service_input()
class UpdateSavedViewInput(SavedViewUpdate):
    """Changes a saved view. Fields that are left out stay as they are."""

    id: SavedViewId = Field(description="The saved view.")
    expected_version: ExpectedVersion | None = Field(default_factory=absent)


@strawberry.type(description="The new saved view.")
class CreateSavedViewPayload:
    saved_view: SavedView = strawberry.field(description="The saved view.")


@strawberry.type(description="The saved view after the change.")
class UpdateSavedViewPayload:
    saved_view: SavedView = strawberry.field(description="The saved view.")


@service_input()
class DeleteSavedViewInput(Input):
    """Deletes a saved view."""

    id: SavedViewId = Field(description="The id.")
    expected_version: ExpectedVersion | None = Field(default_factory=absent)


@strawberry.type(description="The saved view that was deleted.")
class DeleteSavedViewPayload:
    deleted_saved_view_id: strawberry.ID = strawberry.field(description="The id of the saved view.")


@strawberry.type
class SavedViewQueries:
    @strawberry.field(description="One of the caller's saved views; null where there is none.")
    async def saved_view(self, info: Info, id: NodeId) -> SavedView | None:
        view_id = parse_id("SavedView", id)
        async with info.context.reading() as session:
            try:
                return shown(await saved_views.get(session, info.context.actor, view_id))
            except NotFound:
                return None

    @strawberry.field(description="The caller's saved views, oldest first.", metadata=priced(PAGED))
    async def saved_views(
        self, info: Info, first: First = UNSET, after: After = UNSET, last: Last = UNSET, before: Before = UNSET
    ) -> Connection[SavedView]:
        context, request = info.context, page_request(first, after, last, before)

        async def count() -> int:
            async with context.reading() as session:
                return await saved_views.count(session, context.actor)

        async with context.reading() as session:
            return connect(await saved_views.list_(session, context.actor, request), count)


@strawberry.type
class SavedViewMutations:
    @strawberry.mutation(description="Save a filter and an order under a name.")
    async def create_saved_view(self, info: Info, input: CreateSavedViewInput) -> CreateSavedViewPayload | None:
        data = narrow(SavedViewCreate, input)
        async with info.context.writing() as session:
            view = await info.context.once(session, input.idempotency_key, saved_views.create, data)
        return CreateSavedViewPayload(saved_view=shown(view))

    @strawberry.mutation(description="Change a saved view; fields that are left out stay as they are.")
    async def update_saved_view(self, info: Info, input: UpdateSavedViewInput) -> UpdateSavedViewPayload | None:
        async with info.context.writing() as session:
            view = await saved_views.update(
                session,
                info.context.actor,
                input.id,
                narrow(SavedViewUpdate, input),
                expected_version=input.expected_version,
            )
        return UpdateSavedViewPayload(saved_view=shown(view))

    @strawberry.mutation(description="Delete a saved view.")
    async def delete_saved_view(self, info: Info, input: DeleteSavedViewInput) -> DeleteSavedViewPayload | None:
        async with info.context.writing() as session:
            await saved_views.delete(session, info.context.actor, input.id, expected_version=input.expected_version)
        return DeleteSavedViewPayload(deleted_saved_view_id=strawberry.ID(node_ids.encode("SavedView", input.id)))
