"""Random calls: of every operation on projects and what is in them, with good, careless and hostile arguments."""

from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from tests.differential.worlds import ACTORS, PEOPLE


@dataclass(frozen=True)
class Step:
    """A call by somebody. Ids are small, so most of them are of something."""

    actor: str
    operation: str
    body: Any = None
    ids: dict[str, Any] = field(default_factory=dict)
    expected: int | None = None
    key: str | None = None


def _mostly(good: list[Any], bad: list[Any]) -> st.SearchStrategy[Any]:
    """One of the good values four times out of five."""
    return st.sampled_from([*good * max(1, 4 * len(bad) // len(good)), *bad])


IDS = st.sampled_from([1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 6, 7, 8, 99])
PROJECTS = st.sampled_from([7, 7, 7, 7, 1, 3, 8, 9])  # each person has an Inbox: 1 to 6; 7 is shared
USERS = st.integers(1, 7)
TITLES = _mostly(["a", " padded ", "é", "é", "50%_", "x" * 200], ["", "  ", "x" * 201, "\x00", None, 7])
TEXTS = _mostly(["text", "", "ß\n" * 50], [None, "\x00", 1])
REMARKS = _mostly(["Remark", "ß\n" * 50], ["", None, "\x00"])
STATUSES = _mostly(["pending", "in_progress", "completed", "cancelled"], ["done", None])
PRIORITIES = _mostly([1, 2, 3, 4, 5], [0, 6, "3", True, None, 1.5])
STARTS = _mostly(["2026-01-01T00:00:00Z", "2026-02-01T12:00:00+02:00", None], ["2026-01-01", "soon", 5])
DUES = _mostly(["2026-01-15T00:00:00Z", "2026-03-01T00:00:00.123456Z", None], ["2025-01-01T00:00:00Z", "now", 5])
PEOPLE_IDS = st.lists(USERS, max_size=3)
TAGS = st.lists(_mostly(["bug", "Bug", "ß", "new"], ["", "x" * 51]), max_size=3)
VERSIONS = st.one_of(st.none(), st.none(), st.integers(1, 3))
OWN_KEY = "own"
"""Stands for a key that no other call has."""
KEYS = st.sampled_from([None, None, None, "one", "two", OWN_KEY, OWN_KEY, OWN_KEY])
AGAIN = st.sampled_from([*[None] * 12, *range(5)])
"""Which of the calls with keys of their own is repeated next, if any."""
NAMES = _mostly(["Name", " other ", "é"], ["", None, "x" * 101])

TASK_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "description": TEXTS,
    "status": STATUSES,
    "priority": PRIORITIES,
    "start_at": STARTS,
    "due_at": DUES,
    "assignee_ids": PEOPLE_IDS,
    "tags": TAGS,
    "parent_id": st.one_of(st.none(), IDS),
}
NEW_TASKS = st.fixed_dictionaries({"title": TITLES}, optional=TASK_FIELDS | {"project_id": PROJECTS})
CHANGES = st.fixed_dictionaries({}, optional=TASK_FIELDS | {"title": TITLES, "number": st.just(1)})
LEAVES = st.one_of(
    st.fixed_dictionaries({"status": st.fixed_dictionaries({"eq": STATUSES})}),
    st.fixed_dictionaries({"priority": st.fixed_dictionaries({}, optional={"gte": PRIORITIES, "in": st.just([1, 3])})}),
    st.fixed_dictionaries({"search": st.sampled_from(["a", "É", "%", "text", ""])}),
    st.fixed_dictionaries({"tags": st.sampled_from([{"any": ["BUG"]}, {"none": ["ß"]}, {"is_empty": True}])}),
    st.fixed_dictionaries({"assignees": st.sampled_from([{"me": True}, {"me": False}, {"is_empty": False}])}),
    st.fixed_dictionaries({"due_at": st.sampled_from([{"is_null": True}, {"lt": "2026-02-01T00:00:00Z"}])}),
    st.fixed_dictionaries({"relations": st.sampled_from([{"is_empty": True}, {"is_empty": False}])}),
    st.fixed_dictionaries({"blocked": st.booleans()}),
    st.fixed_dictionaries({"overdue": st.booleans()}),
    st.just({}),
)
FILTERS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.fixed_dictionaries({"and": st.lists(inner, min_size=1, max_size=2)}),
        st.fixed_dictionaries({"or": st.lists(inner, min_size=1, max_size=2)}),
        st.fixed_dictionaries({"not": inner}),
    ),
    max_leaves=3,
)
MODES = {"mode": st.sampled_from(["atomic", "partial", "partial"]), "dry_run": st.booleans()}
SORTS = {
    "sort_by": st.sampled_from(["created_at", "title", "due_at", "priority", "number"]),
    "order": st.sampled_from(["asc", "desc"]),
}


