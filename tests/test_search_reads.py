"""A search reads what its caller may read: with very many texts of others beside it, it reads as much as without them.

PostgreSQL tells how many pages a statement reads; on SQLite it is the processor's time.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import httpx
import pytest
from sqlalchemy import text

from api.main import create_app
from api.state import State
from db.driver.dialects import DialectName
from db.driver.statements import Command
from db.upkeep import analyze
from services.tasks.listing import search_selectivity as words_module
from tests.actors import Person, make_person
from tests.conftest import BACKENDS, settings_for
from tests.databases import empty_database
from tests.infrastructure import require
from tests.plans import reading_cost

OTHERS, AT_ONCE = int(os.environ.get("TANDEM_OTHERS", "40000")), 10_000
"""Texts of others: tasks, and for every tenth a comment; TANDEM_OTHERS makes it more. So many are written at once."""
OWN = 300
REQUESTS = {
    "a word that others hold, and the caller": {"search": "titanium 7"},
    "a word that others hold": {"search": "mobilesdk"},
    "words whose trigrams others hold": {"search": "mobilesdkandroid"},
    "a word that nobody holds": {"search": "zebracorn"},
    "a short word": {"search": "77"},
    "a short word that others hold": {"search": "mo", "total": "true"},
    "words in branches": {"filter": '{"or": [{"search": "mobilesdk"}, {"not": {"search": "titanium"}}]}'},
    "a tag of others": {"tag": "theirs"},
    "tags": {"filter": '{"or": [{"tags": {"all": ["mine", "theirs"]}}, {"tags": {"none": ["mine", "theirs"]}}]}'},
    "an assignee": {"assignee": "me"},
}
"""Lists, by REST's parameters."""
MORE = {"postgresql": 3.0, "sqlite": 3.0}
"""So many times as much they may read."""
NOTHING = {"postgresql": 150.0, "sqlite": 0.003}
"""Pages, or seconds, that are not counted: an index of more is deeper."""
LOOKED_UP = {("words in branches", "index"): 6 * OWN}
"""Pages for each of the caller's tasks, which are looked up where there are others; a few are read whole."""

Costs = Mapping[tuple[str, str], float]


class Measured(NamedTuple):
    """What requests cost, by their name and the way that words are looked for."""

    dialect: DialectName
    alone: Costs
    beside_others: Costs


@pytest.fixture(scope="module", params=BACKENDS)
def own_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if request.param == "postgresql":
        require("postgresql")
    with empty_database(request.param, tmp_path_factory.mktemp("reads")) as url:
        yield url


@pytest.fixture(scope="module")
async def measured(own_url: str) -> Measured:
    app = create_app(settings_for(own_url), compile_after=0)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        state: State = app.state.tandem
        ada, bob = await make_person(client, state), await make_person(client, state)
        own = [
            {"title": f"Titanium {number}", "description": "of the caller", "tags": ["mine"] * (number % 50 == 0)}
            for number in range(OWN)
        ]
        made = await ada.post("/tasks/bulk/create", {"tasks": own})
        assert made.status_code == 200, made.text
        theirs = await bob.task(title="Titanium", tags=["theirs"])
        alone = await _costs(state, ada)
        await _add_others(state, theirs["id"])
        return Measured(state.database.dialect, alone, await _costs(state, ada))


async def _costs(state: State, ada: Person) -> Costs:
    await analyze(state.database)
    commands: list[Command] = []
    run = state.database.reader.run

    async def recorded(command: Command) -> Sequence[tuple[Any, ...]]:
        commands.append(command)
        return await run(command)

    costs = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(state.database.reader, "run", recorded)
        for way, few in (("texts", OWN), ("index", 0)):
            patch.setattr(words_module, "FEW", few)
            for name, parameters in REQUESTS.items():
                state.database.known.clear()
                await ada.get("/tasks", params=parameters)  # the caller is remembered
                state.database.known.clear()
                commands.clear()
                answer = await ada.get("/tasks", params=parameters)
                assert answer.status_code == 200, answer.text
                costs[name, way] = reading_cost(state.database, commands)
    return costs


async def _add_others(state: State, task_id: int) -> None:
    """Very many tasks like one, each with a text, its tag, and now and then a comment."""
    for first in range(0, OTHERS, AT_ONCE):
        given = {"id": task_id, "first": first + 1, "last": first + AT_ONCE}
        async with state.database.writing() as session:
            session.takes_long()
            for statement in _OTHERS:
                values = {name: value for name, value in given.items() if f":{name}" in statement}
                await session.execute(text(statement).bindparams(**values))
    async with state.database.writing() as session:
        session.takes_long()
        await session.execute(text(_REMARKS))


_NEW = "FROM tasks WHERE number BETWEEN 1 + :first AND 1 + :last AND project_id = (SELECT max(project_id) FROM tasks)"
_OTHERS = (
    """INSERT INTO tasks (project_id, number, title, status, priority, version, created_at, updated_at)
    WITH RECURSIVE n(i) AS (SELECT :first UNION ALL SELECT i + 1 FROM n WHERE i < :last)
    SELECT project_id, number + i, title, status, priority, version, created_at, updated_at
    FROM tasks JOIN n ON tasks.id = :id""",
    "INSERT INTO task_texts (task_id, project_id, folded) "
    "SELECT id, project_id, 'titanium ' || number || ' mobilesdk titanandroid' " + _NEW,
    "INSERT INTO task_tags (task_id, tag_id) SELECT id, (SELECT max(tag_id) FROM task_tags) " + _NEW,  # noqa: S608 - ours
    "INSERT INTO comments (task_id, body, created_at, version) SELECT id, 'Mobilesdk', created_at, 1 " + _NEW,
)
_REMARKS = "INSERT INTO comment_texts (comment_id, folded) SELECT id, 'mobilesdk' FROM comments WHERE id % 10 = 0"


@pytest.mark.parametrize("way", ["texts", "index"])
async def test_others_texts_are_not_read(measured: Measured, way: str) -> None:
    bad = {}
    for (name, how), alone in measured.alone.items():
        beside = measured.beside_others[name, how]
        more = NOTHING[measured.dialect] + LOOKED_UP.get((name, how), 0) * (measured.dialect == "postgresql")
        if how == way and beside > MORE[measured.dialect] * alone + more:
            bad[name] = (alone, beside)
    assert bad == {}
