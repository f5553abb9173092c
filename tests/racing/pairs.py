"""The calls, and which are tried against which: every write against all that its checks rest on."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from services.shared.node_ids import encode
from tests.actors import PASSWORD, Anonymous
from tests.doors import Call, Door, Result, log_in
from tests.operations import (
    ACCOUNTS,
    COMMENT,
    MEMBER,
    OPERATIONS,
    PROJECT,
    RELATION,
    SAVED_VIEW,
    TAG,
    TASK,
    WEBHOOK,
    Operation,
    call,
)
from tests.racing.worlds import World

REFRESH = Call(
    "POST /token/refresh", "mutation($input: RefreshTokenInput!) { result: refreshToken(input: $input) { tokenType } }"
)
REGISTER = Call("POST /users", "mutation($input: RegisterInput!) { result: register(input: $input) { user { id } } }")


@dataclass(frozen=True)
class Step:
    """A call by somebody."""

    who: str
    name: str
    body: Any = None
    ids: dict[str, Any] = field(default_factory=dict)

    async def take(self, door: Door, world: World) -> Result:
        caller = world.people[self.who]
        if self.name == "login":
            return await log_in(door, caller, world.name("member"), PASSWORD)
        if self.name in _CALLS:
            return await _CALLS[self.name].on(door, caller, self.body, id=self.ids.get("id", 0))
        if self.name == "clear_tasks":
            return await _clear(door, caller, self.body)
        return await call(_brief(self.name), door, self.name, caller, self.body, **self.ids)


@cache
def _brief(name: str) -> Operation:
    """The operation, asking for an id at most: what else is read after the COMMIT, when it may have changed again."""
    operation = OPERATIONS[name]
    document = operation.graphql
    for fields in (TASK, PROJECT, MEMBER, TAG, COMMENT, RELATION, SAVED_VIEW, WEBHOOK):
        document = document.replace(f"{{ {fields} }}", "{ id }")
    return replace(operation, graphql=document)


_CALLS = {
    "refresh": REFRESH,
    "register": REGISTER,
    **{
        name: ACCOUNTS[name]
        for name in ("update_me", "change_password", "end_session", "create_api_key", "update_user")
    },
}


async def _clear(door: Door, caller: Anonymous, project_id: int | None) -> Result:
    query = "" if project_id is None else f"?project_id={project_id}"
    cleared = Call(f"DELETE /admin/clear-tasks{query}", ACCOUNTS["clear_tasks"].graphql)
    values = None if door == "rest" or project_id is None else {"project_id": encode("Project", project_id)}
    return await cleared.on(door, caller, values)


Make = Callable[[World], Step]


def _project(who: str, name: str, body: Any = None, place: str = "home") -> Make:
    return lambda w: Step(who, name, body(w) if callable(body) else body, {"project_id": w.id[place]})


def _task(who: str, name: str, body: Any = None, task: str = "target") -> Make:
    return lambda w: Step(who, name, body(w) if callable(body) else body, {"task_id": w.id[task]})


def _member(who: str, name: str, whom: str, body: Any = None, place: str = "home") -> Make:
    return lambda w: Step(who, name, body, {"project_id": w.id[place], "user_id": w.id[whom]})


def _tag(who: str, name: str, body: Any = None, tag: str = "bug") -> Make:
    return lambda w: Step(who, name, body, {"tag_id": w.id[tag]})


def _comment(who: str, name: str, body: Any = None) -> Make:
    return lambda w: Step(who, name, body, {"task_id": w.id["target"], "comment_id": w.id["comment"]})


def _webhook(name: str, body: Any = None) -> Make:
    return lambda w: Step("member", name, body, {"webhook_id": w.id["hook"]})


def _bulk(name: str, *items: Callable[[World], dict[str, Any]], mode: str = "partial") -> Make:
    return lambda w: Step("member", name, {"mode": mode, "tasks": [item(w) for item in items]})


def _new(w: World, **fields: Any) -> dict[str, Any]:
    return {"project_id": w.id["home"], "title": "new"} | fields


CALLED = {"external_source": "crm", "external_id": "1"}
STEPS: dict[str, Make] = {
    # tasks
    "create a task": lambda w: Step("member", "create_task", _new(w)),
    "create a task with all": lambda w: Step(
        "member",
        "create_task",
        _new(w, parent_id=w.id["parent"], tags=["bug", "new"], assignee_ids=[w.id["other"], w.id["member"]]),
    ),
    "create tasks": _bulk(
        "create_tasks",
        lambda w: _new(w),
        lambda w: _new(w, parent_id=w.id["parent"]),
        lambda w: _new(w, tags=["bug", "new"], assignee_ids=[w.id["other"]]),
        lambda w: _new(w, project_id=w.id["far"]),
    ),
    "change a title": _task("member", "update_task", lambda w: {"title": "changed"}),
    "change a priority": _task("other", "update_task", {"priority": 4}),
    "change tags": _task("member", "update_task", {"tags": ["ux", "new"]}),
    "keep a tag": _task("member", "update_task", {"tags": ["bug"]}, "second"),
    "assign": _task("member", "update_task", lambda w: {"assignee_ids": [w.id["other"]]}, "second"),
    "move a task": _task("member", "update_task", lambda w: {"parent_id": w.id["parent"]}),
    "move the parent": _task("owner", "update_task", lambda w: {"parent_id": w.id["target"]}, "parent"),
    "bring up to date": lambda w: Step("member", "upsert_task", _new(w, tags=["bug", "new"]), dict(CALLED)),
    "bring it up to date": lambda w: Step("owner", "upsert_task", _new(w, title="other"), dict(CALLED)),
    "call it so": _task("member", "update_task", CALLED, "second"),
    "add to a task": _task("member", "update_task", lambda w: {"add_tags": ["new"], "add_assignees": [w.id["other"]]}),
    "take from a task": _task("other", "update_task", lambda w: {"remove_tags": ["bug"]}),
    "make a task again": _task("member", "duplicate_task", {}),
    "move to far": _task("member", "move_task", lambda w: {"project_id": w.id["far"]}),
    "move the parent to far": _task("owner", "move_task", lambda w: {"project_id": w.id["far"]}, "parent"),
    "move back from far": _task("owner", "move_task", lambda w: {"project_id": w.id["home"]}, "remote"),
    "trash a task": _task("member", "delete_task"),
    "trash the task": _task("owner", "delete_task"),
    "trash the parent": _task("owner", "delete_task", None, "parent"),
    "trash the other end": _task("owner", "delete_task", None, "remote"),
    "restore a task": _task("member", "restore_task", None, "trashed"),
    "restore it": _task("owner", "restore_task", None, "trashed"),
    "change tasks": _bulk(
        "update_tasks",
        lambda w: {"id": w.id["target"], "priority": 3},
        lambda w: {"id": w.id["second"], "tags": ["bug", "new"], "assignee_ids": [w.id["other"]]},
        lambda w: {"id": w.id["remote"], "priority": 5},
    ),
    "change tasks by many": lambda w: Step(
        "member",
        "update_tasks",
        {
            "mode": "partial",
            "tasks": [{"id": w.id[n], "priority": 3} for n in ("target", "second", "child")]
            + [{"id": 2_000_000_000 + n, "priority": 3} for n in range(40)],
        },
    ),
    "trash tasks": _bulk(
        "delete_tasks",
        lambda w: {"id": w.id["target"]},
        lambda w: {"id": w.id["parent"]},
        lambda w: {"id": w.id["remote"]},
    ),
    "change what matches": lambda w: Step(
        "member",
        "update_matching_tasks",
        {
            "mode": "partial",
            "filter": {"project": {"eq": w.id["home"]}, "tags": {"any": ["bug"]}},
            "changes": {"tags": ["ux"]},
        },
    ),
    "clear the project": lambda w: Step("server", "clear_tasks", w.id["home"]),
    "clear everything": lambda w: Step("server", "clear_tasks"),
    # what hangs on tasks
    "comment": _task("member", "create_comment", {"body": "said"}),
    "set a reminder": _task("member", "create_reminder", {"before_due": 30}),
    "change a comment": _comment("member", "update_comment", {"body": "said better"}),
    "delete a comment": _comment("admin", "delete_comment"),
    "relate": _task("member", "create_relation", lambda w: {"kind": "blocks", "target_id": w.id["remote"]}, "second"),
    "relate the other way": _task(
        "owner", "create_relation", lambda w: {"kind": "blocks", "target_id": w.id["second"]}, "remote"
    ),
    "end a relation": lambda w: Step(
        "member", "delete_relation", None, {"task_id": w.id["target"], "relation_id": w.id["relation"]}
    ),
    # tags
    "create a tag": _project("member", "create_tag", {"name": "new"}),
    "create the tag": _project("owner", "create_tag", {"name": "NEW"}),
    "rename a tag": _tag("member", "update_tag", {"name": "new"}),
    "rename another": _tag("owner", "update_tag", {"name": "new"}, "ux"),
    "colour a tag": _tag("member", "update_tag", {"color": "#d73a4a"}),
    "delete a tag": _tag("member", "delete_tag"),
    "delete the tag": _tag("owner", "delete_tag"),
    # members
    "add somebody": lambda w: Step(
        "admin", "add_member", {"username": w.name("guest"), "role": "member"}, {"project_id": w.id["home"]}
    ),
    "add the same": lambda w: Step(
        "owner", "add_member", {"username": w.name("guest"), "role": "viewer"}, {"project_id": w.id["home"]}
    ),
    "demote the other": _member("admin", "update_member", "other", {"role": "viewer"}),
    "promote the other": _member("owner", "update_member", "other", {"role": "owner"}),
    "remove the other": _member("admin", "remove_member", "other"),
    "remove the other, too": _member("owner", "remove_member", "other"),
    "demote the member": _member("owner", "update_member", "member", {"role": "viewer"}),
    "remove the member": _member("owner", "remove_member", "member"),
    "the member leaves": _member("member", "remove_member", "member"),
    "demote the admin": _member("owner", "update_member", "admin", {"role": "member"}),
    "remove the admin": _member("owner", "remove_member", "admin"),
    "the admin leaves": _member("admin", "remove_member", "admin"),
    "the owner leaves far": _member("owner", "remove_member", "owner", None, "far"),
    "the other owner leaves far": _member("other", "remove_member", "other", None, "far"),
    "the owner becomes admin of far": _member("other", "update_member", "owner", {"role": "admin"}, "far"),
    "remove the member from far": _member("owner", "remove_member", "member", None, "far"),
    # projects
    "rename the project": _project("admin", "update_project", lambda w: {"name": "called"}),
    "describe the project": _project("owner", "update_project", {"description": "what it is"}),
    "archive": _project("admin", "update_project", {"archived": True}),
    "archive the project": _project("owner", "update_project", {"archived": True}),
    "archive far": _project("owner", "update_project", {"archived": True}, "far"),
    "delete the project": _project("owner", "delete_project"),
    "delete far": _project("owner", "delete_project", None, "far"),
    "create a project": lambda w: Step(
        "member", "create_project", {"name": "made", "key": w.key, "tasks": [{"title": "first"}]}
    ),
    "create the project": lambda w: Step("other", "create_project", {"name": "made", "key": w.key}),
    # accounts
    "register": lambda w: Step("nobody", "register", _account(w, w.name("new"), w.name("post"))),
    "register the name": lambda w: Step("nobody", "register", _account(w, w.name("NEW"), w.name("mail"))),
    "register the address": lambda w: Step("nobody", "register", _account(w, w.name("newer"), w.name("post"))),
    "change one's address": lambda w: Step("member", "update_me", {"email": f"{w.name('post')}@example.com"}),
    "take the address": lambda w: Step("other", "update_me", {"email": f"{w.name('post')}@example.com"}),
    "save a view": lambda w: Step(
        "member", "create_saved_view", {"name": "mine", "filter": {}, "sort_by": "title", "order": "asc"}
    ),
    "change a view": lambda w: Step("member", "update_saved_view", {"name": "better"}, {"saved_view_id": w.id["view"]}),
    "delete a view": lambda w: Step("member", "delete_saved_view", None, {"saved_view_id": w.id["view"]}),
    "make a webhook": lambda w: Step(
        "member", "create_webhook", {"name": "new", "url": "https://example.com/", "project_id": w.id["home"]}
    ),
    "change a webhook": _webhook("update_webhook", {"name": "better"}),
    "filter a webhook": _webhook("update_webhook", {"filter": {"priority": {"gte": 4}}}),
    "tell a webhook of projects": _webhook("update_webhook", {"kinds": ["project.updated"]}),
    "pause a webhook": _webhook("pause_webhook"),
    "resume a webhook": _webhook("resume_webhook"),
    "test a webhook": _webhook("test_webhook"),
    "delete a webhook": _webhook("delete_webhook"),
    "make a key": lambda w: Step("member", "create_api_key", {"name": "key", "scopes": ["tasks:read"]}),
    "log in": lambda w: Step("nobody", "login"),
    "refresh": lambda w: Step("nobody", "refresh", {"refresh_token": w.name("token")}),
    "end the session": lambda w: Step("member", "end_session", None, {"id": w.id["session"]}),
    "change the password": lambda w: Step(
        "member",
        "change_password",
        {"current_password": PASSWORD, "new_password": PASSWORD + "!", "confirm_password": PASSWORD + "!"},
    ),
    "disable the guest": lambda w: Step("boss", "update_user", {"disabled": True}, {"id": w.id["guest"]}),
    "disable the member": lambda w: Step("boss", "update_user", {"disabled": True}, {"id": w.id["member"]}),
}


def _account(w: World, username: str, address: str) -> dict[str, Any]:
    return {"username": username[:50], "email": f"{address}@example.com", "password": PASSWORD}


GONE = ["delete the project", "archive the project"]
OF_MEMBER = [*GONE, "remove the member", "the member leaves", "demote the member"]
OF_ADMIN = [*GONE, "remove the admin", "the admin leaves", "demote the admin"]
CLEARED = ["clear the project", "clear everything"]
FAR = ["delete far", "archive far", "remove the member from far"]

RESTS_ON: dict[str, list[str]] = {
    "create a task": [*OF_MEMBER, "clear the project", "create tasks", "rename the project"],
    "create a task with all": [
        *OF_MEMBER,
        *CLEARED,
        "trash the parent",
        "move the parent",
        "delete the tag",
        "rename a tag",
        "rename another",
        "create the tag",
        "remove the other",
        "demote the other",
        "change tags",
    ],
    "create tasks": [
        *OF_MEMBER, *FAR, *CLEARED, "trash the parent", "delete the tag", "rename another", "remove the other"
    ],
    "change a title": [*OF_MEMBER, *CLEARED, "trash the task", "change a priority", "change tasks"],
    "change tags": [
        *OF_MEMBER, *CLEARED, "trash the task", "delete the tag", "rename a tag", "rename another", "create the tag",
        "change what matches",
    ],
    "keep a tag": ["delete the tag", "rename a tag", "change what matches", "the member leaves"],
    "assign": [*OF_MEMBER, "remove the other", "demote the other", "change tasks"],
    "move a task": [*OF_MEMBER, *CLEARED, "trash the parent", "move the parent", "trash the task"],
    "move to far": [
        *OF_MEMBER, *FAR, *CLEARED, "trash the task", "move to far", "move the parent to far", "move back from far",
        "move the parent", "create a task with all", "change a title", "change tags", "assign", "comment", "relate",
        "change tasks", "trash tasks", "restore a task", "delete the tag", "change what matches", "make a task again",
        "move a task", "bring up to date", "change a comment", "end a relation", "rename a tag", "remove the other",
    ],
    "move the parent to far": [
        "move a task", "create a task with all", "trash tasks", "move the parent", "trash the parent", "change tasks",
    ],
    "trash a task": [*OF_MEMBER, *CLEARED, "trash the task", "change a priority", "move the parent", "comment"],
    "restore a task": [*OF_MEMBER, *CLEARED, "restore it", "trash the parent"],
    "change tasks": [
        *OF_MEMBER, *FAR, *CLEARED, "trash the task", "trash the other end", "delete the tag", "rename another",
        "remove the other", "change a priority",
    ],
    "change tasks by many": [*OF_MEMBER, *CLEARED, "trash the task"],
    "trash tasks": [*OF_MEMBER, *FAR, *CLEARED, "trash the task", "trash the parent", "trash the other end", "comment"],
    "change what matches": [*OF_MEMBER, *CLEARED, "trash the task", "change tags", "delete the tag", "rename a tag"],
    "comment": [*OF_MEMBER, *CLEARED, "trash the task", "delete a comment"],
    "change a comment": [*OF_MEMBER, *CLEARED, "trash the task", "delete a comment", "change a comment"],
    "delete a comment": [*OF_ADMIN, *CLEARED, "trash the task", "delete a comment", "change a comment"],
    "set a reminder": ["delete the project", "remove the member", *CLEARED, "trash the task", "set a reminder"],
    "relate": [*OF_MEMBER, *FAR, *CLEARED, "trash the task", "trash the other end", "relate", "relate the other way"],
    "end a relation": [*OF_MEMBER, *FAR, *CLEARED, "trash the task", "trash the other end", "end a relation"],
    "create a tag": [*OF_MEMBER, "create the tag", "rename another", "create a task with all", "change tags"],
    "rename a tag": [*OF_MEMBER, "create the tag", "rename another", "delete the tag", "create a task with all"],
    "colour a tag": [*OF_MEMBER, "rename a tag", "delete the tag", "colour a tag"],
    "delete a tag": [*OF_MEMBER, "delete the tag", "rename a tag", "create a task with all", "change tasks", *CLEARED],
    "add somebody": [*OF_ADMIN, "add the same", "disable the guest"],
    "demote the other": [*OF_ADMIN, "remove the other, too", "promote the other", "assign", "change a priority"],
    "remove the other": [
        *OF_ADMIN, *CLEARED, "remove the other, too", "promote the other", "assign", "create a task with all",
        "change a priority", "trash the task", "change tasks",
    ],
    "the owner leaves far": ["the other owner leaves far", "the owner becomes admin of far", "delete far"],
    "the other owner leaves far": ["the owner becomes admin of far", "archive far", "change tasks"],
    "rename the project": [*OF_ADMIN, "describe the project"],
    "archive": [*OF_ADMIN, "describe the project", "change tasks"],
    "delete the project": ["delete the project", "rename the project", "change tasks", "relate", *CLEARED],
    "delete far": ["the owner becomes admin of far", "the other owner leaves far", "create tasks", "relate"],
    "create a project": ["create the project"],
    "register": ["register the name", "register the address", "change one's address"],
    "change one's address": ["take the address", "register the address"],
    "save a view": ["save a view", "delete a view"],
    "change a view": ["change a view", "delete a view"],
    "make a webhook": ["delete the project", "the member leaves", "delete a webhook"],
    "change a webhook": ["change a webhook", "pause a webhook", "delete a webhook", "delete the project"],
    "filter a webhook": ["tell a webhook of projects", "change a priority", "resume a webhook", "the member leaves"],
    "test a webhook": ["delete a webhook", "delete the project"],
    "make a key": ["disable the member"],
    "log in": ["disable the member", "change the password"],
    "refresh": ["end the session", "change the password", "disable the member", "refresh"],
}  # fmt: skip
"""What a write is tried against. Each pair is held in both orders."""
PAIRS = [(write, change) for write, changes in RESTS_ON.items() for change in changes]
OF_ACCOUNTS = frozenset([*RESTS_ON][[*RESTS_ON].index("create a project") :])
"""The writes that are about accounts and what people have for themselves."""
CHANGES = {change: (write, change) for write, change in reversed(PAIRS)}
"""By each change, the first write that rests on it."""
ALWAYS = frozenset(
    [
        *CHANGES.values(),
        # these nothing but the lock of one row keeps apart
        ("comment", "trash the task"),
        ("change a comment", "trash the task"),
        ("relate", "trash the other end"),
        ("create a task with all", "trash the parent"),
        ("create a task with all", "remove the other"),
        ("change tags", "delete the tag"),
    ]
)
"""The pairs that are tried in each run; of the others some."""
EVERY_PAIR = [(write, change) for write in RESTS_ON for change in CHANGES]
"""Also those that should have nothing to do with one another."""
