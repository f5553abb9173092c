"""Who is let in when there is more to do than can be done (api/server/places.py), and who leaves again."""

import asyncio
import socket
import time
from collections.abc import Iterator
from typing import Any, cast

import httpx
import pytest
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from api.server.bounds import Bounds
from api.server.door import Door
from api.server.places import LEAST_WAITING, LITTLE, STANDING_SECONDS, WAIT_SECONDS, Place, Places
from tests.conftest import migrate, settings_for
from tests.live import LiveServer
from tests.raw import HEALTH, HOST, connect, listen, send
from tests.test_http_edges import until

RUNNING, WAITING = 16, 200
SOME = RUNNING // LITTLE
"""Requests of a caller for whom there is always room."""


class Cycle:
    def __init__(self, caller: str) -> None:
        self.scope = {"headers": [(b"authorization", caller.encode())]}
        self.response_started = self.response_complete = False


class Caller:
    """Somebody's connections, as places see them."""

    def __init__(self, places: Places, name: str) -> None:
        self._places, self._name = places, name
        self.running: list[Place] = []
        self.refused: list[Place] = []

    def ask(self, times: int = 1) -> list[bool]:
        made = [Place(self, cast("RequestResponseCycle", Cycle(self._name)), cast("Any", None)) for _ in range(times)]
        return [self._places.enter(place) for place in made]

    def finish(self, times: int = 1) -> None:
        for _ in range(times):
            self._places.leave(self.running.pop(0))

    def run(self, place: Place) -> None:
        self.running.append(place)

    def done(self, place: Place, task: object) -> None: ...

    def refuse_place(self, place: Place) -> None:
        self.refused.append(place)

    def address(self, headers: object) -> str:
        return self._name


@pytest.fixture
def places() -> Places:
    return Places(Bounds(running=RUNNING, waiting=WAITING))


@pytest.fixture
def busy(places: Places) -> Caller:
    """Somebody with as much under way, and waiting, as there may be."""
    caller = Caller(places, "busy")
    assert caller.ask(RUNNING + WAITING) == [True] * (RUNNING + WAITING)
    return caller


def stand(places: Places) -> None:
    """The queue has not been empty for a while."""
    places.sweep(places.now + STANDING_SECONDS, STANDING_SECONDS)


class TestPlaces:
    def test_so_many_run_others_wait_and_more_are_refused(self, places: Places, busy: Caller) -> None:
        assert (len(busy.running), places.waiting) == (RUNNING, WAITING)
        assert busy.ask(3) == [False] * 3

    def test_a_place_that_is_free_is_taken_by_whoever_waits(self, places: Places, busy: Caller) -> None:
        busy.finish(5)
        assert (len(places.running), places.waiting) == (RUNNING, WAITING - 5)
        busy.finish(RUNNING + WAITING - 5)
        assert (len(places.running), places.waiting) == (0, 0)

    def test_callers_with_little_under_way_are_let_past(self, places: Places, busy: Caller) -> None:
        other = Caller(places, "other")
        assert other.ask(SOME) == [True] * SOME
        assert len(other.running) == SOME
        assert other.ask() == [False]

    def test_not_all_callers_are_let_past(self, places: Places, busy: Caller) -> None:
        others = [Caller(places, f"other {n}") for n in range(RUNNING)]
        assert sum(other.ask()[0] for other in others) == RUNNING // 2

    def test_callers_take_turns(self, places: Places) -> None:
        busy, other = Caller(places, "busy"), Caller(places, "other")
        busy.ask(RUNNING + 20)
        other.ask(SOME + 3)
        busy.finish(2 + SOME)  # those that were let past are too many, for now
        busy.finish(4)
        assert len(other.running) >= SOME + 2

    def test_a_queue_that_stands_takes_little(self, places: Places) -> None:
        busy = Caller(places, "busy")
        busy.ask(RUNNING + LEAST_WAITING * RUNNING + 4)
        stand(places)
        assert busy.ask() == [False]
        packed = [places.packed]
        busy.finish(5)
        packed.append(places.packed)
        assert packed == [True, False]
        assert busy.ask() == [True]

    def test_what_it_takes_is_what_is_done_in_a_fifth_of_a_second(self, places: Places) -> None:
        busy = Caller(places, "busy")
        busy.ask(RUNNING)
        for _ in range(900):
            busy.ask(1)
            busy.finish(1)
        busy.ask(1)
        places.sweep(1.0, 1.0)
        places._standing_since = 0.0
        assert sum(busy.ask(199)) == 179

    def test_who_waits_too_long_is_refused(self, places: Places, busy: Caller) -> None:
        places.sweep(WAIT_SECONDS, 0.5)
        assert len(busy.refused) == WAITING
        assert places.waiting == 0

    def test_who_leaves_is_forgotten(self, places: Places) -> None:
        busy = Caller(places, "busy")
        busy.ask(RUNNING)
        waiting = Place(busy, cast("RequestResponseCycle", Cycle("busy")), cast("Any", None))
        assert places.enter(waiting)
        places.forget(waiting)
        places.forget(waiting)
        busy.finish(RUNNING)
        assert (places.waiting, busy.running, places.running) == (0, [], set())

    def test_an_answer_that_goes_on_needs_no_place(self, places: Places, busy: Caller) -> None:
        for place in busy.running[:4]:
            place.cycle.response_started = True
        places.sweep(0.1, 0.5)
        assert places.waiting == WAITING - 4
        assert len(places.running) == RUNNING

    def test_bodies_on_their_way_have_no_place(self, places: Places) -> None:
        slow = Caller(places, "slow")
        made = [Place(slow, cast("RequestResponseCycle", Cycle("slow")), cast("Any", None)) for _ in range(200)]
        assert sum(places.upload(place) for place in made) == 4 * RUNNING
        assert not places.running
        assert Caller(places, "other").ask(4) == [True] * 4
        places.uploaded(made[0])
        assert made[0] in places.running


