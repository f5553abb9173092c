"""Random calls: of every operation on projects and what is in them, with good, careless and hostile arguments."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from hypothesis import strategies as st
from pydantic import BaseModel

from services.shared.node_ids import encode
from services.tasks.models import TaskUpdate
from tests.differential.worlds import ACTORS, PEOPLE
from tests.examples import body_model, headers, path_ids
from tests.operations import OPERATIONS as CALLED


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
DAYS = _mostly(["2026-01-15", "2026-03-01", None], ["2026-02-30", "2026-01-15T00:00:00Z", 5])
PEOPLE_IDS = st.lists(USERS, max_size=3)
TAGS = st.lists(_mostly(["bug", "Bug", "ß", "new"], ["", "x" * 51]), max_size=3)
VERSIONS = st.one_of(st.none(), st.none(), st.integers(1, 3))
OWN_KEY = "own"
"""Stands for a key that no other call has."""
KEYS = st.sampled_from([None, None, None, "one", "two", OWN_KEY, OWN_KEY, OWN_KEY])
AGAIN = st.sampled_from([*[None] * 12, *range(5)])
"""Which of the calls with keys of their own is repeated next, if any."""
_PAIRS = [{"external_source": source, "external_id": id_} for source in ("crm", "erp") for id_ in ("1", "2", "é")]
_NO_PAIRS: list[Any] = [{"external_source": "crm"}, {"external_id": "1"}, {"external_source": "", "external_id": 1}]
ELSEWHERE = _mostly([*[{}] * len(_PAIRS), *_PAIRS], [*_NO_PAIRS, {"external_source": None, "external_id": None}])
"""What things are called in other systems, or nothing of that."""
NAMES = _mostly(["Name", " other ", "é"], ["", None, "x" * 101])


def _values(schema: dict[str, Any], definitions: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values of a field that is declared in a model, by its JSON Schema: most of them good."""
    if "anyOf" in schema:
        return st.one_of(*(_values(each, definitions) for each in schema["anyOf"]))
    if "$ref" in schema:
        return _values(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "enum" in schema:
        return _mostly(schema["enum"], ["none of them"])
    if schema["type"] == "null":
        return st.none()
    if schema["type"] == "string":
        if schema.get("format") == "date":
            return DAYS
        return DUES if schema.get("format") == "date-time" else NAMES if "maxLength" in schema else TEXTS
    if schema["type"] == "boolean":
        return st.booleans()
    if schema["type"] == "integer":
        return IDS
    if schema["type"] == "boolean":
        return st.booleans()
    if schema["type"] == "object":
        return _object(schema, definitions)
    if schema["type"] == "array":
        return st.lists(_values(schema["items"], definitions), max_size=3)
    raise TypeError(f"no values for {schema}")


RULES = _mostly(
    ["FREQ=DAILY", "FREQ=WEEKLY;BYDAY=MO,FR", "freq=monthly;bymonthday=-1;count=3", "FREQ=YEARLY;UNTIL=20990101"],
    ["FREQ=HOURLY", "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "", None],
)
_BY_NAME = {"rule": RULES, "timezone": _mostly(["Europe/Berlin", "UTC"], ["Mars", None])}


def _object(schema: dict[str, Any], definitions: dict[str, Any]) -> st.SearchStrategy[Any]:
    fields = {
        name: _BY_NAME[name] if name in _BY_NAME else _values(each, definitions)
        for name, each in schema["properties"].items()
    }
    required = {name: fields.pop(name) for name in schema.get("required", ())}
    return st.fixed_dictionaries(required, optional=fields)


def _fields(model: type[BaseModel]) -> dict[str, st.SearchStrategy[Any]]:
    schema = model.model_json_schema()
    return {
        name: _BY_NAME[name] if name in _BY_NAME else _values(each, schema.get("$defs", {}))
        for name, each in schema["properties"].items()
    }


def _body(model: type[BaseModel] | None) -> st.SearchStrategy[Any] | None:
    if model is None:
        return None
    fields = _fields(model)
    required = {name: values for name, values in fields.items() if model.model_fields[name].is_required()}
    return st.fixed_dictionaries(required, optional={name: fields[name] for name in fields.keys() - required.keys()})


TASK_FIELDS = _fields(TaskUpdate) | {
    "description": TEXTS,
    "status": STATUSES,
    "priority": PRIORITIES,
    "start_at": STARTS,
    "start_on": DAYS,
    "due_at": DUES,
    "due_on": DAYS,
    "assignee_ids": PEOPLE_IDS,
    "tags": TAGS,
    "parent_id": st.one_of(st.none(), IDS),
}
EDITS = {"add_assignees": PEOPLE_IDS, "remove_assignees": PEOPLE_IDS, "add_tags": TAGS, "remove_tags": TAGS}
for _given in ("title", "external_source", "external_id", *EDITS):
    del TASK_FIELDS[_given]
_WHOLE = {name: values for name, values in TASK_FIELDS.items() if name not in ("assignee_ids", "tags")}


def _also(body: st.SearchStrategy[Any], called: st.SearchStrategy[Any] = ELSEWHERE) -> st.SearchStrategy[Any]:
    return st.builds(lambda one, other: one | other, body, called)


UPSERTED = st.fixed_dictionaries({"title": TITLES}, optional=TASK_FIELDS | {"project_id": PROJECTS})
_NEAR = f"{datetime.now(UTC) + timedelta(days=9):%Y-%m-%d}T00:00:00Z"
"""What something can be snoozed until."""
INSTANTS = _mostly(["2035-06-01T12:00:00Z", "2035-01-01T00:00:00+02:00"], ["2020-01-01T00:00:00Z", "soon", None])
MINUTES = _mostly([0, 30, 1440], [-1, 10**9, "5", None])
REMINDERS = st.one_of(
    st.fixed_dictionaries({"before_due": MINUTES}),
    st.fixed_dictionaries({"remind_at": INSTANTS}),
    st.fixed_dictionaries({}, optional={"before_due": MINUTES, "remind_at": INSTANTS}),
)
NEW_TASKS = _also(
    st.builds(
        lambda one, other: one | other,
        UPSERTED,
        _mostly([{}] * 5, []) | st.fixed_dictionaries({"reminders": st.lists(REMINDERS, max_size=2)}),
    )
)
_MORE = {"title": TITLES, "number": st.just(1)}
CHANGES = _also(
    st.one_of(
        st.fixed_dictionaries({}, optional=TASK_FIELDS | _MORE),
        st.fixed_dictionaries({}, optional=_WHOLE | EDITS),
        st.fixed_dictionaries({}, optional=TASK_FIELDS | EDITS),
    )
)
LEAVES = st.one_of(
    st.fixed_dictionaries({"status": st.fixed_dictionaries({"eq": STATUSES})}),
    st.fixed_dictionaries({"priority": st.fixed_dictionaries({}, optional={"gte": PRIORITIES, "in": st.just([1, 3])})}),
    st.fixed_dictionaries({"search": st.sampled_from(["a", "É", "%", "text", ""])}),
    st.fixed_dictionaries({"search": st.sampled_from(["text a", '"a text"', "inbox-1", "INBOX-2 a", "a " * 25])}),
    st.fixed_dictionaries({"tags": st.sampled_from([{"any": ["BUG"]}, {"none": ["ß"]}, {"is_empty": True}])}),
    st.fixed_dictionaries({"assignees": st.sampled_from([{"me": True}, {"me": False}, {"is_empty": False}])}),
    st.fixed_dictionaries({"due_at": st.sampled_from([{"is_null": True}, {"lt": "2026-02-01T00:00:00Z"}])}),
    st.fixed_dictionaries({"due_at": st.sampled_from([{"gte": "today-1y", "lt": "today+7d"}, {"lt": "tomorrow"}])}),
    st.fixed_dictionaries({"relations": st.sampled_from([{"is_empty": True}, {"is_empty": False}])}),
    st.fixed_dictionaries({"blocked": st.booleans()}),
    st.fixed_dictionaries({"followed": st.booleans()}),
    st.fixed_dictionaries({"recurring": st.booleans()}),
    st.fixed_dictionaries({"title": st.sampled_from([{"contains": "É"}, {"starts_with": "PAD"}, {"ne": "a"}])}),
    st.fixed_dictionaries({"description": st.sampled_from([{"contains": "SS"}, {"is_null": True}])}),
    st.fixed_dictionaries({"priority": st.sampled_from([{"ne": 1}, {"not_in": [1, 3]}])}),
    st.fixed_dictionaries({"parent": st.sampled_from([{"ne": encode("Task", 1)}, {"not_in": [encode("Task", 2)]}])}),
    st.fixed_dictionaries({"external_id": st.sampled_from([{"eq": "1"}, {"in": ["1", "é"]}, {"is_null": True}])}),
    st.fixed_dictionaries({"external_source": st.sampled_from([{"eq": "crm"}, {"is_null": False}])}),
    st.fixed_dictionaries({"overdue": st.booleans()}),
    st.fixed_dictionaries(
        {"due_on": st.sampled_from([{"eq": "2026-01-15"}, {"lt": "today"}, {"is_null": True}, {"gt": "2026-02-30"}])}
    ),
    st.fixed_dictionaries(
        {"parent": st.sampled_from([{"priority": {"gte": 2}}, {"title": {"ne": "a"}, "due_at": {"is_null": True}}])}
    ),
    st.fixed_dictionaries({"project": st.sampled_from([{"is_inbox": True}, {"name": {"ne": "x"}, "archived": False}])}),
    st.fixed_dictionaries(
        {"project": st.sampled_from([{"name": {"contains": "B"}}, {"key": {"starts_with": "in", "contains": "o"}}])}
    ),
    st.fixed_dictionaries(
        {"assignees": st.sampled_from([{"full_name": {"is_null": True}}, {"username": {"ne": "ada"}}])}
    ),
    st.fixed_dictionaries(
        {"assignees": st.sampled_from([{"full_name": {"contains": "É"}}, {"username": {"starts_with": "B"}}])}
    ),
    st.fixed_dictionaries(
        {"parent": st.sampled_from([{"title": {"contains": "A"}}, {"title": {"starts_with": "pad", "ne": "a"}}])}
    ),
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
MODES = {
    "mode": st.sampled_from(["atomic", "partial", "partial"]),
    "dry_run": st.booleans(),
    "notify": st.booleans(),
}
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
_TASK, _PROJECT = {"task_id": IDS}, {"project_id": PROJECTS}
_COMMENT = {"comment_id": st.sampled_from([*range(1, 10), 1, 3, 5, 99])}
_MEMBER = _PROJECT | {"user_id": USERS}
_WEBHOOK = {"webhook_id": st.sampled_from([1, 1, 1, 2, 2, 3, 99])}
_ADDRESSES = _mostly(["https://example.com/told", "https://example.org/"], ["http://127.0.0.1/", "nowhere", None])
_TOLD = st.lists(_mostly(["task.created", "task.updated", "comment.created"], ["webhook.created"]), max_size=2)
_TELLING = {"kinds": _TOLD, "content": _mostly(["thin", "full", "document"], ["thick"]), "filter": FILTERS}
_TELLING["document"] = _mostly(
    ["query($id: ID!) { node(id: $id) { id } }", "{ me { username } }"], ["{ nothing }", "{ __typename", None]
)
_REASONS = _mostly(["assigned", "mentioned", "commented"], ["nothing"])
_DELIVERIES = _mostly(["waiting", "delivered", "failed", "withheld"], ["lost"])
_SNOOZES = _mostly([_NEAR], ["2020-01-01T00:00:00Z", "2099-01-01T00:00:00Z", None])
_READ = {"read": st.booleans()}
_PUT_OFF = {"snoozed_until": _SNOOZES}
_REMINDER = {"reminder_id": st.sampled_from([1, 1, 2, 2, 3, 4, 99])}
_VIEW = {"saved_view_id": st.sampled_from([1, 1, 1, 2, 2, 3, 4, 99])}
_BODY = _also(st.fixed_dictionaries({"body": REMARKS}))
_REMARK = _also(st.fixed_dictionaries({}, optional={"body": REMARKS}))
_CREATING = st.one_of(
    _bulk(tasks=st.lists(NEW_TASKS, min_size=1, max_size=3)),
    st.fixed_dictionaries(
        {
            "tasks": st.lists(_also(UPSERTED, st.sampled_from([*_PAIRS * 2, *_NO_PAIRS])), min_size=1, max_size=3),
            "mode": st.sampled_from(["upsert", "upsert_partial"]),
        },
        optional={"dry_run": st.booleans()},
    ),
)
_ROLES = _mostly(["viewer", "member", "admin", "owner"], ["boss", None])
_KINDS = _mostly(["blocks", "relates_to", "duplicates"], ["eats"])
_KEY = {"field": _mostly(["due_at", "title", "number"], ["colour"]), "direction": st.sampled_from(["asc", "desc"])}
_FURTHER = st.lists(st.fixed_dictionaries({}, optional=_KEY), max_size=3)
_VIEWS = {"filter": FILTERS, "then_by": _FURTHER} | SORTS
_SEVERAL = st.sampled_from(["priority,-due_at", "-due_at,priority,title", "-title,number", "-priority"])
_LISTS = {"filter": FILTERS, "limit": st.integers(1, 4), "view": st.none() | st.integers(1, 4)} | SORTS
_LISTS["sort_by"] |= _SEVERAL

# operation -> (weight, body, ids, whether it takes a version, whether it takes a key)
_TABLE: dict[str, tuple[int, Any, dict[str, Any], bool, bool]] = {
    "create_task": (8, NEW_TASKS, {}, False, True),
    "update_task": (8, CHANGES, _TASK, True, False),
    "put_task": (1, CHANGES, _TASK, True, False),
    "get_task": (1, None, _TASK, False, False),
    "get_task_with_relations": (1, None, _TASK, False, False),
    "delete_task": (3, None, _TASK, True, False),
    "restore_task": (3, None, _TASK | {"with_parents": st.booleans()}, False, True),
    "duplicate_task": (
        *(2, st.fixed_dictionaries({}, optional={"title": TITLES, "subtasks": st.booleans()})),
        *(_TASK, False, True),
    ),
    "move_task": (3, st.fixed_dictionaries({"project_id": PROJECTS}), _TASK, False, True),
    "list_tasks": (3, None, _LISTS, False, False),
    "query_tasks": (1, FILTERS, {}, False, False),
    "count_tasks": (1, None, {"group_by": st.sampled_from(["status", "tag", "assignee", "project"])}, False, False),
    "create_tasks": (3, _CREATING, {}, False, True),
    "upsert_task": (
        *(4, UPSERTED),
        *({"external_source": st.sampled_from(["crm", "erp"]), "external_id": st.sampled_from("123é")}, True, False),
    ),
    "update_tasks": (2, _bulk(tasks=_items(title=TITLES, **_WHOLE, **EDITS)), {}, False, True),
    "delete_tasks": (3, _bulk(tasks=_items()), {}, False, True),
    "update_matching_tasks": (2, _bulk(filter=FILTERS, changes=CHANGES), {}, False, True),
    "create_project": (
        1,
        _also(st.fixed_dictionaries({"name": NAMES}, optional={"tasks": _DRAFTS})),
        {},
        False,
        True,
    ),
    "update_project": (
        1,
        _also(st.fixed_dictionaries({}, optional={"name": NAMES, "archived": st.sampled_from([True, False, False])})),
        *(_PROJECT, True, False),
    ),
    "delete_project": (2, None, {"project_id": st.sampled_from([7, 8, 8, 8, 9, 1])}, True, False),
    "add_member": (
        *(2, st.fixed_dictionaries({"username": st.sampled_from([*PEOPLE, "zoe"])}, optional={"role": _ROLES})),
        *(_PROJECT, False, True),
    ),
    "update_member": (2, st.fixed_dictionaries({"role": _ROLES}), _MEMBER, False, False),
    "remove_member": (2, None, _MEMBER, False, False),
    "create_comment": (3, _BODY, _TASK, False, True),
    "update_comment": (4, _REMARK, _COMMENT, True, False),
    "create_relation": (4, st.fixed_dictionaries({"kind": _KINDS, "target_id": IDS}), _TASK, False, True),
    "create_reminder": (4, REMINDERS, _TASK, False, True),
    "update_reminder": (2, REMINDERS, _REMINDER, True, False),
    "snooze_reminder": (
        *(2, st.fixed_dictionaries({}, optional={"minutes": _mostly([5, 60], [0, None]), "until": _SNOOZES})),
        *(_REMINDER, True, False),
    ),
    "create_saved_view": (2, st.fixed_dictionaries({"name": NAMES}, optional=_VIEWS), {}, False, True),
    "update_saved_view": (1, st.fixed_dictionaries({}, optional={"name": NAMES} | _VIEWS), _VIEW, True, False),
    "delete_saved_view": (2, None, _VIEW, True, False),
}
_PARTS = _mostly(["a", "E", "bug", ""], ["%", "é"])
_NAMED = st.fixed_dictionaries(
    {}, optional={"name": st.fixed_dictionaries({}, optional={"contains": _PARTS, "starts_with": _PARTS, "eq": NAMES})}
)
_TABLE |= {
    **{
        name: (1, st.one_of(_NAMED, st.builds(lambda one: {"not": one}, _NAMED)), ids, False, False)
        for name, ids in (
            ("query_projects", {}),
            ("query_saved_views", {}),
            ("query_webhooks", {}),
            ("query_tags", _PROJECT),
            ("query_milestones", _PROJECT),
        )
    },
    "query_members": (
        *(1, st.fixed_dictionaries({}, optional={"role": st.fixed_dictionaries({"in": st.lists(_ROLES, max_size=2)})})),
        *(_PROJECT, False, False),
    ),
    "query_comments": (
        *(1, st.fixed_dictionaries({}, optional={"body": st.fixed_dictionaries({"contains": _PARTS})})),
        *(_TASK, False, False),
    ),
    "query_task_history": (
        *(1, st.fixed_dictionaries({"entity_type": st.fixed_dictionaries({"ne": st.just("comment")})}), _TASK),
        *(False, False),
    ),
    "query_relations": (
        *(1, st.fixed_dictionaries({}, optional={"kind": st.fixed_dictionaries({"eq": _KINDS})}), _TASK),
        *(False, False),
    ),
    "query_notifications": (
        1,
        st.fixed_dictionaries(
            {},
            optional={
                "unread": st.booleans(),
                "kind": st.fixed_dictionaries({"eq": _REASONS}),
            },
        ),
        *({}, False, False),
    ),
    "update_notification": (
        *(2, st.one_of(st.fixed_dictionaries(_READ), st.fixed_dictionaries({}, optional=_READ | _PUT_OFF))),
        *({"notification_id": IDS}, False, False),
    ),
    "update_notifications": (
        2,
        st.one_of(
            st.fixed_dictionaries(_READ, optional={"through_id": IDS}),
            st.fixed_dictionaries({}, optional=_READ | _PUT_OFF | {"ids": st.lists(IDS, max_size=2)}),
        ),
        *({}, False, False),
    ),
    **{
        name: (
            1,
            st.fixed_dictionaries(
                {},
                optional={
                    "waiting": st.booleans(),
                    "next_at": st.fixed_dictionaries({"gt": _mostly(["today", "2030-01-01T00:00:00Z"], ["soon"])}),
                },
            ),
            *(ids, False, False),
        )
        for name, ids in (("query_reminders", {}), ("query_task_reminders", _TASK))
    },
    "query_webhook_deliveries": (
        *(1, st.fixed_dictionaries({}, optional={"state": st.fixed_dictionaries({"eq": _DELIVERIES})}), _WEBHOOK),
        *(False, False),
    ),
    "create_webhook": (
        *(3, st.fixed_dictionaries({"url": _ADDRESSES, "name": NAMES}, optional=_TELLING | {"project_id": PROJECTS})),
        *({}, False, False),
    ),
    "update_webhook": (
        *(1, st.fixed_dictionaries({}, optional=_TELLING | {"name": NAMES, "url": _ADDRESSES})),
        *(_WEBHOOK, "If-Match" in headers("update_webhook"), False),
    ),
    "duplicate_project": (
        *(1, st.fixed_dictionaries({}, optional={"name": NAMES, "members": st.booleans(), "tasks": st.booleans()})),
        *(_PROJECT, False, True),
    ),
}
_RULES = _mostly(["FREQ=WEEKLY", "FREQ=MONTHLY;BYDAY=-1FR"], ["FREQ=NEVER", None])
_TABLE["preview_occurrences"] = (
    *(1, st.fixed_dictionaries({"rule": _RULES, "due_at": DUES}, optional={"limit": _mostly([1, 3], [0, "x"])})),
    *({}, False, False),
)
# of the others, what their routes declare
_IDS = _TASK | _PROJECT | _COMMENT | _VIEW | _WEBHOOK | _REMINDER
_SOME = st.sampled_from([1, 2, 1, 2, 1, 2, 3, 4, 99])
for _name in sorted(CALLED.keys() - _TABLE.keys()):
    _TABLE[_name] = (
        *(2, _body(body_model(_name)), {each: _IDS.get(each, _SOME) for each in path_ids(_name)}),
        *("If-Match" in headers(_name), "Idempotency-Key" in headers(_name)),
    )
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


STEPS = {name: _step(name) for name in _TABLE}
_DECK = [name for name, row in _TABLE.items() for _ in range(row[0])]
_BEGINNINGS = ("create_task", "create_project", "add_member")


def _things() -> dict[str, list[str]]:
    """Operations by what they are about; of much of it there is nothing before it is created."""
    found: dict[str, list[str]] = {}
    for name in _TABLE:
        found.setdefault(name.partition("_")[2].removesuffix("s"), []).append(name)
    return {thing: names for thing, names in found.items() if len(names) > 1}


def _hand(chance: Random) -> list[str]:
    hand = chance.sample(_DECK, len(_DECK))
    if chance.random() < 0.5:
        return hand
    about = chance.choice([*_things().values()])
    creates = [name for name in about if name.startswith("create_")]
    return [*_BEGINNINGS, *creates * 4, *chance.sample([*about * 4, *hand[: 4 * len(about)]], 8 * len(about)), *hand]


HANDS = st.randoms(use_true_random=False).map(_hand)
"""Names of operations in some order, each as often as it weighs: a few hands have them all. Every other one begins with
much about one kind of thing, which few calls of all come to, one after the other."""


def about(names: Collection[str]) -> st.SearchStrategy[list[str]]:
    """Hands of these operations alone, after those that make what they are about."""
    made = [name for each in _things().values() if not set(each).isdisjoint(names) for name in each]
    creates = [*_BEGINNINGS, *(name for name in made if name.startswith("create_"))]
    return st.permutations([*names] * 4).map(lambda hand: [*creates * 2, *hand])
