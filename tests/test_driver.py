"""The driver, and what knows the databases' languages: what is compiled for which, and where they may be told apart."""

import ast
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import DateTime, Dialect, MetaData, literal, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped, mapped_column

from db.dates import monday_of
from db.driver.database import Database
from db.driver.dialects import dialect_for
from db.driver.statements import Prepared
from db.driver.types import UtcDateTime
from db.models import Base, Tag
from db.upserts import insert_or_ignore, upsert

ROOT = Path(__file__).parent.parent
DIALECTS = {"sqlite": dialect_for("sqlite"), "postgresql": dialect_for("postgresql+psycopg")}


class TestUpserts:
    """SQLAlchemy's are for one database each; ours are PostgreSQL's, for both."""

    @pytest.mark.parametrize("name", DIALECTS)
    def test_sql_is_what_sqlalchemy_writes_for_the_database_itself(self, name: str) -> None:
        dialect = DIALECTS[name]
        own = (sqlite if name == "sqlite" else postgresql).insert(Tag)
        ours, columns = upsert(Tag), {"name": "x", "project_id": 1}
        assert _sql(insert_or_ignore(Tag).values(columns).returning(Tag.id), dialect) == _sql(
            own.values(columns).on_conflict_do_nothing().returning(Tag.id), dialect
        )
        assert _sql(
            ours.values(columns).on_conflict_do_update(index_elements=["id"], set_={"name": ours.excluded.name}),
            dialect,
        ) == _sql(
            own.values(columns).on_conflict_do_update(index_elements=["id"], set_={"name": own.excluded.name}),
            dialect,
        )


def _sql(statement: Any, dialect: Dialect) -> str:
    return str(statement.compile(dialect=dialect))


class TestDialects:
    def test_prepared_statement_is_compiled_for_each_dialect_not_for_its_name(self) -> None:
        class_: Any = type(DIALECTS["sqlite"])
        other = class_(paramstyle="named")
        statement: Prepared[Any] = Prepared(select(Tag.id).where(Tag.name == literal("x")))
        ours = statement.ready(DIALECTS["sqlite"])
        assert statement.ready(DIALECTS["sqlite"]) is ours
        assert statement.ready(other) is not ours

    async def test_what_is_known_of_one_database_is_not_of_another(self, tmp_path: Path) -> None:
        one, other = (Database(f"sqlite:///{tmp_path / name}") for name in ("1.db", "2.db"))
        one.reads.known["callers"] = 1
        async with one.writing() as session:
            assert session.known["callers"] == 1
        assert "callers" not in other.reads.known

    def test_databases_of_a_kind_share_what_is_compiled(self, tmp_path: Path) -> None:
        one, other = (Database(f"sqlite:///{tmp_path / name}") for name in ("1.db", "2.db"))
        assert one.sql is other.sql


class TestDates:
    @pytest.mark.parametrize(
        ("moment", "monday"),
        [
            (datetime(2026, 11, 23, tzinfo=UTC), "2026-11-23"),
            (datetime(2026, 11, 29, 23, 59, 59, 999_999, UTC), "2026-11-23"),
            (datetime(2027, 1, 1, tzinfo=UTC), "2026-12-28"),
            (datetime(2027, 2, 28, 22, tzinfo=timezone(timedelta(hours=-3))), "2027-03-01"),
        ],
    )
    async def test_week_begins_on_monday_in_utc(self, database: Database, moment: datetime, monday: str) -> None:
        async with database.reading() as session:
            assert await session.scalar(select(monday_of(literal(moment, UtcDateTime)))) == monday


class TestInstants:
    def test_every_column_of_a_model_keeps_its_offset(self) -> None:
        columns = [column for table in Base.metadata.tables.values() for column in table.columns]
        instants = [column for column in columns if isinstance(column.type, (DateTime, UtcDateTime))]
        assert len(instants) > 20
        assert [str(column) for column in instants if not isinstance(column.type, UtcDateTime)] == []

    def test_model_that_says_only_datetime_has_one_in_utc(self) -> None:
        class Apart(Base):
            __abstract__ = True
            metadata = MetaData()

        class Milestone(Apart):
            __tablename__ = "milestones_of_a_test"
            id: Mapped[int] = mapped_column(primary_key=True)
            due_at: Mapped[datetime]
            reached_at: Mapped[datetime | None]

        columns = Milestone.__table__.columns
        assert isinstance(columns["due_at"].type, UtcDateTime)
        assert isinstance(columns["reached_at"].type, UtcDateTime)


class TestBoundaries:
    def test_services_do_not_tell_databases_apart(self) -> None:
        """What differs between them has a name below ``db/``. What only asks which database it is belongs there."""
        found = [
            f"{path.relative_to(ROOT)}:{node.lineno}"
            for path in (ROOT / "services").rglob("*.py")
            for node in ast.walk(ast.parse(path.read_text()))
            if (isinstance(node, ast.Attribute) and node.attr == "dialect")
            or (isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sqlalchemy.dialects"))
            or (
                isinstance(node, ast.Import) and any(name.name.startswith("sqlalchemy.dialects") for name in node.names)
            )
        ]
        assert found == []
