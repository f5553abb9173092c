"""The parameters of ``GET /tasks``: flat ones for everyday use, which are shorthands of the filter language."""

from collections.abc import Collection
from datetime import datetime
from functools import cached_property
from typing import Annotated, Any, ClassVar, Self, cast

import orjson
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)
from pydantic_core import PydanticCustomError

from api.dependencies.pages import EXACT, ListQuery
from api.http.sparse_fieldsets import DESCRIPTION, FieldNames
from core.sentences import pattern
from db.driver.sessions import Session
from services import saved_views
from services.shared import prices
from services.shared.actors import Actor
from services.shared.errors import BadUserInput, from_validation
from services.shared.external_ids import ExternalText
from services.shared.inputs import TagName, out_of_order
from services.shared.moments import DayMoment, Moment, are_out_of_order
from services.shared.node_ids import MAX_DATABASE_ID
from services.tasks.expansions import NEEDS, PRICES
from services.tasks.filters import TaskFilter
from services.tasks.models import Expansion, TaskStatus, TaskUpsert
from services.tasks.operators import SEARCH, SearchText
from services.tasks.query import MAX_SORT_KEYS, SORT_KEY, Direction, TaskQuery, TaskSort, parse_keys

Id = Annotated[int, Field(ge=1, le=MAX_DATABASE_ID)]
NONE: Any = ()
"""The default of a parameter that may repeat: an empty list would be copied, by copy.deepcopy, for every request."""


_NO_CONDITIONS = frozenset(
    {
        *("limit", "skip", "cursor", "sort_by", "order", "total", "exact", "envelope"),
        *("expand", "fields", "trashed", "saved_view_id"),
    }
)
"""The parameters that say nothing of which tasks, but for the trash and a saved view."""


