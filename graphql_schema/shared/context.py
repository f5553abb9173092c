"""What resolvers are given: the caller, the database, and loaders that live as long as one operation."""

from collections.abc import Awaitable, Callable, Collection, Hashable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, ParamSpec, Protocol, TypeVar

from strawberry.dataloader import DataLoader
from strawberry.types import Info as StrawberryInfo

from core.settings import DEFAULT_MAX_ANSWER_BYTES
from db.driver.database import Database
from db.driver.sessions import Session
from graphql_compiler import Reads
from services.connections import Connections
from services.events.feed import Feed
from services.live_lists.hub import LiveLists
from services.shared.actors import Actor
from services.shared.idempotency import IdempotencyContext, RepeatableCommand
from services.shared.pagination import Page, PageRequest
from services.shared.prices import demand
from services.shared.security import Security
from services.webhooks.commands import Outlet

NO_PAGE: Any = None  # every parent gets a page
P = ParamSpec("P")
V = TypeVar("V")
BatchLoad = Callable[[Session, Actor, Collection[int]], Awaitable[Mapping[int, V]]]


@dataclass(slots=True)
class Context:
    """One operation's context; made anew for each, also on a WebSocket."""

    actor: Actor
    database: Database
    security: Security
    feed: Feed
    connections: Connections
    outlet: Outlet
    live_lists: LiveLists
    client: str = ""
    user_agent: str | None = None
    max_answer_bytes: int = DEFAULT_MAX_ANSWER_BYTES
    large: bool = False
    """Whether the request is ``large``."""
    replayed: bool = False
    """Whether a mutation was answered as it had been before, for the header ``Idempotency-Replayed``."""
    _spent: int = 0
    _loaders: dict[Hashable, DataLoader[int, Any]] = field(default_factory=dict)
    _known: dict[Hashable, dict[Any, Any]] = field(default_factory=dict)

    @property
    def is_guest(self) -> bool:
        """Whether nobody knows the caller."""
        return not self.actor.identity

    def reading(self) -> AbstractAsyncContextManager[Session]:
        """A short session: sibling fields run at the same time, and a session is for one of them."""
        return self.database.reading()

    def writing(self) -> AbstractAsyncContextManager[Session]:
        """The transaction of one mutation field. What was loaded before it is forgotten."""
        self.forget()
        return self.database.writing()

    async def once(
        self,
        session: Session,
        key: str | None,
        command: RepeatableCommand[P, V],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> V:
        """What the command answers, or answered when the caller used the key before: then ``replayed`` is set."""
        return await self.run_once(
            key, lambda call: command.once(session, self.actor, call, self.security.limits, *args, **kwargs)
        )

    async def run_once(self, key: str | None, run: Callable[[IdempotencyContext], Awaitable[V]]) -> V:
        """What a service answers that looks at the key itself; ``replayed`` is set for an answer of before."""
        call = IdempotencyContext(key)
        result = await run(call)
        self.replayed |= call.replayed
        return result

    def spend(self, points: int) -> None:
        """What costs so many points was found in the database, such as a saved view's filter: all of the operation's
        together may come to as much as a request may. Raises ``TooExpensive``."""
        self._spent += points
        demand(self._spent)

    def forget(self) -> None:
        """Drop what was loaded: between the events of a subscription."""
        self._loaders.clear()
        self._known.clear()

    def load(self, key: Hashable, load: BatchLoad[V], default: V, item: int) -> Awaitable[V]:
        """One value out of a batch: all items asked for under the same key are read in one statement."""
        loader = self._loaders.get(key)
        if loader is None:

            async def load_batch(items: list[int]) -> Sequence[V]:
                return await self.load_all(key, load, default, items)

            loader = self._loaders[key] = DataLoader(load_fn=load_batch)
        return loader.load(item)

    async def load_all(
        self, key: Hashable, load: BatchLoad[V], default: V, items: Collection[int | None]
    ) -> Sequence[V]:
        """A value for each item, the default for None; what was read under the key before is not read again."""
        known = self._known.setdefault(key, {None: default})
        missing = {item for item in items if item is not None} - known.keys()
        if missing:
            found = await load(self.database.reads, self.actor, missing)
            known.update(dict.fromkeys(missing, default))
            known.update(found)
        return [*map(known.__getitem__, items)]

    def pages(
        self,
        key: Hashable,
        load: Callable[[Session, Actor, Collection[int], PageRequest], Awaitable[Mapping[int, Page[V]]]],
        request: PageRequest,
        item: int,
    ) -> Awaitable[Page[V]]:
        """As ``load``, for the same page under every parent."""

        async def load_pages(session: Session, actor: Actor, items: Collection[int]) -> Mapping[int, Page[V]]:
            return await load(session, actor, items, request)

        return self.load((key, request), load_pages, NO_PAGE, item)


class ResolverInfo(StrawberryInfo[Context, None]):
    """What the ordinary executor gives to resolvers. They see of it what ``Info`` has."""

    reads: ClassVar[None] = None


class CompiledInfo:
    """What a compiled operation gives to the resolvers of its own fields."""

    __slots__ = ("context", "reads")

    def __init__(self, context: Context, reads: Reads) -> None:
        self.context, self.reads = context, reads


if TYPE_CHECKING:

    class Info(Protocol):
        """What a resolver may use, whichever executor calls it: Strawberry's ``Info`` has more, a compiled one not."""

        @property
        def context(self) -> Context: ...

        @property
        def reads(self) -> Reads | None:
            """The attributes that the operation reads of things of each type; None where that is not known: all."""

else:
    Info = ResolverInfo  # Strawberry knows the parameter by this class
