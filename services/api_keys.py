"""API keys: credentials for servers, with scopes. A key's secret is shown once, when it is made."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, NamedTuple

from pydantic import Field
from sqlalchemy import delete as sql_delete
from sqlalchemy import insert, select
from sqlalchemy import update as sql_update

from core.clock import now
from core.tokens import fingerprint, new_secret
from db.driver.sessions import AnySelect, Session
from db.lists import joined_ids
from db.models import ApiKey, ApiKeyProject, User
from services.authentication import announce_change
from services.events import catalogue, log
from services.projects.locks import Hold, hold
from services.shared import node_ids
from services.shared.actors import Actor, Scope
from services.shared.errors import BadUserInput, Conflict, Forbidden, NotFound, Unauthenticated
from services.shared.features import Feature, NodeType, Operation, Who
from services.shared.filters import Column, FewTexts, Filter, Filtering
from services.shared.inputs import Input, Line, ProjectId, Timestamp, Whole, absent
from services.shared.operators import KeyFilter, NameFilter, TimestampFilter
from services.shared.outputs import CreatedAt, DatabaseId, NodeId, Output
from services.shared.pagination import Ordering, SortKey
from services.shared.reading import ListReader

PREFIX_LENGTH = 12
MAX_GRACE = 7 * 24 * 60 * 60
MAX_KEYS, MAX_PROJECTS = 100, 100
"""Keys of an account, expired ones included; projects that one is limited to."""


KeyName = Annotated[Line, Field(max_length=100, description="What the key is for.", examples=["nightly export"])]


Projects = Annotated[
    list[ProjectId],
    Field(
        min_length=1,
        max_length=MAX_PROJECTS,
        description="The projects that it is for, at most 100: all others are not there for it; null for all of them.",
        examples=[[3]],
    ),
]


class ApiKeyCreate(Input):
    """Makes an API key."""

    name: KeyName
    scopes: list[Scope] = Field(
        min_length=1,
        max_length=len(Scope),
        description="What it may do. tasks:write includes tasks:read; admin needs an administrator and includes all.",
        examples=[["tasks:read"]],
    )
    expires_at: Timestamp | None = Field(
        default_factory=absent, description="When it stops working; null for never.", examples=["2099-12-31T00:00:00Z"]
    )

    project_ids: Projects | None = Field(default_factory=absent)


class ApiKeyUpdate(Input):
    """Changes an API key. Fields that are left out stay as they are."""

    name: KeyName = Field(default_factory=absent)
    project_ids: Projects | None = Field(default_factory=absent)


class ApiKeyRotate(Input):
    """Gives an API key another secret."""

    grace_seconds: Annotated[int, Field(strict=True, ge=0, le=MAX_GRACE), Whole] = Field(
        default=0,
        description=f"How long the secret that it has works on, at most {MAX_GRACE:,} (a week); 0 ends it at once, and "
        "so does the next rotation.",
        examples=[3600],
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
    former_until: datetime | None = Field(description="Until when the secret before this one works; null if it ended.")
    project_ids: list[int] | None = Field(
        description="The projects that it is for; null for all of its owner's. Those that are deleted are taken out."
    )


class NewApiKeyOut(ApiKeyOut):
    """A new API key, with its secret, which is not shown again."""

    secret: str = Field(description="What goes into the X-API-Key header. It is shown this once.")


class ApiKeyFilter(Filter):
    """Which of the caller's API keys. Every condition given must hold."""

    name: NameFilter = Field(default_factory=absent, description="What the key is for.")
    prefix: KeyFilter = Field(default_factory=absent, description="The first characters of the secret.")
    expires_at: TimestampFilter = Field(default_factory=absent, description="When it stops working.")
    last_used_at: TimestampFilter = Field(default_factory=absent, description="When it was last used.")
    created_at: TimestampFilter = Field(default_factory=absent, description="When it was made.")


