"""Documents that are named and not sent: Apollo's automatic persisted queries, and the operator's trusted documents."""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from db.driver.database import Database
from graphql_schema.execution.outcomes import GraphQLRequest, Named, RequestError
from graphql_schema.execution.persisted import ENTRY_BYTES, PersistedDocuments, read_trusted
from tests.actors import GRAPHQL_JSON, Anonymous, Person
from tests.conftest import Servers
from tests.doors import another_instance, bearer, calling
from tests.sockets import initialised

Save = Callable[[str], Path]
ME = "query Me { me { username } }"
TITLES = "query Titles($n: Int, $more: Boolean = false) { tasks(first: $n) { nodes { title id @include(if: $more) } } }"
FOLLOW = "subscription Follow { taskCreated { title } }"
CREATE = 'mutation Make { createTask(input: {title: "made"}) { task { title } } }'


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def apq(text: str, **changes: Any) -> dict[str, Any]:
    return {"persistedQuery": {"version": 1, "sha256Hash": sha256(text)} | changes}


async def post(caller: Anonymous, **body: Any) -> httpx.Response:
    accept = body.pop("accept", GRAPHQL_JSON)
    return await caller.rest("POST", "//graphql", json=body, headers={"Accept": accept})


async def get(caller: Anonymous, **parameters: str) -> httpx.Response:
    return await caller.rest("GET", "//graphql", params=parameters, headers={"Accept": GRAPHQL_JSON})


def told(answer: httpx.Response) -> tuple[int, str, str]:
    [error] = answer.json()["errors"]
    assert "data" not in answer.json()
    return answer.status_code, error["message"], error["extensions"]["code"]


@pytest.fixture(scope="module")
def servers(database_urls: dict[str, str]) -> Iterator[Servers]:
    with ExitStack() as stack:
        yield Servers(stack, database_urls)


class TestAutomatic:
    NOT_FOUND = ("PersistedQueryNotFound", "PERSISTED_QUERY_NOT_FOUND")

    async def test_is_asked_for_once_and_named_from_then_on(self, ada: Person) -> None:
        text = f"{ME} # {ada.username}"
        assert told(await post(ada, extensions=apq(text))) == (422, *self.NOT_FOUND)
        # a client from before the edition would take a 422 for a broken server
        old = await post(ada, extensions=apq(text), accept="*/*")
        assert (old.status_code, told(old)[1:]) == (200, self.NOT_FOUND)
        expected = {"data": {"me": {"username": ada.username}}}
        for query in (text, None, ""):
            assert (await post(ada, query=query, extensions=apq(text))).json() == expected

    async def test_by_get_and_with_variables(self, ada: Person) -> None:
        await ada.task(title="one")
        text = f"{TITLES} # {ada.username}"
        extensions = orjson.dumps(apq(text)).decode()
        assert told(await get(ada, extensions=extensions))[1:] == self.NOT_FOUND
        expected = {"data": {"tasks": {"nodes": [{"title": "one"}]}}}
        assert (await get(ada, query=text, variables='{"n": 1}', extensions=extensions)).json() == expected
        assert (await get(ada, variables='{"n": 1}', extensions=extensions)).json() == expected
        html = await ada.rest(
            "GET", "//graphql", params={"extensions": extensions}, headers={"Accept": "text/html,*/*"}
        )
        assert html.headers["content-type"].startswith("application/json")

    async def test_mutation_is_no_more_a_query_by_its_hash(self, ada: Person) -> None:
        text = f"{CREATE} # {ada.username}"
        assert (await post(ada, query=text, extensions=apq(text))).json()["data"]["createTask"]["task"]
        answer = await get(ada, extensions=orjson.dumps(apq(text)).decode())
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")

    async def test_text_of_another_hash_is_refused_and_not_kept(self, ada: Person) -> None:
        text = f"{ME} # {ada.username} other"
        wrong = await post(ada, query=ME, extensions=apq(text))
        assert told(wrong) == (422, "provided sha does not match query", "BAD_USER_INPUT")
        assert told(await post(ada, extensions=apq(text)))[1:] == self.NOT_FOUND

    async def test_what_does_not_validate_is_not_kept(self, ada: Person) -> None:
        text = f"{{ nothing }} # {ada.username}"
        for _ in range(2):
            assert told(await post(ada, query=text, extensions=apq(text)))[2] == "GRAPHQL_VALIDATION_FAILED"
            assert told(await post(ada, extensions=apq(text)))[1:] == self.NOT_FOUND

    @pytest.mark.parametrize(
        ("persisted", "says"),
        [
            ({"version": 2, "sha256Hash": "a"}, "Unsupported persisted query version"),
            ({"sha256Hash": "a"}, "Unsupported persisted query version"),
            ({"version": 1}, "extensions.persistedQuery must be an object with a sha256Hash"),
            ({"version": 1, "sha256Hash": 7}, "extensions.persistedQuery must be an object with a sha256Hash"),
            ([], "extensions.persistedQuery must be an object with a sha256Hash"),
            ("a", "extensions.persistedQuery must be an object with a sha256Hash"),
        ],
    )
    async def test_other_protocols_are_refused(self, ada: Person, persisted: Any, says: str) -> None:
        answer = await post(ada, query=ME, extensions={"persistedQuery": persisted})
        assert told(answer) == (422, says, "BAD_REQUEST")

    async def test_switched_off_it_says_so(self, ada: Person, database: Database) -> None:
        async with another_instance(database, persisted_queries_bytes=0) as app, calling(app) as there:
            caller = bearer(there, ada.access_token)
            for query in (None, ME):
                answer = await post(caller, query=query, extensions=apq(ME))
                assert told(answer)[1:] == ("PersistedQueryNotSupported", "PERSISTED_QUERY_NOT_SUPPORTED")
            assert (await post(caller, query=ME)).json()["data"]

    async def test_guests_keep_what_is_for_them_and_apart(self, ada: Person, anonymous: Anonymous) -> None:
        private, public = f"{ME} # {ada.username} x", f"{{ __schema {{ queryType {{ name }} }} }} # {ada.username}"
        assert told(await post(anonymous, query=f"{private} y", extensions=apq(f"{private} y")))[2] == "UNAUTHENTICATED"
        assert told(await post(anonymous, extensions=apq(f"{private} y")))[1:] == self.NOT_FOUND
        await post(ada, query=private, extensions=apq(private))
        assert told(await post(anonymous, extensions=apq(private)))[1:] == self.NOT_FOUND
        assert (await post(anonymous, query=public, extensions=apq(public))).status_code == 200
        for caller in (anonymous, ada):
            assert (await post(caller, extensions=apq(public))).json()["data"]["__schema"]

    async def test_over_sockets_and_streams(self, servers: Servers, backend: str, ada: Person) -> None:
        server = servers(backend)
        async with initialised(server, ada) as socket:
            for body in ({"query": ME, "extensions": apq(ME)}, {"extensions": apq(ME)}):
                await socket.send({"id": "1", "type": "subscribe", "payload": body})
                assert (await socket.receive())["payload"]["data"] == {"me": {"username": ada.username}}
                assert (await socket.receive())["type"] == "complete"
            await socket.send({"id": "2", "type": "subscribe", "payload": {"extensions": apq("{ none }")}})
            refused = await socket.receive()
            assert (refused["type"], refused["payload"][0]["message"]) == ("error", "PersistedQueryNotFound")
        async with httpx.AsyncClient(base_url=server.base_url) as http:
            headers = ada.headers | {"Accept": "text/event-stream"}
            found = await http.post("/graphql", json={"extensions": apq(ME)}, headers=headers)
            missing = await http.post("/graphql", json={"extensions": apq("{ none }")}, headers=headers)
        assert ada.username in found.text
        assert "PersistedQueryNotFound" in missing.text


