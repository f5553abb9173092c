"""What somebody wants to be told of, and how: kinds of notifications and projects can be muted, kinds go by mail, too,
and so does a digest of the day. It holds for what is made from then on, and is the person's own."""

from collections.abc import Collection
from datetime import datetime
from enum import StrEnum
from typing import Annotated, NamedTuple

from pydantic import Field
from sqlalchemy import delete as sql_delete
from sqlalchemy import select
from sqlalchemy import update as sql_update

from core.clock import now
from db.driver.sessions import Session
from db.driver.statements import Prepared
from db.models import MailNotice, NotificationPreferences, User
from db.upserts import upsert
from services.events.notices import NotificationKind
from services.mailing.days import next_digest
from services.mailing.tokens import MailTokens, Unsubscribed
from services.projects import queries as projects
from services.shared import node_ids
from services.shared.actors import Actor
from services.shared.errors import BadUserInput, Expected, NotFound, require_next, require_version
from services.shared.features import Feature, Operation, Who
from services.shared.inputs import Input, ProjectId, Text, Whole, absent
from services.shared.outputs import Output, Version
from services.shared.statements import parameter

MAX_PROJECTS = 500
BAD_TOKEN = "is not one of this server's"  # noqa: S105 - a message


class Digest(StrEnum):
    """How often somebody is sent a digest."""

    OFF = "off"
    DAILY = "daily"


DigestHour = Annotated[
    int,
    Field(
        strict=True, ge=0, le=23, description="The hour at which it is sent, in the person's time zone.", examples=[7]
    ),
    Whole,
]


class NotificationPreferencesUpdate(Input):
    """Changes what the caller is told of. Fields that are left out stay as they are."""

    muted_kinds: list[NotificationKind] = Field(
        default_factory=absent,
        max_length=len(NotificationKind),
        description="Kinds that are not told; replaces all of them.",
    )
    muted_project_ids: list[ProjectId] = Field(
        default_factory=absent,
        max_length=MAX_PROJECTS,
        description=f"Projects of which nothing is told, at most {MAX_PROJECTS}; replaces all of them.",
    )
    mailed_kinds: list[NotificationKind] = Field(
        default_factory=absent,
        max_length=len(NotificationKind),
        description="Kinds that are sent by mail, too; replaces all of them.",
    )
    digest: Digest = Field(default_factory=absent, description="Whether a digest of the day is sent by mail.")
    digest_hour: DigestHour = Field(default_factory=absent)


class NotificationPreferencesOut(Output):
    """What the caller is told of."""

    muted_kinds: list[NotificationKind] = Field(description="Kinds that are not told.")
    muted_project_ids: list[int] = Field(description="Projects of which nothing is told.")
    mailed_kinds: list[NotificationKind] = Field(description="Kinds that are sent by mail, too.")
    digest: Digest = Field(description="Whether a digest of the day is sent by mail.")
    digest_hour: int = Field(description="The hour at which it is sent, in the person's time zone.")
    version: Version


class Unsubscribe(Input):
    """Ends what a message was sent for."""

    token: Annotated[Text, Field(max_length=200, description="The token of the message.")]


class UnsubscribeOut(Output):
    """What is sent no more."""

    ended: Unsubscribed = Field(description="What is sent no more.")


class PreferencesRecord(NamedTuple):
    """What somebody is told of."""

    muted_kinds: list[str]
    muted_project_ids: list[int]
    mailed_kinds: list[str]
    digest: str
    digest_hour: int
    version: int

    @property
    def muted_project_node_ids(self) -> list[str]:
        return [node_ids.encode("Project", project_id) for project_id in self.muted_project_ids]


class Ended(NamedTuple):
    """What is sent no more."""

    ended: Unsubscribed


_DEFAULT = PreferencesRecord([], [], [], Digest.OFF.value, 7, 1)
_MINE = Prepared(
    select(*(getattr(NotificationPreferences, name) for name in PreferencesRecord._fields)).where(
        NotificationPreferences.user_id == parameter("user_id")
    ),
    PreferencesRecord,
)


async def get(session: Session, actor: Actor) -> PreferencesRecord:
    """What the caller is told of: everything, as long as nothing else was said."""
    return await session.first(_MINE(user_id=actor.require_login())) or _DEFAULT


