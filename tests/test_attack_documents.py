"""A small share of the worst documents that are made over our schema (``tests.attack.documents``)."""

from collections import Counter

import pytest

from graphql_schema.execution.executor import Executor
from graphql_schema.schema import schema
from tests.attack.documents import preparing_time, written
from tests.test_limits import TRIES, affordable

DOCUMENTS, SHARE = 300, 50


@pytest.mark.parametrize("start", range(0, DOCUMENTS, SHARE))
def test_none_takes_long_before_it_is_executed(start: int) -> None:
    executor, outcomes = Executor(schema), Counter[str]()
    for number in range(start, start + SHARE):
        document = written(1, number)
        seconds, outcome = preparing_time(executor, document)
        outcomes[outcome] += 1
        tries = 1
        while not affordable(seconds):
            assert tries < TRIES, f"1:{number} ({document.kind}) takes {seconds * 1000:.0f} ms"
            seconds, tries = preparing_time(Executor(schema), document)[0], tries + 1
    assert len(outcomes) > 2, "they are all refused, or let through, in the same way"


def test_a_seed_says_what_is_written() -> None:
    assert written(3, 4) == written(3, 4) != written(3, 5)
