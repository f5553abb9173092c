"""The catalogue of kinds of events: each is recorded somewhere, and nothing else is."""

import ast
from collections.abc import Iterator

import pytest

from db.driver.database import Database
from services.events import catalogue, log
from services.events.catalogue import CATALOGUE, EventKind
from services.shared.actors import ANONYMOUS
from tests.conftest import ROOT
from tests.stored import unchanged

BY_CONSTANT = {name: kind for name, kind in vars(catalogue).items() if isinstance(kind, EventKind)}


def _named_in_services() -> Iterator[str]:
    """The constants of the catalogue that the services use."""
    for path in (ROOT / "services").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "catalogue":
                yield node.attr


def test_every_declared_kind_is_recorded_by_a_service_and_no_other() -> None:
    used = set(_named_in_services())
    recorded = {kind.name for name, kind in BY_CONSTANT.items() if name in used}
    if "IMPORTED" in used:
        recorded |= {kind.name for kind in catalogue.IMPORTED.values()}
    assert recorded == CATALOGUE.keys()
    assert used <= BY_CONSTANT.keys() | {"IMPORTED"}


def test_no_service_spells_a_kind_itself() -> None:
    spelt = {
        f"{path.name}: {argument.value}"
        for path in (ROOT / "services").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in {"NewEvent", "_record", "_event"}
        for argument in node.args
        if isinstance(argument, ast.Constant) and argument.value in CATALOGUE
    }
    assert not spelt


@pytest.mark.parametrize("kind", CATALOGUE.values(), ids=CATALOGUE)
def test_a_kind_says_what_it_is_and_fits_its_columns(kind: EventKind) -> None:
    assert kind.sentence.endswith(".")
    assert kind.since.count(".") == 2
    assert len(kind.name) <= 40
    assert len(kind.holds) <= log.MAX_CHANGES


async def test_a_kind_that_is_not_declared_is_refused(database: Database) -> None:
    made_up = EventKind("task.created", "task", frozenset(), "1.0.0", "Looks like one.")
    async with unchanged(database):
        with pytest.raises(ValueError, match="no kind of event"):
            async with database.writing() as session:
                await log.record(session, ANONYMOUS, log.NewEvent(made_up, 1, {}))


async def test_a_field_that_its_kind_does_not_tell_of_is_refused(database: Database) -> None:
    event = log.NewEvent(catalogue.COMMENT_CREATED, 1, {"secret": (None, "x")})
    async with unchanged(database):
        with pytest.raises(ValueError, match="does not tell of secret"):
            async with database.writing() as session:
                await log.record(session, ANONYMOUS, event)
