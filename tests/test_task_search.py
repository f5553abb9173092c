"""Search: the words as they stand in title or description, whatever the case and however they were typed."""

import unicodedata

import pytest

from tests.actors import Person
from tests.doors import Door, on_both_doors
from tests.listings import filtered_ids, graphql_ids, rest_ids
from tests.operations import ok

# what is stored, what is looked for, whether it is found
CASES = [
    ("Write the docs", "write the docs", True),
    ("Write the docs", "THE", True),
    ("Write the docs", "rite", True),
    ("Write the docs", " the ", True),
    ("Write the docs", "write docs", False),
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
        for text in {case[0] for case in CASES}:
            titled, described = (
                await ada.task(title=text),
                await ada.task(title="-", description=f"Before. {text}\nAfter."),
            )
            kept[text] = {titled["id"], described["id"]}
        for text, words, found in CASES:
            with subtests.test(text=text, words=words):
                expected = kept[text] if found else set()
                assert set(await rest_ids(ada, search=words, limit=100)) & kept[text] == expected
                assert set(await filtered_ids(ada, {"search": words})) & kept[text] == expected
                assert set(await graphql_ids(ada, search=words, first=100)) & kept[text] == expected
                assert set(await graphql_ids(ada, filter={"search": words}, first=100)) & kept[text] == expected
                found_by = await ada.gql(
                    "query($words: String!) { search(query: $words, first: 100) { edges { node { databaseId } } } }",
                    {"words": words},
                )
                nodes = {edge["node"]["databaseId"] for edge in found_by.data["search"]["edges"]}
                assert nodes & kept[text] == expected

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

        assert await rest_ids(ada, search="onetwo") == await rest_ids(ada, search="one two") == []

    @pytest.mark.parametrize("words", ["", "x" * 101, "\x00"])
    async def test_words_are_one_to_a_hundred_characters(self, ada: Person, words: str) -> None:
        rest = await ada.get("/tasks", params={"search": words})
        graphql = await ada.gql("query($words: String!) { search(query: $words) { totalCount } }", {"words": words})
        argument = await ada.gql("query($words: String) { tasks(search: $words) { totalCount } }", {"words": words})

        assert (rest.status_code, [problem["pointer"] for problem in rest.json()["errors"]]) == (422, ["/search"])
        assert (argument.code, argument.pointers) == ("BAD_USER_INPUT", ["/search"])
        assert (graphql.code, graphql.pointers) == ("BAD_USER_INPUT", ["/query"])
        assert (await ada.get("/tasks", params={"search": "é" * 100})).status_code == 200
