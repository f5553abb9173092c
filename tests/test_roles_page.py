"""docs/roles.md says what the table of permissions says, which both doors are asked."""

import re

import pytest

from services.features import OPERATIONS
from services.shared.features import Who
from tests.conftest import ROOT
from tests.examples import ROUTES
from tests.test_permissions import ROWS
from tools.roles import OTHERS, PROJECT

PAGE = (ROOT / "docs/roles.md").read_text(encoding="utf-8")


def row(name: str) -> list[str]:
    """The cells of an operation's row."""
    route = ROUTES[name]
    method = next(iter(route.methods or ()))
    (found,) = re.findall(rf"^\|.*\| `{method} {re.escape(route.path_format)}` \|.*$", PAGE, flags=re.MULTILINE)
    return [cell.strip() for cell in str(found).strip("|").split("|")]


def test_every_kind_of_caller_has_a_place() -> None:
    assert set(PROJECT) | {who for notes in OTHERS.values() for who in notes} == set(Who)


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_row_says_what_both_doors_answer(name: str) -> None:
    operation = OPERATIONS[name]
    cells = row(name)
    assert cells[2] == f"`{operation.graphql.partition('.')[2]}`"
    assert cells[-1] == (f"`{operation.scope.value}`" if operation.scope else "")
    if operation.who in PROJECT:
        # the table asks of a comment that the owner wrote: it says nothing of what owners may do to others'
        others = "NFFFF" if operation.who is Who.AUTHOR else ROWS[operation.who][1:6]
        assert [cell == "✓" for cell in cells[3:7]] == [cell == "A" for cell in others[1:]]
