"""Executes GraphQL operations by code that is written for each of them, lists at a time.

The ordinary executor (graphql-core's) walks every field of every row: it looks the field up, builds an info object and
a path, calls a resolver, looks whether the result can be awaited, completes it. For a hundred rows of twenty fields
that is 2,000 times about 5 µs. Here an operation is turned into Python functions once, one for each place of the
document where an object is selected; such a function takes *all* the objects at that place and answers their maps::

    async def place(run, sources):
        b0 = await load(run, 0, sources)          # a relation: one call for all of them
        c0 = await one(run, b0)                   # the objects found, by the function of their place
        return [{"id": s.node_id, "title": s.title, "project": v0} for s, v0 in zip(sources, c0)]

What may be compiled is what an application declares, field by field, as a ``Binding``: where the value stands in its
source (``Attribute``), or how it is found for many sources at once (``Batch``). A field without one is resolved by its
ordinary resolver, which is possible for the operation's own fields: they have one source. A batch may also be told
which attributes the operation reads of the objects of a type (``Reads``).

Nothing about the semantics is given up. An operation that holds anything else is ``NotCompilable``, and where a
compiled one meets anything but plain success (a null where none may be, a value that is not of its type, any exception)
it raises ``GaveUp``: the caller then runs the ordinary executor, which makes the located errors. What the operation's
own fields have done until then is not done again: ``Replay`` gives their outcomes to the ordinary executor.

The answer differs from the ordinary executor's in one thing: a leaf may be a Python object that the encoder knows, such
as a ``datetime`` (see ``Scalars``), so it is the encoded answers that are the same, byte by byte.
"""

from graphql_compiler.arguments import Variables
from graphql_compiler.bindings import Attribute, Batch, Binding, BindingOf, Load, Reads, Scalars
from graphql_compiler.execution import Execution, GaveUp, Replay, TooLarge, size_of
from graphql_compiler.inputs import Inputs, KeptInput
from graphql_compiler.operations import CompiledOperation, compile_operation
from graphql_compiler.selections import NotCompilable, mentions_variables, parts_of, shaping_variables

__all__ = [
    "Attribute",
    "Batch",
    "Binding",
    "BindingOf",
    "CompiledOperation",
    "Execution",
    "GaveUp",
    "Inputs",
    "KeptInput",
    "Load",
    "NotCompilable",
    "Reads",
    "Replay",
    "Scalars",
    "TooLarge",
    "Variables",
    "compile_operation",
    "mentions_variables",
    "parts_of",
    "shaping_variables",
    "size_of",
]
