"""What is measured at each scale, and the right answers, found the plain way."""

from collections.abc import Callable, Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, func, select

from benchmarks.bulk import COMMON_WORD, RARE_WORDS
from benchmarks.client import BadAnswer, Client
from benchmarks.data import Dataset, connect
from benchmarks.servers import Server
from benchmarks.works import TAG, Work, rest_list
from benchmarks.works import WORKS as BASIC_WORKS
from db.driver.sessions import AnySelect
from db.models import Membership, Tag, Task, TaskAssignee, TaskTag, TaskText
from services.shared.pagination import Ordering, encode_cursor
from services.tasks.query import SORT_KEYS, TaskSort

LIMIT = 20
DEPTHS = (50, 90)
"""How many percent of the tasks come before a page deep down the list."""


def _deep(percent: int) -> Callable[[Dataset], Any]:
    return lambda dataset: rest_list(f"?limit={LIMIT}&cursor={dataset.cursors[percent]}")(dataset)


def _search(word: str) -> Callable[[Dataset], Any]:
    return rest_list(f"?limit={LIMIT}&search={word}")


_BASIC = {work.name: work for work in BASIC_WORKS}
WORKS = (
    *(_BASIC[name] for name in ("R20", "G20", "RF", "GF", "RS", "GS", "RA", "GA", "RT", "GT")),
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


async def check(
    server: Server, dataset: Dataset, works: Sequence[Work], token: str, *, may_be_few: bool = False
) -> None:
    """Raises ``BadAnswer`` unless each list has the tasks that a plain statement finds; a whole page of them, unless
    there ``may_be_few``."""
    with connect(server.url) as connection:
        for work in works:
            if work.writes:
                continue
            name = work.name
            [request] = work.requests(dataset, token)
            async with Client(server.port, 1) as client:
                status, body = await client.one(request)
            if not work.accepts(status, body):
                raise BadAnswer(f"{name} of {server.name}: status {status}: {body[:500]!r}")
            expected = list(connection.scalars(_expected(connection, dataset, name).limit(LIMIT)))
            if (answered := _ids(orjson.loads(body))) != expected or len(expected) < LIMIT * (not may_be_few):
                raise BadAnswer(f"{name} of {server.name}: {answered} instead of {expected}")


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
    if name in ("RS", "GS"):
        tasks = tasks.where(Task.status == "pending")
    if name in ("RA", "GA"):
        tasks = tasks.join(TaskAssignee).where(TaskAssignee.user_id == dataset.user_id)
    if name in ("RT", "GT"):
        tasks = tasks.join(TaskTag).join(Tag).where(Tag.name_folded == TAG)
    if name in ("S1", "S2", "S3"):
        word = dict(zip(("S1", "S2", "S3"), (*RARE_WORDS, COMMON_WORD), strict=True))[name]
        tasks = tasks.join(TaskText).where(TaskText.folded.contains(word))
    if name in ("P50", "P90"):
        tasks = tasks.offset(_before(connection, dataset, int(name[1:])))
    orders = {
        "OD": (Task.due_at.is_(None), Task.due_at, Task.id),
        "OU": (Task.updated_at.desc(), Task.id.desc()),
        "OP": (Task.priority.desc(), Task.id.desc()),
        "RS": (Task.created_at, Task.id),
        "GS": (Task.created_at, Task.id),
    }
    return tasks.order_by(*orders.get(name, _NEWEST))


def _ids(answer: Any) -> list[int]:
    if isinstance(answer, list):
        return [task["id"] for task in answer]
    return [edge["node"]["databaseId"] for edge in answer["data"]["tasks"]["edges"]]
