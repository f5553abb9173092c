"""The names of a JSON object's members, without reading their values out of the database."""

from typing import Any

from sqlalchemy import JSON
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement


class json_keys(FunctionElement[list[str]]):
    """The names, in their order by code point; none of an empty object."""

    type = JSON()
    inherit_cache = True


@compiles(json_keys, "postgresql")
def _on_postgresql(element: json_keys, compiler: SQLCompiler, **options: Any) -> str:
    inner = compiler.process(element.clauses, **options)
    return f"(SELECT coalesce(json_agg(k ORDER BY k COLLATE \"C\"), '[]') FROM jsonb_object_keys({inner}) AS keys(k))"  # noqa: S608


@compiles(json_keys, "sqlite")
def _on_sqlite(element: json_keys, compiler: SQLCompiler, **options: Any) -> str:
    inner = compiler.process(element.clauses, **options)
    return f"(SELECT json_group_array(key) FROM (SELECT key FROM json_each({inner}) ORDER BY key))"  # noqa: S608