class TestStore:
    def test_is_bounded_by_bytes_and_forgets_what_was_used_longest_ago(self) -> None:
        documents = PersistedDocuments(20 * 1_500)
        texts = [f"{{ a{number} }} {'#' * 1_000}" for number in range(100)]

        def find(text: str) -> bool:
            request = GraphQLRequest("", named=Named(sha256(text), is_hash=True))
            try:
                return documents.find(request, guest=False).query == text
            except RequestError:
                return False

        for text in texts:
            documents.keep(GraphQLRequest(text, named=Named(sha256(text), is_hash=True)), guest=False)
            assert find(texts[0])
        assert documents.bytes <= 20 * 1_500
        kept = [text for text in texts if find(text)]
        assert 20 <= len(kept) <= 23
        assert kept == [texts[0], *texts[1 - len(kept) :]]
        too_large = "#" * 20 * 1_500
        documents.keep(GraphQLRequest(too_large, named=Named(sha256(too_large), is_hash=True)), guest=False)
        assert not find(too_large)
        assert documents.bytes > 20 * (1_000 + ENTRY_BYTES)


FILES = {
    "codegen": {sha256(text): text for text in (ME, TITLES, FOLLOW, CREATE)},
    "relay": {sha256(text)[:32]: text for text in (ME, TITLES, FOLLOW, CREATE)},
    "apollo": {
        "format": "apollo-persisted-query-manifest",
        "version": 1,
        "operations": [
            {"id": sha256(text), "name": "x", "type": "query", "body": text} for text in (ME, TITLES, FOLLOW, CREATE)
        ],
    },
}