class TaskConditionQuery(BaseModel):
    """Which of the tasks outside of the trash. Parameters that may repeat match any of their values; all must hold."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    _pages: ClassVar[int] = 0
    """How many pages are read in the order asked for."""

    status: list[TaskStatus] = Field(NONE, max_length=10, description="Where it stands; may repeat.")
    priority: list[Annotated[int, Field(ge=1, le=5)]] = Field(NONE, max_length=10, description="1 to 5; may repeat.")
    project_id: list[Id] = Field(NONE, max_length=100, description="In this project; may repeat.")
    parent_id: Id | None = Field(None, description="Subtasks of this task.")
    milestone_id: list[Id] = Field(NONE, max_length=100, description="Counts towards this milestone; may repeat.")
    assignee: str | None = Field(
        None,
        pattern=pattern(r"^(me|none|[1-9][0-9]{0,9})$", "must be the id of a user, me or none"),
        description="A user's id, me, or none for tasks nobody has.",
    )
    tag: list[TagName] = Field(NONE, max_length=20, description="Has this tag; repeated: has all of them.")
    external_source: list[ExternalText] = Field(
        NONE, max_length=100, description="Its external id is of this system; may repeat."
    )
    external_id: list[ExternalText] = Field(NONE, max_length=100, description="Is called so there; may repeat.")
    due_after: Moment | None = Field(None, description="Due at or after this instant, or one such as today.")
    due_before: Moment | None = Field(None, description="Due before this instant, or one such as today+7d.")
    due_on: list[DayMoment] = Field(
        NONE, max_length=100, description="Due on this day without a time, or one such as today; may repeat."
    )
    overdue: bool | None = Field(None, description="Due in the past and still open (true), or not (false).")
    recurring: bool | None = Field(None, description="It recurs (true), or does not (false).")
    search: SearchText | None = Field(None, description=SEARCH)
    filter: str | None = Field(
        None,
        description="A condition in the filter language, as JSON: the same object as GraphQL's filter.",
        examples=['{"or": [{"priority": {"gte": 4}}, {"tags": {"any": ["bug"]}}]}'],
    )
    saved_view_id: Id | None = Field(
        None, description="Only what this saved view shows, and in its order unless sort_by or order say otherwise."
    )

    @field_validator("assignee")
    @classmethod
    def _check_assignee(cls, assignee: str | None) -> str | None:
        if assignee is not None and assignee.isdigit() and int(assignee) > MAX_DATABASE_ID:
            raise ValueError(f"must be an id of at most {MAX_DATABASE_ID:,}, me or none")
        return assignee

    @field_validator("due_before")
    @classmethod
    def _check_range(cls, due_before: datetime | None, info: ValidationInfo) -> datetime | None:
        due_after = info.data.get("due_after")
        if are_out_of_order(due_after, due_before):
            raise out_of_order("due_after must not be later than due_before")
        return due_before

    def filtered_by(self, condition: TaskFilter) -> Self:
        """The same, with a filter that came as a body. Raises ``BadUserInput`` where there is one besides."""
        if self.filter is not None:
            raise BadUserInput.at("/filter", "the filter is the body here", "extra_forbidden")
        values = {name: getattr(self, name) for name in self.model_fields_set}
        values["filter"] = condition.model_dump_json(by_alias=True, exclude_unset=True)
        return cast(Self, type(self).model_construct(self.model_fields_set | {"filter"}, **values))

    async def resolve(self, session: Session, actor: Actor) -> TaskQuery:
        """The query, with the saved view that it names. Raises ``BadUserInput``, ``NotFound``, ``TooExpensive``."""
        if self.saved_view_id is None:
            prices.demand(self.points)
            return self.in_service_terms
        asked = self.in_service_terms
        query = await saved_views.apply(session, actor, self.saved_view_id, asked)
        further = [] if query.then_by == asked.then_by else [*query.then_by]
        prices.demand(self.price(prices.of_filter(query.filter)) + self._pages * prices.of_then_by(further))
        return query

    def price(self, filtering: int) -> int:
        """What the request comes to, in points, with a filter of that price."""
        raise NotImplementedError

    @cached_property
    def points(self) -> int:
        """What the request comes to, but for a saved view."""
        return self.price(prices.of_filter(self.in_service_terms.filter))

    @cached_property
    def in_service_terms(self) -> TaskQuery:
        """The query, but for a saved view. Raises ``BadUserInput`` for a ``filter`` that does not hold."""
        return TaskQuery(filter=self._filter())

    def _filter(self) -> TaskFilter | None:
        if self.model_fields_set <= _NO_CONDITIONS:
            return None
        conditions: list[dict[str, Any]] = []
        for name, values in (
            ("status", self.status),
            ("priority", self.priority),
            ("project", self.project_id),
            ("milestone", self.milestone_id),
            ("external_source", self.external_source),
            ("external_id", self.external_id),
            ("due_on", self.due_on),
        ):
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
        for name, flag in (("overdue", self.overdue), ("recurring", self.recurring)):
            if flag is not None:
                conditions.append({name: flag})
        if self.search is not None:
            conditions.append({"search": self.search})
        if self.filter is not None:
            conditions.append(parse_filter(self.filter).model_dump(by_alias=True, exclude_unset=True))
        if not conditions:
            return None
        try:
            return TaskFilter.model_validate(conditions[0] if len(conditions) == 1 else {"and": conditions})
        except ValidationError as error:
            raise from_validation(error, prefix="/filter", model=TaskFilter) from None


class TaskFilterQuery(TaskConditionQuery):
    """Which tasks. Parameters that may repeat match any of their values; all parameters must hold."""

    trashed: bool = Field(False, description="Look into the trash instead.")

    @cached_property
    def in_service_terms(self) -> TaskQuery:
        """As for those outside of the trash, or of those in it."""
        return TaskQuery(filter=self._filter(), trashed=self.trashed)


class TaskCountQuery(TaskFilterQuery):
    """Which tasks are counted in groups. Parameters that may repeat match any of their values; all must hold."""

    exact: bool = Field(False, description="Count all tasks, however many match.")

    def price(self, filtering: int) -> int:
        """The groups, of all tasks or of some, and the filter."""
        return filtering + (prices.EXACT_COUNTS if self.exact else prices.COUNTS)


def _are_keys(text: str) -> str:
    parse_keys(text)
    return text


def _goes_with_order(keys: str) -> bool:
    """Whether a parameter of its own says the direction."""
    return "," not in keys and not keys.startswith("-")


SortKeys = Annotated[
    str,
    AfterValidator(_are_keys),
    WithJsonSchema({"type": "string", "pattern": f"^{SORT_KEY}(,{SORT_KEY}){{0,{MAX_SORT_KEYS - 1}}}$"}),
]


class TaskOrderQuery(BaseModel):
    """In which order."""

    sort_by: SortKeys = Field(
        "created_at",
        description=f"What to order by; missing values come last. Of up to {MAX_SORT_KEYS} fields with commas between "
        "them, and of one with - before it, - says what descends, and others ascend: priority,-due_at.",
    )
    order: Direction = Field(Direction.DESC, description="asc or desc, of a single field without -.")

    @field_validator("order")
    @classmethod
    def _check_order(cls, order: Direction, info: ValidationInfo) -> Direction:
        if not _goes_with_order(info.data.get("sort_by", "")):
            raise PydanticCustomError("order", "goes with a single field: of several, or with -, - says what descends")
        return order

    @property
    def sorting(self) -> int:
        """What further keys come to, in points of a page."""
        return prices.of_then_by(self.sort_by.split(",")[1:])

    def ordered(self, filter: TaskFilter | None, *, trashed: bool = False) -> TaskQuery:
        """The query in the service's terms, in the order asked for."""
        asked = self.model_fields_set
        if not _goes_with_order(self.sort_by):
            (sort_by, order), *then_by = parse_keys(self.sort_by)
            return TaskQuery(filter, sort_by, order, trashed, tuple(then_by))
        key = TaskSort(self.sort_by) if "sort_by" in asked else None
        return TaskQuery(filter, key, self.order if "order" in asked else None, trashed)


