"""Live lists: what is told, put together, is what the list says when it is read, whatever is written meanwhile.

TANDEM_LIVE says how many things are done at random, half of them on each database (``make live STEPS=100000``), and
TANDEM_LIVE_SEED chooses others.
"""

import asyncio
import json
import os
import random
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, ExitStack
from datetime import UTC
from typing import Any

import pytest

from api.state import State
from db.driver.database import Database
from services import changes
from services.events.numbering import number_all
from services.live_lists import followers
from services.live_lists.followers import LiveFollower
from services.live_lists.reach import predicate_of, reach_of
from services.tasks.filters import TaskFilter
from services.tasks.query import TaskQuery
from tests.actors import Anonymous, Person
from tests.conftest import BACKENDS, People
from tests.deeds import World
from tests.doors import DOORS, Door, as_rest, on_both_doors
from tests.random_filters import Vocabulary, to_graphql, to_rest
from tests.statements import StatementCounter
from tests.streaming import SUBSCRIBE, Stream

WHOLE = "TANDEM_LIVE" in os.environ
STEPS = int(os.environ.get("TANDEM_LIVE", "120")) // len(BACKENDS)
SEED = int(os.environ.get("TANDEM_LIVE_SEED", "1"))
ROUND, EVERY, AT_ONCE = 240, 12, 3
"""After so many steps there are other people, after so many it is compared, and so many are taken at once."""
PATIENCE = 20
FIELDS = ("id", "title", "status", "priority", "version")
TASK = "databaseId title status priority version"
LIVE = f"""subscription($filter: TaskFilter, $search: String, $orderBy: TaskOrder, $thenBy: [TaskOrder!],
        $after: String) {{
    result: liveTasks(filter: $filter, search: $search, orderBy: $orderBy, thenBy: $thenBy, after: $after)
        {{ kind cursor taskId complete task {{ {TASK} }} tasks {{ {TASK} }} }} }}"""
NAMES = ("N1", "N2", "N3")


def filters(people: Sequence[Person]) -> list[Any]:
    """One of each kind: what an event tells of its own task, of others, of projects, of people and of rights."""
    some = people[0]
    return [
        None,
        {"status": {"eq": "completed"}},
        {"not": {"priority": {"lt": 3}}},
        {"assignees": {"me": True}},
        {"assignees": {"any": [("user", some.username)]}},
        {"assignees": {"full_name": {"in": ["N1", "N2"]}}},
        {"tags": {"any": ["a", "z1"]}},
        {"tags": {"is_empty": True}},
        {"assignees": {"full_name": {"contains": "n3"}}},
        {"project": {"name": {"eq": "N1"}}},
        {"or": [{"project": {"name": {"starts_with": "n2"}}}, {"parent": {"title": {"contains": "EW"}}}]},
        {"project": {"archived": True}},
        {"parent": {"status": {"eq": "completed"}}},
        {"parent": {"is_null": False}},
        {"blocked": True},
        {"followed": True},
        {"relations": {"is_empty": False}},
        {"search": "well"},
        {"title": {"contains": "new"}},
        {"created_by": {"eq": ("user", some.username)}},
        {"or": [{"blocked": True}, {"assignees": {"is_empty": False}, "project": {"archived": False}}]},
    ]


