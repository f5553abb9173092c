"""Search: words in title or description, or in a comment, whatever the case and however they were typed."""

import random
import re
import unicodedata
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import String, cast, column, delete, insert, literal, select, table
from sqlalchemy import text as sql

from db import text_search
from db.driver.database import Database
from db.driver.sessions import Session
from db.models import Comment, CommentText, Task
from services.shared.actors import Actor, Scope
from services.shared.pagination import PageRequest
from services.shared.search_words import words_of
from services.tasks import queries
from services.tasks.filters import TaskFilter
from services.tasks.listing import search_selectivity as words_module
from services.tasks.listing.texts import contains_each, fold_text, found_by_index
from services.tasks.query import TaskQuery
from tests.actors import Person
from tests.conftest import People
from tests.databases import on_postgresql
from tests.doors import Door, on_both_doors
from tests.listings import filtered_ids, graphql_ids, graphql_page, ids, rest_ids, walk_links
from tests.operations import ok
from tests.statements import StatementCounter

# what is stored, what is looked for, whether it is found
CASES = [
    ("Write the docs", "write the docs", True),
    ("Write the docs", "THE", True),
    ("Write the docs", "rite", True),
    ("Write the docs", " the ", True),
    ("Write the docs", "write docs", True),
    ("Write the docs", "docs write", True),
    ("Write the docs", "docs read", False),
    ("Write the docs", '"the docs"', True),
    ("Write the docs", '"docs the"', False),
    ("Write the docs", '"write docs"', False),
    ("Write the docs", 'docs "write the"', True),
    ("Write the docs", "docs!", False),
    ("Élan vital", "élan", True),
    ("élan vital", "ÉLAN", True),
    ("élan vital", "elan", False),
    (unicodedata.normalize("NFD", "Café Élysée"), "café é", True),
    ("Café Élysée", unicodedata.normalize("NFD", "CAFÉ ÉLYSÉE"), True),
    ("Die Straße", "STRASSE", True),
    ("DIE STRASSE", "straße", True),
    ("Die Stra\u1e9ee", "straße", True),
    ("Привет, мир", "ПРИВЕТ", True),
    ("Σίσυφος", "ΣΊΣΥΦΟΣ", True),
    ("ΣΊΣΥΦΟΣ", "σίσυφος", True),
    ("日本語のテスト", "のテ", True),
    ("fix 👩‍👩‍👧 icon", "👩‍👩‍👧", True),
    ("100% done", "100%", True),
    ("100 percent", "100%", False),
    ("snake_case", "e_c", True),
    ("snakeXcase", "e_c", False),
    ("100", "%", False),
    ("ab", "_", False),
    (r"C:\temp\new", r"\temp", True),
    (r"C:/temp", r"\\", False),
    (r"a\%b", r"\%", True),
    (r"a\b", r"\%", False),
    ('it\'s "quoted"; DROP', "'s \"q", True),
    ("a*b NEAR(c) -d", "NEAR(c) -", True),
    ("x", "xx", False),
]


