"""names that look the same are the same: tags, titles and addresses in one form

Tags that have become one are merged into the oldest of them. Which tags there were, and how titles and addresses were
encoded, is not kept: going down changes nothing.

Revision ID: 0006
Revises: 0005
"""

import re
import unicodedata

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_BATCH = 500
_LONGEST_TAG = 50
# as services/text.py had them when this was written
_NOT_OF_A_LINE = re.compile(r"[\x00-\x1F\x7F-\x9F\u2028\u2029]+")
_SPACE = re.compile(r"[\u00A0\u1680\u2000-\u200A\u202F\u205F\u3000]")
_UNSEEN = re.compile(
    r"[\u00AD\u034F\u061C\u115F\u1160\u17B4\u17B5\u180B-\u180F\u200B\u200E\u200F\u202A-\u202E\u2060-\u206F\u3164"
    r"\uFE00-\uFE0F\uFEFF\uFFA0\uFFF0-\uFFF8\U0001BCA0-\U0001BCA3\U0001D173-\U0001D17A"
    r"\U000E0000-\U000E001F\U000E0080-\U000E0FFF]"
)


def upgrade() -> None:
    if op.get_context().as_sql:
        return  # only rows change
    connection = op.get_bind()
    _merge_tags(connection)
    for table, key, column in (
        ("tasks", "id", "title"),
        ("task_texts", "task_id", "folded"),
        ("comment_texts", "comment_id", "folded"),
    ):
        _compose(connection, table, key, column)
    _compose_addresses(connection)


def downgrade() -> None:
    pass


def _merge_tags(connection: sa.Connection) -> None:
    tags = sa.table("tags", *map(sa.column, ("id", "project_id", "name", "name_folded")))
    kept: dict[tuple[int, str], int] = {}
    new: list[dict[str, object]] = []
    for row in connection.execute(sa.select(tags).order_by(tags.c.id)).all():
        name = _line(row.name)
        folded = _folded(name)
        oldest = kept.setdefault((row.project_id, folded), row.id)
        if oldest != row.id:
            _merge(connection, row.id, oldest)
        elif (name, folded) != (row.name, row.name_folded):
            new.append({"the_id": row.id, "new_name": name, "new_folded": folded, "nobodys": f"\x01{row.id}"})
    if new:
        one = sa.update(tags).where(tags.c.id == sa.bindparam("the_id"))
        # first out of each other's way: the new name of one may be the old one of another
        connection.execute(one.values(name_folded=sa.bindparam("nobodys")), new)
        connection.execute(one.values(name=sa.bindparam("new_name"), name_folded=sa.bindparam("new_folded")), new)


def _merge(connection: sa.Connection, gone: int, into: int) -> None:
    links = sa.table("task_tags", sa.column("task_id"), sa.column("tag_id"))
    has = sa.select(links.c.task_id).where(links.c.tag_id == into)
    moved = sa.select(links.c.task_id, sa.literal(into, sa.Integer)).where(
        links.c.tag_id == gone, links.c.task_id.not_in(has)
    )
    connection.execute(sa.insert(links).from_select(["task_id", "tag_id"], moved))
    connection.execute(sa.delete(links).where(links.c.tag_id == gone))
    connection.execute(sa.delete(sa.table("tags", sa.column("id"))).where(sa.column("id") == gone))


def _line(name: str) -> str:
    """The name as a tag may be called; one that cannot be brought into that form, as it is."""
    line = _NOT_OF_A_LINE.sub(" ", name).strip() if _NOT_OF_A_LINE.search(name) else name
    composed = unicodedata.normalize("NFC", line)
    return composed if 0 < len(composed) <= _LONGEST_TAG else name


def _folded(name: str) -> str:
    if name.isascii():
        return name.lower()
    seen = _SPACE.sub(" ", _UNSEEN.sub("", name))
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", seen).casefold())


def _compose(connection: sa.Connection, table_name: str, key_name: str, column_name: str) -> None:
    """Bring a column into NFC. Folded texts were composed before they were folded, which leaves some letters apart."""
    table = sa.table(table_name, sa.column(key_name, sa.Integer), sa.column(column_name, sa.Text))
    key, column = table.c[key_name], table.c[column_name]
    page = sa.select(key, column).where(_perhaps_not_composed(connection, column)).order_by(key).limit(_BATCH)
    statement = sa.update(table).where(key == sa.bindparam("the_key")).values({column_name: sa.bindparam("new")})
    last = 0
    while rows := connection.execute(page.where(key > last)).all():
        new = [{"the_key": row[0], "new": unicodedata.normalize("NFC", row[1])} for row in rows if not _is_nfc(row[1])]
        if new:
            connection.execute(statement, new)
        last = rows[-1][0]


def _perhaps_not_composed(connection: sa.Connection, column: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    if connection.dialect.name == "sqlite":
        return sa.func.length(sa.cast(column, sa.LargeBinary)) != sa.func.length(column)
    some = sa.func.octet_length(column) != sa.func.char_length(column)
    if connection.scalar(sa.text("SHOW server_encoding")) != "UTF8":
        return some
    return some & column.op("IS NOT")(sa.text("NFC NORMALIZED"))


def _compose_addresses(connection: sa.Connection) -> None:
    users = sa.table("users", sa.column("id", sa.Integer), sa.column("email", sa.Text))
    some = users.c.email.is_not(None), _perhaps_not_composed(connection, users.c.email)
    for row in connection.execute(sa.select(users).where(*some)).all():
        composed = unicodedata.normalize("NFC", row.email)
        taken = sa.select(users.c.id).where(users.c.email == composed)
        # of two people, the one whose address is in this form has it
        if connection.scalar(taken) is None:
            connection.execute(sa.update(users).where(users.c.id == row.id).values(email=composed))


def _is_nfc(text: str) -> bool:
    return unicodedata.is_normalized("NFC", text)
