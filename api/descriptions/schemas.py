"""Schemas as generators of clients want them: without titles that repeat a name, and without defaults that would make a
field of a request required."""

import json
from typing import Any

Schema = dict[str, Any]
PREFIX = "#/components/schemas/"
_VALUES = frozenset({"example", "examples", "default", "enum", "const", "required"})
"""Members that hold values, and no schemas."""


def without_titles(node: Any, *, names: bool = False) -> Any:
    """A part of a document without the titles that pydantic makes of names. The keys of ``properties`` are names."""
    if isinstance(node, list):
        return [without_titles(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: value if key in _VALUES and not names else without_titles(value, names=key == "properties" and not names)
        for key, value in node.items()
        if names or key != "title" or not isinstance(value, str)
    }


def describe_defaults(document: Schema) -> None:
    """Say what fields of requests are where they are left out in their descriptions, and by ``x-default`` instead of
    ``default``: a generated client would ask for them, as for what an answer always has."""
    schemas: dict[str, Schema] = document["components"]["schemas"]
    for name in sorted(_of_requests(document)):
        for field in schemas[name].get("properties", {}).values():
            if "default" not in field:
                continue
            default = field["x-default"] = field.pop("default")
            if default not in (None, "", []):
                said = default if isinstance(default, str) else json.dumps(default)
                field["description"] = f"{field.get('description', '')} `{said}` if it is left out.".strip()


def _of_requests(document: Schema) -> set[str]:
    """The names of the schemas that bodies are made of."""
    schemas: dict[str, Schema] = document["components"]["schemas"]
    found: set[str] = set()
    left: list[Any] = [
        operation.get("requestBody", {}) for item in document["paths"].values() for operation in item.values()
    ]
    while left:
        node = left.pop()
        if isinstance(node, dict):
            name = str(node.get("$ref", "")).removeprefix(PREFIX)
            if name in schemas and name not in found:
                found.add(name)
                left.append(schemas[name])
            left += node.values()
        elif isinstance(node, list):
            left += node
    return found
