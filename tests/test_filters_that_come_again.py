"""What is worked out of a filter is worked out once, unless it depends on the present."""

from datetime import UTC
from typing import Any

import pytest

from core.ticks import TICK, next_tick
from db.driver.database import Database
from services.shared.pagination import PageRequest
from services.tasks import queries
from services.tasks.filters import TaskFilter
from services.tasks.listing.conditions import MAX_KNOWN, TaskPredicate, condition
from services.tasks.query import TaskQuery
from tests.actors import Person

USUAL: dict[str, Any] = {"status": {"eq": "pending"}, "priority": {"gte": 3}}


class TestService:
    def test_the_condition_of_a_filter_is_the_same(self) -> None:
        filter_ = TaskFilter.model_validate(USUAL)

        assert condition(filter_) is condition(filter_)
        assert condition(filter_, trashed=True) is not condition(filter_)
        assert condition(TaskFilter.model_validate(USUAL)) == condition(filter_)

    def test_what_depends_on_the_present_does_not_stay(self) -> None:
        overdue = TaskFilter.model_validate({"overdue": True})

        assert condition(overdue, zone=UTC) is not condition(overdue, zone=UTC)

    def test_neither_does_what_is_large(self) -> None:
        tags = [{"tags": {"any": [f"tag {n} of {part}" for n in range(60)]}} for part in range(2)]
        many = TaskFilter.model_validate({"or": tags})

        assert condition(many) is not condition(many)

    def test_only_the_last_ones_are_kept(self) -> None:
        first, *others = [TaskFilter.model_validate(USUAL) for _ in range(MAX_KNOWN + 1)]
        known = condition(first)
        for other in others:
            condition(other)

        assert condition(first) is not known
        assert condition(others[-1]) is condition(others[-1])

    async def test_a_page_that_comes_again_makes_no_conditions(
        self, ada: Person, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        query = TaskQuery(TaskFilter.model_validate(USUAL))
        await queries.list_(database.reads, ada.actor, query, PageRequest(first=5))

        def never(*_: object) -> None:
            raise AssertionError("a statement that is there was made again")

        monkeypatch.setattr(TaskPredicate, "each", never)
        page = await queries.list_(database.reads, ada.actor, query, PageRequest(first=5))

        assert page.items == []


@pytest.mark.parametrize("moment", [0.0, 0.001, 0.02, 0.049, 7.0491, 1_234.5678])
def test_the_next_tick_is_soon_and_not_at_once(moment: float) -> None:
    due = next_tick(moment)

    assert 0.1 * TICK < due - moment <= 1.1 * TICK + 1e-9
    assert due / TICK == pytest.approx(round(due / TICK))
