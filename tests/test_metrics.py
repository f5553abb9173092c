"""What Prometheus reads: every request once, under few labels, from whichever worker is asked; and who may read it."""

import re
import runpy
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from prometheus_client.parser import text_string_to_metric_families

from api.http.addresses import PREFIX
from api.metrics import BUCKETS, Metrics
from api.routes import ROUTERS
from api.state import State
from db.driver.database import Database
from tests.actors import PASSWORD, Anonymous, Person
from tests.conftest import ROOT, SECRET, SERVER_KEY, People, migrate, settings_for
from tests.doors import another_instance, calling
from tests.live import LiveServer
from tests.processes import CRASH, Processes, free_port

KEY = {"X-API-Key": SERVER_KEY}
REQUESTS = "tandem_http_requests_total"
DURATION = "tandem_http_request_duration_seconds"
OPERATIONS = "tandem_graphql_operations_total"
FOLLOWERS = "tandem_subscription_followers"
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def parse(text: str) -> Samples:
    """The samples of an exposition, by name and labels. Fails on one that is there twice."""
    samples: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in samples, key
            samples[key] = sample.value
    return samples


def value(samples: Samples, name: str, **labels: str) -> float:
    """The sum of the samples that have these labels; zero if there is none."""
    return sum(each for (found, having), each in samples.items() if found == name and having >= labels.items())


def labelled(samples: Samples, label: str) -> set[str]:
    return {each for _, labels in samples for name, each in labels if name == label}


async def read(caller: Anonymous) -> Samples:
    answer = await caller.get("//metrics", headers=KEY)
    assert answer.status_code == 200, answer.text
    return parse(answer.text)


def eventually(look: Callable[[], Any], expected: Any, *, seconds: float = 10) -> None:
    """Until it is as expected."""
    deadline = time.monotonic() + seconds
    while (found := look()) != expected:
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


@pytest.fixture
async def application(database: Database) -> AsyncIterator[FastAPI]:
    """One that nobody has asked for anything."""
    async with another_instance(database) as app:
        yield app


@pytest.fixture
async def caller(application: FastAPI) -> AsyncIterator[Anonymous]:
    async with calling(application) as anonymous:
        yield anonymous


@pytest.fixture
def visitor(ada: Person, caller: Anonymous) -> Person:
    """Somebody logged in, at that application."""
    ada.client = caller.client
    return ada


class TestReaders:
    async def test_operators_key_reads_the_text_format(self, caller: Anonymous) -> None:
        answer = await caller.get("//metrics", headers=KEY)

        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"

    async def test_administrators_read_it_by_key_and_by_login(self, people: People) -> None:
        administrator = await people(is_admin=True)

        for reader in (administrator, await administrator.api_key("admin")):
            assert (await reader.get("//metrics")).status_code == 200

    async def test_nobody_else_does(self, anonymous: Anonymous, ada: Person, bob: Person, people: People) -> None:
        project = await ada.project()
        await ada.invite(project, bob, "viewer")
        administrator = await people(is_admin=True)
        callers = [anonymous, ada, bob, await ada.api_key("tasks:write"), await administrator.api_key("tasks:write")]
        wrong = [{"X-API-Key": wrong} for wrong in ("wrong", "", SERVER_KEY[:-1])]
        callers += [Anonymous(anonymous.client, headers) for headers in wrong]
        callers.append(Anonymous(anonymous.client, administrator.headers | {"X-API-Key": "wrong"}))

        for caller in callers:
            refused = await caller.get("//metrics")
            assert refused.status_code == 403
            assert refused.headers["content-type"] == "application/problem+json"
            assert refused.json()["code"] == "FORBIDDEN"
            assert "tandem_" not in refused.text

    async def test_bad_token_is_refused_as_everywhere(self, anonymous: Anonymous) -> None:
        refused = await anonymous.get("//metrics", headers={"Authorization": "Bearer nonsense"})

        assert (refused.status_code, refused.json()["code"]) == (401, "UNAUTHENTICATED")

    async def test_it_has_one_address(self, anonymous: Anonymous) -> None:
        assert (await anonymous.get("/metrics", headers=KEY)).status_code == 404
        assert "/metrics" not in (await anonymous.get("//openapi.json")).json()["paths"]
        assert (await anonymous.post("//metrics", headers=KEY)).status_code == 405