@pytest.fixture
def server(tmp_path: Any) -> Iterator[LiveServer]:
    url = f"sqlite:///{tmp_path / 'test.db'}"
    migrate(url)
    with LiveServer(settings_for(url, max_requests_in_progress=2, max_requests_waiting=2)) as live:
        yield live


class Held:
    """Whoever has to be authenticated, by either door, waits until it is let go."""

    def __init__(self, server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
        self.door: Door = server.app.state.door
        self.begun = self.cancelled = 0
        self._gone = False
        authenticate = server.state.authenticator.authenticate

        async def hold(credentials: Any) -> Any:
            self.begun += 1
            try:
                while not self._gone:  # noqa: ASYNC110 - from another thread
                    await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
            return await authenticate(credentials)

        monkeypatch.setattr(server.state.authenticator, "authenticate", hold)

    def go(self) -> None:
        self._gone = True


@pytest.fixture
def held(server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> Held:
    return Held(server, monkeypatch)


REST = b"GET /api/v1/tasks HTTP/1.1\r\n" + HOST + b"Authorization: Bearer %b\r\n\r\n"
QUERY = b'{"query": "{ me { username } }"}'
GRAPHQL = (
    b"POST /graphql HTTP/1.1\r\n"
    + HOST
    + b"Content-Type: application/json\r\nAccept: application/graphql-response+json\r\nContent-Length: %d\r\n"
    % len(QUERY)
    + b"Authorization: Bearer %b\r\n\r\n"
    + QUERY
)
on_both_doors = pytest.mark.parametrize("request_", [REST, GRAPHQL], ids=["rest", "graphql"])


@pytest.fixture
def full(server: LiveServer, held: Held) -> Iterator[list[socket.socket]]:
    """Two run, one more that is let past, two wait."""
    connections = []
    for caller in (b"a", b"a", b"a", b"a"):
        connections.append(connect(server.base_url))
        connections[-1].sendall(REST % caller)
    until(lambda: (held.begun, held.door.places.waiting), (2, 2))
    yield connections
    held.go()
    for connection in connections:
        connection.close()


class TestFullHouse:
    @on_both_doors
    def test_is_told_at_once_and_the_connection_stays(
        self, server: LiveServer, held: Held, full: list[socket.socket], request_: bytes
    ) -> None:
        with connect(server.base_url) as connection:
            for times in (1, 2, 3):
                connection.sendall(request_ % b"a")
                answer = listen(connection, quiet=0.2)
                assert answer.statuses == [503]
                assert not answer.ended
                assert b"retry-after: 1\r\n" in answer.content
                assert b"UNAVAILABLE" in answer.body
                assert (b"graphql-response+json" in answer.content) == (request_ is GRAPHQL)
                assert held.door.counts["overload"] == times
            connection.sendall(HEALTH)  # whoever watches is let in
            assert listen(connection).statuses == [200]
            held.go()
            until(lambda: len(held.door.places.running), 0)
            connection.sendall(request_ % b"a")
            assert listen(connection).statuses == [401]

    def test_those_who_wait_are_answered(self, server: LiveServer, held: Held, full: list[socket.socket]) -> None:
        held.go()
        for connection in full:
            assert listen(connection).statuses == [401]
        assert (len(held.door.places.running), held.door.places.waiting) == (0, 0)

    def test_another_caller_is_let_past(self, server: LiveServer, held: Held, full: list[socket.socket]) -> None:
        with connect(server.base_url) as connection:
            connection.sendall(REST % b"b")
            until(lambda: held.begun, 3)

    def test_who_leaves_makes_room(self, server: LiveServer, held: Held, full: list[socket.socket]) -> None:
        full[3].close()
        until(lambda: held.door.places.waiting, 1)
        full[0].close()
        until(lambda: (held.door.places.waiting, held.cancelled, held.begun), (0, 1, 3))

    def test_refused_without_a_look(self, server: LiveServer, held: Held, full: list[socket.socket]) -> None:
        """In a queue that stands, whoever was refused is refused again; others on the same connection are not."""
        with connect(server.base_url) as connection:
            held.door.places._standing_since = -100.0
            held.door.places._allowed = 1
            connection.sendall(REST % b"a")
            assert listen(connection, quiet=0.2).statuses == [503]
            parsed = held.door.counts["overload"]
            connection.sendall(REST % b"a")
            assert listen(connection, quiet=0.2).statuses == [503]
            assert held.door.counts["overload"] == parsed + 1
            connection.sendall(HEALTH)
            assert listen(connection, quiet=0.2).statuses == [200]
            connection.sendall(REST % b"c")
            until(lambda: held.begun, 3)


class TestClientsThatLeave:
    @on_both_doors
    def test_what_is_done_for_them_ends(
        self, server: LiveServer, held: Held, request_: bytes, logged: list[Any]
    ) -> None:
        with connect(server.base_url) as connection:
            connection.sendall(request_ % b"a")
            until(lambda: held.begun, 1)
        until(lambda: held.cancelled, 1, seconds=2)
        until(lambda: len(held.door.places.running), 0)
        assert held.door.counts["gone"] == 1
        requests = [record for record in logged if record.name == "tandem.access"]
        assert [record.status for record in requests] == [499]
        assert not [record for record in logged if record.levelname in ("ERROR", "WARNING")]

    def test_what_was_behind_them_is_not_begun(self, server: LiveServer, held: Held) -> None:
        with connect(server.base_url) as connection:
            connection.sendall(REST % b"a" + REST % b"a")
            until(lambda: held.begun, 1)
        until(lambda: held.cancelled, 1)
        time.sleep(0.1)
        assert held.begun == 1

    def test_the_metrics_know(self, server: LiveServer, held: Held) -> None:
        with connect(server.base_url) as connection:
            connection.sendall(REST % b"a")
            until(lambda: held.begun, 1)
        until(lambda: held.cancelled, 1)
        held.go()
        time.sleep(0.1)
        text = server.app.state.metrics.text().decode()
        assert 'tandem_http_requests_total{method="GET",route="/api/v1/tasks",status="499"} 1.0' in text
        assert 'tandem_http_refused_total{reason="gone"} 1.0' in text


async def test_bursts_wait(server: LiveServer) -> None:
    """With the usual bounds, a burst is only slower."""
    server.app.state.door.places._bounds = Bounds()
    limits = httpx.Limits(max_connections=200)
    async with httpx.AsyncClient(base_url=server.base_url, limits=limits, timeout=60) as client:
        answers = await asyncio.gather(*(client.get("/api/v1/tasks") for _ in range(200)))
    assert {answer.status_code for answer in answers} == {401}


def test_half_a_request_holds_no_place(server: LiveServer) -> None:
    slow = [connect(server.base_url) for _ in range(6)]
    for connection in slow:
        connection.sendall((GRAPHQL % b"a")[:-10])
    door: Door = server.app.state.door
    until(lambda: len(door.places.uploading), 6)
    assert send(server.base_url, REST % b"b").statuses == [401]
    for connection in slow:
        connection.close()
    until(lambda: len(door.places.uploading), 0)
