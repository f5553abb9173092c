"""The filter language of lists other than tasks': the same object is REST's ``filter`` and GraphQL's.

A feature declares what can be asked of its things by a model below ``Filter``, whose fields are conditions
(``services.shared.operators``), and by a ``Filtering``, which says what each of them is compared with. Every key of an
object must hold (AND); ``and``, ``or`` and ``not`` nest. Depth, conditions, values and text are bounded as in filters
of tasks (``services.shared.prices``).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from pydantic import Field
from sqlalchemy import ColumnElement, and_, or_, true
from sqlalchemy.orm import InstrumentedAttribute

from db import text_search
from db.driver.sessions import AnyColumn, AnySelect, Session
from db.lists import one_of
from services.shared.actors import Actor
from services.shared.conditions import Budget, ZoneWanted, negated, of_column
from services.shared.errors import BadUserInput
from services.shared.inputs import Input, absent
from services.shared.moments import RelativeMoment
from services.shared.prices import MAX_DEPTH
from services.shared.text import fold
from services.shared.time_zones import known_zone, zone_of

_PARTS = frozenset({"contains", "starts_with"})


class Filter(Input):
    """Which things of a list. Every condition given must hold."""

    and_: list[Self] = Field(
        default_factory=absent, alias="and", min_length=1, max_length=50, description="All of these hold."
    )
    or_: list[Self] = Field(
        default_factory=absent, alias="or", min_length=1, max_length=50, description="At least one of these holds."
    )
    not_: Self = Field(default_factory=absent, alias="not", description="This does not hold.")

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: object) -> None:
        """Name the class itself in the fields: who reads them one by one does not know whose they are."""
        super().__pydantic_init_subclass__(**kwargs)
        for name in ("and_", "or_"):
            cls.model_fields[name].annotation = list[cls]  # type: ignore[valid-type]  # made at run time
        cls.model_fields["not_"].annotation = cls
        cls.model_rebuild(force=True)


class Rows:
    """Those of the rows of a list among which a filter chooses: what is looked up of them is looked up once."""

    def __init__(self, session: Session, statement: AnySelect) -> None:
        self._session, self._statement = session, statement
        self._folded: dict[str, Sequence[tuple[int, str]]] = {}

    async def folded(self, id_column: AnyColumn, column: AnyColumn) -> Sequence[tuple[int, str]]:
        """The id of each row, and a text of it, folded."""
        name = str(column)
        if name not in self._folded:
            rows = await self._session.all(self._statement.with_only_columns(id_column, column))
            self._folded[name] = [(row[0], fold(row[1] or "")) for row in rows]
        return self._folded[name]


class Comparable(ABC):
    """What a field of a filter is compared with."""

    @abstractmethod
    async def compare(self, operator: str, values: list[Any], wanted: bool | None, rows: Rows) -> ColumnElement[bool]:
        """The condition of an operator; ``wanted`` is the value of one that takes true or false."""


class Column(Comparable):
    """A column; ``spell`` makes of a value what the column would have."""

    def __init__(
        self, column: AnyColumn | InstrumentedAttribute[Any], spell: Callable[[Any], Any] | None = None
    ) -> None:
        self._column: Any = column
        self._spell = spell

    async def compare(self, operator: str, values: list[Any], wanted: bool | None, rows: Rows) -> ColumnElement[bool]:
        """The column's comparison with the values."""
        given = values if self._spell is None else [self._spell(value) for value in values]
        return of_column(self._column, given, operator, wanted)


class FoldedText(Comparable):
    """A text that the database also has folded: parts of it are looked for in that, whatever their case."""

    def __init__(
        self,
        column: InstrumentedAttribute[Any],
        folded: AnyColumn | InstrumentedAttribute[Any],
        fold_part: Callable[[str], str] = fold,
    ) -> None:
        self._column: Any = column
        self._folded: Any = folded
        self._fold_part = fold_part

    async def compare(self, operator: str, values: list[Any], wanted: bool | None, rows: Rows) -> ColumnElement[bool]:
        """The text's comparison with the values, or the folded one's with a part."""
        if operator not in _PARTS:
            return of_column(self._column, values, operator, wanted)
        place = text_search.position(self._folded, self._fold_part(values[0]))
        return place == 1 if operator == "starts_with" else place > 0


