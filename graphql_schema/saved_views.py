from datetime import datetime

import strawberry
from strawberry.scalars import JSON

from graphql_schema.shared.base import Nested, Node, attribute, output_type
from graphql_schema.shared.connections import Connection
from graphql_schema.shared.parts import Part
from graphql_schema.shared.prices import listed
from graphql_schema.shared.root_fields import create_field, delete_field, list_field, node_field, update_field
from graphql_schema.task_lists import TaskFilter, TaskOrder, TaskOrdering
from services import saved_views
from services.saved_views import SavedViewCreate, SavedViewFilter, SavedViewOut, SavedViewRecord, SavedViewUpdate
from services.shared.inputs import SavedViewId
from services.shared.prices import MAX_THEN_BY
from services.tasks import filters, query
from services.tasks.query import Direction, TaskSort

_NESTED: Nested = {filters.TaskFilter: TaskFilter, query.TaskOrder: TaskOrder}


@output_type(SavedViewOut, record=SavedViewRecord)
class SavedView(Node):
    database_id: int = attribute("id")
    name: str
    filter: JSON
    sort_by: TaskSort
    order: Direction
    then_by: list[TaskOrdering] = listed(MAX_THEN_BY)
    version: int
    created_at: datetime
    updated_at: datetime


@strawberry.type
class SavedViewQueries:
    saved_view: SavedView | None = node_field(
        "SavedView", saved_views.get, "One of the caller's saved views; null where there is none."
    )
    saved_views: Connection[SavedView] = list_field(
        saved_views.list_, saved_views.count, SavedViewFilter, "The caller's saved views, oldest first."
    )


@strawberry.type
class SavedViewMutations:
    create_saved_view = create_field(
        SavedView, saved_views.create, SavedViewCreate, "Save a filter and an order under a name.", nested=_NESTED
    )
    update_saved_view = update_field(
        SavedView,
        saved_views.update,
        SavedViewUpdate,
        "Change a saved view; fields that are left out stay as they are.",
        nested=_NESTED,
        id=SavedViewId,
    )
    delete_saved_view = delete_field(SavedView, saved_views.delete, SavedViewId, "Delete a saved view.")


PART = Part(queries=SavedViewQueries, mutations=SavedViewMutations)
