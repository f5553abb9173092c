"""People that tests act as, on either door."""

import itertools
import os
import secrets
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from weakref import WeakKeyDictionary

import httpx

from api.state import State
from core.clock import now
from core.passwords import PasswordHasher
from core.tokens import fingerprint, new_secret
from services import sessions
from services.events import catalogue, log
from services.events.numbering import RECORDED
from services.shared.actors import ALL_SCOPES, ANONYMOUS, Actor, Scope
from services.shared.node_ids import encode
from services.users import commands as users
from services.users.models import UserCreate

PASSWORD = "correct horse battery"
_numbers = itertools.count(1)
GRAPHQL_JSON = "application/graphql-response+json"


@dataclass(frozen=True, slots=True)
class Answer:
    """A GraphQL response."""

    status: int
    body: dict[str, Any]
    headers: httpx.Headers

    @property
    def data(self) -> Any:
        """The data of a response without errors."""
        assert "errors" not in self.body, self.body["errors"]
        return self.body["data"]

    @property
    def errors(self) -> list[dict[str, Any]]:
        errors: list[dict[str, Any]] = self.body["errors"]
        return errors

    @property
    def code(self) -> str:
        """The code of the only error."""
        [error] = self.errors
        code: str = error["extensions"]["code"]
        return code

    @property
    def pointers(self) -> list[str]:
        """Where the only error says the input is wrong."""
        [error] = self.errors
        return [problem["pointer"] for problem in error["extensions"].get("errors", [])]