class FewTexts(Comparable):
    """A text of things that a person has few of: the database has it as it is written, and knows case in its own way,
    so that parts of it are looked for here, in those of all the rows."""

    def __init__(self, id_column: InstrumentedAttribute[int], column: InstrumentedAttribute[Any]) -> None:
        self._id: Any = id_column
        self._column: Any = column

    async def compare(self, operator: str, values: list[Any], wanted: bool | None, rows: Rows) -> ColumnElement[bool]:
        """The text's comparison with the values, or the ids of those that have a part."""
        if operator not in _PARTS:
            return of_column(self._column, values, operator, wanted)
        part = fold(values[0])
        texts = await rows.folded(self._id, self._column)
        found = [id_ for id_, text in texts if (text.startswith(part) if operator == "starts_with" else part in text)]
        return one_of(self._id, found)


class Flag(Comparable):
    """A condition that holds (true) or does not (false)."""

    def __init__(self, condition: ColumnElement[bool]) -> None:
        self._condition = condition

    async def compare(self, operator: str, values: list[Any], wanted: bool | None, rows: Rows) -> ColumnElement[bool]:
        """The condition, or its opposite."""
        return self._condition if wanted else negated(self._condition)


class Filtering:
    """From filters of a model to SQL. Raises ``TypeError`` where a field of the model is compared with nothing."""

    def __init__(self, model: type[Filter], fields: Mapping[str, Comparable]) -> None:
        if missing := model.model_fields.keys() - Filter.model_fields.keys() ^ fields.keys():
            raise TypeError(f"{model.__name__}: {', '.join(sorted(missing))} is not both a field and compared")
        self._fields = fields

    async def narrow(self, session: Session, actor: Actor, statement: AnySelect, data: Filter | None) -> AnySelect:
        """The statement, of those rows that meet the actor's filter.

        Raises ``BadUserInput`` for one nested too deeply, or with too much in it.
        """
        if data is None:
            return statement
        rows = Rows(session, statement)
        try:
            return statement.where(await self._condition(data, Budget(known_zone(actor)), rows, depth=0))
        except ZoneWanted:
            budget = Budget(await zone_of(session, actor))
            return statement.where(await self._condition(data, budget, rows, depth=0))

    async def _condition(self, data: Filter, budget: Budget, rows: Rows, *, depth: int) -> ColumnElement[bool]:
        if depth > MAX_DEPTH:
            raise BadUserInput.at("/filter", f"nested more than {MAX_DEPTH} deep")
        parts: list[ColumnElement[bool]] = [true()]
        for name in sorted(data.model_fields_set):
            budget.spend_condition()
            value = getattr(data, name)
            if name == "not_":
                parts.append(negated(await self._condition(value, budget, rows, depth=depth + 1)))
            elif name in ("and_", "or_"):
                inner = [await self._condition(part, budget, rows, depth=depth + 1) for part in value]
                parts.append((and_ if name == "and_" else or_)(*inner))
            elif isinstance(value, bool):
                parts.append(await self._fields[name].compare("", [], value, rows))
            else:
                for operator, given in sorted(value.sent().items()):
                    parts.append(await self._operation(name, operator, given, budget, rows))
        return and_(*parts)

    async def _operation(
        self, name: str, operator: str, given: object, budget: Budget, rows: Rows
    ) -> ColumnElement[bool]:
        if isinstance(given, bool):
            return await self._fields[name].compare(operator, [], given, rows)
        if type(given) is RelativeMoment:
            given = budget.instant(given)
        values = given if isinstance(given, list) else [given]
        budget.spend(values)
        return await self._fields[name].compare(operator, [*dict.fromkeys(values)], None, rows)
