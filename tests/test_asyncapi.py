"""The AsyncAPI document: it is one, it has all that there is, and what is sent is as it says."""

import json
from typing import Any

import orjson
import pytest
from jsonschema import Draft7Validator, Draft202012Validator
from sqlalchemy import select

from api.descriptions.streams import below
from api.graphql.asyncapi import document as asyncapi_document
from api.state import State
from db.driver.database import Database
from db.models import Event
from graphql_schema.schema import schema
from services.events.numbering import number_all
from services.features import NODES
from services.webhooks import payloads
from services.webhooks.models import TEST, TOLD
from tests.actors import Anonymous, Person
from tests.conftest import ROOT
from tests.doors import another_instance, calling
from tests.infrastructure import lacking
from tests.test_openapi import references, resolve
from tools import assets

Document = dict[str, Any]


@pytest.fixture(scope="module")
def document(openapi: Document) -> Document:
    return asyncapi_document(openapi)


def valid(document: Document, message: str, payload: Any) -> None:
    """Raises where a payload is not one of a message."""
    payload_of = {"$ref": f"#/components/messages/{message}/payload", "components": document["components"]}
    Draft202012Validator(payload_of).validate(payload)


class TestDocument:
    def test_is_one_by_the_schema_of_asyncapi(self, document: Document) -> None:
        found = sorted(assets.TEST_TARGET.glob("asyncapi-*.json"))
        if not found:
            lacking("assets", "make test-assets brings the schema of AsyncAPI")
        [official] = found
        errors = Draft7Validator(json.loads(official.read_text())).iter_errors(document)
        assert [(error.json_path, error.message[:200]) for error in errors] == []

    def test_every_reference_leads_somewhere(self, document: Document) -> None:
        for reference in set(references(document)):
            assert resolve(document, reference)

    def test_has_every_kind_and_every_subscription(self, document: Document) -> None:
        stream, sent = (document["channels"][name]["messages"].keys() for name in ("changes", "webhook"))
        assert stream == {*(f"event.{kind}" for kind in TOLD), "error"}
        assert sent == {*(f"webhook.{kind}" for kind in TOLD), TEST}
        root = schema._schema.subscription_type
        assert root is not None
        assert root.fields.keys() <= document["operations"].keys()
        for name, field in root.fields.items():
            assert document["operations"][name]["description"].startswith(field.description)
            assert all(argument in document["operations"][name]["description"] for argument in field.args)
        query = document["operations"]["follow_changes"]["bindings"]["http"]["query"]["properties"]
        assert {"after", "kind", "project_id", "include"} <= query.keys()

    async def test_is_served_as_it_is_exported(self, anonymous: Anonymous, document: Document) -> None:
        served = await anonymous.get("//asyncapi.json")

        assert served.json() == document == json.loads((ROOT / "asyncapi.json").read_text())
        assert below(document, "/tandem")["servers"]["ws"]["pathname"] == "/tandem"

    async def test_tells_of_no_schema_that_is_not_shown(self, database: Database) -> None:
        async with another_instance(database, graphql_introspection=False) as app, calling(app) as anonymous:
            served = (await anonymous.get("//asyncapi.json")).json()

        assert {*served["operations"]} == {"follow_changes", "follow_tasks", "subscribe", "answer", "tell_webhook"}


class TestMessages:
    async def test_what_is_told_is_as_the_document_says(
        self, ada: Person, bob: Person, database: Database, state: State, document: Document
    ) -> None:
        await number_all(database)
        start = (await ada.get("/changes?after=now")).json()["cursor"]
        project = await ada.project()
        await ada.invite(project, bob)
        task = await ada.task(project_id=project["id"], tags=["bug"], assignee_ids=[bob.id])
        await ada.comment(task["id"])
        await ada.patch(f"/tasks/{task['id']}", {"status": "completed", "due_at": "2027-01-31T17:00:00Z"})
        await ada.delete(f"/tasks/{task['id']}")
        await number_all(database)
        include = f"after={start}&" + "&".join(f"include={name}" for name in ("task", "project", "comment", "tag"))
        changes = (await ada.get(f"/changes?limit=100&{include}")).json()["changes"]
        async with database.reading() as session:
            ids = await session.scalars(select(Event.id).where(Event.project_id == project["id"]))
        wanted = [
            payloads.Wanted("thin"),
            payloads.Wanted("full", dict.fromkeys(ids, True)),
            payloads.Wanted("document", dict.fromkeys(ids, None), "query($id: ID!) { node(id: $id) { id } }"),
        ]
        documents = state.outlet.documents
        bodies = [await payloads.made(database, ada.id, ids, each, NODES, documents) for each in wanted]

        assert len(changes) > 6
        for change in changes:
            valid(document, f"event.{change['kind']}", change)
        for body in (body for made in bodies for body in made.values()):
            message = orjson.loads(body)
            valid(document, f"webhook.{message['type']}", message)
        kinds = {orjson.loads(body)["type"] for body in bodies[1].values()}
        assert {"task.created", "comment.created", "member.added", "task.deleted"} <= kinds
