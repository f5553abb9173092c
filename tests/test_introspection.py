"""What the schema says of itself over HTTP (GraphQL, section 4.2)."""

import subprocess
import sys

import orjson
from graphql import get_introspection_query

from tests.actors import Person
from tests.processes import ROOT

EVERYTHING = get_introspection_query(
    specified_by_url=True, directive_is_repeatable=True, schema_description=True, input_value_deprecation=True
)
MARKS = "kind name description specifiedByURL isOneOf"
WRAPPED = (
    f"{{ __schema {{ types {{ {MARKS} fields {{ name type {{ {MARKS} ofType {{ {MARKS} ofType {{ {MARKS} }} }} }} }} "
    f"inputFields {{ name type {{ {MARKS} ofType {{ {MARKS} }} }} }} }} }} }}"
)


async def test_tools_get_all_of_it(ada: Person) -> None:
    answer = await ada.gql(EVERYTHING)
    assert "errors" not in answer.body
    assert {"Query", "Mutation", "Subscription"} <= {one["name"] for one in answer.data["__schema"]["types"]}


def test_every_mark_of_every_type_has_an_answer() -> None:
    """Also of those that are made of others: lists, and what cannot be null. In a process of its own, for the types of
    introspection are the same for all schemas, and tests have others."""
    script = f"import orjson, sys; from graphql_schema.schema import schema; result = schema.execute_sync({WRAPPED!r});"
    script += "sys.stdout.buffer.write(orjson.dumps([result.data, [*map(str, result.errors or [])]]))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=True)
    data, errors = orjson.loads(done.stdout)
    assert errors == []
    kinds: dict[str, set[object]] = {}
    waiting = [*data["__schema"]["types"]]
    while waiting:
        type_ = waiting.pop()
        kinds.setdefault(type_["kind"], set()).add(type_["isOneOf"])
        waiting += [field["type"] for field in [*(type_.get("fields") or ()), *(type_.get("inputFields") or ())]]
        waiting += [type_["ofType"]] if type_.get("ofType") else []
    assert kinds.pop("INPUT_OBJECT") == {False}
    assert {"OBJECT", "LIST", "NON_NULL", "SCALAR", "ENUM", "INTERFACE"} <= kinds.keys()
    assert all(marks == {None} for marks in kinds.values()), kinds
