"""What a mutation is refused for reaches the error callback of Apollo Client, urql and Relay (docs/clients.md).

Every mutation there is is sent with variables that do not fit, by nobody, and with values that no rule lets through.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    get_named_type,
    is_list_type,
    is_non_null_type,
    is_required_input_field,
)

from graphql_schema.execution.guests import PUBLIC
from graphql_schema.schema import schema
from services.shared.node_ids import encode
from tests.actors import Person
from tests.conftest import settings_for
from tests.infrastructure import lacking
from tests.live import LiveServer

CLIENTS = Path(__file__).resolve().parent / "clients"
NAMES = ("apollo", "urql", "relay")
NOWHERE = 2**31 - 1
SCALARS: dict[str, object] = {"Int": 1, "Boolean": True, "DateTime": "2099-01-01T00:00:00Z", "JSON": {}, "String": "x"}


def value_of(type_: Any, name: str) -> object:
    """A value that fits a type, and leads nowhere."""
    if is_non_null_type(type_):
        return value_of(type_.of_type, name)
    if is_list_type(type_):
        return [value_of(type_.of_type, name)]
    if isinstance(type_, GraphQLEnumType):
        return next(iter(type_.values))
    if isinstance(type_, GraphQLInputObjectType):
        fields = type_.fields.items()
        chosen = {key: value_of(field.type, key) for key, field in fields if is_required_input_field(field)}
        return chosen or {key: value_of(field.type, key) for key, field in list(fields)[:1]}
    return encode("Task", NOWHERE) if type_.name == "ID" else SCALARS[type_.name]


def mutations() -> Iterator[dict[str, Any]]:
    core: Any = schema._schema.mutation_type
    for field, declared in core.fields.items():
        argument = declared.args.get("input")
        if argument is None:
            continue
        yield {
            "name": field,
            "field": field,
            "payload": get_named_type(declared.type).name,
            "text": f"mutation M($input: {argument.type}) {{ {field}(input: $input) {{ __typename }} }}",
            "variables": {"input": value_of(argument.type, "")},
        }


def run(**given: Any) -> dict[str, Any]:
    node = shutil.which("node")
    if node is None or not (CLIENTS / "node_modules").is_dir():
        lacking("clients", "Node.js and what `make clients` installs")
    done = subprocess.run(
        [node, "errors.mjs"], cwd=CLIENTS, input=json.dumps(given), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    told: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return told


@pytest.fixture(scope="module")
def server(database_urls: dict[str, str]) -> Iterator[LiveServer]:
    with LiveServer(settings_for(database_urls["sqlite"])) as live:
        yield live


@pytest.fixture
def backend() -> str:
    """What clients do depends on no database."""
    return "sqlite"


class TestErrorCallbacks:
    async def test_variables_that_do_not_fit(self, server: LiveServer, ada: Person) -> None:
        wrong = [mutation | {"variables": {"input": {"nothing": 1}}} for mutation in mutations()]
        found = self.told(server, ada.headers, wrong)
        assert len(found) > 35
        assert {code for each in found.values() for codes in each.values() for code in codes} == {"BAD_USER_INPUT"}

    async def test_nobody_may(self, server: LiveServer) -> None:
        found = self.told(server, {}, [each for each in mutations() if each["name"] not in PUBLIC])
        told = [each["relay"] for each in found.values()]
        # an id of another thing is refused before anybody asks who it is
        assert {code for codes in told for code in codes} == {"UNAUTHENTICATED", "BAD_USER_INPUT"}
        assert told.count(["UNAUTHENTICATED"]) > 10

    async def test_fields_that_are_refused_beside_data(self, server: LiveServer, ada: Person) -> None:
        # with a key that may read alone, fields that get as far are FORBIDDEN
        key = await ada.api_key("tasks:read")
        # a token that nobody has is no error to revoke (RFC 7009, section 2.2), nor is a login that nobody has
        never = {"revokeToken", "requestPasswordReset"}
        found = self.told(server, key.headers, [each for each in mutations() if each["name"] not in never])
        told = {code for each in found.values() for codes in each.values() for code in codes}
        assert "FORBIDDEN" in told
        assert told <= {"FORBIDDEN", "BAD_USER_INPUT", "NOT_FOUND", "UNAUTHENTICATED", "CONFLICT"}

    def told(
        self, server: LiveServer, headers: dict[str, str], asked: list[dict[str, Any]]
    ) -> dict[str, dict[str, list[str]]]:
        """The codes that each client's callback was given, for each mutation: never none, and the same for all."""
        url = f"{server.base_url}/graphql"
        found = run(url=url, headers=headers, mutations=asked, query="{ __typename }")["found"]
        assert found.keys() == {each["name"] for each in asked}
        for name, each in found.items():
            assert each.keys() == set(NAMES)
            assert each["apollo"], name
            assert each["apollo"] == each["urql"] == each["relay"], (name, each)
        checked: dict[str, dict[str, list[str]]] = found
        return checked


async def test_apollo_sends_a_document_once_and_then_its_hash(server: LiveServer, ada: Person) -> None:
    query = f"query Mine {{ me {{ username }} }} # {ada.username}"
    told = run(url=f"{server.base_url}/graphql", headers=ada.headers, mutations=[], query=query)
    # the hash, then the hash with the document; from then on the hash alone
    assert told["requests"] == [2, 1]