class TestBothDoors:
    async def test_words_are_found_as_they_stand_in_title_and_description(
        self, ada: Person, subtests: pytest.Subtests
    ) -> None:
        kept = {}
        for wording in {case[0] for case in CASES}:
            titled, described = (
                await ada.task(title=wording),
                await ada.task(title="-", description=f"Before. {wording}\nAfter."),
            )
            kept[wording] = {titled["id"], described["id"]}
        for wording, words, found in CASES:
            with subtests.test(wording=wording, words=words):
                expected = kept[wording] if found else set()
                assert set(await rest_ids(ada, search=words, limit=100)) & kept[wording] == expected
                assert set(await filtered_ids(ada, {"search": words})) & kept[wording] == expected
                assert set(await graphql_ids(ada, search=words, first=100)) & kept[wording] == expected
                assert set(await graphql_ids(ada, filter={"search": words}, first=100)) & kept[wording] == expected
                found_by = await ada.gql(
                    "query($words: String!) { search(query: $words, first: 100) { edges { node { databaseId } } } }",
                    {"words": words},
                )
                nodes = {edge["node"]["databaseId"] for edge in found_by.data["search"]["edges"]}
                assert nodes & kept[wording] == expected

    @on_both_doors
    async def test_search_follows_every_change_of_the_text(self, ada: Person, door: Door) -> None:
        task = await ok(door, "create_task", ada, {"title": "Alpha", "description": "Beta"})
        seen = []
        for change in ({}, {"title": "Gamma"}, {"description": None}, {"priority": 3}):
            await ok(door, "update_task", ada, change, task_id=task["id"])
            seen.append([word for word in ("ALPHA", "BETA", "GAMMA") if await rest_ids(ada, search=word)])

        assert seen == [["ALPHA", "BETA"], ["BETA", "GAMMA"], ["GAMMA"], ["GAMMA"]]

    @on_both_doors
    async def test_search_finds_nothing_in_the_trash_and_all_of_it_after(self, ada: Person, door: Door) -> None:
        task = await ada.task(title="Needle")
        await ok(door, "delete_task", ada, task_id=task["id"])
        assert await rest_ids(ada, search="needle") == []
        assert await rest_ids(ada, search="needle", trashed="true") == [task["id"]]

        await ok(door, "restore_task", ada, task_id=task["id"])
        assert await rest_ids(ada, search="needle") == [task["id"]]

    async def test_search_finds_nothing_of_others(self, ada: Person, bob: Person) -> None:
        await ada.task(title="Needle", description="in a haystack")

        assert await rest_ids(bob, search="needle") == await graphql_ids(bob, search="hay") == []

    async def test_title_and_description_are_not_one_text(self, ada: Person) -> None:
        await ada.task(title="one", description="two")

        assert await rest_ids(ada, search="onetwo") == await rest_ids(ada, search='"one two"') == []

    @pytest.mark.parametrize("words", ["", "x" * 101, "\x00"])
    async def test_words_are_one_to_a_hundred_characters(self, ada: Person, words: str) -> None:
        rest = await ada.get("/tasks", params={"search": words})
        graphql = await ada.gql("query($words: String!) { search(query: $words) { totalCount } }", {"words": words})
        argument = await ada.gql("query($words: String) { tasks(search: $words) { totalCount } }", {"words": words})

        assert (rest.status_code, [problem["pointer"] for problem in rest.json()["errors"]]) == (422, ["/search"])
        assert (argument.code, argument.pointers) == ("BAD_USER_INPUT", ["/search"])
        assert (graphql.code, graphql.pointers) == ("BAD_USER_INPUT", ["/query"])
        assert (await ada.get("/tasks", params={"search": "é" * 100})).status_code == 200


class TestComments:
    @on_both_doors
    async def test_search_follows_a_comment(self, ada: Person, bob: Person, door: Door) -> None:
        task = await ada.task(title="-")
        comment = await ok(door, "create_comment", ada, {"body": "Die Straße"}, task_id=task["id"])
        assert await rest_ids(ada, search="STRASSE") == await graphql_ids(ada, search="strasse") == [task["id"]]
        assert await rest_ids(bob, search="strasse") == await graphql_ids(bob, search="strasse") == []

        place = {"task_id": task["id"], "comment_id": comment["id"]}
        await ok(door, "update_comment", ada, {"body": "Allee"}, **place)
        assert (await rest_ids(ada, search="strasse"), await rest_ids(ada, search="LL")) == ([], [task["id"]])

        await ok(door, "delete_comment", ada, **place)
        assert await rest_ids(ada, search="allee") == await rest_ids(ada, search="ll") == []


@asynccontextmanager
async def many_comments(ada: Person, database: Database, backend: str) -> AsyncIterator[Session]:
    """A transaction that sees 25,000 comments."""
    task = await ada.task()
    on_task = Comment.task_id == task["id"]
    async with database.writing() as session, session.dry_run():
        row = {"task_id": task["id"], "author_id": ada.id, "body": "-"}
        await session.execute(insert(Comment), [row] * 25_000)
        # a connection may hold a plan for checking the key that it made when there were few: one scan for each row
        await session.execute(sql("ANALYZE"))
        words = literal("short row ") + cast(Comment.id, String)
        folded = select(Comment.id, words, literal(task["project_id"])).where(on_task)
        await session.execute(insert(CommentText).from_select(["comment_id", "folded", "project_id"], folded))
        if backend == "postgresql":  # as autovacuum does: until then new rows wait in a list that costs a scan
            await session.execute(sql("SELECT gin_clean_pending_list('ix_comment_texts_project_id_folded_trgm')"))
        await session.execute(sql("ANALYZE"))
        yield session
        await session.execute(delete(Comment).where(on_task))  # the database is other tests', too


async def explained(session: Session, statement: Any, database: Database, backend: str) -> str:
    """The plan of a statement, as text."""
    bound = statement.compile(dialect=database.sql, compile_kwargs={"literal_binds": True})
    explain = "EXPLAIN QUERY PLAN " if backend == "sqlite" else "EXPLAIN "
    return "\n".join([str(row[-1]) for row in await session.all(sql(explain + str(bound).replace(":", "\\:")))])


def has_each(text: str, search: str) -> bool:
    """Whether a folded text has the words of a search."""
    return all(word in text for word in words_of(search))


