"""People of a source, as accounts that nobody can log in to until they are claimed."""

import hashlib
import re
import unicodedata
from collections.abc import Mapping, Sequence

from sqlalchemy import insert, select

from db.bulk import reserve_ids
from db.driver.sessions import Session
from db.models import User
from services.events import log
from services.transfers import sources
from services.transfers.records import ImportedUser
from services.users.commands import account_row, make_inboxes

MAX_USERNAME = 50
MIN_USERNAME = 3
NUMBERED = 6
_NOT_ALLOWED = re.compile(r"[^a-zA-Z0-9]+")


async def find(session: Session, source: str, people: Sequence[ImportedUser]) -> dict[str, int]:
    """The accounts of those who have one, by external id."""
    found = await sources.find(session, source, "user", (person.external_id for person in people))
    alive = set(await session.scalars(select(User.id).where(User.id.in_(found.values())))) if found else set()
    await sources.forget(session, source, "user", [known for known, user_id in found.items() if user_id not in alive])
    return {known: user_id for known, user_id in found.items() if user_id in alive}


async def create(
    session: Session, source: str, people: Sequence[ImportedUser]
) -> tuple[Mapping[str, int], Sequence[log.NewEvent]]:
    """Accounts with an Inbox each, for people who have none. Returns their ids by external id, and the events."""
    if not people:
        return {}, []
    names = await _free_usernames(session, people)
    user_ids = await reserve_ids(session, User, len(people))
    accounts = [
        account_row(name, person.full_name, person.timezone) | {"id": user_id}
        for person, name, user_id in zip(people, names, user_ids, strict=True)
    ]
    await session.execute(insert(User), accounts)
    await make_inboxes(session, user_ids)
    ids = {person.external_id: user_id for person, user_id in zip(people, user_ids, strict=True)}
    await sources.remember(session, source, "user", ids)
    # an external id may be an e-mail address, and addresses are not kept in the log
    return ids, [sources.imported(source, "user", id_, known.partition("@")[0]) for known, id_ in ids.items()]


async def _free_usernames(session: Session, people: Sequence[ImportedUser]) -> list[str]:
    """A username for each, like the name in the source; where that is taken, with something behind it."""
    chosen: dict[int, str] = {}
    used: set[str] = set()
    attempt = 0
    while len(chosen) < len(people):
        wanted = {index: _candidate(person, attempt) for index, person in enumerate(people) if index not in chosen}
        attempt += 1
        folded = {name.lower() for name in wanted.values()}
        used.update(await session.scalars(select(User.username_folded).where(User.username_folded.in_(folded))))
        for index, name in wanted.items():
            if name.lower() not in used:
                chosen[index] = name
                used.add(name.lower())
    return [chosen[index] for index in range(len(people))]


def username(name: str) -> str:
    """What of a name is allowed in a username. Of an e-mail address it is the part before the @."""
    local = name.partition("@")[0] or name
    ascii_only = unicodedata.normalize("NFKD", local).encode("ascii", "ignore").decode()
    stem = _NOT_ALLOWED.sub("_", ascii_only).strip("_")[:MAX_USERNAME].strip("_")
    if len(stem) < MIN_USERNAME:
        return f"user_{stem}" if stem else "user"
    return stem


def _candidate(person: ImportedUser, attempt: int) -> str:
    """The plain name, then numbered ones, then such that hardly anybody else can have."""
    stem = username(person.name)
    if attempt == 0:
        return stem
    digest = hashlib.sha256(f"{person.external_id} {attempt}".encode()).hexdigest()
    suffix = f"_{attempt + 1}" if attempt < NUMBERED else f"_{digest[:8]}"
    return stem[: MAX_USERNAME - len(suffix)] + suffix