class TaskListQuery(TaskOrderQuery, TaskFilterQuery, ListQuery):
    """Which tasks, in which order. Parameters that may repeat match any of their values; all parameters must hold."""

    _pages = 1

    expand: list[Expansion] = Field(NONE, description="Relations to read along; may repeat.")
    fields: FieldNames = Field(NONE, description=DESCRIPTION, examples=[["id,title"]])

    def price(self, filtering: int) -> int:
        """A page with its filter, what is read along with its rows, and with ``total`` a count."""
        reading = prices.LIST + self.sorting
        points = reading + self.limit * (prices.ROW + sum(PRICES[name] for name in self.expand)) + filtering
        if not self.total and not self.envelope:
            return points
        return points + filtering + (prices.EXACT_COUNT if self.total == EXACT else prices.COUNT)

    @property
    def reads(self) -> Collection[str] | None:
        """The attributes of the tasks that will be read; None for all of them."""
        return [*self.fields, *(NEEDS[name] for name in self.expand if name in NEEDS)] if self.fields else None

    @cached_property
    def in_service_terms(self) -> TaskQuery:
        """As for any list of tasks, in the order asked for."""
        return self.ordered(self._filter(), trashed=self.trashed)


def in_project(body: TaskUpsert, project_id: int | None) -> TaskUpsert:
    """The body, with the project that the query names. Raises ``BadUserInput`` where it names another one."""
    if project_id is None:
        return body
    if "project_id" in body.model_fields_set and body.project_id != project_id:
        raise BadUserInput.at("/project_id", "is not the project that the query names", "mismatch")
    return body.model_copy(update={"project_id": project_id})


def parse_filter(text: str) -> TaskFilter:
    """A condition in the filter language, from its JSON. Raises ``BadUserInput``."""
    try:
        return TaskFilter.model_validate(orjson.loads(text))
    except orjson.JSONDecodeError:
        raise BadUserInput.at("/filter", "is not valid JSON", "filter") from None
    except ValidationError as error:
        raise from_validation(error, prefix="/filter", model=TaskFilter) from None
