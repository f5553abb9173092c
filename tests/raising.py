"""Which functions may raise an error, by their source: those that do, and whoever names one of them uncaught.

What is called by an object's attribute is any method of that name: so more may be found than can happen, and not less.
"""

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CATCHING_ALL = frozenset({"Exception", "BaseException"})


@dataclass
class Module:
    """What names mean in a module: of other modules, and of its own."""

    imported: dict[str, str] = field(default_factory=dict)
    defined: dict[str, list[ast.AST]] = field(default_factory=dict)
    """Functions, methods (``Class.method``) and what is assigned."""


def may_raise(error: type[Exception], folders: Iterable[str]) -> frozenset[str]:
    """The functions that may, each as ``module.name``, or ``module.Class.method``."""
    modules = {name: _read(path) for folder in folders for name, path in _sources(folder)}
    catching = CATCHING_ALL | {each.__name__ for each in error.__mro__ if issubclass(each, Exception)}
    names: dict[str, set[str]] = {}
    """What each function names outside of what catches the error."""
    found: set[str] = set()
    for module_name, module in modules.items():
        for own, nodes in module.defined.items():
            where = f"{module_name}.{own}"
            for node in (inner for each in nodes for inner in _uncaught(each, catching)):
                if isinstance(node, ast.Raise):
                    found |= {where} if node.exc is not None and error.__name__ in _words(node.exc) else set()
                else:
                    names.setdefault(where, set()).update(_meant(node, module_name, modules))
    grown = True
    while grown:
        methods = {f".{name.rpartition('.')[2]}" for name in found if name.count(".") > _depth(name, modules)}
        callers = {where for where, named in names.items() if not named.isdisjoint(found | methods)}
        grown, found = not callers <= found, found | callers
    return frozenset(found)


def _sources(folder: str) -> Iterator[tuple[str, Path]]:
    for path in sorted((ROOT / folder).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def _read(path: Path) -> Module:
    module = Module()
    for node in ast.walk(tree := ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            module.imported |= {each.asname or each.name: f"{node.module}.{each.name}" for each in node.names}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            for inner in node.body:
                name = getattr(inner, "name", None)
                module.defined.setdefault(f"{node.name}.{name}" if name else node.name, []).append(inner)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            module.defined.setdefault(node.name, []).append(node)
        elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for name in {each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name)}:
                module.defined.setdefault(name, []).append(node.value)
    return module


def _uncaught(node: ast.AST, catching: frozenset[str]) -> Iterator[ast.AST]:
    """What raises or is named in a piece of source, outside of what catches the error and does not raise it again."""
    if isinstance(node, ast.Raise | ast.Name | ast.Attribute):
        yield node
    inside: list[ast.AST] = [*ast.iter_child_nodes(node)]
    if isinstance(node, ast.Try) and any(_catches(each, catching) for each in node.handlers):
        inside = [*node.handlers, *node.orelse, *node.finalbody]
    elif isinstance(node, ast.With | ast.AsyncWith) and any(
        "suppress" in _words(each.context_expr) and not catching.isdisjoint(_words(each.context_expr))
        for each in node.items
    ):
        inside = []
    for each in inside:
        yield from _uncaught(each, catching)


def _catches(handler: ast.ExceptHandler, catching: frozenset[str]) -> bool:
    caught = handler.type is None or not catching.isdisjoint(_words(handler.type))
    return caught and not any(isinstance(each, ast.Raise) for each in ast.walk(handler))


def _words(node: ast.AST) -> set[str]:
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)} | {
        each.attr for each in ast.walk(node) if isinstance(each, ast.Attribute)
    }


def _meant(node: ast.AST, module_name: str, modules: Mapping[str, Module]) -> set[str]:
    """What a name may mean: of a function its whole name, of a method ``.name``."""
    if isinstance(node, ast.Name):
        return {_resolved(f"{module_name}.{node.id}", modules)}
    assert isinstance(node, ast.Attribute)
    if isinstance(node.value, ast.Name):
        of = modules[module_name].imported.get(node.value.id)
        if of in modules:
            return {_resolved(f"{of}.{node.attr}", modules)}
    return {f".{node.attr}"}


def _resolved(name: str, modules: Mapping[str, Module]) -> str:
    """The name of what is imported, where it is defined."""
    module_name, _, own = name.rpartition(".")
    module = modules.get(module_name)
    if module is None or own in module.defined or own not in module.imported:
        return name
    return _resolved(module.imported[own], modules)


def _depth(name: str, modules: Mapping[str, Module]) -> int:
    """How many dots the whole name of a function of the module would have."""
    module = name.rpartition(".")[0]
    while module and module not in modules:
        module = module.rpartition(".")[0]
    return module.count(".") + 1