@dataclass
class Anonymous:
    """A caller without credentials; ``rest`` takes paths below /api/v1, or from the root with a leading //."""

    client: httpx.AsyncClient
    headers: dict[str, str] = field(default_factory=dict)

    async def rest(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = self.headers | options.pop("headers", {})
        url = path[1:] if path.startswith("//") else f"/api/v1{path}"
        return await self.client.request(method, url, headers=headers, **options)

    async def get(self, path: str, **options: Any) -> httpx.Response:
        return await self.rest("GET", path, **options)

    async def post(self, path: str, json: Any = None, **options: Any) -> httpx.Response:
        return await self.rest("POST", path, json=json, **options)

    async def patch(self, path: str, json: Any = None, **options: Any) -> httpx.Response:
        return await self.rest("PATCH", path, json=json, **options)

    async def put(self, path: str, json: Any = None, **options: Any) -> httpx.Response:
        return await self.rest("PUT", path, json=json, **options)

    async def delete(self, path: str, **options: Any) -> httpx.Response:
        return await self.rest("DELETE", path, **options)

    async def gql(self, query: str, variables: dict[str, Any] | None = None, **options: Any) -> Answer:
        headers = self.headers | {"Accept": GRAPHQL_JSON} | options.pop("headers", {})
        body = {"query": query, "variables": variables or {}} | options
        response = await self.client.post("/graphql", json=body, headers=headers)
        return Answer(response.status_code, response.json(), response.headers)


@dataclass
class Person(Anonymous):
    """An account that is logged in."""

    id: int = 0
    username: str = ""
    email: str = ""
    access_token: str = ""
    refresh_token: str = ""
    actor: Actor = ANONYMOUS

    @property
    def node_id(self) -> str:
        return encode("User", self.id)

    # --- shorthands for what tests need beside their subject; made over REST

    async def project(self, **fields: Any) -> dict[str, Any]:
        made = await self.post("/projects", {"name": "Website"} | fields)
        assert made.status_code == 201, made.text
        body: dict[str, Any] = made.json()
        return body

    async def task(self, **fields: Any) -> dict[str, Any]:
        made = await self.post("/tasks", {"title": "Write the docs"} | fields)
        assert made.status_code == 201, made.text
        body: dict[str, Any] = made.json()
        return body

    async def comment(self, task_id: int, body: str = "Looks good to me.") -> dict[str, Any]:
        made = await self.post(f"/tasks/{task_id}/comments", {"body": body})
        assert made.status_code == 201, made.text
        answer: dict[str, Any] = made.json()
        return answer

    async def invite(self, project: dict[str, Any], person: "Person", role: str = "member") -> None:
        added = await self.post(f"/projects/{project['id']}/members", {"username": person.username, "role": role})
        assert added.status_code == 201, added.text

    async def api_key(self, *scopes: str, **fields: Any) -> Anonymous:
        """A caller that acts for this account with a key."""
        made = await self.post("/users/me/api-keys", {"name": "key", "scopes": list(scopes)} | fields)
        assert made.status_code == 201, made.text
        return Anonymous(self.client, {"X-API-Key": made.json()["secret"]})


_hashes: WeakKeyDictionary[PasswordHasher, dict[str, str]] = WeakKeyDictionary()


async def password_hash(state: State, password: str = PASSWORD) -> str:
    """The hash of a password, made once for each application."""
    hasher = state.security.hasher
    made = _hashes.setdefault(hasher, {})
    if password not in made:
        made[password] = await hasher.hash(password)
    return made[password]


async def make_person(client: httpx.AsyncClient, state: State, *, is_admin: bool = False, **fields: Any) -> Person:
    """An account with an unused name that is logged in."""
    [person] = await make_people(client, state, fields, is_admin=is_admin)
    return person


async def make_people(
    client: httpx.AsyncClient, state: State, *fields: Mapping[str, Any], is_admin: bool = False
) -> list[Person]:
    """Accounts that are logged in, one for each of the ``fields``; those that say no name get an unused one. Written is
    what registering and logging in write, of all of them in the statements of one, in one transaction.

    Ten thousand are made; ``test_people.py`` holds them to those who came through the doors.
    """
    datas = [_account(each) for each in fields]
    hashes = [await password_hash(state, data.password) for data in datas]
    moment, place = now(), state.security.failures.place("")
    async with state.database.writing() as session:
        in_order = session.planner.commits_in_order
        rows = [
            users.account_row(data.username, data.full_name, data.timezone)
            | {"email": data.email, "password_hash": hashed, "is_admin": is_admin}
            for data, hashed in zip(datas, hashes, strict=True)
        ]
        ids = {user.username: user.id for user in await session.all(users._CREATE, rows)}
        of = [ids[data.username] for data in datas]
        await users.make_inboxes(session, of)
        values = {"created_at": moment, "last_used_at": moment, "expires_at": moment + state.security.refresh_lifetime}
        begun = [values | {"user_id": user_id, "user_agent": None, "place": place} for user_id in of]
        opened = sorted(row[0] for row in await session.all(sessions._BEGIN, begun))
        secrets_ = [new_secret("tdr") for _ in of]
        tokens = [
            {"session_id": session_id, "token_hash": fingerprint(secret), "created_at": moment}
            for session_id, secret in zip(opened, secrets_, strict=True)
        ]
        await session.execute(sessions._KEEP_TOKEN, tokens)
        session.announce(RECORDED)
        created, begins = [], []
        for data, user_id, session_id in zip(datas, of, opened, strict=True):
            told = {"username": data.username, "full_name": data.full_name, "timezone": data.timezone}
            owner = Actor("anonymous", user_id=user_id)
            created += log._rows(owner, [log.NewEvent(catalogue.USER_CREATED, user_id, log.created(told))])
            event = log.NewEvent(catalogue.SESSION_CREATED, session_id, {})
            begins += [row | {"account_id": user_id} for row in log._rows(owner, [event])]
        await session.execute_deferred(log._EVENTS[in_order], created)
        await session.execute_deferred(log._ACCOUNT_EVENTS[in_order], begins)
    return [
        _person(client, state, data, user_id, session_id, secret, is_admin=is_admin)
        for data, user_id, session_id, secret in zip(datas, of, opened, secrets_, strict=True)
    ]


def _account(fields: Mapping[str, Any]) -> UserCreate:
    name = f"u{os.getpid()}_{next(_numbers)}_{secrets.token_hex(3)}"
    values = {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
    return UserCreate.model_validate(values | dict(fields))


def _person(
    client: httpx.AsyncClient,
    state: State,
    data: UserCreate,
    user_id: int,
    session_id: int,
    refresh_token: str,
    *,
    is_admin: bool,
) -> Person:
    access_token = state.security.tokens.issue(user_id=user_id, session_id=session_id)
    return Person(
        client,
        {"Authorization": f"Bearer {access_token}"},
        id=user_id,
        username=data.username,
        email=data.email,
        access_token=access_token,
        refresh_token=refresh_token,
        actor=Actor(
            "token",
            user_id=user_id,
            is_admin=is_admin,
            scopes=ALL_SCOPES if is_admin else ALL_SCOPES - {Scope.ADMIN},
            session_id=session_id,
        ),
    )


class Crowd:
    """People of an application whom nobody has acted as yet. They are made many at once, between two tests, which is a
    tenth of the work, and are gone after ``SECONDS``: a test may rest on when somebody came."""

    MANY, FEW, SECONDS = 32, 4, 20

    def __init__(self, client: httpx.AsyncClient, state: State) -> None:
        self.client, self.state = client, state
        self._there: deque[Person] = deque()
        self._since, self._many = now(), self.FEW

    async def gather(self) -> None:
        """See to it that there are some."""
        if len(self._there) < self.FEW or not self._are_new():
            self._since, self._many = now(), min(2 * self._many, self.MANY)
            self._there = deque(await make_people(self.client, self.state, *[{}] * self._many))

    def take(self) -> Person | None:
        """The one who came first; None where nobody is left."""
        return self._there.popleft() if self._there and self._are_new() else None

    def leave(self) -> None:
        """Nobody is there any more: whoever is made otherwise comes after those who were taken, and before the next."""
        self._there.clear()
        self._many = self.FEW // 2  # so it goes on, as a rule: all tests of a module have somebody who is special

    def _are_new(self) -> bool:
        return timedelta() <= now() - self._since < timedelta(seconds=self.SECONDS)