class Watcher:
    """Somebody who follows a list and puts together what is told."""

    def __init__(self, caller: Anonymous, door: Door, filter: Any = None, known: Vocabulary | None = None) -> None:
        self.caller, self.door, self.filter = caller, door, filter
        self.known = known or Vocabulary()
        self.list: dict[int, Any] = {}
        self.kinds: list[str] = []
        self.cursor: str | None = None
        self.error: str | None = None
        self._stream: Stream | None = None
        self._seen = 0

    @property
    def stream(self) -> Stream:
        assert self._stream is not None
        return self._stream

    async def open(self, after: str | None = None, **asked: Any) -> "Watcher":
        """Follow, and know the list; with a cursor, go on from what was put together before."""
        if self.door == "rest":
            given = asked | ({} if self.filter is None else {"filter": json.dumps(to_rest(self.filter, self.known))})
            query = self.caller.client.build_request("GET", "/", params=given).url.query.decode()
            headers = {} if after is None else {"Last-Event-ID": after}
            self._stream = Stream(self.caller, "GET", f"/api/v1/tasks/live?{query}", headers)
        else:
            variables = asked | {"filter": to_graphql(self.filter, self.known), "after": after}
            body = json.dumps({"query": LIVE, "variables": variables}).encode()
            self._stream = Stream(self.caller, "POST", "/graphql", SUBSCRIBE, body)
        self._seen, self.error = 0, None
        await self._stream.begun()
        return self

    async def close(self) -> None:
        await self.stream.close()

    def fold(self) -> dict[int, Any]:
        """The list, by all that has been told."""
        for name, _, data in self.stream.events[self._seen :]:
            self._seen += 1
            if name in ("error", "next", "snapshot", "enter", "change", "leave"):
                self._put(name, json.loads(data))
        return self.list

    def _put(self, name: str, told: Any) -> None:
        if name == "next":
            if "errors" in told:
                self.error = told["errors"][0]["extensions"]["code"]
                return
            told = as_rest(told["data"]["result"])
            told["kind"] = told["kind"].lower()
        elif name == "error":
            self.error = told["code"]
            return
        self.kinds.append(told["kind"])
        if told["kind"] == "snapshot":
            if self.cursor != "0":  # else it is the next part
                self.list = {}
            self.list |= {task["id"]: shown(task) for task in told["tasks"]}
        elif told["kind"] == "leave":
            assert told["task"] is None
            self.list.pop(told["task_id"], None)
        else:
            assert told["kind"] == "enter" or told["task_id"] in self.list
            self.list[told["task_id"]] = shown(told["task"])
        self.cursor = told["cursor"]

    async def truth(self) -> dict[int, Any]:
        """What the list says that is read now."""
        found: dict[int, Any] = {}
        asked: dict[str, Any] = {"limit": 100}
        if self.filter is not None:
            asked["filter"] = json.dumps(to_rest(self.filter, self.known))
        while True:
            answer = await self.caller.get("/tasks", params=asked)
            assert answer.status_code == 200, answer.text
            found |= {task["id"]: shown(task) for task in answer.json()}
            if (cursor := answer.headers.get("X-Next-Cursor")) is None:
                return found
            asked["cursor"] = cursor

    async def agrees(self) -> int:
        """How many tasks there are, once all is told; fails unless it is the list then."""
        truth, deadline = await self.truth(), time.monotonic() + PATIENCE
        while self.fold() != truth:
            if self.error == "UNAVAILABLE":  # its key is for other projects now
                await self.close()
                await self.open(after=self.cursor)
            assert self.error is None, (self.error, self.filter)
            assert time.monotonic() < deadline, (self.door, self.filter, self.list, truth)
            await asyncio.sleep(0.005)
        return len(truth)


def shown(task: Any) -> dict[str, Any]:
    return {name: task[name].lower() if name == "status" else task[name] for name in FIELDS}


class Busy(World):
    """As ``World``, with what filters and keys ask about."""

    def __init__(self, people: list[Person], chance: random.Random, keys: list[tuple[Person, int]]) -> None:
        self.keys = keys
        super().__init__(people, chance)
        self._deeds.remove("keys")
        # else more goes than comes
        self._deeds += 5 * ["create"] + 2 * ["change", "rank", "relate", "restore", "invite", "introduce"]

    async def rank(self, person: Person, other: Person, _project: Any, task: Any) -> None:
        if task:
            change: dict[str, Any] = {
                "priority": self.chance.randint(1, 5),
                "title": self.chance.choice(["new", "old"]),
            }
            people = self.chance.choice([{"add_assignees": [other.id]}, {"add_assignees": [person.id]}, {}])
            await person.patch(f"/tasks/{task['id']}", change | people)

    async def relate(self, person: Person, _other: Person, _project: Any, task: Any) -> None:
        target = await self._pick(person, "/tasks?limit=100")
        if task and target:
            kind = self.chance.choice(["blocks", "relates_to"])
            await person.post(f"/tasks/{task['id']}/relations", {"kind": kind, "target_id": target["id"]})

    async def unrelate(self, person: Person, _other: Person, _project: Any, task: Any) -> None:
        if task and (relation := await self._pick(person, f"/tasks/{task['id']}/relations")):
            await person.delete(f"/tasks/{task['id']}/relations/{relation['id']}")

    async def uncomment(self, person: Person, _other: Person, _project: Any, task: Any) -> None:
        if task and (comment := await self._pick(person, f"/tasks/{task['id']}/comments")):
            await person.delete(f"/tasks/{task['id']}/comments/{comment['id']}")

    async def rename(self, person: Person, _other: Person, project: Any, _task: Any) -> None:
        await person.patch(f"/projects/{project['id']}", {"name": self.chance.choice(NAMES)})

    async def introduce(self, person: Person, _other: Person, _project: Any, _task: Any) -> None:
        await person.patch("/users/me", {"full_name": self.chance.choice(NAMES)})

    async def many(self, person: Person, _other: Person, _project: Any, _task: Any) -> None:
        new = {"priority": self.chance.randint(1, 5), "status": self.chance.choice(["pending", "completed"])}
        await person.post("/tasks/bulk/update-matching", {"filter": {"priority": {"lte": 3}}, "changes": new})

    async def limit(self, _person: Person, _other: Person, _project: Any, _task: Any) -> None:
        owner, key = self.chance.choice(self.keys)
        places = (await owner.get("/projects?limit=100")).json()
        some = self.chance.sample(places, self.chance.randint(1, len(places)))
        await owner.patch(f"/users/me/api-keys/{key}", {"project_ids": [place["id"] for place in some]})