class ApiKeyRecord(NamedTuple):
    """An API key as it is read; ``secret`` is there once, where it was just made."""

    id: int
    name: str
    prefix: str
    scopes: list[str]
    expires_at: datetime | None
    last_used_at: datetime | None
    created_at: datetime
    former_until: datetime | None
    limited: bool
    joined: str | None
    secret: str

    @property
    def node_id(self) -> str:
        return node_ids.encode("ApiKey", self.id)

    @property
    def project_ids(self) -> list[int] | None:
        """The projects that it is for; None for all of its owner's."""
        return (
            sorted(map(int, self.joined.split(","))) if self.limited and self.joined else [] if self.limited else None
        )

    @property
    def project_node_ids(self) -> list[str] | None:
        ids = self.project_ids
        return None if ids is None else [node_ids.encode("Project", id_) for id_ in ids]


_OWN = tuple(getattr(ApiKey, name) for name in ApiKeyRecord._fields[:-2])
_COLUMNS = (
    *_OWN,
    select(joined_ids(ApiKeyProject.project_id))
    .where(ApiKeyProject.api_key_id == ApiKey.id)
    .scalar_subquery()
    .label("joined"),
)
NEWEST_FIRST = Ordering(SortKey("id", ApiKey.id, ApiKey.id, kind="integer"), descending=True)


def _make(row: Sequence[object], secret: str = "") -> ApiKeyRecord:
    key = ApiKeyRecord._make((*row, secret))
    if key.former_until is not None and key.former_until <= now():
        return key._replace(former_until=None)
    return key


def visible(actor: Actor) -> AnySelect:
    """The caller's keys."""
    return select(*_COLUMNS).where(ApiKey.user_id == actor.user_id)


_READER = ListReader(
    "API key",
    visible,
    _make,
    NEWEST_FIRST,
    require=Actor.require_login,
    filtering=Filtering(
        ApiKeyFilter,
        {
            "name": FewTexts(ApiKey.id, ApiKey.name),
            "prefix": Column(ApiKey.prefix),
            "expires_at": Column(ApiKey.expires_at),
            "last_used_at": Column(ApiKey.last_used_at),
            "created_at": Column(ApiKey.created_at),
        },
    ),
)
by_ids, list_, count = _READER.by_ids, _READER.list_, _READER.count


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
    if await session.count(visible(actor)) >= MAX_KEYS:
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
    project_ids = None if data.project_ids is None else sorted({*data.project_ids})
    if project_ids is not None and Scope.ADMIN in data.scopes:
        raise BadUserInput.at("/project_ids", "a key with the scope admin is for all projects", "exclusive")
    await _hold(session, actor, project_ids)
    values["limited"] = project_ids is not None
    key_id = await session.scalar(insert(ApiKey).values(values).returning(ApiKey.id))
    await _limit(session, key_id, project_ids)
    told = {name: values[name] for name in ("name", "prefix", "scopes", "expires_at")} | {"project_ids": project_ids}
    event = log.NewEvent(catalogue.API_KEY_CREATED, key_id, log.created(told))
    await log.record_for_account(session, actor, user_id, event)
    return _make(await session.one(select(*_COLUMNS).where(ApiKey.id == key_id)), secret)


async def _hold(session: Session, actor: Actor, project_ids: Sequence[int] | None) -> None:
    """Holds the projects that a key is to be for, so that none of them goes meanwhile: before the rows that say so, for
    whoever deletes a project takes them in that order. Raises ``NotFound`` where the actor is no member of one."""
    if project_ids is not None and (await hold(session, actor, project_ids, Hold.BESIDE)).keys() != {*project_ids}:
        raise NotFound("Project", pointer="/project_ids")


async def _limit(session: Session, key_id: int, project_ids: Sequence[int] | None) -> None:
    if project_ids is not None:
        rows = [{"api_key_id": key_id, "project_id": project_id} for project_id in project_ids]
        await session.execute(insert(ApiKeyProject), rows)