async def update(
    session: Session,
    actor: Actor,
    data: NotificationPreferencesUpdate,
    *,
    sends: bool,
    expected_version: Expected = None,
) -> PreferencesRecord:
    """Change what the caller is told of. Raises ``NotFound`` for a project that the caller may not read,
    ``VersionConflict``, and ``BadUserInput`` for what is sent by mail where the server does not (``sends``)."""
    user_id = actor.require_login()
    if not sends:
        _require_nothing_sent(data)
    # one change at a time of each person's
    zone = await session.scalar(select(User.timezone).where(User.id == user_id).with_for_update(key_share=True))
    before = await get(session, actor)
    require_version(before.version, expected_version)
    sent = data.sent()
    for name in sent.keys() & {"muted_kinds", "mailed_kinds"}:
        sent[name] = sorted({kind.value for kind in sent[name]})
    if "digest" in sent:
        sent["digest"] = data.digest.value
    if "muted_project_ids" in sent:
        sent["muted_project_ids"] = sorted({*data.muted_project_ids})
        await _require_readable(session, actor, {*data.muted_project_ids} - {*before.muted_project_ids})
    after = before._replace(**sent)
    if after == before:
        return before
    require_next(before.version)
    after = after._replace(version=before.version + 1)
    moment = now()
    values = after._asdict() | {"updated_at": moment} | _digests(before, after, moment, zone or "UTC")
    new = upsert(NotificationPreferences).values(user_id=user_id, **values)
    await session.execute(new.on_conflict_do_update(index_elements=[NotificationPreferences.user_id], set_=values))
    return after


def _require_nothing_sent(data: NotificationPreferencesUpdate) -> None:
    wanted = {"mailed_kinds": bool(data.mailed_kinds), "digest": data.digest == Digest.DAILY}
    for name in wanted:
        if wanted[name]:
            raise BadUserInput.at(
                f"/{name}", "this server sends no mail: whoever runs it has not set a mailer", "no_mail"
            )


def _digests(before: PreferencesRecord, after: PreferencesRecord, moment: datetime, zone: str) -> dict[str, object]:
    """The columns of when the next digest is made, and since when it tells what is new."""
    if after.digest == Digest.OFF:
        return {"digest_at": None}
    if (before.digest, before.digest_hour) == (after.digest, after.digest_hour):
        return {}
    since = {"digested_at": moment} if before.digest == Digest.OFF else {}
    return {"digest_at": next_digest(moment, zone, after.digest_hour), **since}


async def unsubscribe(session: Session, actor: Actor, data: Unsubscribe, *, tokens: MailTokens) -> Ended:
    """End what a message was sent for, by its token, whoever shows it; once more does nothing. Raises ``BadUserInput``
    for one that is not this server's."""
    read = tokens.read(data.token)
    if read is None:
        raise BadUserInput.at("/token", BAD_TOKEN)
    user_id, what = read
    ended: dict[str, object] = {"digest": Digest.OFF.value, "digest_at": None}
    if what is Unsubscribed.NOTIFICATIONS:
        ended = {"mailed_kinds": []}
        await session.execute(sql_delete(MailNotice).where(MailNotice.user_id == user_id))
    mine = sql_update(NotificationPreferences).where(NotificationPreferences.user_id == user_id)
    values = {**ended, "version": NotificationPreferences.version + 1, "updated_at": now()}
    await session.execute(mine.values(**values))
    return Ended(what)


async def _require_readable(session: Session, actor: Actor, ids: Collection[int]) -> None:
    if ids and (await projects.by_ids(session, actor, ids)).keys() != ids:
        raise NotFound("Project", pointer="/muted_project_ids")


FEATURE = Feature(
    "notification_preferences",
    operations=(
        Operation("get_notification_preferences", "Query.notificationPreferences", Who.LOGIN),
        Operation("update_notification_preferences", "Mutation.updateNotificationPreferences", Who.LOGIN),
        Operation("unsubscribe", "Mutation.unsubscribe", Who.ANYBODY),
    ),
    limits={"projects that a person mutes": MAX_PROJECTS},
)
