"""What is measured at each scale, and the right answers, found the plain way."""

from collections.abc import Callable, Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, func, select

from benchmarks.bulk import COMMON_WORD, RARE_WORDS
from benchmarks.client import BadAnswer, Client
from benchmarks.data import Dataset, connect
from benchmarks.servers import Server
from benchmarks.works import WORKS as BASIC_WORKS
from benchmarks.works import Work, rest_list
from db.models import Membership, Task, TaskText
from db.sessions import AnySelect
from services.pagination import Ordering, encode_cursor
from services.tasks.queries import SORT_KEYS, TaskSort

LIMIT = 20
DEPTHS = (50, 90)
"""How many percent of the tasks come before a page deep down the list."""


def _deep(percent: int) -> Callable[[Dataset], Any]:
    return lambda dataset: rest_list(f"?limit={LIMIT}&cursor={dataset.cursors[percent]}")(dataset)


def _search(word: str) -> Callable[[Dataset], Any]:
    return rest_list(f"?limit={LIMIT}&search={word}")


_BASIC = {work.name: work for work in BASIC_WORKS}
WORKS = (
    *(_BASIC[name] for name in ("R20", "G20", "RF", "GF")),
    Work("S1", "search, rare word", _search(RARE_WORDS[0])),
    Work("S2", "search, rare word of frequent trigrams", _search(RARE_WORDS[1])),
    Work("S3", "search, common word", _search(COMMON_WORD)),
    Work("P50", "page after 50 % of the list", _deep(50)),
    Work("P90", "page after 90 % of the list", _deep(90)),
    Work("OD", "list by due date", rest_list(f"?limit={LIMIT}&sort_by=due_at&order=asc")),
    Work("OU", "list by last change", rest_list(f"?limit={LIMIT}&sort_by=updated_at")),
    Work("OP", "list by priority", rest_list(f"?limit={LIMIT}&sort_by=priority")),
    *(_BASIC[name] for name in ("RC", "GC")),
)


def find_cursors(url: str, dataset: Dataset) -> None:
    """Put the cursors of the deep pages into a data set."""
    ordering = Ordering(SORT_KEYS[TaskSort.CREATED_AT], descending=True)
    with connect(url) as connection:
        for percent in DEPTHS:
            found = select(Task.id, Task.created_at).where(*_own(dataset)).order_by(*_NEWEST)
            [last] = connection.execute(found.offset(_before(connection, dataset, percent) - 1).limit(1))
            dataset.cursors[percent] = encode_cursor(ordering, last)


async def check(server: Server, dataset: Dataset, works: Sequence[Work], token: str) -> None:
    """Raises ``BadAnswer`` unless each list has the tasks that a plain statement finds."""
    with connect(server.url) as connection:
        for work in works:
            if work.writes:
                continue
            name = work.name
            [request] = work.requests(dataset, token)
            async with Client(server.port, 1) as client:
                status, body = await client.one(request)
            if not work.accepts(status, body):
                raise BadAnswer(f"{name} of {server.name} tasks: status {status}: {body[:500]!r}")
            expected = list(connection.scalars(_expected(connection, dataset, name).limit(LIMIT)))
            if (answered := _ids(orjson.loads(body))) != expected or len(expected) < LIMIT:
                raise BadAnswer(f"{name} of {server.name} tasks: {answered} instead of {expected}")


_NEWEST = (Task.created_at.desc(), Task.id.desc())


def _own(dataset: Dataset) -> list[Any]:
    projects = select(Membership.project_id).where(Membership.user_id == dataset.user_id)
    return [Task.project_id.in_(projects), Task.deleted_at.is_(None)]


def _before(connection: Connection, dataset: Dataset, percent: int) -> int:
    count: int = connection.scalar(select(func.count()).select_from(Task).where(*_own(dataset))) or 0
    return count * percent // 100


def _expected(connection: Connection, dataset: Dataset, name: str) -> AnySelect:
    tasks = select(Task.id).where(*_own(dataset))
    if name in ("RF", "GF"):
        tasks = tasks.where(Task.status == "pending", Task.priority >= 3)
    if name in ("S1", "S2", "S3"):
        word = dict(zip(("S1", "S2", "S3"), (*RARE_WORDS, COMMON_WORD), strict=True))[name]
        tasks = tasks.join(TaskText).where(TaskText.folded.contains(word))
    if name in ("P50", "P90"):
        tasks = tasks.offset(_before(connection, dataset, int(name[1:])))
    orders = {
        "OD": (Task.due_at.is_(None), Task.due_at, Task.id),
        "OU": (Task.updated_at.desc(), Task.id.desc()),
        "OP": (Task.priority.desc(), Task.id.desc()),
    }
    return tasks.order_by(*orders.get(name, _NEWEST))


def _ids(answer: Any) -> list[int]:
    if isinstance(answer, list):
        return [task["id"] for task in answer]
    return [edge["node"]["databaseId"] for edge in answer["data"]["tasks"]["edges"]]
