from datetime import datetime

from sqlalchemy import BigInteger, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from db.driver.types import BigId
from db.models.base import Base


class Job(Base):
    """Work to be done at a time, by whichever worker claims it: one row for each thing that there is work for.

    ``due_at`` is null while nothing is to be done. Who claims it has it until ``claimed_until``, which is renewed while
    the work goes on; ``claim`` counts, so that whoever lost a job cannot end it. There are no foreign keys: a job whose
    thing is gone finds nothing to do, and goes too.
    """

    __tablename__ = "jobs"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    kind: Mapped[str] = mapped_column(String(40))
    subject_id: Mapped[int] = mapped_column(BigInteger)
    due_at: Mapped[datetime | None]
    claimed_until: Mapped[datetime | None]
    claim: Mapped[int] = mapped_column(BigInteger, default=0)
    failing: Mapped[bool] = mapped_column(default=False)
    """Whether it did not succeed the last time: a share of a worker's places at most is for such."""

    __table_args__ = (
        Index("uq_jobs_kind_subject_id", "kind", "subject_id", unique=True),
        Index(
            "ix_jobs_due_at",
            "due_at",
            sqlite_where=text("due_at IS NOT NULL"),
            postgresql_where=text("due_at IS NOT NULL"),
        ),
        Index(
            "ix_jobs_claimed_until",
            "claimed_until",
            sqlite_where=text("claimed_until IS NOT NULL"),
            postgresql_where=text("claimed_until IS NOT NULL"),
        ),
        {"sqlite_autoincrement": True},
    )
