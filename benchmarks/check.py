"""Are the answers right? What is measured wrong is worth nothing, so this comes first, and stops the run."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson

from benchmarks.client import BadAnswer, Client
from benchmarks.databases import Database
from benchmarks.servers import Server
from benchmarks.works import Work

COMPARED = 5
"""Requests of each work whose answers are compared; the works of lists have only one."""
OF_THE_MOMENT = frozenset({"created_at", "updated_at", "createdAt", "updatedAt"})


async def check_answers(servers: Sequence[Server], database: Database, works: Sequence[Work], token: str) -> None:
    """Raises ``BadAnswer`` unless every server gives the first one's answers, and these are not empty.

    ``ours`` and ``floor`` must answer the same JSON; ``naive`` may spell instants differently. What is created
    has its own instants.
    """
    for work in works:
        for request in work.requests(database.dataset, token)[:COMPARED]:
            answers = [await _answer(server, work, request) for server in servers]
            if len(orjson.dumps(answers[0])) < 100:
                raise BadAnswer(f"{work.name}: {servers[0].name} answers nothing: {answers[0]}")
            for server, answer in zip(servers[1:], answers[1:], strict=True):
                exact = server.name != "naive"
                if _comparable(answer, work, exact=exact) != _comparable(answers[0], work, exact=exact):
                    raise BadAnswer(
                        f"{work.name}: {server.name} and {servers[0].name} answer differently:\n"
                        f"{orjson.dumps(answer)[:1500]!r}\n{orjson.dumps(answers[0])[:1500]!r}"
                    )


async def _answer(server: Server, work: Work, request: bytes) -> Any:
    async with Client(server.port, 1) as client:
        status, body = await client.one(request)
    if not work.accepts(status, body):
        raise BadAnswer(f"{work.name}: {server.name} answers {status}: {body[:500]!r}")
    return orjson.loads(body)


def _comparable(value: Any, work: Work, *, exact: bool) -> Any:
    if isinstance(value, list):
        return [_comparable(item, work, exact=exact) for item in value]
    if isinstance(value, dict):
        return {
            name: _instant(item) if not exact and _is_instant(name, item) else _comparable(item, work, exact=exact)
            for name, item in value.items()
            if not (work.writes and name in OF_THE_MOMENT)
        }
    return value


def _is_instant(name: str, value: Any) -> bool:
    return name.endswith(("_at", "At")) and isinstance(value, str)


def _instant(value: str) -> datetime:
    return datetime.fromisoformat(value)
