"""What follows a commit: it happens once the change is there for everybody, and before anybody is answered."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError

from api.state import State
from core.clock import now
from core.deadlines import UNBOUNDED, current
from db.driver.database import Database
from db.driver.sessions import Session, WritingSession
from db.driver.statements import Prepared
from db.models import Tag, User
from services import accounts
from services.accounts import OPERATOR
from services.authentication import Authenticator
from services.shared.errors import Unauthenticated
from tests.actors import PASSWORD, Anonymous, Person
from tests.conftest import People
from tests.doors import Call, Door, bearer, on_both_doors
from tests.test_sessions import (
    CHANGE_PASSWORD,
    END,
    ME,
    REFRESH,
    REVOKE,
    UPDATE_USER,
    log_in_again,
    session_of,
)

NEW_PASSWORD = "another correct horse"
DELETE_KEY = Call(
    "DELETE /users/me/api-keys/{id}",
    "mutation($input: DeleteApiKeyInput!) { result: deleteApiKey(input: $input) { deletedApiKeyId } }",
    node="ApiKey",
    id_in_input=True,
)


_ORPHAN: Prepared[Any] = Prepared(insert(Tag), keys=("project_id", "name", "name_folded", "created_at"))
_ORPHAN_VALUES = {"project_id": 2**31 - 1, "name": "x", "name_folded": "x", "created_at": now()}


async def write(session: Session, person: Person) -> None:
    await session.execute(update(User).where(User.id == person.id).values(full_name="Changed"))


async def full_name(database: Database, person: Person) -> str | None:
    name: str | None = await database.reads.scalar(select(User.full_name).where(User.id == person.id))
    return name


class TestCallbacks:
    async def test_are_called_in_order_once_the_transaction_is_committed(
        self, ada: Person, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        happened: list[str] = []
        begin = database.writer.begin

        async def beginning(*, long: bool = False) -> Any:
            transaction = await begin(long=long)
            return _Watched(transaction, happened)

        monkeypatch.setattr(database.writer, "begin", beginning)
        async with database.writing() as session:
            session.after_commit(lambda: happened.append("one"))
            session.after_commit(lambda: happened.append("two"))
            await write(session, ada)
            assert happened == []

        assert happened == ["committed", "one", "two"]
        assert await full_name(database, ada) == "Changed"

    async def test_are_not_called_after_a_rollback(self, ada: Person, database: Database) -> None:
        called: list[int] = []

        async def work() -> None:
            async with database.writing() as session:
                session.after_commit(lambda: called.append(1))
                await write(session, ada)
                raise RuntimeError

        with pytest.raises(RuntimeError):
            await work()
        assert called == []
        assert await full_name(database, ada) != "Changed"

    async def test_are_not_called_where_the_commit_fails(self, ada: Person, database: Database) -> None:
        called: list[int] = []

        async def work() -> None:
            async with database.writing() as session:
                session.after_commit(lambda: called.append(1))
                await session.execute_deferred(_ORPHAN, [_ORPHAN_VALUES])  # PostgreSQL refuses it with the COMMIT

        with pytest.raises(IntegrityError):
            await work()
        assert called == []

    async def test_are_called_where_an_error_keeps_the_changes(self, ada: Person, database: Database) -> None:
        called: list[int] = []

        async def work() -> None:
            async with database.writing() as session:
                session.after_commit(lambda: called.append(1))
                await write(session, ada)
                raise Unauthenticated("no", keeps_changes=True)

        with pytest.raises(Unauthenticated):
            await work()
        assert called == [1]
        assert await full_name(database, ada) == "Changed"

    async def test_are_not_called_for_what_was_rehearsed(self, ada: Person, database: Database) -> None:
        called: list[str] = []
        async with database.writing() as session:
            session.after_commit(lambda: called.append("before"))
            async with session.dry_run():
                session.after_commit(lambda: called.append("rehearsed"))
                await write(session, ada)
            session.after_commit(lambda: called.append("after"))
        assert called == ["before", "after"]

    async def test_one_that_breaks_is_logged_and_undoes_nothing(
        self, ada: Person, database: Database, logged: list[Any]
    ) -> None:
        called: list[int] = []

        def broken() -> None:
            raise RuntimeError("a listener's defect")

        async with database.writing() as session:
            session.after_commit(broken)
            session.after_commit(lambda: called.append(1))
            await write(session, ada)

        assert called == [1]
        assert await full_name(database, ada) == "Changed"
        assert [str(record.exc_info[1]) for record in logged if record.exc_info] == ["a listener's defect"]

    async def test_session_for_reads_takes_none(self, database: Database) -> None:
        with pytest.raises(NotImplementedError):
            database.reads.after_commit(lambda: None)
        with pytest.raises(NotImplementedError):
            database.reads.announce("x")

    async def test_announcement_reaches_those_who_listen_on_this_database(
        self, ada: Person, database: Database
    ) -> None:
        called: list[str] = []
        database.listen("a topic of the test", lambda: called.append("heard"))
        other = Database(database.url.render_as_string(hide_password=False))
        try:
            async with other.writing() as session:
                session.announce("a topic of the test")
        finally:
            await other.dispose()
        assert called == []
        async with database.writing() as session:
            session.announce("another topic")
            session.announce("a topic of the test")
            assert called == []
        assert called == ["heard"]


class _Watched:
    """A transaction that says when it was committed."""

    def __init__(self, transaction: Any, happened: list[str]) -> None:
        self._transaction, self._happened = transaction, happened

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transaction, name)

    async def commit(self) -> None:
        await self._transaction.commit()
        self._happened.append("committed")


class Ending:
    """A caller, and a call after which it is none any more."""

    def __init__(self, caller: Anonymous, end: Callable[[], Awaitable[Any]], status: int = 401) -> None:
        self.caller, self.end, self.status = caller, end, status


ENDINGS = ("session", "revoked", "reused", "password", "key", "disabled by session", "disabled by key")


async def ending(what: str, door: Door, ada: Person, people: People) -> Ending:
    """One of the ways to end what a caller may do."""
    tokens = await log_in_again(ada)
    caller: Anonymous = bearer(ada, tokens["access_token"])
    anonymous, refresh = Anonymous(ada.client), {"refresh_token": tokens["refresh_token"]}
    if what == "session":
        session_id = await session_of(Person(ada.client, caller.headers))
        return Ending(caller, lambda: END.on(door, ada, id=session_id))
    if what == "revoked":
        return Ending(caller, lambda: REVOKE.on(door, anonymous, refresh))
    if what == "reused":
        assert (await REFRESH.on(door, anonymous, refresh)).code is None
        return Ending(caller, lambda: REFRESH.on(door, anonymous, refresh))
    if what == "password":
        values = {"current_password": PASSWORD, "new_password": NEW_PASSWORD, "confirm_password": NEW_PASSWORD}
        return Ending(caller, lambda: CHANGE_PASSWORD.on(door, ada, values))
    if what in {"key", "disabled by key"}:
        made = (await ada.post("/users/me/api-keys", {"name": "key", "scopes": ["tasks:read"]})).json()
        caller = Anonymous(ada.client, {"X-API-Key": made["secret"]})
        assert (await ME.on(door, caller)).code is None  # its first use is a write
        if what == "key":
            return Ending(caller, lambda: DELETE_KEY.on(door, ada, id=made["id"]), 403)
    administrator = await people(is_admin=True)
    status = 403 if what == "disabled by key" else 401
    return Ending(caller, lambda: UPDATE_USER.on(door, administrator, {"disabled": True}, id=ada.id), status)


class TestCallers:
    @on_both_doors
    @pytest.mark.parametrize("what", ENDINGS)
    async def test_whoever_asked_before_the_commit_is_not_remembered_after_it(
        self, ada: Person, people: People, state: State, monkeypatch: pytest.MonkeyPatch, door: Door, what: str
    ) -> None:
        case, commit, asked = await ending(what, door, ada, people), WritingSession.commit, []

        async def committing(session: WritingSession) -> None:
            if current.get() is UNBOUNDED:  # events that are numbered meanwhile, for nobody
                await commit(session)
                return
            monkeypatch.setattr(WritingSession, "commit", commit)
            asked.append((await ME.on(door, case.caller)).status)  # what it did was not committed yet
            await commit(session)

        state.authenticator.forget()
        monkeypatch.setattr(WritingSession, "commit", committing)
        await case.end()

        assert asked == [200]
        assert (await ME.on(door, case.caller)).status == case.status

    @on_both_doors
    @pytest.mark.parametrize("what", ENDINGS)
    async def test_what_was_read_before_the_commit_is_not_remembered_after_it(
        self, ada: Person, people: People, state: State, monkeypatch: pytest.MonkeyPatch, door: Door, what: str
    ) -> None:
        case = await ending(what, door, ada, people)
        name = "_load_key" if case.status == 403 else "_load_session"
        load, loaded = getattr(Authenticator, name), []

        async def loading(self: Authenticator, *given: Any) -> Any:
            monkeypatch.setattr(Authenticator, name, load)
            actor = await load(self, *given)
            loaded.append(actor)
            await case.end()  # while the answer of the database was on its way
            return actor

        state.authenticator.forget()
        monkeypatch.setattr(Authenticator, name, loading)
        await ME.on(door, case.caller)

        assert loaded
        assert loaded[0] is not None
        assert (await ME.on(door, case.caller)).status == case.status

    @on_both_doors
    async def test_new_administrator_is_one_at_once(
        self, ada: Person, bob: Person, database: Database, door: Door
    ) -> None:
        assert (await UPDATE_USER.on(door, ada, {"disabled": False}, id=bob.id)).code == "FORBIDDEN"
        async with database.writing() as session:
            await accounts.promote(session, OPERATOR, ada.username)
        assert (await UPDATE_USER.on(door, ada, {"disabled": False}, id=bob.id)).code is None

    @on_both_doors
    async def test_account_that_is_enabled_is_known_at_once(self, ada: Person, people: People, door: Door) -> None:
        administrator = await people(is_admin=True)
        key = await ada.api_key("tasks:read")
        await UPDATE_USER.on(door, administrator, {"disabled": True}, id=ada.id)
        assert (await ME.on(door, key)).code == "FORBIDDEN"
        await UPDATE_USER.on(door, administrator, {"disabled": False}, id=ada.id)
        assert (await ME.on(door, key)).code is None
