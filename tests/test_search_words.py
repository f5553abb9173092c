"""What a search looks for: refs, words in any order, and phrases in quotes."""

from typing import Any

import pytest

from db.driver.database import Database
from services.shared.prices import of_search
from services.shared.search_words import MAX_WORDS, words_of
from services.tasks.listing import search_selectivity
from tests.actors import Person
from tests.conftest import People
from tests.doors import Door, on_both_doors
from tests.listings import filtered_ids, graphql_ids, graphql_page, rest_ids
from tests.operations import ok
from tests.statements import StatementCounter


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Login broken", ["login", "broken"]),
        ("  a \t a  b ", ["a", "b"]),
        ('"Login broken" again', ["login broken", "again"]),
        ('x "a b"', ["x", "a b"]),
        ('5" pipe', ['5"', "pipe"]),
        ('"open phrase', ['"open', "phrase"]),
        ('say "a b". Now', ["say", '"a', 'b".', "now"]),
        ('""', ['""']),
        ('" "', ['"']),
        ("a \u200b b", ["a", "b"]),
        ("日本語\u3000テスト", ["日本語", "テスト"]),
        ("STRASSE straße", ["strasse"]),
    ],
)
def test_words_are_what_blanks_and_quotes_make_of_a_text(text: str, words: list[str]) -> None:
    assert [*words_of(text)] == words


def test_each_word_has_its_price() -> None:
    prices = [of_search(text) for text in ("login", "login broken", '"login broken"', "a", "a b", "a login")]
    assert prices[0] == prices[2] < prices[1]
    assert prices[0] < prices[3] < prices[4]
    assert prices[5] == prices[1]


class TestWords:
    @pytest.mark.parametrize("few", [0, 1_000])
    async def test_one_text_has_all_of_them(self, ada: Person, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(search_selectivity, "FEW", few)
        titled = await ada.task(title="The login page is broken")
        both = await ada.task(title="Login", description="has been broken since Monday")
        said = await ada.task(title="-")
        await ada.comment(said["id"], body="broken, I mean the login")
        apart = await ada.task(title="Login")
        await ada.comment(apart["id"], body="broken")
        found = {titled["id"], both["id"], said["id"]}
        for words in ("login broken", "BROKEN Login", "brok og"):
            assert set(await rest_ids(ada, search=words)) == found, words
            assert set(await graphql_ids(ada, search=words)) == found, words
        assert await rest_ids(ada, search='"login page" broken') == [titled["id"]]
        assert await rest_ids(ada, search='"login broken"') == await rest_ids(ada, search="login broken nowhere") == []
        # a short word beside a longer one is looked for in what has the longer one
        assert await rest_ids(ada, search="i broken mean") == [said["id"]]
        assert await filtered_ids(ada, {"not": {"search": "login broken"}}) == [apart["id"]]

    async def test_more_than_so_many_are_refused(self, ada: Person) -> None:
        many = " ".join(map(str, range(MAX_WORDS + 1)))
        rest = await ada.get("/tasks", params={"search": many})
        graphql = await graphql_page(ada, search=many)
        nested = await ada.get("/tasks", params={"filter": f'{{"or": [{{"search": "{many}"}}]}}'})
        assert [problem["pointer"] for problem in rest.json()["errors"]] == ["/search"]
        assert (graphql.code, graphql.pointers) == ("BAD_USER_INPUT", ["/search"])
        assert [problem["pointer"] for problem in nested.json()["errors"]] == ["/filter/or/0/search"]
        assert await rest_ids(ada, search=f'"{many}"') == []


class TestRefs:
    async def test_the_task_that_has_it_is_found_alone(self, ada: Person, bob: Person) -> None:
        project = await ada.project()
        task, other = [await ada.task(project_id=project["id"], title=title) for title in ("One", "Two")]
        ref = task["ref"]
        speaks = await ada.task(title=f"Like {ref}", project_id=project["id"])
        for text in (ref, ref.lower(), f" {ref.title()} "):
            assert await rest_ids(ada, search=text) == await graphql_ids(ada, search=text) == [task["id"]]
        assert await rest_ids(ada, search=f'"{ref}"') == await rest_ids(ada, search=f"like {ref}") == [speaks["id"]]
        assert await filtered_ids(ada, {"or": [{"search": ref}, {"search": "two"}]}) == [other["id"], task["id"]]
        assert await filtered_ids(ada, {"search": ref, "priority": {"eq": 5}}) == []
        assert task["id"] not in await filtered_ids(ada, {"not": {"search": ref}})
        counted = await ada.get("/tasks", params={"search": ref, "total": "true"})
        assert counted.headers["X-Total-Count"] == "1"
        # whose task is not read by somebody is a text to him
        assert await rest_ids(bob, search=ref) == []
        assert await rest_ids(ada, search="#1") == []

    @on_both_doors
    async def test_what_it_was_called_before(self, ada: Person, door: Door) -> None:
        here, there = await ada.project(), await ada.project()
        task = await ada.task(project_id=here["id"])
        moved = (await ok(door, "move_task", ada, {"project_id": there["id"]}, task_id=task["id"]))["task"]
        assert await rest_ids(ada, search=task["ref"]) == await rest_ids(ada, search=moved["ref"]) == [task["id"]]

    async def test_in_the_trash_those_of_the_trash(self, ada: Person) -> None:
        task = await ada.task()
        await ada.delete(f"/tasks/{task['id']}")
        assert await rest_ids(ada, search=task["ref"]) == []
        assert await rest_ids(ada, search=task["ref"], trashed="true") == [task["id"]]

    async def test_an_inbox_is_the_callers_own(self, ada: Person, people: People) -> None:
        other = await people()
        mine, theirs = await ada.task(), await other.task()
        assert await rest_ids(ada, search=mine["ref"]) == [mine["id"]]
        assert await rest_ids(other, search=theirs["ref"]) == [theirs["id"]]

    async def test_it_costs_a_statement(self, ada: Person, database: Database) -> None:
        task: dict[str, Any] = await ada.task()
        await rest_ids(ada, search=task["ref"])
        with StatementCounter(database) as statements:
            assert await rest_ids(ada, search=task["ref"]) == [task["id"]]
        assert len([text for text in statements.seen if "former_refs" in text]) == 1
        assert not [text for text in statements.seen if "task_texts" in text]
