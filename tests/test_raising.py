"""What tests conclude from the source: which functions may raise an error."""

from pathlib import Path

import pytest

import tests.raising
from services.shared.errors import NotFound, ResyncRequired
from tests.raising import may_raise

SOURCES = {
    "one/__init__.py": "from one.deep import begins as first\n",
    "one/deep.py": """
class Reader:
    def look(self):
        raise NotFound("Task")

    def aside(self):
        return 1

def begins():
    raise NotFound

def other():
    raise ResyncRequired

def builds():
    return NotFound
""",
    "one/calls.py": """
import asyncio
from functools import partial
from one import deep
from one.deep import begins, other as another

LATER = partial(begins, 1)

async def plainly():
    return await deep.begins()

async def through_a_value():
    await asyncio.to_thread(LATER)

def by_a_method(reader):
    return reader.look

def within():
    def inner():
        begins()
    return inner

def caught():
    try:
        begins()
    except (KeyError, NotFound):
        return None

def caught_by_a_base():
    try:
        begins()
    except TandemError as error:
        return error

def passed_on():
    try:
        begins()
    except Exception:
        raise

def caught_but_for_the_rest():
    try:
        pass
    except NotFound:
        begins()

def suppressed():
    with suppress(NotFound):
        begins()

def of_another():
    another()
    deep.builds()
    reader.aside()
""",
    "one/far.py": "from one import calls, first\n\ndef far():\n    calls.within()\n\ndef farther():\n    first()\n",
}


@pytest.fixture(autouse=True)
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in SOURCES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(tests.raising, "ROOT", tmp_path)


def test_functions_that_may_raise_are_found() -> None:
    found = may_raise(NotFound, ["one"])
    calls = {name.removeprefix("one.calls.") for name in found if name.startswith("one.calls.")}
    assert found - {f"one.calls.{name}" for name in calls} == {
        *("one.deep.Reader.look", "one.deep.begins", "one.far.far", "one.far.farther"),
    }
    assert calls == {
        *("LATER", "plainly", "through_a_value", "by_a_method", "within", "passed_on", "caught_but_for_the_rest"),
    }
    assert may_raise(ResyncRequired, ["one"]) == {"one.deep.other", "one.calls.of_another"}