async def limited_key(person: Person) -> tuple[Anonymous, tuple[Person, int]]:
    project = await person.project()
    key = await person.api_key("tasks:read", project_ids=[project["id"]])
    return key, (person, (await person.get("/users/me/api-keys")).json()[0]["id"])


async def test_what_is_told_is_the_list_whatever_is_written(people: People, database: Database, backend: str) -> None:
    """Random writes of three people, several at once, whose rights change; lists of each kind of filter through both
    doors, one of them by a limited key. Now and then somebody breaks off, and goes on with the last cursor."""
    done = compared = 0
    while done < STEPS:
        number = SEED * 1_000_003 + done
        chance = random.Random(number)
        compared += await run_round(people, database, chance, min(ROUND, STEPS - done))
        done += ROUND
    assert compared
    if WHOLE:
        sys.stdout.write(f"{backend}: {STEPS:,} steps, {compared:,} tasks compared, all as they are read\n")


async def run_round(people: People, database: Database, chance: random.Random, steps: int) -> int:
    three = [await people() for _ in range(3)]
    key, stored = await limited_key(three[0])
    world = Busy(three, chance, [stored])
    for person in three:
        project = await person.project(name=chance.choice(NAMES), tasks=[{"title": "first", "tags": ["a"]}] * 4)
        await person.invite(project, chance.choice([other for other in three if other is not person]))
    known = Vocabulary(users={person.username: person.id for person in three})
    watchers = [
        await Watcher(chance.choice(three), DOORS[number % 2], filter_, known).open()
        for number, filter_ in enumerate(chance.sample(filters(three), 8))
    ]
    watchers.append(await Watcher(key, chance.choice(DOORS), chance.choice(filters(three)), known).open())
    compared, away = 0, None
    for step in range(0, steps, AT_ONCE):
        await asyncio.gather(*(world.step() for _ in range(AT_ONCE)))
        if step % EVERY == 0:
            if away is not None:
                await away.open(after=away.cursor)
            await number_all(database)
            for watcher in watchers:
                compared += await watcher.agrees()
            away = chance.choice(watchers)
            await away.close()
    if away is not None:
        await away.open(after=away.cursor)
    await number_all(database)
    for watcher in watchers:
        compared += await watcher.agrees()
        await watcher.close()
    return compared


