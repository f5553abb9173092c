"""What conditions on tasks are made of beside what all are (``services.shared.operators``)."""

from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from services.shared.inputs import Bool, Input, ShownText, TagName, TaskId, UserId, absent
from services.shared.operators import (
    DateFilter,
    IntFilter,
    LinePart,
    LineText,
    NameFilter,
    ProjectRefFilter,
    TaskRefFilter,
    TextFilter,
    TimestampFilter,
    none_of,
    one_of,
)
from services.shared.search_words import MAX_WORDS, words_of
from services.tasks.statuses import TaskStatus


def _few_words(text: str) -> str:
    if len(words_of(text)) > MAX_WORDS:
        raise PydanticCustomError("too_many_words", f"must have at most {MAX_WORDS} words: put a phrase in quotes")
    return text


SEARCH = (
    "A ref such as WEB-12, for the task that has it; else words that the title and description, or one comment, have "
    f"in any order, whatever the case: at most {MAX_WORDS}. A phrase in quotes stands as it is; % and _ are letters."
)
SearchText = Annotated[ShownText, Field(max_length=100, description=SEARCH), AfterValidator(_few_words)]


class TitleFilter(NameFilter):
    """Conditions on the title. To look for words anywhere, use ``search``."""


class DescriptionFilter(TextFilter):
    """Conditions on the description."""

    is_null: Bool = Field(default_factory=absent, description="Is missing (true) or is there (false).")


class StatusFilter(Input):
    """Conditions on the status."""

    eq: TaskStatus = Field(default_factory=absent, description="Is this one.")
    ne: TaskStatus = Field(default_factory=absent, description="Is another one.")
    in_: list[TaskStatus] = one_of("Is one of these.")
    not_in: list[TaskStatus] = none_of("Is none of these.")


class WholeFilter(NameFilter):
    """Conditions on the name of what a task names."""

    is_null: Bool = Field(default_factory=absent, description="Is missing (true) or is there (false).")


class FoldedFilter(Input):
    """Conditions on a name, in any case."""

    eq: LineText = Field(default_factory=absent, description="Is this one.")
    ne: LineText = Field(default_factory=absent, description="Is another one.")
    in_: list[LineText] = one_of("Is one of these.")
    not_in: list[LineText] = none_of("Is none of these.")
    contains: LinePart = Field(default_factory=absent, description="Has this in it.")
    starts_with: LinePart = Field(default_factory=absent, description="Begins with this.")


class TaskProjectFilter(ProjectRefFilter):
    """Conditions on a task's project: which one it is, and what it is like."""

    key: FoldedFilter = Field(default_factory=absent, description="The first half of the task's ref.")
    name: WholeFilter = Field(default_factory=absent, description="The project's name.")
    archived: Bool = Field(default_factory=absent, description="The project is archived (true), or not (false).")
    is_inbox: Bool = Field(default_factory=absent, description="It is the caller's Inbox (true), or not (false).")


class ParentFilter(TaskRefFilter):
    """Conditions on the task that one is a subtask of: which one it is, and what it is like."""

    status: StatusFilter = Field(default_factory=absent, description="Where the parent stands.")
    priority: IntFilter = Field(default_factory=absent, description="The parent's priority.")
    number: IntFilter = Field(default_factory=absent, description="The parent's number within the project.")
    title: WholeFilter = Field(default_factory=absent, description="The parent's title.")
    start_at: TimestampFilter = Field(default_factory=absent, description="When work on the parent may begin.")
    start_on: DateFilter = Field(default_factory=absent, description="The day on which work on the parent may begin.")
    due_at: TimestampFilter = Field(default_factory=absent, description="When the parent is due.")
    due_on: DateFilter = Field(default_factory=absent, description="The day on which the parent is due.")
    completed_at: TimestampFilter = Field(default_factory=absent, description="When the parent was completed.")
    created_at: TimestampFilter = Field(default_factory=absent, description="When the parent was created.")
    updated_at: TimestampFilter = Field(default_factory=absent, description="When the parent was last changed.")


class AssigneesFilter(Input):
    """Conditions on the people a task is assigned to. What they are like, one of them has to be in all."""

    username: FoldedFilter = Field(default_factory=absent, description="Somebody with such a username is to do it.")
    full_name: WholeFilter = Field(default_factory=absent, description="Somebody with such a name is to do it.")
    any: list[UserId] = Field(
        default_factory=absent, min_length=1, max_length=100, description="At least one of these."
    )
    all: list[UserId] = Field(default_factory=absent, min_length=1, max_length=20, description="All of these.")
    none: list[UserId] = Field(default_factory=absent, min_length=1, max_length=100, description="None of these.")
    me: Bool = Field(default_factory=absent, description="The caller is (true) or is not (false) among them.")
    is_empty: Bool = Field(default_factory=absent, description="There is nobody (true) or somebody (false).")


class TagsFilter(Input):
    """Conditions on the tags, by name, whatever the case."""

    any: list[TagName] = Field(
        default_factory=absent, min_length=1, max_length=100, description="At least one of these."
    )
    all: list[TagName] = Field(default_factory=absent, min_length=1, max_length=20, description="All of these.")
    none: list[TagName] = Field(default_factory=absent, min_length=1, max_length=100, description="None of these.")
    is_empty: Bool = Field(default_factory=absent, description="There are none (true) or some (false).")


class RelationsFilter(Input):
    """Conditions on the tasks that a task relates to, in any way and from either end; the trash does not count."""

    any: list[TaskId] = Field(
        default_factory=absent, min_length=1, max_length=100, description="At least one of these."
    )
    none: list[TaskId] = Field(default_factory=absent, min_length=1, max_length=100, description="None of these.")
    is_empty: Bool = Field(default_factory=absent, description="There are none (true) or some (false).")
