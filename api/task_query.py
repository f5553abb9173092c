"""The parameters of ``GET /tasks``: flat ones for everyday use, which are shorthands of the filter language."""

from collections.abc import Collection
from datetime import datetime
from functools import cached_property
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from api.dependencies import ListQuery
from api.fields import DESCRIPTION, FieldNames
from db.sessions import Session
from services import prices, saved_views
from services.actors import Actor
from services.errors import BadUserInput, from_validation
from services.inputs import TagName, Timestamp, out_of_order
from services.node_ids import MAX_DATABASE_ID
from services.tasks.expansions import NEEDS, PRICES, Expansion
from services.tasks.filters import SearchText, TaskFilter
from services.tasks.models import TaskStatus
from services.tasks.queries import Direction, TaskQuery, TaskSort

Id = Annotated[int, Field(ge=1, le=MAX_DATABASE_ID)]
NONE: Any = ()
"""The default of a parameter that may repeat: an empty list would be copied, by copy.deepcopy, for every request."""


_NO_CONDITIONS = frozenset(
    {"limit", "skip", "cursor", "sort_by", "order", "total", "expand", "fields", "trashed", "saved_view_id"}
)
"""The parameters that say nothing of which tasks, but for the trash and a saved view."""


class TaskFilterQuery(BaseModel):
    """Which tasks. Parameters that may repeat match any of their values; all parameters must hold."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: list[TaskStatus] = Field(NONE, max_length=10, description="Where it stands; may repeat.")
    priority: list[Annotated[int, Field(ge=1, le=5)]] = Field(NONE, max_length=10, description="1 to 5; may repeat.")
    project_id: list[Id] = Field(NONE, max_length=100, description="In this project; may repeat.")
    parent_id: Id | None = Field(None, description="Subtasks of this task.")
    assignee: str | None = Field(
        None, pattern=r"^(me|none|[1-9][0-9]{0,9})$", description="A user's id, me, or none for tasks nobody has."
    )
    tag: list[TagName] = Field(NONE, max_length=20, description="Has this tag; repeated: has all of them.")
    due_after: Timestamp | None = Field(None, description="Due at or after this instant.")
    due_before: Timestamp | None = Field(None, description="Due before this instant.")
    overdue: bool | None = Field(None, description="Due in the past and still open (true), or not (false).")
    search: SearchText | None = Field(
        None, description="In the title, the description or a comment, whatever the case; % and _ are letters."
    )
    filter: str | None = Field(
        None,
        description="A condition in the filter language, as JSON: the same object as GraphQL's filter.",
        examples=['{"or": [{"priority": {"gte": 4}}, {"tags": {"any": ["bug"]}}]}'],
    )
    trashed: bool = Field(False, description="Look into the trash instead.")
    saved_view_id: Id | None = Field(
        None, description="Only what this saved view shows, and in its order unless sort_by or order say otherwise."
    )

    @field_validator("assignee")
    @classmethod
    def _check_assignee(cls, assignee: str | None) -> str | None:
        if assignee is not None and assignee.isdigit() and int(assignee) > MAX_DATABASE_ID:
            raise ValueError(f"an id is at most {MAX_DATABASE_ID}")
        return assignee

    @field_validator("due_before")
    @classmethod
    def _check_range(cls, due_before: datetime | None, info: ValidationInfo) -> datetime | None:
        due_after = info.data.get("due_after")
        if due_after is not None and due_before is not None and due_after > due_before:
            raise out_of_order("due_after must not be later than due_before")
        return due_before

    async def resolve(self, session: Session, actor: Actor) -> TaskQuery:
        """The query, with the saved view that it names. Raises ``BadUserInput``, ``NotFound``, ``TooExpensive``."""
        if self.saved_view_id is None:
            query = self.in_service_terms
        else:
            query = await saved_views.apply(session, actor, self.saved_view_id, self.in_service_terms)
        if query.filter is not None:  # what else a request may ask for is within the budget
            prices.demand(self.price(prices.of_filter(query.filter)))
        return query

    def price(self, filtering: int) -> int:
        """What the request comes to, in points, with a filter of that price."""
        return prices.COUNTS + filtering

    @cached_property
    def in_service_terms(self) -> TaskQuery:
        """The query, but for a saved view. Raises ``BadUserInput`` for a ``filter`` that does not hold."""
        return TaskQuery(filter=self._filter(), trashed=self.trashed)

    def _filter(self) -> TaskFilter | None:
        if self.model_fields_set <= _NO_CONDITIONS:
            return None
        conditions: list[dict[str, Any]] = []
        for name, values in (("status", self.status), ("priority", self.priority), ("project", self.project_id)):
            if values:
                conditions.append({name: {"in": values}})
        if self.parent_id is not None:
            conditions.append({"parent": {"eq": self.parent_id}})
        if self.assignee == "me":
            conditions.append({"assignees": {"me": True}})
        elif self.assignee == "none":
            conditions.append({"assignees": {"is_empty": True}})
        elif self.assignee is not None:
            conditions.append({"assignees": {"any": [int(self.assignee)]}})
        if self.tag:
            conditions.append({"tags": {"all": self.tag}})
        due = {"gte": self.due_after, "lt": self.due_before}
        if self.due_after or self.due_before:
            conditions.append({"due_at": {name: value for name, value in due.items() if value is not None}})
        if self.overdue is not None:
            conditions.append({"overdue": self.overdue})
        if self.search is not None:
            conditions.append({"search": self.search})
        if self.filter is not None:
            conditions.append(_parse(self.filter))
        if not conditions:
            return None
        try:
            return TaskFilter.model_validate(conditions[0] if len(conditions) == 1 else {"and": conditions})
        except ValidationError as error:
            raise from_validation(error, prefix="/filter") from None


class TaskListQuery(TaskFilterQuery, ListQuery):
    """Which tasks, in which order. Parameters that may repeat match any of their values; all parameters must hold."""

    sort_by: TaskSort = Field(TaskSort.CREATED_AT, description="What to order by; missing values come last.")
    order: Direction = Field(Direction.DESC, description="asc or desc.")
    expand: list[Expansion] = Field(NONE, description="Relations to read along; may repeat.")
    fields: FieldNames = Field(NONE, description=DESCRIPTION, examples=[["id,title"]])

    def price(self, filtering: int) -> int:
        """As for counts: a page, what is read along with its rows, and with ``total`` a count."""
        points = prices.LIST + self.limit * (prices.ROW + sum(PRICES[name] for name in self.expand)) + filtering
        return points + prices.COUNT + filtering if self.total else points

    @property
    def reads(self) -> Collection[str] | None:
        """The attributes of the tasks that will be read; None for all of them."""
        return [*self.fields, *(NEEDS[name] for name in self.expand if name in NEEDS)] if self.fields else None

    @cached_property
    def in_service_terms(self) -> TaskQuery:
        """As for any list of tasks, in the order asked for."""
        asked = self.model_fields_set
        return TaskQuery(
            self._filter(),
            self.sort_by if "sort_by" in asked else None,
            self.order if "order" in asked else None,
            self.trashed,
        )


def _parse(text: str) -> Any:
    try:
        parsed = orjson.loads(text)
        return TaskFilter.model_validate(parsed).model_dump(by_alias=True, exclude_unset=True)
    except orjson.JSONDecodeError:
        raise BadUserInput.at("/filter", "is not valid JSON", "filter") from None
    except ValidationError as error:
        raise from_validation(error, prefix="/filter") from None
