"""What a search costs: by what its caller may read, whatever there is besides; and what is refused for its cost."""

import json
from random import Random
from typing import Any

import pytest

from db.driver.database import Database
from services.shared.search_words import words_of
from services.tasks.listing import search_selectivity as words_module
from services.tasks.listing.search_selectivity import TOO_SHORT
from services.tasks.listing.texts import fold_text
from tests.actors import Person
from tests.conftest import People
from tests.listings import filtered_ids, graphql_ids, graphql_page, rest_ids
from tests.statements import StatementCounter


@pytest.fixture(autouse=True)
def nothing_known(database: Database) -> None:
    database.known.clear()


class TestShortWords:
    """Words that the index has no trigram of are looked for among so many tasks, eight here."""

    @pytest.fixture(autouse=True)
    def few(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(words_module, "FEW", 0)
        monkeypatch.setattr(words_module, "SAMPLE", 2)
        monkeypatch.setattr(words_module, "SHORT_AMONG", 8)

    async def tasks(self, ada: Person) -> tuple[int, list[int]]:
        """A project with four tasks, two of which hold the word, beside six in the Inbox, newest first."""
        project = await ada.project()
        made = []
        for number in range(10):
            place = {"project_id": project["id"]} if number >= 6 else {}
            title = f"Q{number}" if number % 2 else f"R{number}"
            made.append((await ada.task(title=title, priority=1 + number // 6, **place))["id"])
        return project["id"], made[::-1]

    async def refused(self, ada: Person, *, search: str | None = None, filter: Any = None, **more: Any) -> None:
        """Both doors refuse it alike, lists and counts."""
        params = {} if search is None else {"search": search}
        params |= {} if filter is None else {"filter": json.dumps(filter)}
        rest = await ada.get("/tasks", params=params | more)
        assert rest.status_code == 422, rest.text
        [problem] = rest.json()["errors"]
        variables = {"search": search, "filter": filter}
        asked = await ada.gql(
            "query($search: String, $filter: TaskFilter) { tasks(search: $search, filter: $filter) { totalCount } }",
            {name: value for name, value in variables.items() if value is not None},
        )
        assert (rest.json()["code"], problem["pointer"], problem["detail"]) == ("BAD_USER_INPUT", "/search", TOO_SHORT)
        assert (asked.code, asked.pointers) == ("BAD_USER_INPUT", ["/search"])
        assert asked.body["errors"][0]["message"].endswith(TOO_SHORT)

    async def test_what_is_in_question_is_narrowed_down(self, ada: Person) -> None:
        project_id, made = await self.tasks(ada)
        expected = [made[0], made[2]]
        assert await rest_ids(ada, search="q", project_id=project_id) == expected
        assert await rest_ids(ada, search="q", priority=2, sort_by="title", order="desc") == expected
        assert await filtered_ids(ada, {"search": "q", "priority": {"eq": 2}}) == expected
        assert await graphql_ids(ada, filter={"search": "q", "priority": {"eq": 2}}) == expected
        counted = await ada.get("/tasks", params={"search": "q", "priority": 2, "total": "true", "limit": 1})
        assert counted.headers["X-Total-Count"] == "2"

    async def test_others_tasks_are_not_in_question(self, ada: Person, people: People) -> None:
        await self.tasks(ada)
        bob = await people()
        task = await bob.task(title="Quiet")
        assert await rest_ids(bob, search="q") == [task["id"]]

    async def test_a_page_that_is_filled_among_the_first_tasks_is_answered(self, ada: Person) -> None:
        _, made = await self.tasks(ada)
        held = made[::2]
        assert await rest_ids(ada, search="q", limit=2) == held[:2]
        assert await rest_ids(ada, search="q", limit=2, order="asc") == held[:-3:-1]
        assert await rest_ids(ada, search="q", limit=2, sort_by="title", order="asc") == held[:-3:-1]
        page = (await graphql_page(ada, search="q", first=2)).data["tasks"]
        assert [edge["node"]["id"] for edge in page["edges"]] == held[:2]
        # what begins after a cursor is among the first ones again: the rest of the list is short enough
        after = page["pageInfo"]["endCursor"]
        rest = (await graphql_page(ada, search="q", first=50, after=after)).data["tasks"]
        assert len(rest["edges"]) == 3
        assert not rest["pageInfo"]["hasNextPage"]

    async def test_a_page_that_is_not_is_refused(self, ada: Person) -> None:
        await self.tasks(ada)
        await self.refused(ada, search="q")
        await self.refused(ada, search="zq")
        await self.refused(ada, search="q", limit=1, skip=4)

    async def test_wherever_the_word_stands(self, ada: Person) -> None:
        await self.tasks(ada)
        await self.refused(ada, filter={"or": [{"search": "q"}, {"priority": {"eq": 2}}]})
        await self.refused(ada, filter={"not": {"search": "zq"}})

    async def test_counts_in_groups_are_refused_as_well(self, ada: Person) -> None:
        await self.tasks(ada)
        answer = await ada.get("/tasks/counts/status", params={"search": "q"})
        assert (answer.status_code, answer.json()["detail"].endswith(TOO_SHORT)) == (422, True)

    async def test_longer_words_are_not(self, ada: Person) -> None:
        await self.tasks(ada)
        assert await rest_ids(ada, search="q12345") == []


class TestWordsInAnyPlace:
    @pytest.mark.parametrize(("few", "many"), [(0, 3), (0, 1_000), (1_000, 1_000)])
    async def test_answers_are_those_of_python(
        self, ada: Person, few: int, many: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(words_module, "FEW", few)
        monkeypatch.setattr(words_module, "MAX_IDS", many)
        chance = Random(17)
        vocabulary = ["pump", "valve", "pipe", "日本", "leak", "x"]
        texts: dict[int, list[str]] = {}
        for number in range(25):
            title = " ".join(chance.choices(vocabulary, k=2)) + f" {number}"
            task = await ada.task(title=title)
            texts[task["id"]] = [fold_text(title)]
            if number % 4 == 0:
                remark = chance.choice(vocabulary)
                await ada.comment(task["id"], body=remark)
                texts[task["id"]].append(fold_text(remark))

        def random_filter(depth: int) -> dict[str, Any]:
            kind = chance.choice(["search", "search", "or", "and", "not"]) if depth else "search"
            if kind == "search":
                return {"search": chance.choice([*vocabulary, "ump", "zeppelin", "e", "v pipe", '"pipe v"', "x e"])}
            if kind == "not":
                return {"not": random_filter(depth - 1)}
            return {kind: [random_filter(depth - 1) for _ in range(chance.randint(1, 3))]}

        def meets(condition: dict[str, Any], kept: list[str]) -> bool:
            [(kind, value)] = condition.items()
            if kind == "search":
                return any(all(word in text for word in words_of(value)) for text in kept)
            if kind == "not":
                return not meets(value, kept)
            return (any if kind == "or" else all)(meets(part, kept) for part in value)

        for _ in range(40):
            condition = random_filter(3)
            expected = {id_ for id_, text in texts.items() if meets(condition, text)}
            assert set(await filtered_ids(ada, condition)) == expected, condition
            assert set(await graphql_ids(ada, filter=condition, first=100)) == expected, condition

    async def test_what_is_said_again_is_done_once(self, ada: Person, database: Database) -> None:
        await ada.task(title="Pump")
        tags = {"tags": {"all": ["a", "b"], "none": ["c", "d"]}}
        for condition in ({"search": "pump"}, {"search": "q"}, tags):
            seen = []
            for times in (1, 4):
                with StatementCounter(database) as statements:
                    await filtered_ids(ada, {"or": [condition] * times, "not": {"or": [{"search": "z"}] * times}})
                seen.append(statements.seen)
            assert seen[0][-1] == seen[1][-1]
            assert len(seen[1]) <= len(seen[0]), seen
