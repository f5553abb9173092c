"""The example of the README, and what it saves: ``python -m graphql_compiler.example``.

A library of authors, whose books stand on shelves. Nothing in it is known to the compiler beforehand.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from time import process_time

# --- what README.md shows
import strawberry
from strawberry.dataloader import DataLoader
from strawberry.types import Info

from graphql_compiler.strawberry import batched, compiled_execution


@dataclass
class Library:
    """The context of an operation: who wrote what, and a loader for Strawberry's own executor."""

    shelves: dict[int, list[list["Book"]]]
    authors: list["Author"]

    def __post_init__(self) -> None:
        self.loader = DataLoader(load_fn=self.find)

    async def find(self, ids: Sequence[int]) -> list[list[list["Book"]]]:
        return [self.shelves[id] for id in ids]  # one statement, with a database


async def load_shelves(
    library: Library, authors: Sequence["Author"], arguments: Mapping[str, int]
) -> list[list[list["Book"]]]:
    """The shelves of all the authors at once: this is what compiled operations call."""
    found = await library.find([author.id for author in authors])
    return [shelves[: arguments["first"]] for shelves in found]


@strawberry.type
class Book:
    title: str
    pages: int | None

    @strawberry.field
    def long(self) -> bool:
        return (self.pages or 0) > 500


@strawberry.type
class Author:
    id: int
    name: str

    @strawberry.field(metadata=batched(load_shelves))
    async def shelves(self, info: Info[Library, None], first: int = 10) -> list[list[Book]]:
        """The same for one author, where Strawberry executes the operation."""
        return (await info.context.loader.load(self.id))[:first]


@strawberry.type
class Query:
    @strawberry.field
    async def authors(self, info: Info[Library, None]) -> list[Author]:
        return info.context.authors


schema = strawberry.Schema(Query, extensions=[compiled_execution()])
QUERY = "{ authors { name shelves(first: 3) { title pages long } } }"
# --- end


PLAIN = strawberry.Schema(Query)
"""The same schema without the extension."""


def library(authors: int = 100) -> Library:
    """A library of so many authors, with three shelves of ten books each."""
    ids = range(authors)
    shelves = {
        id: [[Book(title=f"{id}.{n}.{m}", pages=m * 80 or None) for m in range(10)] for n in range(3)] for id in ids
    }
    return Library(shelves, [Author(id=id, name=f"Author {id}") for id in ids])


async def answer(asked: strawberry.Schema, query: str = QUERY) -> tuple[object, list[str]]:
    """What a schema answers: the data, and what its errors say."""
    result = await asked.execute(query, context_value=library())
    return result.data, [error.message for error in result.errors or ()]


async def measure(rounds: int = 15) -> tuple[float, float]:
    """Milliseconds of CPU of one execution, parsing and validating included: Strawberry's own, and the compiled one."""
    context = library()
    times: dict[str, list[float]] = {"plain": [], "compiled": []}
    for _ in range(rounds):
        for name, asked in (("plain", PLAIN), ("compiled", schema)):
            context.loader.clear_all()
            begun = process_time()
            await asked.execute(QUERY, context_value=context)
            times[name].append((process_time() - begun) * 1000)
    return median(times["plain"]), median(times["compiled"])


async def main(write: Callable[[str], object] = print) -> None:
    """Compare the answers of both executors, and what they take."""
    expected, first, compiled = await answer(PLAIN), await answer(schema), await answer(schema)
    if not expected == first == compiled or expected[1]:
        raise SystemExit("The executors answer different things")
    plain_ms, compiled_ms = await measure()
    times = plain_ms / compiled_ms
    write(f"The same answer. Strawberry: {plain_ms:.1f} ms, compiled: {compiled_ms:.1f} ms, {times:.1f} times as fast")


if __name__ == "__main__":
    asyncio.run(main())
