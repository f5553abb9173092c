"""People that tests act as, on either door."""

import itertools
import os
import secrets
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import httpx
from sqlalchemy import update

from api.state import State
from core.passwords import PasswordHasher
from db.models import User
from services import sessions
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
    """An account with an unused name that is logged in: what registering and logging in write, in one transaction.

    Ten thousand are made; ``test_people.py`` holds them to those who came through the doors.
    """
    name = f"u{os.getpid()}_{next(_numbers)}_{secrets.token_hex(3)}"
    data = UserCreate.model_validate({"username": name, "email": f"{name}@example.com", "password": PASSWORD} | fields)
    hashed, place = await password_hash(state, data.password), state.security.failures.place("")
    async with state.database.writing() as session:
        user = await users.create(session, ANONYMOUS, data, password_hash=hashed)
        tokens = await sessions._open(session, state.security, user_id=user.id, user_agent=None, place=place)
        if is_admin:
            await session.execute(update(User).where(User.id == user.id).values(is_admin=True))
    claims = state.security.tokens.verify(tokens.access_token)
    return Person(
        client,
        {"Authorization": f"Bearer {tokens.access_token}"},
        id=user.id,
        username=user.username,
        email=data.email,
        access_token=tokens.access_token,
        refresh_token=tokens.refresh_token,
        actor=Actor(
            "token",
            user_id=user.id,
            is_admin=is_admin,
            scopes=ALL_SCOPES if is_admin else ALL_SCOPES - {Scope.ADMIN},
            session_id=claims.session_id,
        ),
    )
