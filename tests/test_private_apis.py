"""docs/private-apis.md names what is used of libraries beside what they document, and where."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "private-apis.md"
PRODUCT = ("api", "graphql_schema", "graphql_compiler", "services", "db", "core", "cli")

INTERNAL = (
    "fastapi.datastructures",
    "fastapi.dependencies",
    "fastapi.routing",
    "graphql.execution.get_variable_signature",
    "graphql.execution.values",
    "graphql.language.ast",
    "graphql.language.parser",
    "graphql.utilities.sort_value_node",
    "psycopg.pq.abc",
    "sqlalchemy.dialects.sqlite.base",
    "starlette.convertors",
    "strawberry.pydantic.conversion",
    "strawberry.schema.schema",
    "strawberry.types.arguments",
    "strawberry.types.base",
    "strawberry.types.enum",
    "strawberry.types.scalar",
    "strawberry.utils",
    "uvicorn.protocols",
    "uvicorn.server",
    "uvicorn_worker",
)
"""Modules without an underscore that their libraries' documentation leads nobody to import from."""
DOCUMENTED = {
    ("fastapi.routing", "APIRoute"),
    ("strawberry.schema.schema", "Schema"),  # the class of strawberry.Schema, for annotations
}
NAMED_TUPLES = frozenset({"_asdict", "_fields", "_make", "_replace"})
"""Documented, in spite of the underscore: it keeps them apart from fields."""
OWN = frozenset({"_limit"})
"""Private attributes of our own that are reached from beside their object."""


class Use(NamedTuple):
    """A private or undocumented name, and the file that uses it."""

    file: str
    name: str


class Entry(NamedTuple):
    """A row of the page."""

    names: list[str]
    files: list[str]
    breaks: str
    tests: list[str]


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def entries() -> list[Entry]:
    rows = [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in PAGE.read_text().splitlines()
        if line.startswith("| `")
    ]
    return [Entry(quoted(names), quoted(files), breaks, quoted(tests)) for names, files, breaks, tests in rows]


@cache
def trees() -> dict[str, ast.Module]:
    files = [file for folder in PRODUCT for file in sorted((ROOT / folder).rglob("*.py"))]
    files.append(ROOT / "gunicorn.conf.py")
    return {str(file.relative_to(ROOT)): ast.parse(file.read_text()) for file in files}


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def is_of_self(node: ast.Attribute) -> bool:
    of = node.value.func if isinstance(node.value, ast.Call) else node.value
    return isinstance(of, ast.Name) and of.id in {"self", "cls", "super"}


@cache
def own_names() -> frozenset[str]:
    """What our classes define: methods, fields, and attributes that are set."""
    found = set(OWN)
    for node in (node for tree in trees().values() for node in ast.walk(tree)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and is_of_self(node):
            found.add(node.attr)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return frozenset(found)


def uses(file: str, tree: ast.Module) -> Iterator[Use]:
    """The private and undocumented names of others that a module uses."""
    ours = (*PRODUCT, "tests")
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] not in ours:
            internal = node.module.startswith(INTERNAL)
            for name in (each.name for each in node.names):
                if any(map(is_private, (*node.module.split("."), name))) or (
                    internal and (node.module, name) not in DOCUMENTED
                ):
                    yield Use(file, name)
        elif isinstance(node, ast.Attribute) and is_private(node.attr) and node.attr not in NAMED_TUPLES | OWN:
            if not (is_of_self(node) and node.attr in own_names()):
                yield Use(file, node.attr)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and len(node.args) > 1:
            of, name = (
                ast.unparse(node.args[0]),
                str(node.args[1].value) if isinstance(node.args[1], ast.Constant) else "",
            )
            if (
                node.func.id in {"getattr", "hasattr"}
                and is_private(name)
                and name not in NAMED_TUPLES
                and of != "self"
            ):
                yield Use(file, name)


def test_every_private_use_is_on_the_page() -> None:
    told = {Use(file, name) for entry in entries() for file in entry.files for name in entry.names}
    found = {use for file, tree in trees().items() for use in uses(file, tree)}

    assert sorted(found - told) == []
    assert len(found) > 50  # of which there are more than there should be


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.names[0])
def test_every_entry_is_true(entry: Entry) -> None:
    assert entry.names
    assert entry.files
    assert entry.breaks
    for file in entry.files:
        source = (ROOT / file).read_text()
        assert [name for name in entry.names if not re.search(rf"\b{re.escape(name)}\b", source)] == [], file
    assert entry.tests
    for test in entry.tests:
        file, *path = test.split("::")
        names = {
            node.name
            for node in ast.walk(ast.parse((ROOT / file).read_text()))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        }
        assert set(path) <= names, test


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("request._body", ["_body"]),
        ("self._schema = schema._schema", ["_schema"]),
        ("from uvicorn._types import ASGI3Application", ["ASGI3Application"]),
        ("from graphql.execution.values import VariableValues", ["VariableValues"]),
        ("from fastapi.routing import APIRoute", []),
        ("getattr(request, '_body', None)", ["_body"]),
        ("class A(B):\n def f(self):\n  self._install_sigquit_handler()", ["_install_sigquit_handler"]),
        ("record._replace(a=1)", []),
        ("self._state", []),
        ("thing.__class__", []),
    ],
)
def test_uses_are_found(source: str, names: list[str]) -> None:
    assert [use.name for use in uses("module.py", ast.parse(source))] == names
