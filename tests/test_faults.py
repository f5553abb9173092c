"""What ``make faults`` takes for lost, for doubled and for too late."""

from collections import Counter

import pytest

import tests.faults.on_postgresql
import tests.faults.on_processes
import tests.faults.on_sqlite  # noqa: F401 - they put themselves on the list
from tests.faults.findings import Bounds, Finding, table
from tests.faults.load import CUT, Call, Ledger
from tests.faults.worlds import FAULTS

BOUNDS = Bounds(longest=5.0, first_write=2.0, health=1.0, ready=2.0)
GOOD = (
    Call("write", 10.0, 0.1, 201),
    Call("write", 11.0, 0.2, 503),
    Call("write", 13.5, 0.5, 201),
    Call("read", 10.0, 0.1, 200),
    Call("health", 10.0, 0.1, 200),
    Call("ready", 10.0, 0.1, 503),
)
TOLD = {"a": 10.1, "b": 14.0}
STORED = Counter({"a": 1, "b": 1, "never answered": 1})


def _judged(*more: Call, stored: Counter[str] = STORED, bounds: Bounds = BOUNDS, since: float = 13.0) -> Finding:
    finding = Finding("x", "sqlite", bounds)
    finding.judge(Ledger([*GOOD, *more], dict(TOLD)), stored, since=since)
    return finding


def test_what_is_as_it_should_be_has_no_failures() -> None:
    finding = _judged()

    assert (finding.failures, finding.verdict, finding.first_write) == ([], "ok", 1.0)
    assert (finding.acknowledged, finding.refused) == (2, Counter({"503": 1}))


@pytest.mark.parametrize(
    ("finding", "told"),
    [
        (_judged(stored=Counter({"a": 1})), "1 acknowledged writes are lost"),
        (_judged(stored=Counter({"a": 2, "b": 1})), "1 writes are there twice"),
        (_judged(Call("write", 12.0, 0.1, 500)), "answered 500"),
        (_judged(Call("read", 12.0, 0.1, CUT)), "answered cut off"),
        (_judged(Call("others", 12.0, 6.0, 200)), "an answer took 6.0 s, more than 5"),
        (_judged(Call("health", 12.0, 1.5, 200)), "/health took 1.5 s, more than 1"),
        (_judged(Call("health", 12.0, 0.1, 503)), "/health was 503, 1 times"),
        (_judged(Call("ready", 12.0, 2.5, 503)), "/health/ready took 2.5 s, more than 2"),
        (_judged(since=11.5), "the first write took 2.5 s, more than 2"),
        (_judged(since=20.0), "no write was acknowledged afterwards"),
    ],
)
def test_what_is_not_is_told(finding: Finding, told: str) -> None:
    assert finding.failures == [told]
    assert f"FAILED: {told}" in table([finding])


def test_a_fault_is_on_the_list_once_for_a_database_and_says_what_happens() -> None:
    names = [(fault.name, fault.database) for fault in FAULTS]

    assert len(set(names)) == len(names)
    assert all(fault.scenario.__doc__ for fault in FAULTS)
    assert {database for _, database in names} == {"sqlite", "postgresql"}
