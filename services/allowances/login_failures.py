"""Failed logins: counted for each account and address, so that nobody can lock an owner out from elsewhere.

Three windows are kept, in the database, for failures are few, and it is the one place that all workers share:

- of an account at an address: ``pair`` failures (10 in 15 minutes), and no more attempts until the window ends;
- of an address, whatever the account: ``address`` failures (100 in an hour), then the same;
- of an account, from everywhere: after ``account`` failures (100 in an hour) an address has one failure of it in a
  window, no longer ten. That slows guesses from many addresses down and shuts nobody out.

The two wide ones do not concern an account at an address where it has logged in before. Of a name that is no account's,
failures are counted alike, or the refusal would tell which names are.

An attempt is counted before the password is looked at, and no longer when it fits: a hundred attempts at once are a
hundred attempts. The caller bounds attempts in memory first (``RateLimits.check_login``), so that a flood of them is no
flood of writes; what is refused here is only read.
"""

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from limits import RateLimitItem, parse
from sqlalchemy import Insert, and_, bindparam, case, or_, select, tuple_, update
from sqlalchemy import delete as sql_delete

from core.clock import now
from core.networks import network_of
from db.driver.database import Database
from db.driver.sessions import AnyColumn, Session
from db.driver.statements import Prepared
from db.driver.types import UtcDateTime
from db.models import LoginFailure
from db.upserts import upsert
from services import security_events
from services.events import catalogue
from services.events.catalogue import EventKind
from services.shared.errors import RateLimited

ANYWHERE = ANYBODY = ""
PURGE_EVERY = 100
"""Attempts of this process after which what has ended is cleared away, ``PURGED`` rows at most."""
PURGED = 500
SLACK = timedelta(minutes=1)
"""How far the clocks of hosts, and attempts at once, may be apart. A window that ends later than it can was begun by a
clock that has been set back."""

Key = tuple[str, str]
"""A subject and a place."""


class _Window(NamedTuple):
    subject: str
    place: str
    failures: int
    ends_at: datetime
    told: bool


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that counts as a failure until ``forget`` is called."""

    pair: Key
    keys: Sequence[Key]

    async def forget(self, session: Session) -> None:
        """It was none: the account's failures at this address are forgotten, of the wide ones this one."""
        if self.keys:
            await session.execute(
                _FORGET, [{"of": key[0], "at": key[1], "keep": int(key != self.pair)} for key in self.keys]
            )