class TestRequests:
    async def test_are_counted_by_method_route_and_status(self, visitor: Person) -> None:
        task = await visitor.task()
        for path in (f"/tasks/{task['id']}", f"//tasks/{task['id']}", "/tasks/999999999", "/tasks/x"):
            await visitor.get(path)
        await visitor.patch(f"/tasks/{task['id']}", {"priority": 2}, headers={"If-Match": '"7"'})
        await visitor.rest("HEAD", "/tasks")
        await visitor.put("/tasks/by-external-id/crm/a/b%2Fc", {"title": "x"})

        samples = await read(visitor)

        one = f"{PREFIX}/tasks/{{task_id}}"
        assert value(samples, REQUESTS, method="POST", route=f"{PREFIX}/tasks", status="201") == 1
        for status in ("200", "404", "422"):
            assert value(samples, REQUESTS, method="GET", route=one, status=status) == 1
        assert value(samples, REQUESTS, method="GET", route="/tasks/{task_id}", status="200") == 1
        assert value(samples, REQUESTS, method="PATCH", route=one, status="412") == 1
        assert value(samples, REQUESTS, method="HEAD", route=f"{PREFIX}/tasks", status="200") == 1
        called = f"{PREFIX}/tasks/by-external-id/{{external_source}}/{{external_id}}"
        assert value(samples, REQUESTS, method="PUT", route=called, status="201") == 1
        assert value(samples, REQUESTS) == 8

    async def test_a_read_counts_from_the_next_one_on(self, caller: Anonymous) -> None:
        counts = [value(await read(caller), REQUESTS, route="/metrics", status="200") for _ in range(3)]

        assert counts == [0, 1, 2]

    async def test_paths_of_strangers_make_no_labels(self, visitor: Person) -> None:
        unknown = ["//nowhere/{}", "/tasks/1/{}", "//api/v9/{}", "//{}", "//%00{}", "//tasks/{}/"]
        for number in range(20):
            for path in (*unknown, "//assets/{}", "/tasks/by-ref/{}"):
                await visitor.get(path.format(f"n{number}"))

        samples = await read(visitor)

        assert labelled(samples, "route") == {"unmatched", "/assets/{file}", f"{PREFIX}/tasks/by-ref/{{ref}}"}
        assert value(samples, REQUESTS, route="unmatched", status="404") == 20 * len(unknown)

    async def test_words_of_strangers_make_no_methods(self, caller: Anonymous) -> None:
        for number in range(20):
            await caller.rest(f"BREW{number}", "/tasks")
            await caller.rest('X"}\n', "//nowhere")

        assert labelled(await read(caller), "method") == {"other"}

    async def test_failure_is_counted_too(self, application: FastAPI, caller: Anonymous) -> None:
        async def fail() -> None:
            raise RuntimeError("unforeseen")

        application.router.routes.insert(0, APIRoute("/fail/{name}", fail))
        assert (await caller.get("//fail/x")).status_code == 500

        assert value(await read(caller), REQUESTS, route="/fail/{name}", status="500") == 1

    async def test_two_applications_count_for_themselves(self, database: Database, visitor: Person) -> None:
        await visitor.get("//health")
        async with another_instance(database) as second, calling(second) as elsewhere:
            assert value(await read(elsewhere), REQUESTS) == 0
            for _ in range(3):
                await elsewhere.get("//health")

            assert value(await read(elsewhere), REQUESTS, route="/health") == 3
        assert value(await read(visitor), REQUESTS, route="/health") == 1


class TestDurations:
    async def test_each_door_has_its_own(self, visitor: Person) -> None:
        await visitor.get("/tasks")
        await visitor.get("//tasks")
        await visitor.gql("{ me { username } }")
        await visitor.get("//health")
        await visitor.get("//nowhere")

        samples = await read(visitor)

        for door, count in {"rest": 2, "graphql": 1, "other": 2}.items():
            assert value(samples, f"{DURATION}_count", door=door) == count
            assert value(samples, f"{DURATION}_bucket", door=door, le="+Inf") == count
            assert 0 < value(samples, f"{DURATION}_sum", door=door) < 10
            buckets = [value(samples, f"{DURATION}_bucket", door=door, le=str(bound)) for bound in BUCKETS[:-1]]
            assert buckets == sorted(buckets)

    def test_every_rest_route_is_of_the_rest_door(self, state: Any) -> None:
        metrics = Metrics(version="1", followed=state.followed, connections=state.connections, executed={})
        routes = [route for router in ROUTERS for route in router.routes]
        for route in routes:
            metrics.count({"route": route}, "GET", 200, 0.1)

        assert value(parse(metrics.text().decode()), f"{DURATION}_count", door="rest") == len(routes)

    def test_a_bound_is_within_its_bucket(self, state: Any) -> None:
        metrics = Metrics(version="1", followed=state.followed, connections=state.connections, executed={})
        for seconds in (0.0, 0.0005, 0.00051, 0.25, 10.0, 11.0):
            metrics.count({}, "GET", 200, seconds)

        samples = parse(metrics.text().decode())

        expected = {"0.0005": 2, "0.001": 3, "0.1": 3, "0.25": 4, "5.0": 4, "10.0": 5, "+Inf": 6}
        assert {le: value(samples, f"{DURATION}_bucket", door="other", le=le) for le in expected} == expected


