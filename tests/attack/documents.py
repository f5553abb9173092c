"""The worst documents that can be found: what they take before they are executed, and what those take that are.

    python -m tests.attack.documents --count 100000 --seed 1
    python -m tests.attack.documents --count 2000 --seed 1 --execute postgresql://…/tandem --as ada
    python -m tests.attack.documents --show 1:4711

Prints the costliest ten. A document's seed is that of the run and its number; ``--show`` prints one. Fails where one
takes more than 100 ms of processor time to be parsed, priced and validated, or refused; executed, more than the
deadline of a request. Each of the costliest is tried again, and its least time counts: neighbours on the same processor
make others longer. ``--execute`` runs the queries that are let through, as that account, on a database that is there.
"""

import argparse
import asyncio
import heapq
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from graphql import OperationType
from sqlalchemy import select, text

from db.driver.database import Database
from db.models import User
from graphql_schema.execution.executor import Executor
from graphql_schema.execution.outcomes import GraphQLRequest, RequestError
from graphql_schema.schema import schema
from graphql_schema.shared.context import Context
from services.shared.actors import ALL_SCOPES, Actor
from tests.attack.writers import Writer, Written

CPU_SECONDS = 0.1
DEADLINE_SECONDS = 10.0
KEPT, TRIES = 30, 3
TICKS = 100
"""A second of processor time, as the kernel counts it."""


class Costly(NamedTuple):
    seconds: float
    number: int
    kind: str
    outcome: str
    size: int


def written(seed: int, number: int) -> Written:
    """The document of a seed and a number."""
    return Writer(schema._schema, Random(f"{seed}:{number}")).write()


def request(document: Written) -> GraphQLRequest:
    return GraphQLRequest(document.query, document.variables, document.operation)


def preparing_time(executor: Executor, document: Written) -> tuple[float, str]:
    """The processor time of parsing, pricing and validating, and the code that it is refused with, if it is."""
    asked, outcome = request(document), ""
    started = time.process_time()
    try:
        executor.prepare(asked)
    except RequestError as error:
        outcome = error.outcome.errors[0]["extensions"]["code"]
    return time.process_time() - started, outcome


def costliest(seed: int, count: int) -> tuple[list[Costly], Counter[str]]:
    """The documents that take longest, each tried again, and how many had each outcome."""
    executor, outcomes = Executor(schema), Counter[str]()
    found: list[Costly] = []
    for number in range(count):
        document = written(seed, number)
        seconds, outcome = preparing_time(executor, document)
        outcomes[outcome or "let through"] += 1
        heapq.heappush(found, Costly(seconds, number, document.kind, outcome, len(document.query)))
        if len(found) > KEPT:
            heapq.heappop(found)
    again = []
    for item in found:
        document = written(seed, item.number)
        least = min(preparing_time(Executor(schema), document)[0] for _ in range(TRIES))
        again.append(item._replace(seconds=min(item.seconds, least)))
    return sorted(again, reverse=True), outcomes


async def executed(seed: int, count: int, url: str, username: str) -> list[Costly]:
    """The queries that are let through and take longest in all: the processor time of this process and the database."""
    database, executor = Database(url), Executor(schema)
    user_id = await database.reads.scalar(select(User.id).where(User.username == username))
    actor = Actor("token", user_id=user_id, scopes=ALL_SCOPES, session_id=1)
    nothing: Any = None
    found: list[Costly] = []
    for number in range(count):
        document = written(seed, number)
        asked = request(document)
        try:
            prepared = executor.prepare(asked)
        except RequestError:
            continue
        if prepared.operation.operation is not OperationType.QUERY:
            continue
        seconds, codes = [], ""
        for _ in range(TRIES):
            context = Context(actor, database, nothing, nothing, nothing, nothing, nothing)
            backends = await _backends(database)
            started = time.process_time() + sum(map(_processor_time, backends))
            outcome = await executor.execute(prepared, context)
            seconds.append(time.process_time() + sum(map(_processor_time, backends)) - started)
            codes = ", ".join(sorted(outcome.codes))
        found.append(Costly(min(seconds), number, document.kind, codes, len(document.query)))
    await database.dispose()
    return sorted(found, reverse=True)


async def _backends(database: Database) -> list[int]:
    """The server's processes that work for this one."""
    if database.dialect == "sqlite":
        return []
    active = text("SELECT pid FROM pg_stat_activity WHERE datname = current_database()")
    return list(await database.reads.scalars(active))


def _processor_time(pid: int) -> float:
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS
    return 0.0


def _table(found: list[Costly], seed: int) -> Iterator[str]:
    yield f"{'CPU ms':>8}  {'seed':>12}  {'bytes':>6}  kind, and the code it was refused with"
    for item in found[:10]:
        place = f"{seed}:{item.number}"
        yield f"{item.seconds * 1000:8.1f}  {place:>12}  {item.size:6}  {item.kind} {item.outcome}"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=100_000, help="how many documents")
    parser.add_argument("--seed", type=int, default=1, help="which ones")
    parser.add_argument("--show", metavar="SEED:NUMBER", help="print one and what becomes of it")
    parser.add_argument("--execute", metavar="URL", help="execute those that are let through on this database")
    parser.add_argument("--as", dest="username", default="ada", help="by this account")
    given = parser.parse_args()
    if given.show:
        seed, _, number = given.show.partition(":")
        document = written(int(seed), int(number))
        sys.stdout.write(f"{document.query}\n{document.variables}\n{preparing_time(Executor(schema), document)}\n")
        return 0
    if given.execute:
        found = asyncio.run(executed(given.seed, given.count, given.execute, given.username))
        bound = DEADLINE_SECONDS
    else:
        found, outcomes = costliest(given.seed, given.count)
        sys.stdout.write(", ".join(f"{name}: {times:,}" for name, times in outcomes.most_common()) + "\n")
        bound = CPU_SECONDS
    sys.stdout.write("\n".join(_table(found, given.seed)) + "\n")
    return int(any(item.seconds > bound for item in found))


if __name__ == "__main__":
    sys.exit(main())
