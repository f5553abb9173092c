"""Functions of a source text that is made at run time, with the lines of it in their tracebacks."""

import itertools
import linecache
from collections.abc import Callable, Mapping
from typing import Any
from weakref import finalize

_NUMBERS = itertools.count(1)


def make_function(name: str, source: str, scope: Mapping[str, Any], *, of: str = "") -> Callable[..., Any]:
    """The function that a source text defines under a name, at its top level; ``scope`` has the names that it uses.

    The text is executed: it must be made of names of ours, and of literals. ``of`` says in tracebacks what it is about.
    Its lines are kept for them (``linecache``) for as long as the function is there. Raises ``SyntaxError``.
    """
    filename = f"<{name} {of or 'generated'} {next(_NUMBERS)}>"
    names = dict(scope)
    exec(compile(source, filename, "exec"), names)  # noqa: S102 - see above
    # not one of its own globals any more: that would be a cycle, which only the collector frees
    function: Callable[..., Any] = names.pop(name)
    linecache.cache[filename] = len(source), None, source.splitlines(keepends=True), filename
    finalize(function, linecache.cache.pop, filename, None).atexit = False
    return function
