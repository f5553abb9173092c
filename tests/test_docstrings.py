"""The services say of everything public what it does: the doors' engineers read no further than that."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

SERVICES = ROOT / "services"
Documented = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def _public(body: list[ast.stmt], prefix: str = "") -> Iterator[tuple[str, Documented]]:
    """Classes, functions and methods; of a property its name says it, and whoever overloads says it once."""
    for node in body:
        if not isinstance(node, Documented) or node.name.startswith("_"):
            continue
        decorators = {ast.unparse(each) for each in node.decorator_list}
        if not decorators & {"property", "overload"}:
            yield prefix + node.name, node
        if isinstance(node, ast.ClassDef):
            yield from _public(node.body, f"{node.name}.")


@pytest.mark.parametrize("path", sorted(SERVICES.rglob("*.py")), ids=lambda path: str(path.relative_to(SERVICES)))
def test_everything_public_of_a_service_says_what_it_does(path: Path) -> None:
    module = ast.parse(path.read_text())
    silent = [name for name, node in _public(module.body) if not ast.get_docstring(node)]
    assert (ast.get_docstring(module) is None, silent) == (False, [])