def by_index(database: Database, person: Person, words: str) -> Any:
    """A person's tasks with folded words in their texts, as the index finds them."""
    index = text_search.INDEXES[database.dialect]
    return found_by_index(index, person.id, [words], index.asked_for([words]), comments=True)


class TestIndex:
    async def test_answers_are_those_of_python(self, ada: Person, database: Database) -> None:
        chance = random.Random(7)
        letters = "aAbßsSıİiIΣσςéE\u0301日本👩\u200d\"'%_\\\\*^-:() \n"  # noqa: RUF001
        wordings = ["AND", "NEAR(", "a OR b", '"', '""', "x" * 120]
        wordings += ["".join(chance.choices(letters, k=chance.randint(1, 40))) for _ in range(60)]
        texts = {}
        for wording in wordings:
            task = await ada.task(title="-", description=f"q{wording}q")
            texts[task["id"]] = fold_text(f"-\nq{wording}q")
        looked_for = [*wordings[:5], "x" * 100]
        for _ in range(150):
            source, size = chance.choice(wordings), chance.randint(1, 8)
            start = chance.randrange(len(source))
            looked_for += [source[start : start + size], "".join(chance.choices(letters, k=size))]
        async with database.reading() as session:
            for words in map(fold_text, looked_for):
                expected = {id_ for id_, kept in texts.items() if words in kept}
                own = select(Task.id).where(Task.id.in_(texts))
                assert set(await session.scalars(own.where(contains_each(Task.id, [words], comments=True)))) == expected
                if not text_search.INDEXES[database.dialect].is_short(words):
                    assert set(await session.scalars(by_index(database, ada, words))) & texts.keys() == expected, words

    async def test_a_selective_word_is_found_by_the_index(self, ada: Person, database: Database, backend: str) -> None:
        async with many_comments(ada, database, backend) as session:
            plan = await explained(session, by_index(database, ada, "zebracorn"), database, backend)
        expected = "VIRTUAL TABLE INDEX" if backend == "sqlite" else "ix_comment_texts_project_id_folded_trgm"
        assert expected in plan, plan
        assert not re.search(r"(SCAN|Seq Scan on) (comments|comment_texts)\b", plan), plan