class TestOperations:
    async def test_are_counted_by_what_executed_them(
        self, visitor: Person, application: FastAPI, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        executor = application.state.tandem.executor
        before = await read(visitor)
        for _ in range(3):
            await visitor.gql("{ me { username } }")
        await visitor.gql("{ nothing }")  # never executed
        monkeypatch.setattr(executor.compiler, "compile_after", 1_000)
        await visitor.gql("{ me { fullName } }")
        await visitor.get("/tasks")

        after = await read(visitor)

        added = {
            kind: value(after, OPERATIONS, kind=kind) - value(before, OPERATIONS, kind=kind)
            for kind in ("compiled", "ordinary", "both")
        }
        assert added == {"compiled": 3, "ordinary": 1, "both": 0}

    async def test_are_counted_by_each_application_for_itself(
        self, visitor: Person, application: FastAPI, state: State
    ) -> None:
        own, others = Counter(application.state.tandem.executor.executed), Counter(state.executor.executed)
        await visitor.gql("{ me { username } }")

        assert application.state.tandem.executor.executed - own == {"compiled": 1}
        assert state.executor.executed == others

    def test_those_that_took_both_are_apart(self, state: Any) -> None:
        executed = {"both": 2, "compiled": 5}
        metrics = Metrics(version="1", followed=state.followed, connections=state.connections, executed=executed)
        metrics.text()  # to read is not to count
        samples = parse(metrics.text().decode())

        assert value(samples, OPERATIONS, kind="both") == 2
        assert value(samples, OPERATIONS, kind="compiled") == 5
        assert value(samples, OPERATIONS, kind="ordinary") == 0


class TestSubscriptions:
    def test_followers_are_shown_while_they_follow_and_streams_have_no_duration(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path / 'live.db'}"
        migrate(url)
        with LiveServer(settings_for(url)) as server, httpx.Client(base_url=server.base_url, timeout=10) as client:
            account = {"username": "follower", "email": "follower@example.com", "password": PASSWORD}
            assert client.post("/users", json=account).status_code == 201
            token = client.post("/token", data={"username": "follower", "password": PASSWORD}).json()["access_token"]
            headers = {"Authorization": f"Bearer {token}", "Accept": "text/event-stream"}

            def followers() -> float:
                return value(parse(client.get("/metrics", headers=KEY).text), FOLLOWERS)

            assert followers() == 0
            subscription = {"query": "subscription { taskCreated { title } }"}
            with client.stream("POST", "/graphql", json=subscription, headers=headers):
                eventually(followers, 1)
            eventually(followers, 0)

            def streams() -> float:
                samples = parse(client.get("/metrics", headers=KEY).text)
                assert value(samples, f"{DURATION}_count", door="graphql") == 0
                return value(samples, REQUESTS, route="/graphql", status="200")

            eventually(streams, 1)

            def names() -> set[str]:
                samples = parse(client.get("/metrics", headers=KEY).text)
                return {name for name in labelled(samples, "feed") if value(samples, FOLLOWERS, feed=name)}

            # the live lists of a process follow the changes as one
            for path, found in (
                ("events", {"changes"}),
                ("tasks/live", {"live_lists", "changes"}),
                ("notifications/live", {"notifications"}),
            ):
                eventually(names, set())
                with client.stream("GET", f"/api/v1/{path}", headers=headers):
                    eventually(names, found)


class TestProcess:
    async def test_process_python_and_version_are_shown(self, application: FastAPI, caller: Anonymous) -> None:
        samples = await read(caller)

        assert value(samples, "tandem_build_info", version=application.version) == 1
        assert value(samples, "python_info", implementation="CPython") == 1
        for name in ("process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"):
            assert value(samples, name) > 0, name
        assert value(samples, "python_gc_collections_total") > 0

    async def test_every_metric_is_documented(self, caller: Anonymous) -> None:
        documented = (ROOT / "docs" / "deployment.md").read_text()
        text = (await caller.get("//metrics", headers=KEY)).text

        for name in re.findall(r"^# TYPE (\S+)", text, re.MULTILINE):
            assert f"`{name}`" in documented, name


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the workers keep their figures: it is made by whoever comes first."""
    return tmp_path_factory.mktemp("metrics") / "of all"


@pytest.fixture(scope="module")
def workers(database_urls: dict[str, str], folder: Path) -> Iterator[httpx.Client]:
    """A client of two workers; every request is on a connection of its own, so that it comes to either."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PROMETHEUS_MULTIPROC_DIR", str(folder))
        environment.setenv("API_KEY", SERVER_KEY)
        processes = Processes(database_urls["sqlite"], SECRET)
    limits = httpx.Limits(max_keepalive_connections=0)
    with processes, httpx.Client(base_url=processes.base_url, limits=limits, timeout=30) as client:
        eventually(lambda: len(list(folder.glob("counter_*.db"))), 2, seconds=60)
        yield client