def _items(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    changed = st.fixed_dictionaries({"id": IDS}, optional={"expected_version": st.integers(1, 3)} | fields)
    return st.lists(changed, min_size=1, max_size=3)


def _bulk(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(fields, optional=MODES)


_DRAFTS = st.lists(
    st.fixed_dictionaries(
        {"title": TITLES},
        optional={
            "assignee_ids": PEOPLE_IDS,
            "subtasks": st.lists(st.fixed_dictionaries({"title": TITLES}), max_size=1),
        },
    ),
    max_size=2,
)
_TASK, _PROJECT, _TAG = (
    {"task_id": IDS},
    {"project_id": PROJECTS},
    {"tag_id": st.sampled_from([1, 2, 1, 2, 1, 2, 3, 4, 99])},
)
_COMMENT = {"comment_id": st.sampled_from([*range(1, 10), 1, 3, 5, 99])}
_RELATION = {"relation_id": st.sampled_from([1, 2, 1, 2, 3, 4, 99])}
_MEMBER = _PROJECT | {"user_id": USERS}
_VIEW = {"saved_view_id": st.sampled_from([1, 1, 1, 2, 2, 3, 4, 99])}
_BODY = st.fixed_dictionaries({"body": REMARKS})
_ROLES = _mostly(["viewer", "member", "admin", "owner"], ["boss", None])
_COLORS = _mostly(["#ff0000", None], ["red", "#12"])
_KINDS = _mostly(["blocks", "relates_to", "duplicates"], ["eats"])
_VIEWS = {"filter": FILTERS} | SORTS
_LISTS = {"filter": FILTERS, "limit": st.integers(1, 4), "view": st.none() | st.integers(1, 4)} | SORTS

# operation -> (weight, body, ids, whether it takes a version, whether it takes a key)
_TABLE: dict[str, tuple[int, Any, dict[str, Any], bool, bool]] = {
    "create_task": (8, NEW_TASKS, {}, False, True),
    "update_task": (8, CHANGES, _TASK, True, False),
    "put_task": (1, CHANGES, _TASK, True, False),
    "get_task": (1, None, _TASK, False, False),
    "get_task_with_relations": (1, None, _TASK, False, False),
    "delete_task": (3, None, _TASK, True, False),
    "restore_task": (3, None, _TASK, False, True),
    "list_tasks": (3, None, _LISTS, False, False),
    "count_tasks": (1, None, {"group_by": st.sampled_from(["status", "tag", "assignee", "project"])}, False, False),
    "create_tasks": (2, _bulk(tasks=st.lists(NEW_TASKS, min_size=1, max_size=3)), {}, False, True),
    "update_tasks": (2, _bulk(tasks=_items(title=TITLES, **TASK_FIELDS)), {}, False, True),
    "delete_tasks": (3, _bulk(tasks=_items()), {}, False, True),
    "update_matching_tasks": (2, _bulk(filter=FILTERS, changes=CHANGES), {}, False, True),
    "create_project": (1, st.fixed_dictionaries({"name": NAMES}, optional={"tasks": _DRAFTS}), {}, False, True),
    "get_project": (1, None, _PROJECT, False, False),
    "list_projects": (1, None, {}, False, False),
    "update_project": (
        *(1, st.fixed_dictionaries({}, optional={"name": NAMES, "archived": st.sampled_from([True, False, False])})),
        *(_PROJECT, True, False),
    ),
    "delete_project": (1, None, {"project_id": st.sampled_from([7, 8, 8, 9, 1])}, True, False),
    "list_members": (1, None, _PROJECT, False, False),
    "add_member": (
        *(2, st.fixed_dictionaries({"username": st.sampled_from([*PEOPLE, "zoe"])}, optional={"role": _ROLES})),
        *(_PROJECT, False, True),
    ),
    "update_member": (2, st.fixed_dictionaries({"role": _ROLES}), _MEMBER, False, False),
    "remove_member": (1, None, _MEMBER, False, False),
    "list_tags": (1, None, _PROJECT, False, False),
    "create_tag": (
        *(2, st.fixed_dictionaries({"name": _mostly(["bug", "fresh"], ["", "x" * 51])}, optional={"color": _COLORS})),
        *(_PROJECT, False, True),
    ),
    "get_tag": (2, None, _TAG, False, False),
    "update_tag": (
        *(2, st.fixed_dictionaries({}, optional={"name": st.sampled_from(["bug", "ß", "q", ""]), "color": _COLORS})),
        *(_TAG, False, False),
    ),
    "delete_tag": (1, None, _TAG, False, False),
    "list_comments": (1, None, _TASK, False, False),
    "create_comment": (3, _BODY, _TASK, False, True),
    "get_comment": (1, None, _COMMENT, False, False),
    "update_comment": (4, _BODY, _COMMENT, True, False),
    "delete_comment": (1, None, _COMMENT, True, False),
    "list_relations": (1, None, _TASK, False, False),
    "create_relation": (4, st.fixed_dictionaries({"kind": _KINDS, "target_id": IDS}), _TASK, False, True),
    "get_relation": (1, None, _RELATION, False, False),
    "delete_relation": (1, None, _RELATION, False, False),
    "list_saved_views": (1, None, {}, False, False),
    "create_saved_view": (2, st.fixed_dictionaries({"name": NAMES}, optional=_VIEWS), {}, False, True),
    "get_saved_view": (1, None, _VIEW, False, False),
    "update_saved_view": (1, st.fixed_dictionaries({}, optional={"name": NAMES} | _VIEWS), _VIEW, True, False),
    "delete_saved_view": (2, None, _VIEW, True, False),
    "list_task_history": (2, None, _TASK, False, False),
}
OPERATIONS = frozenset(_TABLE)
# most calls are by those who may
_CALLERS = st.sampled_from([*["ada"] * 8, *["bob"] * 4, "adam", "adam", *ACTORS])


def _step(name: str) -> st.SearchStrategy[Step]:
    _, body, ids, versioned, repeatable = _TABLE[name]
    return st.builds(
        Step,
        _CALLERS,
        st.just(name),
        body if body is not None else st.none(),
        st.fixed_dictionaries(ids),
        VERSIONS if versioned else st.none(),
        KEYS if repeatable else st.none(),
    )


STEPS = st.sampled_from([name for name, row in _TABLE.items() for _ in range(row[0])]).flatmap(_step)
