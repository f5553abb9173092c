"""How things of one kind are read by whoever may read them: by ids, and page by page.

A feature makes a reader of what is visible to an actor, and gives its methods the names under which others call them::

    _READER = ChildReader("Tag", visible, TagRecord._make, BY_NAME, below=Tag.project_id, parent=projects.get)
    get, by_ids, list_ = _READER.get, _READER.by_ids, _READER.list_
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Generic, TypeVar, cast

from sqlalchemy import ColumnElement, func
from sqlalchemy.orm import InstrumentedAttribute

from db.driver.sessions import AnySelect, Session
from services.shared.actors import Actor, Scope
from services.shared.errors import NotFound
from services.shared.filters import Filter, Filtering
from services.shared.pagination import (
    Identified,
    Ordering,
    Page,
    PageRequest,
    make_page,
    make_pages,
    page_statement,
    pages_statement,
)
from services.shared.totals import Total, total, total_of

R = TypeVar("R", bound=Identified)


def reads_tasks(actor: Actor) -> None:
    """Raises ``Forbidden`` for a key that may not read tasks, ``Unauthenticated`` without credentials."""
    actor.require(Scope.TASKS_READ)


class Reader(Generic[R]):
    """Reads things by their ids.

    ``visible`` selects those that an actor may read, ``make`` makes a record of a row, and ``shown`` what the actor is
    shown of it. ``require`` raises for actors who may read nothing of the kind. ``filtering`` is what lists of them can
    be filtered by.
    """

    def __init__(
        self,
        name: str,
        visible: Callable[[Actor], AnySelect],
        make: Callable[[Sequence[object]], R],
        ordering: Ordering,
        *,
        require: Callable[[Actor], object] = reads_tasks,
        shown: Callable[[R, Actor], R] | None = None,
        filtering: Filtering | None = None,
    ) -> None:
        self._filtering = filtering
        self._name, self._visible, self._make, self._ordering = name, visible, make, ordering
        self._id: InstrumentedAttribute[int] = ordering.key.id_column
        self._require, self._shown = require, shown

    async def get(self, session: Session, actor: Actor, item_id: int) -> R:
        """A thing that the actor may read. Raises ``NotFound``."""
        self._require(actor)
        row = await session.first(self._visible(actor).where(self._id == item_id))
        if row is None:
            raise NotFound(self._name)
        return self._making(actor)(row)

    async def by_ids(self, session: Session, actor: Actor, ids: Collection[int]) -> Mapping[int, R]:
        """Those of the things that the actor may read, by id."""
        self._require(actor)
        rows = await session.all(self._visible(actor).where(self._id.in_(ids)))
        return {item.id: item for item in map(self._making(actor), rows)}

    async def page(self, session: Session, actor: Actor, statement: AnySelect, request: PageRequest) -> Page[R]:
        """A page of what a statement finds among the visible things."""
        rows = await session.all(page_statement(statement, self._ordering, request))
        return make_page(rows, self._making(actor), self._ordering, request)

    async def _narrowed(self, session: Session, actor: Actor, statement: AnySelect, filter: Filter | None) -> AnySelect:
        if filter is None or self._filtering is None:
            return statement
        return await self._filtering.narrow(session, actor, statement, filter)

    def _making(self, actor: Actor) -> Callable[[Sequence[object]], R]:
        make, shown = self._make, self._shown
        return make if shown is None else lambda row: shown(make(row), actor)


class ListReader(Reader[R]):
    """Reads things that hang on nothing: all that an actor may read are one list."""

    async def list_(
        self, session: Session, actor: Actor, request: PageRequest, *, filter: Filter | None = None
    ) -> Page[R]:
        """A page of all that the actor may read, or of those that meet a filter. Raises ``BadUserInput``."""
        self._require(actor)
        return await self.page(
            session, actor, await self._narrowed(session, actor, self._visible(actor), filter), request
        )

    async def count(
        self, session: Session, actor: Actor, *, filter: Filter | None = None, exact: bool = False
    ) -> Total:
        """How many the actor may read, or of those that meet a filter; all of them are counted where ``exact``."""
        self._require(actor)
        return await total_of(session, await self._narrowed(session, actor, self._visible(actor), filter), exact=exact)


class ChildReader(Reader[R]):
    """Reads things that hang on others, the parents, whose ids are in the column ``below``.

    ``parent`` reads one of those, or raises ``NotFound``. ``joined`` adds to a statement what ``below`` is a column of.
    """

    def __init__(
        self,
        name: str,
        visible: Callable[[Actor], AnySelect],
        make: Callable[[Sequence[object]], R],
        ordering: Ordering,
        *,
        below: InstrumentedAttribute[int] | InstrumentedAttribute[int | None],
        parent: Callable[[Session, Actor, int], Awaitable[object]],
        joined: Callable[[AnySelect], AnySelect] = lambda statement: statement,
        shown: Callable[[R, Actor], R] | None = None,
        filtering: Filtering | None = None,
    ) -> None:
        super().__init__(name, visible, make, ordering, shown=shown, filtering=filtering)
        self.below: ColumnElement[int] = cast(InstrumentedAttribute[int], below).expression
        self._parent, self._joined = parent, joined

    async def list_(
        self, session: Session, actor: Actor, parent_id: int, request: PageRequest, *, filter: Filter | None = None
    ) -> Page[R]:
        """A page of what hangs on a parent, or of what meets a filter there.

        Raises ``NotFound`` where the actor may not read the parent, and ``BadUserInput``.
        """
        await self._parent(session, actor, parent_id)
        statement = self._joined(self._visible(actor)).where(self.below == parent_id)
        return await self.page(session, actor, await self._narrowed(session, actor, statement, filter), request)

    async def pages(
        self,
        session: Session,
        actor: Actor,
        parent_ids: Collection[int],
        request: PageRequest,
        *,
        filter: Filter | None = None,
    ) -> Mapping[int, Page[R]]:
        """The same page below each parent, in one statement; an empty one where the actor may read nothing there."""
        statement = await self._of(session, actor, parent_ids, filter)
        rows = await session.all(pages_statement(statement, self.below, self._ordering, request))
        return make_pages(rows, self._making(actor), self._ordering, request, parent_ids)

    async def count(
        self, session: Session, actor: Actor, parent_id: int, *, filter: Filter | None = None, exact: bool = False
    ) -> Total:
        """How many there are below a parent that the actor may read; ``exact`` where that is more than usual, too."""
        found = await self.counts(session, actor, [parent_id], filter=filter)
        return total(found.get(parent_id, 0), exact=exact)

    async def counts(
        self, session: Session, actor: Actor, parent_ids: Collection[int], *, filter: Filter | None = None
    ) -> Mapping[int, int]:
        """How many there are below each parent that the actor may read; a parent without any is left out."""
        statement = await self._of(session, actor, parent_ids, filter)
        counted = statement.with_only_columns(self.below, func.count()).group_by(self.below)
        return {row[0]: row[1] for row in await session.all(counted)}

    async def _of(
        self, session: Session, actor: Actor, parent_ids: Collection[int], filter: Filter | None
    ) -> AnySelect:
        self._require(actor)
        statement = self._joined(self._visible(actor)).where(self.below.in_(parent_ids))
        return await self._narrowed(session, actor, statement, filter)
