"""The application in another thread's event loop, called by the clients of this one without a network."""

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any, TypeVar

import httpx
from anyio.from_thread import BlockingPortal, start_blocking_portal
from sqlalchemy import delete

from api.main import create_app
from api.state import State
from core.clock import now
from db.driver.statements import Prepared
from db.models import IdempotencyKey, Task
from services.events import retention
from services.events.numbering import number_all
from services.shared.actors import Actor
from services.tasks import effects
from tests.actors import Person, make_person
from tests.conftest import settings_for
from tests.databases import empty_database

T = TypeVar("T")
DAY = timedelta(hours=25)
"""Longer than keys are kept."""
_FORGET = Prepared(delete(IdempotencyKey))


@dataclass
class Server:
    """One application, what was answered, and how far its clock has been put on."""

    portal: BlockingPortal
    state: State
    client: httpx.AsyncClient
    answers: Counter[str] = field(default_factory=Counter)
    made: Counter[str] = field(default_factory=Counter)
    """How often a task of this title was made by itself; histories have each title once."""
    passed: timedelta = timedelta()

    def run(self, call: Callable[..., Awaitable[T]], *given: Any) -> T:
        return self.portal.call(call, *given)

    def send(self, request: httpx.Request) -> httpx.Response:
        """The answer to a request, with the server's time in it, as its HTTP protocol has it."""
        status, headers, body = self.run(self._send, request)
        date = format_datetime(now() + self.passed, usegmt=True)
        self.answers[f"{request.method} {status}"] += 1
        if "idempotency-replayed" in headers:
            self.answers["replayed"] += 1
        elif (request.method, request.url.path, status) == ("POST", "/api/v1/tasks", 201):
            self.made[json.loads(body)["title"]] += 1
        told = [pair for pair in headers.multi_items() if pair[0] not in ("content-encoding", "content-length")]
        return httpx.Response(status, headers=[*told, ("date", date)], content=body, request=request)

    async def _send(self, request: httpx.Request) -> tuple[int, httpx.Headers, bytes]:
        content = request.read()
        answer = await self.client.request(request.method, request.url, headers=request.headers, content=content)
        return answer.status_code, answer.headers, answer.content

    def person(self) -> Person:
        return self.run(make_person, self.client, self.state)

    def number(self) -> None:
        self.run(number_all, self.state.database)

    def pass_a_day(self, *, month: bool = False) -> None:
        """Keys that were used are kept no more, and the feed begins with what is yet to happen. In a ``month``, the
        trash is emptied as well."""
        self.number()
        self.run(self._forget, month)
        self.number()
        self.passed += DAY

    async def _forget(self, month: bool) -> None:
        async with self.state.database.writing() as session:
            await session.execute(_FORGET())
            if month:
                await effects.purge(session, Actor("system"), Task.deleted_at.is_not(None))
        await retention.purge(self.state.database, now())


@contextmanager
def serving(backend: str, folder: Path) -> Iterator[Server]:
    """A server with a database of its own."""
    with empty_database(backend, folder) as url, start_blocking_portal() as portal:
        app = create_app(settings_for(url))
        with portal.wrap_async_context_manager(app.router.lifespan_context(app)):
            client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")
            with portal.wrap_async_context_manager(client):
                yield Server(portal, app.state.tandem, client)
