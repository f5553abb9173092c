"""The OpenAPI document: what a generator of clients, and whoever reads the reference, relies on."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI

from api.main import create_app, openapi_document
from api.openapi import MEANINGS, OPEN_TO_ALL, PUBLIC, operations
from services.features import OPERATIONS
from services.shared.errors import ResyncRequired
from tests.actors import Anonymous
from tests.conftest import settings_for
from tests.raising import may_raise

STREAMS = {"follow_changes", "follow_live_list", "follow_notifications"}

Document = dict[str, Any]
Operation = tuple[str, str, dict[str, Any]]


@pytest.fixture(scope="module")
def document() -> Document:
    return create_app(settings_for("sqlite:///./unused.db")).openapi()


@pytest.fixture(scope="module")
def every_operation(document: Document) -> list[Operation]:
    return list(operations(document))


def references(part: Any) -> Iterator[str]:
    """Every $ref in a part of the document."""
    if isinstance(part, dict):
        for name, value in part.items():
            if name == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(part, list):
        for item in part:
            yield from references(item)


def resolve(document: Document, reference: str) -> Any:
    found: Any = document
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


def body_of(operation: dict[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = operation.get("requestBody", {}).get("content", {})
    return content


class TestDocument:
    async def test_is_served_as_it_is_exported(self, anonymous: Anonymous, document: Document) -> None:
        served = await anonymous.get("//openapi.json")

        assert served.headers["content-type"] == "application/json"
        assert served.json() == document == openapi_document()

    def test_says_what_it_is(self, document: Document) -> None:
        assert document["openapi"].startswith("3.1.")
        assert document["info"]["title"] == "Tandem"
        assert document["info"]["description"]

    def test_is_made_once(self, app: FastAPI) -> None:
        assert app.openapi() is app.openapi()

    def test_graphql_and_pages_are_not_in_it(self, document: Document) -> None:
        assert not {"/graphql", "/docs", "/redoc", "/openapi.json", "/favicon.ico"} & document["paths"].keys()


class TestOperations:
    def test_ids_are_unique_names(self, every_operation: list[Operation]) -> None:
        ids = [operation["operationId"] for _, _, operation in every_operation]

        assert len(ids) == len(set(ids))
        assert all(name.isidentifier() and name.islower() for name in ids)

    def test_each_is_tagged_and_described(self, document: Document, every_operation: list[Operation]) -> None:
        tags = {tag["name"] for tag in document["tags"]}
        for path, method, operation in every_operation:
            assert set(operation["tags"]) <= tags, (path, method)
            assert operation["summary"], (path, method)
            assert operation["description"], (path, method)
        assert tags == {tag for _, _, operation in every_operation for tag in operation["tags"]}

    def test_each_parameter_is_described(self, every_operation: list[Operation]) -> None:
        for path, method, operation in every_operation:
            for parameter in operation.get("parameters", ()):
                assert parameter.get("description"), (path, method, parameter["name"])

    def test_each_declares_its_errors(self, document: Document, every_operation: list[Operation]) -> None:
        for path, method, operation in every_operation:
            name, declared = operation["operationId"], set(operation["responses"])
            expected = {"500"}
            if name not in OPEN_TO_ALL:
                expected |= {"401", "403", "429", "503"}
            if name == "get_readiness":
                expected |= {"503"}
            if operation.get("parameters"):
                expected |= {"422"}
            if "{" in path:
                expected |= {"404"}
            if body_of(operation):
                expected |= {"400", "408", "413", "415", "422"}
            if any(parameter["name"] == "If-Match" for parameter in operation.get("parameters", ())):
                expected |= {"412"}
            assert expected <= declared, (path, method)
            for status in declared - {"200", "201", "202", "204", "304"}:
                assert operation["responses"][status] == {"$ref": f"#/components/responses/Problem{status}"}

    def test_whatever_may_find_that_a_cursor_leads_nowhere_says_so(self, every_operation: list[Operation]) -> None:
        """By the source: no list of names has to be kept up."""
        functions = may_raise(ResyncRequired, ("api", "services"))
        routes = {name.rpartition(".")[2] for name in functions if name.startswith("api.routes.")}
        told = {operation["operationId"] for *_, operation in every_operation if "410" in operation["responses"]}

        assert told == routes == {name for name, each in OPERATIONS.items() if ResyncRequired in each.raises}
        assert "services.changes.read" in functions
        assert "services.live_lists.following._missed" not in functions  # it tells the list anew
        assert len(routes) > 2

    def test_each_answers_something_or_says_that_it_does_not(self, every_operation: list[Operation]) -> None:
        for path, method, operation in every_operation:
            [status, *more] = sorted({"200", "201", "202", "204"} & operation["responses"].keys())
            assert more == (["201"] if operation["operationId"] == "upsert_task" else []), (path, method)
            success = operation["responses"][status]
            assert success["description"]
            if status == "204":
                assert "content" not in success, (path, method)
            else:
                is_stream = operation["operationId"] in STREAMS
                [(kind, content)] = success["content"].items()
                assert kind == ("text/event-stream" if is_stream else "application/json"), (path, method)
                assert content["schema"], (path, method)
                assert ("406" in operation["responses"]) == is_stream

    def test_conditional_ones_declare_both_answers(self, every_operation: list[Operation]) -> None:
        for path, method, operation in every_operation:
            names = {parameter["name"] for parameter in operation.get("parameters", ())}
            assert ("If-None-Match" in names) == ("304" in operation["responses"]), (path, method)

    def test_each_says_who_may_call_it(self, document: Document, every_operation: list[Operation]) -> None:
        schemes = document["components"]["securitySchemes"].keys()
        for _, _, operation in every_operation:
            public = operation["operationId"] in PUBLIC | OPEN_TO_ALL
            named = {name for requirement in operation["security"] for name in requirement}
            assert named == (set() if public else set(schemes))

    async def test_protected_ones_are_refused_without_credentials(
        self, anonymous: Anonymous, every_operation: list[Operation]
    ) -> None:
        for path, method, operation in every_operation:
            if operation["operationId"] in PUBLIC | OPEN_TO_ALL | {"clear_tasks"}:
                continue
            url = "//" + path.lstrip("/")
            for parameter in operation.get("parameters", ()):
                if parameter["in"] == "path":
                    value = {"ref": "WEB-1", "group_by": "status"}.get(parameter["name"], "1")
                    url = url.replace(f"{{{parameter['name']}}}", value)
            # with a body that would do: one that lacks is noticed first, whoever sends it
            sent = [media["example"] for media in operation.get("requestBody", {}).get("content", {}).values()]
            answer = await anonymous.rest(method.upper(), url, **({"json": sent[0]} if sent else {}))
            assert answer.status_code == 401, (path, method, answer.text)
            assert answer.headers["www-authenticate"] == "Bearer"


class TestComponents:
    def test_every_reference_leads_somewhere(self, document: Document) -> None:
        for reference in references(document):
            assert resolve(document, reference), reference

    @pytest.mark.parametrize("kind", ["schemas", "responses"])
    def test_every_component_is_used(self, document: Document, kind: str) -> None:
        used: set[str] = set()
        waiting = list(references(document["paths"]))
        while waiting:
            reference = waiting.pop()
            if reference not in used:
                used.add(reference)
                waiting.extend(references(resolve(document, reference)))

        assert {f"#/components/{kind}/{name}" for name in document["components"][kind]} <= used

    def test_errors_are_problems(self, document: Document) -> None:
        problem = {"$ref": "#/components/schemas/ProblemDetails"}
        responses = document["components"]["responses"]

        for response in responses.values():
            assert response["description"]
            assert response["content"].keys() == {"application/problem+json"}
            assert response["content"]["application/problem+json"]["schema"] == problem
        assert set(responses) == {f"Problem{status}" for status in MEANINGS}
        assert not {"HTTPValidationError", "ValidationError"} & document["components"]["schemas"].keys()

    def test_every_property_is_described(self, document: Document) -> None:
        for name, schema in document["components"]["schemas"].items():
            for field, part in schema.get("properties", {}).items():
                target = resolve(document, part["$ref"]) if "$ref" in part else part
                assert part.get("description") or target.get("description"), (name, field)

    def test_bodies_take_no_other_fields(self, document: Document, every_operation: list[Operation]) -> None:
        for path, method, operation in every_operation:
            for media_type, content in body_of(operation).items():
                if media_type == "application/json":
                    schema = resolve(document, content["schema"]["$ref"])
                    assert schema["additionalProperties"] is False, (path, method)