class LoginFailures:
    """The limits, each a text such as ``10/15 minutes`` or None for none. ``account`` needs ``pair``."""

    def __init__(self, *, pair: str | None, address: str | None, account: str | None, secret: str) -> None:
        self._pair = parse(pair) if pair else None
        self._address = parse(address) if address else None
        self._account = parse(account) if account and pair else None
        self._secret = hmac.digest(secret.encode(), b"tandem login failures", "sha256")
        self._attempts = 0

    def place(self, client: str) -> str:
        """A pseudonym for where a client is, the same as long as SECRET_KEY is."""
        return self._pseudonym("place", network_of(client))

    async def begin(
        self, database: Database, *, account_id: int | None, name: str, place: str, known: bool = False
    ) -> Attempt:
        """Count an attempt to log in. Raises ``RateLimited``.

        ``account_id`` is None where there is no account of the ``name``; ``known`` says whether the account has logged
        in at this place before.
        """
        subject = self._subject(account_id, name)
        wide: list[tuple[Key, RateLimitItem | None]] = [((ANYBODY, place), self._address)]
        wide.append(((subject, ANYWHERE), self._account))
        return await self._begin(database, (subject, place), wide, known, account_id, catalogue.LOGIN_REFUSED)

    async def begin_password_change(self, database: Database, *, account_id: int, session_id: int | None) -> Attempt:
        """Count an attempt to name the current password, for the session alone: whoever has stolen one cannot keep the
        owner from changing it in another. Raises ``RateLimited``."""
        pair = self._subject(account_id, ""), self._pseudonym("session", str(session_id))
        return await self._begin(database, pair, [], True, account_id, catalogue.USER_PASSWORD_CHANGE_REFUSED)

    async def _begin(
        self,
        database: Database,
        pair: Key,
        wide: Sequence[tuple[Key, RateLimitItem | None]],
        known: bool,
        account_id: int | None,
        kind: EventKind,
    ) -> Attempt:
        # in one order, as their rows are locked in it
        kept = sorted((key, item) for key, item in [(pair, self._pair), *wide] if item is not None)
        attempt = Attempt(pair, [key for key, _ in kept])
        if not kept:
            return attempt
        moment = now()
        rows = await database.reads.all(
            select(*_COLUMNS).where(tuple_(LoginFailure.subject, LoginFailure.place).in_(attempt.keys))
        )
        found = {window[:2]: window for window in map(_Window._make, rows)}
        current = {
            key: found[key]
            for key, item in kept
            if key in found and moment < found[key].ends_at <= moment + _length(item) + SLACK
        }
        try:
            self._require(current, pair, dict(kept), known, moment, counted=0)
            async with database.writing() as session:
                begun = [
                    {
                        "subject": key[0],
                        "place": key[1],
                        "counted_at": moment,
                        "ends_at": moment + _length(item),
                        "latest": moment + _length(item) + SLACK,
                    }
                    for key, item in kept
                ]
                rows = await session.all(_COUNT, begun)
                self._require({row[:2]: _Window._make(row) for row in rows}, pair, dict(kept), known, moment, counted=1)
                await self._clear_away(session, moment)
        except _Refused as refused:
            key = refused.tell
            if key is not None and not (key in current and current[key].told):
                told = update(LoginFailure).where(LoginFailure.subject == key[0], LoginFailure.place == key[1])
                mark = told.where(LoginFailure.told.is_(False)).values(told=True)
                await security_events.record_refusal(database, kind, account_id, mark)
            raise RateLimited(refused.seconds) from None
        return attempt

    def _require(
        self,
        windows: Mapping[Key, _Window],
        pair: Key,
        items: Mapping[Key, RateLimitItem],
        known: bool,
        moment: datetime,
        *,
        counted: int,
    ) -> None:
        """Raises ``_Refused`` where there were enough failures before this attempt, which may be ``counted`` among
        them."""

        def over(key: Key, most: int | None = None) -> bool:
            window, item = windows.get(key), items.get(key)
            return window is not None and item is not None and window.failures - counted >= (most or item.amount)

        account, address = (pair[0], ANYWHERE), (ANYBODY, pair[1])
        if not known and over(address):
            # nobody is told: whoever tries a thousand names would have a thousand events written
            raise _Refused(windows[address].ends_at - moment, None)
        if over(pair, 1 if not known and over(account) else None):
            raise _Refused(windows[pair].ends_at - moment, account if account in items else pair)

    async def _clear_away(self, session: Session, moment: datetime) -> None:
        self._attempts += 1
        if self._attempts % PURGE_EVERY == 0:
            await purge(session, moment)

    def _subject(self, account_id: int | None, name: str) -> str:
        return self._pseudonym("name", name) if account_id is None else self._pseudonym("account", str(account_id))

    def _pseudonym(self, kind: str, text: str) -> str:
        """Of 128 bits. People type passwords where names belong, and addresses are of people."""
        return hmac.digest(self._secret, f"{kind}:{text}".encode("utf-8", "surrogatepass"), "sha256").hex()[:32]


class _Refused(Exception):
    def __init__(self, rest: timedelta, tell: Key | None) -> None:
        """``tell`` is the window in which the owner of the account is told once."""
        self.seconds, self.tell = max(1, round(rest.total_seconds())), tell


async def purge(session: Session, moment: datetime) -> int:
    """Forget windows that have ended, some hundreds at most. Returns how many."""
    keys = LoginFailure.subject, LoginFailure.place
    ended = select(*keys).where(LoginFailure.ends_at <= moment).limit(PURGED).with_for_update(skip_locked=True)
    return await session.execute(sql_delete(LoginFailure).where(tuple_(*keys).in_(ended)))


def _length(item: RateLimitItem) -> timedelta:
    return timedelta(seconds=item.get_expiry())


def _count() -> Insert:
    """Counts one in a window, or begins it: anew where it has ended, or ends after the ``latest`` that is possible,
    because the clock was set back."""
    insert = upsert(LoginFailure).values(failures=1, told=False)
    row, new = LoginFailure, insert.excluded
    ended = or_(row.ends_at <= new.counted_at, row.ends_at > bindparam("latest", type_=UtcDateTime))
    values: dict[str, AnyColumn] = {
        "failures": case((ended, 1), else_=row.failures + 1),
        "counted_at": new.counted_at,
        "ends_at": case((ended, new.ends_at), else_=row.ends_at),
        "told": and_(row.told, ~ended),
    }
    return insert.on_conflict_do_update(index_elements=["subject", "place"], set_=values).returning(*_COLUMNS)


_COLUMNS = tuple(getattr(LoginFailure, name) for name in _Window._fields)
_COUNT = Prepared(_count(), keys=["subject", "place", "failures", "counted_at", "ends_at", "told"])
_FORGET = Prepared(
    update(LoginFailure)
    .where(LoginFailure.subject == bindparam("of"), LoginFailure.place == bindparam("at"), LoginFailure.failures > 0)
    .values(failures=(LoginFailure.failures - 1) * bindparam("keep"))
)
