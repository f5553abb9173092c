"""API keys: credentials for servers, with scopes. A key's secret is shown once, when it is made."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Annotated, NamedTuple

from pydantic import Field
from sqlalchemy import delete as sql_delete
from sqlalchemy import insert, select

from core.clock import now
from core.tokens import fingerprint, new_secret
from db.models import ApiKey, User
from db.sessions import AnyRow, Session
from services import events, node_ids
from services.actors import Actor, Scope
from services.authentication import announce_change
from services.errors import BadUserInput, Conflict, Forbidden, NotFound, Unauthenticated
from services.inputs import Input, Line, Timestamp, absent
from services.outputs import CreatedAt, DatabaseId, NodeId, Output
from services.pagination import Ordering, Page, PageRequest, SortKey, make_page, page_statement

PREFIX_LENGTH = 12
MAX_KEYS = 100
"""Of an account, expired ones included."""


class ApiKeyCreate(Input):
    """Makes an API key."""

    name: Annotated[Line, Field(max_length=100, description="What the key is for.", examples=["nightly export"])]
    scopes: list[Scope] = Field(
        min_length=1,
        max_length=len(Scope),
        description="What it may do. tasks:write includes tasks:read; admin needs an administrator and includes all.",
        examples=[["tasks:read"]],
    )
    expires_at: Timestamp | None = Field(
        default_factory=absent, description="When it stops working; null for never.", examples=["2099-12-31T00:00:00Z"]
    )


class ApiKeyOut(Output):
    """An API key, without its secret."""

    id: DatabaseId
    node_id: NodeId
    name: str = Field(description="What the key is for.")
    prefix: str = Field(description="The first characters of the secret, to recognise it by.")
    scopes: list[Scope] = Field(description="What it may do.")
    expires_at: datetime | None = Field(description="When it stops working; null for never.")
    last_used_at: datetime | None = Field(description="When it was last used, to the minute.")
    created_at: CreatedAt


class NewApiKeyOut(ApiKeyOut):
    """A new API key, with its secret, which is not shown again."""

    secret: str = Field(description="What goes into the X-API-Key header. It is shown this once.")


class ApiKeyRecord(NamedTuple):
    id: int
    name: str
    prefix: str
    scopes: list[str]
    expires_at: datetime | None
    last_used_at: datetime | None
    created_at: datetime
    secret: str

    @property
    def node_id(self) -> str:
        return node_ids.encode("ApiKey", self.id)


_COLUMNS = tuple(getattr(ApiKey, name) for name in ApiKeyRecord._fields[:-1])
NEWEST_FIRST = Ordering(SortKey("id", ApiKey.id, ApiKey.id, kind="integer"), descending=True)


def _make(row: AnyRow) -> ApiKeyRecord:
    return ApiKeyRecord._make((*row, ""))


async def create(session: Session, actor: Actor, data: ApiKeyCreate) -> ApiKeyRecord:
    """Make a key for the caller.

    Raises ``Forbidden`` for the scope ``admin`` without being an administrator, ``Conflict`` where there are
    ``MAX_KEYS``.
    """
    user_id = actor.require_login()
    if Scope.ADMIN in data.scopes and not actor.is_admin:
        raise Forbidden("Only administrators make keys with the scope admin")
    if data.expires_at is not None and data.expires_at <= now():
        raise BadUserInput.at("/expires_at", "must be in the future")
    # a key outlives what is remembered of its maker: an account that was disabled a moment ago makes none
    # (held alone: two calls could pass the bound together)
    owner = select(User.disabled).where(User.id == user_id).with_for_update(key_share=True)
    if await session.scalar(owner) is not False:
        raise Unauthenticated("The session has ended")
    if await session.count(select(ApiKey.id).where(ApiKey.user_id == user_id)) >= MAX_KEYS:
        raise Conflict(f"You have {MAX_KEYS} API keys, which is as many as there can be")
    secret = new_secret("tdk")
    values = {
        "user_id": user_id,
        "name": data.name,
        "prefix": secret[:PREFIX_LENGTH],
        "key_hash": fingerprint(secret),
        "scopes": sorted({scope.value for scope in data.scopes}),
        "expires_at": data.expires_at,
        "created_at": now(),
    }
    row = await session.one(insert(ApiKey).values(values).returning(*_COLUMNS))
    changes = events.created({name: values[name] for name in ("name", "prefix", "scopes", "expires_at")})
    event = events.NewEvent("api_key.created", "api_key", row.id, changes)
    await events.record_for_account(session, actor, user_id, event)
    return ApiKeyRecord._make((*row, secret))


async def list_(session: Session, actor: Actor, request: PageRequest) -> Page[ApiKeyRecord]:
    """The caller's keys, newest first."""
    user_id = actor.require_login()
    statement = page_statement(select(*_COLUMNS).where(ApiKey.user_id == user_id), NEWEST_FIRST, request)
    return make_page(await session.all(statement), _make, NEWEST_FIRST, request)


async def by_ids(session: Session, actor: Actor, ids: Collection[int]) -> Mapping[int, ApiKeyRecord]:
    """Those that are keys of the caller."""
    user_id = actor.require_login()
    rows = await session.all(select(*_COLUMNS).where(ApiKey.id.in_(ids), ApiKey.user_id == user_id))
    return {row.id: _make(row) for row in rows}


async def count(session: Session, actor: Actor) -> int:
    """How many keys the caller has."""
    user_id = actor.require_login()
    return await session.count(select(ApiKey.id).where(ApiKey.user_id == user_id))


async def delete(session: Session, actor: Actor, key_id: int) -> None:
    """Delete one of the caller's keys, which stops working at once. Raises ``NotFound``."""
    user_id = actor.require_login()
    row = await session.first(
        sql_delete(ApiKey).where(ApiKey.id == key_id, ApiKey.user_id == user_id).returning(ApiKey.name, ApiKey.prefix)
    )
    if row is None:
        raise NotFound("API key")
    announce_change(session)
    changes = {"name": (row.name, None), "prefix": (row.prefix, None)}
    event = events.NewEvent("api_key.deleted", "api_key", key_id, changes)
    await events.record_for_account(session, actor, user_id, event)