class TestTrusted:
    @pytest.fixture
    def save(self, tmp_path: Path) -> Save:
        def write(content: str) -> Path:
            path = tmp_path / "documents.json"
            path.write_text(content)
            return path

        return write

    @pytest.mark.parametrize("kind", FILES)
    async def test_are_executed_and_no_others(self, ada: Person, database: Database, save: Save, kind: str) -> None:
        file = save(json.dumps(FILES[kind]))
        ids = {text: id_ for id_, text in read_trusted(file).items()}
        async with another_instance(database, trusted_documents=file) as app, calling(app) as there:
            caller = bearer(there, ada.access_token)
            mine = {"data": {"me": {"username": ada.username}}}
            ways: list[dict[str, Any]] = [
                {"documentId": ids[ME]},
                {"documentId": f"sha256:{ids[ME]}"},
                {"doc_id": ids[ME]},
                {"query": ME},
                {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": ids[ME]}}},
                {"query": ME, "extensions": apq(ME)},
            ]
            for way in ways:
                assert (await post(caller, **way)).json() == mine
            assert (await get(caller, documentId=ids[ME])).json() == mine
            assert (await post(caller, documentId=ids[CREATE])).json()["data"]["createTask"]
            titles = await post(caller, documentId=ids[TITLES], variables={"n": 1, "more": True})
            assert titles.json()["data"]["tasks"]["nodes"][0].keys() == {"title", "id"}
            others: list[dict[str, Any]] = [
                {"query": "{ __typename }"},
                {"query": f"{ME} "},
                {"query": "{ a }", "extensions": apq("{ a }")},
            ]
            for other in others:
                status, message, code = told(await post(caller, **other))
                assert (status, code) == (422, "DOCUMENT_NOT_TRUSTED")
                assert "TRUSTED_DOCUMENTS" in message
            unknowns: list[dict[str, Any]] = [{"documentId": "x"}, {"extensions": apq("{ a }")}]
            for unknown in unknowns:
                assert told(await post(caller, **unknown))[1:] == TestAutomatic.NOT_FOUND

    async def test_are_compiled_before_they_are_asked_for(self, ada: Person, database: Database, save: Save) -> None:
        file = save(json.dumps(FILES["codegen"]))
        async with another_instance(database, trusted_documents=file) as app, calling(app) as there:
            executor = app.state.tandem.executor
            assert [len(each.compiled) for each in executor.preparer.trusted.values()] == [1, 0, 0, 1]
            caller = bearer(there, ada.access_token)
            for text in (ME, TITLES, CREATE):
                assert "errors" not in (await post(caller, documentId=sha256(text))).json()
            assert executor.executed == {"compiled": 3}

    async def test_over_sockets_and_streams(self, servers: Servers, backend: str, ada: Person, save: Save) -> None:
        file = save(json.dumps(FILES["codegen"]))
        server = servers(backend, trusted_documents=file)
        async with initialised(server, ada) as socket:
            await socket.send({"id": "1", "type": "subscribe", "payload": {"documentId": sha256(ME)}})
            assert (await socket.receive())["payload"]["data"] == {"me": {"username": ada.username}}
            assert (await socket.receive())["type"] == "complete"
            [refused] = (await socket.run("{ __typename }"))["refused"]
            assert refused["extensions"]["code"] == "DOCUMENT_NOT_TRUSTED"
        async with httpx.AsyncClient(base_url=server.base_url) as http:
            headers = ada.headers | {"Accept": "text/event-stream"}
            found = await http.post("/graphql", json={"documentId": sha256(ME)}, headers=headers)
        assert ada.username in found.text

    async def test_ids_without_such_a_file_are_refused(self, ada: Person) -> None:
        status, message, code = told(await post(ada, documentId=sha256(ME)))
        assert (status, code) == (422, "PERSISTED_QUERY_NOT_SUPPORTED")
        assert "TRUSTED_DOCUMENTS" in message

    @pytest.mark.parametrize(
        ("body", "says"),
        [
            ({"documentId": 7}, "documentId must be a string"),
            ({"doc_id": ["x"]}, "doc_id must be a string"),
            ({"documentId": "x", "query": ME}, "query and documentId exclude each other"),
        ],
    )
    async def test_ids_that_are_none_are_refused(self, ada: Person, body: dict[str, Any], says: str) -> None:
        assert told(await post(ada, **body)) == (422, says, "BAD_REQUEST")

    @pytest.mark.parametrize(
        ("content", "says"),
        [
            ("{", "cannot be read as JSON"),
            ("[]", "must be a JSON object of documents by their ids"),
            ("{}", "must be a JSON object of documents by their ids"),
            ('{"a": 7}', "must be a JSON object of documents by their ids"),
            ('{"format": "apollo-persisted-query-manifest", "version": 2}', "only version 1"),
            ('{"abc": "{ nothing }"}', "abc: Cannot query field 'nothing' on type 'Query'."),
            ('{"abc": "{"}', "abc: Syntax Error"),
            (
                json.dumps({"abc": "{ " + "a { " * 30 + "b" + " }" * 30 + " }"}),
                "abc: The operation is nested more than 20",
            ),
        ],
    )
    async def test_file_that_does_not_hold_keeps_the_server_from_starting(
        self, database: Database, save: Save, content: str, says: str
    ) -> None:
        file = save(content)
        with pytest.raises(ValueError, match="TRUSTED_DOCUMENTS") as refused:
            async with another_instance(database, trusted_documents=file):
                pytest.fail("it started")
        assert says in str(refused.value)