class TestSeveralWorkers:
    def test_whichever_is_asked_answers_for_all(self, workers: httpx.Client) -> None:
        for _ in range(30):
            assert workers.get("/api/v1/tasks").status_code == 401
            assert workers.post("/graphql", json={"query": "{ __typename }"}).status_code == 200

        def counted() -> tuple[float, ...]:
            samples = parse(workers.get("/metrics", headers=KEY).text)
            return (
                value(samples, REQUESTS, route=f"{PREFIX}/tasks", method="GET", status="401"),
                value(samples, f"{DURATION}_count", door="rest"),
                value(samples, f"{DURATION}_bucket", door="graphql", le="+Inf"),
                value(samples, OPERATIONS),
            )

        eventually(counted, (30, 30, 30, 30))
        assert {counted() for _ in range(20)} == {(30, 30, 30, 30)}

    def test_each_metric_is_there_once(self, workers: httpx.Client) -> None:
        text = workers.get("/metrics", headers=KEY).text
        names = re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)
        samples = parse(text)

        assert len(names) == len(set(names))
        assert value(samples, "tandem_build_info") == value(samples, "python_info") == 1
        assert not labelled(samples, "pid")
        assert value(samples, FOLLOWERS) == 0

    def test_figures_of_processes_are_added_up(self, workers: httpx.Client) -> None:
        samples = parse(workers.get("/metrics", headers=KEY).text)

        # one worker alone takes some 100 MB
        assert value(samples, "process_resident_memory_bytes") > 150e6
        assert 0 < time.time() - value(samples, "process_start_time_seconds") < 600

    def test_what_a_dead_worker_counted_stays_and_what_it_held_goes(self, workers: httpx.Client, folder: Path) -> None:
        workers.post("/graphql", json={"query": "{ __typename }"})
        time.sleep(1.1)  # whoever was asked has written it down by now
        before = parse(workers.get("/metrics", headers=KEY).text)
        gauges = set(folder.glob("gauge_live*_*.db"))
        with pytest.raises(httpx.TransportError):
            workers.get("/health", headers={CRASH: "1"})

        def after() -> Samples:
            try:
                return parse(workers.get("/metrics", headers=KEY).text)
            except httpx.TransportError:
                return {}

        def gone() -> int:
            after()
            return len(gauges - set(folder.glob("gauge_live*_*.db")))

        eventually(gone, 2)
        for name in (REQUESTS, OPERATIONS, "process_cpu_seconds_total"):
            assert value(after(), name) >= value(before, name) > 0, name
        assert value(after(), "process_resident_memory_bytes") < 1.5 * value(before, "process_resident_memory_bytes")

    def test_gunicorn_begins_with_an_empty_folder_and_forgets_dead_workers(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "metrics"))
        monkeypatch.setenv("PORT", str(free_port()))
        hooks = runpy.run_path(str(ROOT / "gunicorn.conf.py"))
        hooks["on_starting"](SimpleNamespace(master_pid=0))
        for name in ("counter_7.db", "gauge_livesum_7.db", "gauge_livemin_7.db", "gauge_livesum_8.db"):
            (tmp_path / "metrics" / name).touch()

        hooks["child_exit"](None, SimpleNamespace(pid=7))

        left = {file.name for file in (tmp_path / "metrics").iterdir()}
        assert left == {"counter_7.db", "gauge_livesum_8.db"}
        hooks["on_starting"](SimpleNamespace(master_pid=7))  # the next version takes over from a running one
        assert {file.name for file in (tmp_path / "metrics").iterdir()} == left
        hooks["on_starting"](SimpleNamespace(master_pid=0))
        assert not list((tmp_path / "metrics").iterdir())

    def test_gunicorn_needs_no_folder(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
        monkeypatch.setenv("PORT", str(free_port()))
        hooks = runpy.run_path(str(ROOT / "gunicorn.conf.py"))

        hooks["on_starting"](SimpleNamespace(master_pid=0))
        hooks["child_exit"](None, SimpleNamespace(pid=7))
