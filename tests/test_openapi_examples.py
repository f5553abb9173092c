"""What the OpenAPI document says for people and for generators of clients: titles, examples, schemas."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from api.descriptions.schemas import without_titles
from api.descriptions.titles import title_of
from api.main import create_app
from api.openapi import operations
from core.mail import Outbox
from tests.actors import PASSWORD
from tests.conftest import SERVER_KEY, settings_for
from tests.databases import empty_database
from tests.examples import notification
from tests.test_password_resets import Sent

Document = dict[str, Any]
# what the examples' walk through an empty database begins with, and what comes last
FIRST = (
    *("register_user", "create_token", "create_project", "create_task", "create_saved_view", "create_tag"),
    "update_project_task",  # before its task is moved to another one
)
LAST = (
    *("request_email_verification", "verify_email", "change_password", "request_password_reset", "reset_password"),
    *("create_token", "refresh_token", "delete_me", "revoke_token"),
)


@pytest.fixture(scope="module")
def document(openapi: Document) -> Document:
    return openapi


@asynccontextmanager
async def serving(url: str) -> AsyncIterator[tuple[httpx.AsyncClient, Outbox, Sent]]:
    app = create_app(settings_for(url, email_verification="optional"))
    async with app.router.lifespan_context(app):
        outbox = app.state.tandem.security.outbox
        outbox._mailer = sent = Sent()
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            yield client, outbox, sent


def secret_in(sent: Sent) -> str:
    """That of the last message."""
    return str(next(word for word in sent.messages[-1].get_content().split() if word.startswith(("tde_", "tdp_"))))


def media_of(operation: Document) -> Iterator[Document]:
    yield from operation.get("requestBody", {}).get("content", {}).values()


class TestTitles:
    def test_are_words(self, document: Document) -> None:
        titles = [operation["summary"] for _, _, operation in operations(document)]
        assert len(set(titles)) == len(titles)
        for title in titles:
            first, *others = title.split()
            assert first[0].isupper()
            assert all(word.strip(",").islower() or word in {"API", "PUT"} for word in others), title

    @pytest.mark.parametrize(
        ("name", "title"),
        [
            ("create_token", "Log in"),
            ("list_tasks", "List tasks"),
            ("get_task", "Get a task"),
            ("delete_api_key", "Delete an API key"),
            ("end_session", "End a session"),
            ("get_user", "Get a user"),
            ("list_labels", "List labels"),
            ("archive", "Archive"),
        ],
    )
    def test_are_made_of_names(self, name: str, title: str) -> None:
        assert title_of(name) == title

    def test_the_api_is_called_tandem(self, document: Document) -> None:
        assert document["info"]["title"] == "Tandem"


class TestSchemas:
    def test_have_no_titles_that_were_made_of_names(self, document: Document) -> None:
        for part in ("components", "paths"):
            assert without_titles(document[part]) == document[part]

    def test_fields_that_are_called_title_stay(self, document: Document) -> None:
        schemas = document["components"]["schemas"]
        for name in ("TaskCreate", "TaskOut", "ProblemDetails"):
            assert schemas[name]["properties"]["title"]["type"] == "string"

    def test_requests_say_defaults_in_words(self, document: Document) -> None:
        schemas = document["components"]["schemas"]
        for name in ("TaskCreate", "BulkUpdate", "SavedViewCreate", "UserCreate"):
            assert not any("default" in field for field in schemas[name]["properties"].values())
        status, dry_run = schemas["TaskCreate"]["properties"]["status"], schemas["BulkUpdate"]["properties"]["dry_run"]
        assert status["description"] == "Where it stands; pending when left out."
        assert dry_run["description"].endswith("`false` if it is left out.")


class TestExamples:
    def test_each_body_and_each_answer_has_one(self, document: Document) -> None:
        for path, method, operation in operations(document):
            for media in media_of(operation):
                assert media["example"], (path, method)
            for status, response in operation["responses"].items():
                media = response.get("content", {}).get("application/json")
                if media is not None and media["schema"] and status.startswith("2"):
                    assert "example" in media, (path, method)
        for status in ("401", "404", "409", "412", "422", "429"):
            problem = document["components"]["responses"][f"Problem{status}"]["content"]["application/problem+json"]
            assert problem["example"]["status"] == int(status)

    def test_those_of_answers_fit_their_schemas_and_have_nothing_else(self, document: Document) -> None:
        closed = {
            name: {"unevaluatedProperties": False, **schema} if "properties" in schema else schema
            for name, schema in document["components"]["schemas"].items()
        }
        checked = 0
        for _, _, operation in operations(document):
            for status, response in operation["responses"].items():
                media = response.get("content", {}).get("application/json")
                if media is not None and status.startswith("2"):
                    schema = media["schema"] | {"components": {"schemas": closed}}
                    Draft202012Validator(schema).validate(media["example"])
                    checked += 1
        assert checked > 100

    async def test_those_of_bodies_work_as_they_stand(self, document: Document, backend: str, tmp_path: Path) -> None:
        bodies = {found[2]["operationId"]: found for found in operations(document) if "requestBody" in found[2]}
        names = [*FIRST, *(name for name in bodies if name not in FIRST + LAST), *LAST]
        with empty_database(backend, tmp_path) as url:
            async with serving(url) as (client, outbox, mail):
                grace = {"username": "grace", "email": "grace@example.com", "password": PASSWORD}
                assert (await client.post("/api/v1/users", json=grace)).status_code == 201
                tokens: Document = {}
                for name in names:
                    path, method, operation = bodies[name]
                    [(kind, media)] = operation["requestBody"]["content"].items()
                    example = media["example"]
                    headers = {"Authorization": f"Bearer {tokens['access_token']}"} if tokens else {}
                    if name == "update_user":
                        headers = {"X-API-Key": SERVER_KEY}
                    if name in ("refresh_token", "revoke_token"):
                        example = {"refresh_token": tokens["refresh_token"]}  # of which nobody can know one
                    if name in ("verify_email", "reset_password"):
                        await outbox.idle()
                        example = example | {"token": secret_in(mail)}
                    if name == "revoke_token":
                        headers = {}  # the account is gone
                    if name == "delete_me":  # the last owner of a project that others are in stays
                        assert (await client.delete("/api/v1/projects/3", headers=headers)).status_code == 204
                    # the Inboxes of the two come first; Ada is the second, and adds Grace to her Website
                    ids: Document = {"project_id": 2 if name == "update_project_task" else 3, "user_id": 1}
                    ids |= {"external_source": "crm", "external_id": "C-17"}
                    for part in (
                        "task_id",
                        "comment_id",
                        "tag_id",
                        "milestone_id",
                        "saved_view_id",
                        "key_id",
                        "webhook_id",
                        "reminder_id",
                    ):
                        ids.setdefault(part, 1)
                    if "notification" in name:
                        ids["notification_id"] = (await notification(client, 2))["id"]
                        example = example | ({"through_id": ids["notification_id"]} if "through_id" in example else {})
                    sent = {"data": example} if kind.endswith("urlencoded") else {"json": example}
                    answer = await client.request(method, path.format(**ids), headers=headers, **sent)
                    assert answer.status_code in {200, 201, 202, 204}, (name, answer.text)
                    if name in ("create_token", "refresh_token"):
                        tokens = answer.json()
                    if name == "reset_password":  # which ends every session
                        tokens = {}
                    if name == "create_task":  # the examples are of two
                        assert (await client.post(path, headers=headers, json=example)).json()["id"] == 2
