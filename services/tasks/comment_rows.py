"""The rows of comments, however many, in the same statements: of those that are written and of those brought in."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import insert

from db.driver.sessions import Session
from db.driver.statements import Prepared
from db.models import Comment, CommentText
from services.shared.bulk_writing import write_all
from services.tasks.listing.texts import fold_text


class CommentRow(NamedTuple):
    """A comment to be written; that its author may write it was checked."""

    task_id: int
    project_id: int
    author_id: int | None
    body: str
    created_at: datetime
    edited_at: datetime | None = None
    external_source: str | None = None
    external_id: str | None = None


async def insert_comments_with_ids(session: Session, ids: Sequence[int], rows: Sequence[CommentRow]) -> None:
    """Write comments with ids that were reserved for them."""
    columns = [columns_of(row) | {"id": id_, "edited_at": row.edited_at} for id_, row in zip(ids, rows, strict=True)]
    await write_all(session, _INSERT_WITH_IDS, columns)
    await insert_texts(session, ids, rows)


def columns_of(row: CommentRow) -> dict[str, object]:
    """The values of ``KEYS``."""
    return {
        "task_id": row.task_id,
        "author_id": row.author_id,
        "body": row.body,
        "created_at": row.created_at,
        "external_source": row.external_source,
        "external_id": row.external_id,
        "external_project_id": None if row.external_id is None else row.project_id,
    }


async def insert_texts(session: Session, ids: Sequence[int], rows: Sequence[CommentRow]) -> None:
    """What search reads of comments."""
    texts = [
        {"comment_id": id_, "folded": fold_text(row.body), "project_id": row.project_id}
        for id_, row in zip(ids, rows, strict=True)
    ]
    await write_all(session, _INSERT_TEXTS, texts)


KEYS = ("task_id", "author_id", "body", "created_at", "external_source", "external_id", "external_project_id")
_INSERT_WITH_IDS = Prepared(insert(Comment), keys=("id", *KEYS, "edited_at"))
_INSERT_TEXTS = Prepared(insert(CommentText), keys=("comment_id", "folded", "project_id"))