class TestRareWords:
    """A word that few of the caller's tasks hold is looked up by the index before the tasks are read."""

    @pytest.fixture(autouse=True)
    def nothing_known(self, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(words_module, "FEW", 0)
        database.known.clear()

    @pytest.mark.parametrize("many", [2, 8, 1_000])
    async def test_pages_are_those_of_python(self, ada: Person, many: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(words_module, "MAX_IDS", many)
        chance = random.Random(11)
        pieces = ["valve", "VALVES", "pump", "100%", "e_c", "a/b", "/%", "Straße", "é", "日本語", "x1"]
        pieces += ["\\", '"', " ", "-"]
        texts: dict[int, list[str]] = {}
        for number in range(40):
            wording = "".join(chance.choices(pieces, k=5))
            title, body = ("-", wording) if number % 3 == 0 else (f"q{wording}", None)
            task = await ada.task(title=title)
            texts[task["id"]] = [fold_text(title)]
            if body is not None:
                comment = await ada.post(f"/tasks/{task['id']}/comments", {"body": f"q{body}q"})
                texts[task["id"]].append(fold_text(comment.json()["body"]))
        for _ in range(60):
            words = "".join(chance.choices(pieces, k=chance.randint(1, 3)))[chance.randint(0, 2) :] or "lve"
            expected = {id_ for id_, kept in texts.items() if any(has_each(text, words) for text in kept)}
            for more in ({}, {"sort_by": "title"}, {"status": "pending"}):  # the first of a word is not the rest
                found = await rest_ids(ada, search=words, limit=100, **more)
                assert len(found) == len(set(found))
                assert set(found) == expected, (words, more)
            assert set(await graphql_ids(ada, search=words, first=100)) == expected, words

    @on_postgresql
    async def test_one_plan_serves_all_words(self, ada: Person, database: Database, backend: str) -> None:
        actor = Actor("token", user_id=ada.id, scopes=frozenset(Scope))
        async with many_comments(ada, database, backend) as session:
            statements = StatementCounter(database)
            for words in ("zebracorn", "unicobra", "quaggas", "okapi", "addax", "nyala", "kudu", "oribi", "gnu", "emu"):
                with statements:
                    query = TaskQuery(filter=TaskFilter(search=words))
                    await queries.list_(session, actor, query, PageRequest(first=5))
            listing = statements.seen[-1]
            [plans] = await session.all(
                select(column("generic_plans"), column("custom_plans"))
                .select_from(table("pg_prepared_statements"))
                .where(column("statement") == listing)
            )
        assert plans.custom_plans == 0
        assert plans.generic_plans > 0


class TestCommonWords:
    """A word that many of the caller's tasks hold is looked for in each task, in the order asked for."""

    @pytest.fixture(autouse=True)
    def few_are_many(self, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(words_module, "FEW", 0)
        monkeypatch.setattr(words_module, "MAX_IDS", 3)
        monkeypatch.setattr(words_module, "COMMON_FROM", 2)
        database.known.clear()

    async def tasks(self, ada: Person) -> list[int]:
        """Those with the word, newest first."""
        found = []
        for number in range(24):
            holds = number % 3 != 1
            title = f"PUMP {number}" if holds and number % 2 else f"Valve {number}"
            description = "a pump" if number % 6 == 0 else None
            options = {
                "priority": 1 + number % 2,
                "due_at": f"2026-05-{1 + number % 5:02}T00:00:00Z" if number % 4 else None,
            }
            task = await ada.task(title=title, description=description, **options)
            in_comment = holds and "PUMP" not in title and description is None
            if in_comment:
                assert (await ada.post(f"/tasks/{task['id']}/comments", {"body": "The Pump again"})).status_code == 201
            if holds:
                found.append(task["id"])
        return found[::-1]

    @on_both_doors
    @pytest.mark.parametrize("sort", ["created_at", "updated_at", "due_at", "priority", "number", "title"])
    async def test_a_walk_finds_what_the_index_finds(
        self, ada: Person, database: Database, door: Door, sort: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        expected = await self.tasks(ada)
        walked = await self.all_pages(ada, door, sort)
        assert sorted(walked) == sorted(expected)
        if sort == "created_at":
            assert walked == expected
        monkeypatch.setattr(words_module, "MAX_IDS", 1_000)
        database.known.clear()
        assert walked == await self.all_pages(ada, door, sort)

    async def all_pages(self, ada: Person, door: Door, sort: str) -> list[int]:
        """Forwards in pages of five; and backwards, which finds the same."""
        if door == "rest":
            start = f"/api/v1/tasks?search=PUMP&sort_by={sort}&order=desc&limit=5"
            found = [task_id for page in await walk_links(ada, start, "next") for task_id in page]
            last = await ada.client.get(f"{start}&skip={len(found) - 2}", headers=ada.headers)
            assert ids(last.json()) == found[-2:] or sort == "due_at"
            return found
        variables = {"search": "PUMP", "orderBy": {"field": sort.upper(), "direction": "DESC"}}
        found, cursor = [], None
        while cursor is not False:
            tasks = (await graphql_page(ada, **variables, first=5, after=cursor)).data["tasks"]
            found += [edge["node"]["id"] for edge in tasks["edges"]]
            cursor = tasks["pageInfo"]["hasNextPage"] and tasks["pageInfo"]["endCursor"]
        back: list[int] = []
        cursor = None
        while cursor is not False:
            tasks = (await graphql_page(ada, **variables, last=5, before=cursor)).data["tasks"]
            back = [edge["node"]["id"] for edge in tasks["edges"]] + back
            cursor = tasks["pageInfo"]["hasPreviousPage"] and tasks["pageInfo"]["startCursor"]
        assert back == found
        return found

    async def test_the_index_is_not_asked_for_a_page(self, ada: Person, database: Database) -> None:
        await self.tasks(ada)
        for query, way in (
            ("search=pump", "walked"),
            ("search=pump&status=pending&priority=2", "walked"),
            ("search=pu", "held"),
            ("search=valve 14", "held"),
            ("search=pump&sort_by=title", "walked"),
            ("search=pump&sort_by=title&skip=1", "asked"),
            # the few tasks with the tag are known by then
            ("search=pump&tag=x", "held"),
            ("search=pump&trashed=true", "asked"),
            ('filter={"not": {"search": "pump"}}', "walked"),
            ('filter={"and": [{"search": "pump"}, {"search": "valve"}]}', "asked"),
        ):
            assert (await self.way(ada, database, query)) == way, query

    async def way(self, person: Person, database: Database, query: str) -> str:
        """How the last statement of a list finds a word: by ids, by the index, or by looking into each task's texts."""
        with StatementCounter(database) as statements:
            assert (await person.get(f"/tasks?{query}")).status_code == 200
        listing = statements.seen[-1]
        if " MATCH " in listing or " && " in listing:
            return "asked"
        return "walked" if "task_texts" in listing else "held"

    async def test_where_the_newest_do_not_hold_it_the_index_is_asked(
        self, ada: Person, people: People, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await self.tasks(ada)
        monkeypatch.setattr(words_module, "COMMON_FROM", 100)
        assert await self.way(ada, database, "search=pump") == "asked"
        nobody = await people()
        assert await rest_ids(nobody, search="pump") == []