async def update(session: Session, actor: Actor, key_id: int, data: ApiKeyUpdate) -> ApiKeyRecord:
    """Rename one of the caller's keys, or have it be for other projects. Raises ``NotFound``, ``BadUserInput``."""
    user_id = actor.require_login()
    sent = data.sent()
    key = await _lock(session, user_id, key_id)
    if (ids := sent.get("project_ids")) is not None:
        sent["project_ids"] = sorted({*ids})
        if Scope.ADMIN in key.scopes:
            raise BadUserInput.at("/project_ids", "a key with the scope admin is for all projects", "exclusive")
    changes = log.differences({"name": key.name, "project_ids": key.project_ids}, sent)
    if not changes:
        return key
    values: dict[str, object] = {"name": sent["name"]} if "name" in changes else {}
    if "project_ids" in changes:
        values["limited"] = sent["project_ids"] is not None
        await _hold(session, actor, sent["project_ids"])
        await session.execute(sql_delete(ApiKeyProject).where(ApiKeyProject.api_key_id == key_id))
        await _limit(session, key_id, sent["project_ids"])
        announce_change(session)
    await session.execute(sql_update(ApiKey).where(ApiKey.id == key_id).values(**values))
    await log.record_for_account(session, actor, user_id, log.NewEvent(catalogue.API_KEY_UPDATED, key_id, changes))
    return _make(await session.one(select(*_COLUMNS).where(ApiKey.id == key_id)))


async def rotate(session: Session, actor: Actor, key_id: int, data: ApiKeyRotate) -> ApiKeyRecord:
    """Give one of the caller's keys another secret, which is shown this once. Raises ``NotFound``.

    It is for the same projects as before. The one that it had ends at once, or works on for so long; one from before
    that ends now.
    """
    user_id = actor.require_login()
    key = await _lock(session, user_id, key_id)
    secret, until = new_secret("tdk"), now() + timedelta(seconds=data.grace_seconds) if data.grace_seconds else None
    row = await session.one(
        sql_update(ApiKey)
        .where(ApiKey.id == key_id)
        .values(
            prefix=secret[:PREFIX_LENGTH],
            key_hash=fingerprint(secret),
            former_hash=None if until is None else ApiKey.key_hash,
            former_until=until,
        )
        .returning(*_OWN)
    )
    announce_change(session)
    changes = {"prefix": (key.prefix, row.prefix), "former_until": (key.former_until, until)}
    await log.record_for_account(session, actor, user_id, log.NewEvent(catalogue.API_KEY_ROTATED, key_id, changes))
    return _make((*row, key.joined), secret)


async def _lock(session: Session, user_id: int, key_id: int) -> ApiKeyRecord:
    mine = (ApiKey.id == key_id, ApiKey.user_id == user_id)
    # the projects as they are once it is held
    if await session.first(select(ApiKey.id).where(*mine).with_for_update(key_share=True)) is None:
        raise NotFound("API key")
    return _make(await session.one(select(*_COLUMNS).where(*mine)))


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
    event = log.NewEvent(catalogue.API_KEY_DELETED, key_id, changes)
    await log.record_for_account(session, actor, user_id, event)


FEATURE = Feature(
    "api_keys",
    operations=(
        Operation("list_api_keys", "Query.apiKeys", Who.LOGIN),
        Operation("query_api_keys", "Query.apiKeys", Who.LOGIN),
        Operation("create_api_key", "Mutation.createApiKey", Who.LOGIN),
        Operation("update_api_key", "Mutation.updateApiKey", Who.LOGIN),
        Operation("rotate_api_key", "Mutation.rotateApiKey", Who.LOGIN),
        Operation("delete_api_key", "Mutation.deleteApiKey", Who.LOGIN),
    ),
    about="Credentials for servers.",
    nodes=(NodeType("ApiKey", by_ids, ApiKeyOut, logins_only=True),),
    limits={"API keys of a person": MAX_KEYS, "projects that an API key is limited to": MAX_PROJECTS},
)
