"""What may have changed of a list: some tasks, those of some projects, or any."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from services.events.catalogue import (
    FOLLOW_CREATED,
    FOLLOW_DELETED,
    MEMBER_UPDATED,
    TASKS_CLEARED,
    USER_CLAIMED,
    USER_DELETED,
    USER_UPDATED,
)
from services.events.happenings import Happening
from services.live_lists.reach import Reach

MAX_IDS = 5_000
"""Of more tasks, the list is asked for anew."""
_FOLLOWED = frozenset({FOLLOW_CREATED.name, FOLLOW_DELETED.name})
_RENAMED = frozenset({USER_UPDATED.name, USER_CLAIMED.name, USER_DELETED.name})


@dataclass(slots=True)
class Scope:
    """What has to be asked again of a list."""

    ids: set[int] = field(default_factory=set)
    projects: set[int] = field(default_factory=set)
    whole: bool = False

    def __bool__(self) -> bool:
        return self.whole or bool(self.ids) or bool(self.projects)

    def add(self, ids: Collection[int]) -> None:
        """Some tasks more."""
        self.ids.update(ids)
        if len(self.ids) > MAX_IDS:
            self.everything()

    def everything(self) -> None:
        """All of the list."""
        self.ids, self.projects, self.whole = set(), set(), True

    def merge(self, other: "Scope") -> None:
        """What another one has, too."""
        if other.whole:
            self.everything()
        if not self.whole:
            self.projects |= other.projects
            self.add(other.ids)


class Beside(NamedTuple):
    """What of other tasks depends on what happened; None where that is too much to be named."""

    related: Collection[int] | None = ()
    """Those below the tasks, and those that they relate to."""
    assigned: Collection[int] | None = ()
    """Those that the people are to do."""


class Touched:
    """What some events may have changed, for whoever follows."""

    def __init__(self, items: Sequence[Happening]) -> None:
        self.by_project: dict[int | None, set[int]] = defaultdict(set)
        """Tasks, by the project of the event."""
        self.joined: dict[int, set[int]] = defaultdict(set)
        """Projects that an account came to, or left."""
        self.projects: set[int] = set()
        """Projects that have changed themselves."""
        self.cleared: set[int] = set()
        """Projects whose tasks are gone."""
        self.keys: set[int] = set()
        """API keys that are for other projects now."""
        self.people: set[int] = set()
        """Accounts that may have another name."""
        self.following: set[int] = set()
        """Accounts that follow something else now."""
        self.everything = False
        for item in items:
            self._see(item)

    def _see(self, item: Happening) -> None:
        if item.task_id is not None:
            self.by_project[item.project_id].add(item.task_id)
        elif item.kind == TASKS_CLEARED.name:
            if item.project_id is None:
                self.everything = True
            else:
                self.cleared.add(item.project_id)
        elif item.entity_type == "member":
            if item.kind != MEMBER_UPDATED.name and item.project_id is not None:
                self.joined[item.entity_id].add(item.project_id)
        elif item.entity_type == "project":
            self.projects.add(item.entity_id)
        elif item.kind in _FOLLOWED:
            self.following.add(item.entity_id)
        elif item.kind in _RENAMED:
            self.people.add(item.entity_id)
        elif item.entity_type == "api_key" and "project_ids" in item.fields:
            self.keys.add(item.entity_id)

    @property
    def task_ids(self) -> set[int]:
        """All the tasks."""
        return set().union(*self.by_project.values())

    @property
    def named_projects(self) -> set[int]:
        """The projects in which it is asked who is a member."""
        return {project for project in self.by_project if project is not None} | self.projects | self.cleared

    def for_one(
        self,
        user_id: int,
        reach: Reach,
        members: Mapping[int, Collection[int]],
        held: Collection[int],
        beside: "Beside",
    ) -> Scope:
        """What has to be asked for one follower. ``members`` are those of each project, ``held`` the tasks that it was
        told: of these it may not be a member any more."""
        scope = Scope()
        if self._is_all(user_id, reach, beside):
            scope.everything()
            return scope
        for project, ids in self.by_project.items():
            if project is not None and user_id in members.get(project, ()):
                scope.add(ids)
            else:
                scope.add({id_ for id_ in ids if id_ in held})
        if reach.tasks:
            scope.add(beside.related or ())
        if reach.people:
            scope.add(beside.assigned or ())
        if scope.whole:
            return scope
        scope.projects |= self.joined.get(user_id, set())
        changed = self.cleared | self.projects if reach.projects else self.cleared
        scope.projects |= {project for project in changed if user_id in members.get(project, ())}
        return scope

    def _is_all(self, user_id: int, reach: Reach, beside: "Beside") -> bool:
        return (
            self.everything
            or (reach.tasks and beside.related is None)
            or (reach.people and beside.assigned is None)
            or (reach.follows and user_id in self.following)
            # what relates to tasks of a project may be anywhere
            or (reach.tasks and (user_id in self.joined or bool(self.cleared)))
        )