class Lists:
    """Watchers that are closed at the end of a test."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack

    async def __call__(self, caller: Anonymous, door: Door, filter: Any = None, **asked: Any) -> Watcher:
        watcher = await Watcher(caller, door, filter).open(**asked)
        self._stack.push_async_callback(watcher.close)
        return watcher


@pytest.fixture
async def lists() -> AsyncIterator[Lists]:
    async with AsyncExitStack() as stack:
        yield Lists(stack)


async def told(watcher: Watcher, number: int) -> list[str]:
    """The kinds of the first messages."""
    await watcher.stream.told(number)
    watcher.fold()
    return watcher.kinds


class TestMessages:
    @on_both_doors
    async def test_tasks_enter_change_and_leave(self, ada: Person, lists: Lists, door: Door) -> None:
        first = await ada.task(title="first", priority=5)
        urgent = await lists(ada, door, {"priority": {"gte": 4}})
        assert await told(urgent, 1) == ["snapshot"]
        assert [*urgent.list] == [first["id"]]

        second = await ada.task(title="second", priority=4)
        await told(urgent, 2)
        await ada.patch(f"/tasks/{second['id']}", {"title": "renamed"})
        await told(urgent, 3)
        assert urgent.list[second["id"]]["title"] == "renamed"
        await ada.comment(second["id"])  # is none of the task's own fields
        await ada.patch(f"/tasks/{second['id']}", {"priority": 1})

        assert await told(urgent, 4) == ["snapshot", "enter", "change", "leave"]
        assert [*urgent.list] == [first["id"]]

    @on_both_doors
    async def test_a_day_is_over_by_the_clock_of_whoever_follows(
        self, ada: Person, bob: Person, lists: Lists, door: Door
    ) -> None:
        project = await ada.project()
        await ada.invite(project, bob)
        for person, zone in ((ada, "Pacific/Auckland"), (bob, "Pacific/Honolulu")):
            await person.patch("/users/me", {"timezone": zone})
        # it is the 25th in Auckland, and the 24th in Honolulu
        before = {"due_at": {"lt": "2026-12-24T12:00:00Z"}}
        east, west = [await lists(person, door, before) for person in (ada, bob)]
        await told(east, 1)
        await told(west, 1)
        task = await ada.task(project_id=project["id"], due_on="2026-12-24")
        assert await told(east, 2) == ["snapshot", "enter"]
        await ada.patch(f"/tasks/{task['id']}", {"due_on": "2026-12-23"})
        assert await told(east, 3) == ["snapshot", "enter", "change"]
        assert await told(west, 2) == ["snapshot", "enter"]
        assert [*west.list] == [task["id"]]

    @on_both_doors
    async def test_a_ref_is_the_task_that_has_it(self, ada: Person, lists: Lists, door: Door) -> None:
        meant = await ada.task(title="meant")
        await ada.task(title=f"not {meant['ref']}")
        found = await lists(ada, door, {"search": meant["ref"].lower()})
        assert await told(found, 1) == ["snapshot"]
        assert [*found.list] == [meant["id"]]
        await ada.patch(f"/tasks/{meant['id']}", {"title": "renamed"})
        await told(found, 2)
        await ada.delete(f"/tasks/{meant['id']}")

        assert await told(found, 3) == ["snapshot", "change", "leave"]

    @on_both_doors
    async def test_snapshot_is_in_order_and_in_parts(
        self, ada: Person, lists: Lists, door: Door, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(followers, "PART", 2)
        made = [(await ada.task(title=title, priority=n))["id"] for n, title in enumerate(("b", "a", "a"), 1)]
        order: dict[str, Any] = {"sort_by": "title,-priority"}
        if door == "graphql":
            order = {"orderBy": {"field": "TITLE", "direction": "ASC"}}
            order |= {"thenBy": [{"field": "PRIORITY", "direction": "DESC"}]}
        shown = await lists(ada, door, **order)

        assert await told(shown, 2) == ["snapshot", "snapshot"]
        assert [*shown.list] == [made[2], made[1], made[0]]
        assert shown.cursor != "0"

    @on_both_doors
    async def test_goes_on_from_a_cursor_without_the_list(
        self, ada: Person, lists: Lists, database: Database, door: Door
    ) -> None:
        kept, gone = await ada.task(), await ada.task()
        watcher = await lists(ada, door, {"status": {"eq": "pending"}})
        await told(watcher, 1)
        await watcher.close()
        await ada.patch(f"/tasks/{gone['id']}", {"status": "completed"})
        new = await ada.task()
        await number_all(database)
        await watcher.open(after=watcher.cursor)

        assert await told(watcher, 2) == ["snapshot", "leave", "enter"]
        assert {*watcher.list} == {kept["id"], new["id"]}

    async def test_cursor_of_another_list_is_answered_by_the_list(self, ada: Person, bob: Person, lists: Lists) -> None:
        await bob.task()
        other = await lists(bob, "rest", {"status": {"eq": "pending"}})
        await told(other, 1)
        mine = await Watcher(ada, "rest", {"status": {"eq": "pending"}}).open(after=other.cursor)

        assert await told(mine, 1) == ["snapshot"]
        assert mine.list == {}
        await mine.close()

    async def test_who_reads_slowly_is_told_what_is_so_then_and_nothing_that_he_may_not_read(
        self, ada: Person, bob: Person, lists: Lists, database: Database
    ) -> None:
        project = await ada.project()
        await ada.invite(project, bob)
        task, other = await ada.task(project_id=project["id"]), await bob.task()
        slow = await lists(bob, "rest")
        await told(slow, 1)
        slow.stream.reads.clear()
        for number in range(30):
            await ada.patch(f"/tasks/{task['id']}", {"title": f"secret {number}"})
            await bob.patch(f"/tasks/{other['id']}", {"title": f"own {number}"})
        await ada.delete(f"/projects/{project['id']}/members/{bob.id}")
        await number_all(database)
        await asyncio.sleep(0.3)  # what was made by then is stale
        slow.stream.reads.set()
        await slow.agrees()

        assert len(slow.kinds) < 30
        # one event was being sent when he stopped reading
        assert sum("secret" in data for _, _, data in slow.stream.events) <= 1

    async def test_ends_with_the_session(self, ada: Person, lists: Lists) -> None:
        watcher = await lists(ada, "rest")
        await told(watcher, 1)
        await ada.post("/token/revoke", {"refresh_token": ada.refresh_token})
        async with asyncio.timeout(PATIENCE):
            await watcher.stream.running
        watcher.fold()

        assert watcher.error == "UNAUTHENTICATED"


class TestRefusals:
    @on_both_doors
    @pytest.mark.parametrize(
        "asked",
        [
            {"filter": {"overdue": True}},
            {"filter": {"not": {"or": [{"overdue": False}]}}},
            {"filter": {"due_at": {"lt": "today+7d"}}},
            {"after": "1207-5f0c3a9e"},
        ],
        ids=str,
    )
    async def test_what_cannot_be_followed_is_refused(self, ada: Person, door: Door, asked: Any) -> None:
        watcher = await Watcher(ada, door, asked.get("filter")).open(after=asked.get("after"))
        async with asyncio.timeout(PATIENCE):
            await watcher.stream.running
        watcher.fold()

        if door == "rest":
            assert watcher.stream.status == 422
            assert json.loads(watcher.stream.text)["code"] == "BAD_USER_INPUT"
        else:
            assert watcher.error == "BAD_USER_INPUT"
        assert not watcher.list

    async def test_list_that_is_too_long_is_refused_and_ends_when_it_becomes_so(
        self, ada: Person, lists: Lists, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("followers", "following"):
            monkeypatch.setattr(f"services.live_lists.{name}.MAX_TASKS", 2)
        await ada.task()
        watcher = await lists(ada, "rest")
        for _ in range(2):
            await ada.task()
        async with asyncio.timeout(PATIENCE):
            await watcher.stream.running
        watcher.fold()
        assert watcher.error == "BAD_USER_INPUT"

        assert (await ada.get("/tasks/live")).status_code == 422
        assert (await ada.get("/tasks/live?trashed=true")).json()["errors"][0]["pointer"] == "/trashed"


FOLLOWERS = 1_000


@pytest.mark.parametrize("asks", ["its own", "the same"])
async def test_one_event_costs_a_statement_for_hundreds_of_followers(
    people: People, state: State, database: Database, asks: str
) -> None:
    """A thousand followers of ten people: of as many filters, or of one."""
    ten = [await people() for _ in range(10)]
    project = await ten[0].project()
    for person in ten[1:]:
        await ten[0].invite(project, person)
    task = await ten[0].task(project_id=project["id"])
    with StatementCounter(database) as counter:
        await ten[0].patch(f"/tasks/{task['id']}", {"priority": 2})
        alone = {*counter.seen}

    def follower(number: int) -> LiveFollower:
        title = f"title {number}" if asks == "its own" else "a title"
        either = [{"title": {"eq": title}}, {"priority": {"eq": 5}, "assignees": {"me": False}}]
        predicate = predicate_of(TaskQuery(TaskFilter.model_validate({"or": either})), UTC)
        person = ten[number % 10]
        return LiveFollower(person.actor, person.id, predicate, reach_of(predicate), "0" * 8)

    with ExitStack() as stack:
        followers = [follower(number) for number in range(FOLLOWERS)]
        for each in followers:
            stack.enter_context(state.live_lists.joined(each))
        await state.live_lists.started()
        await number_all(database)
        start = await changes.end(database.reads)
        for each in followers:
            each.begin(start)
        took = float("inf")
        for kind, priority in (("enter", 5), ("leave", 1), ("enter", 5)):
            taking = [asyncio.create_task(each.take(state.live_lists.wake)) for each in followers]
            await asyncio.sleep(0)
            with StatementCounter(database) as counter:
                began = time.perf_counter()
                await ten[0].patch(f"/tasks/{task['id']}", {"priority": priority})
                async with asyncio.timeout(PATIENCE):
                    messages = await asyncio.gather(*taking)
                took = time.perf_counter() - began
            assert {(told.kind.value, told.task_id) for [told] in messages} == {(kind, task["id"])}
            own = [sql for sql in counter.seen if sql not in alone and "FROM events" not in sql]
            assert 0 < len(own) <= FOLLOWERS / 100
    if WHOLE:
        sys.stdout.write(f"{FOLLOWERS:,} followers that ask {asks}: told after {took:.2f} s\n")
        assert took <= 1
