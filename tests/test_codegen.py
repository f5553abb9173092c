"""Functions made of a text at run time: what goes wrong in one is told with its line, and it leaves nothing behind."""

import gc
import linecache
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel
from sqlalchemy import bindparam, select

from api.http.serializers import serializer_for
from core.codegen import make_function
from db.driver.dialects import dialect_for
from db.driver.statements import Prepared


class Named(BaseModel):
    name: str


def _added() -> Callable[[Any], Any]:
    return make_function("added", "def added(value):\n    total = value\n    return total + one", {"one": 1}, of="test")


def _lines(error: BaseException) -> list[str | None]:
    return [frame.line for frame in traceback.extract_tb(error.__traceback__)]


class TestTracebacks:
    def test_show_the_line_and_what_it_was_made_of(self) -> None:
        added = _added()
        assert added(1) == 2
        with pytest.raises(TypeError) as failed:
            added("x")
        last = traceback.extract_tb(failed.value.__traceback__)[-1]
        assert (last.line, last.lineno, last.name) == ("return total + one", 3, "added")
        assert last.filename.startswith("<added test ")

    def test_show_the_line_after_others_have_changed_on_the_disk(self) -> None:
        added = _added()
        linecache.checkcache()
        with pytest.raises(TypeError) as failed:
            added("x")
        assert "return total + one" in _lines(failed.value)

    @pytest.mark.parametrize("driver", ["sqlite", "postgresql+psycopg"])
    def test_show_the_values_that_a_statement_lacks(self, driver: str) -> None:
        statement: Prepared[Any] = Prepared(select(bindparam("wanted", type_=None, required=True)))
        with pytest.raises(KeyError) as failed:
            statement.ready(dialect_for(driver)).command({})
        assert "return [p['wanted']]" in _lines(failed.value)

    def test_show_the_member_that_a_record_lacks(self) -> None:
        with pytest.raises(AttributeError) as failed:
            serializer_for(Named)(object())
        assert "return {'name': s.name}" in _lines(failed.value)


class TestFreed:
    def test_with_its_last_reference_text_included(self) -> None:
        gc.collect()
        gc.disable()
        try:
            added = _added()
            filename = added.__code__.co_filename
            assert filename in linecache.cache
            del added
            assert filename not in linecache.cache, "there were cycles, or the text is kept"
        finally:
            gc.enable()

    def test_two_of_a_name_have_texts_of_their_own(self) -> None:
        one, other = _added(), _added()
        assert one.__code__.co_filename != other.__code__.co_filename
        del other
        assert linecache.getline(one.__code__.co_filename, 3).strip() == "return total + one"
