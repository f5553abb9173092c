"""What somebody wants to be told of: kinds of notifications and projects can be muted. It holds for what is made from
then on, and is the person's own."""

from collections.abc import Collection
from typing import NamedTuple

from pydantic import Field
from sqlalchemy import select

from core.clock import now
from db.driver.sessions import Session
from db.driver.statements import Prepared
from db.models import NotificationPreferences, User
from db.upserts import upsert
from services.events.notices import NotificationKind
from services.projects import queries as projects
from services.shared import node_ids
from services.shared.actors import Actor
from services.shared.errors import Expected, NotFound, require_next, require_version
from services.shared.features import Feature, Operation, Who
from services.shared.inputs import Input, ProjectId, absent
from services.shared.outputs import Output, Version
from services.shared.statements import parameter

MAX_PROJECTS = 500


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


class NotificationPreferencesOut(Output):
    """What the caller is told of."""

    muted_kinds: list[NotificationKind] = Field(description="Kinds that are not told.")
    muted_project_ids: list[int] = Field(description="Projects of which nothing is told.")
    version: Version


class PreferencesRecord(NamedTuple):
    """What somebody is told of."""

    muted_kinds: list[str]
    muted_project_ids: list[int]
    version: int

    @property
    def muted_project_node_ids(self) -> list[str]:
        return [node_ids.encode("Project", project_id) for project_id in self.muted_project_ids]


_DEFAULT = PreferencesRecord([], [], 1)
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
    session: Session, actor: Actor, data: NotificationPreferencesUpdate, *, expected_version: Expected = None
) -> PreferencesRecord:
    """Change what the caller is told of. Raises ``NotFound`` for a project that the caller may not read,
    ``VersionConflict``."""
    user_id = actor.require_login()
    # one change at a time of each person's
    await session.execute(select(User.id).where(User.id == user_id).with_for_update(key_share=True))
    before = await get(session, actor)
    require_version(before.version, expected_version)
    sent = data.sent()
    if "muted_kinds" in sent:
        sent["muted_kinds"] = sorted({kind.value for kind in data.muted_kinds})
    if "muted_project_ids" in sent:
        sent["muted_project_ids"] = sorted({*data.muted_project_ids})
        await _require_readable(session, actor, {*data.muted_project_ids} - {*before.muted_project_ids})
    after = before._replace(**sent)
    if after == before:
        return before
    require_next(before.version)
    after = after._replace(version=before.version + 1)
    values = after._asdict() | {"updated_at": now()}
    new = upsert(NotificationPreferences).values(user_id=user_id, **values)
    await session.execute(new.on_conflict_do_update(index_elements=[NotificationPreferences.user_id], set_=values))
    return after


async def _require_readable(session: Session, actor: Actor, ids: Collection[int]) -> None:
    if ids and (await projects.by_ids(session, actor, ids)).keys() != ids:
        raise NotFound("Project", pointer="/muted_project_ids")


FEATURE = Feature(
    "notification_preferences",
    operations=(
        Operation("get_notification_preferences", "Query.notificationPreferences", Who.LOGIN),
        Operation("update_notification_preferences", "Mutation.updateNotificationPreferences", Who.LOGIN),
    ),
    limits={"projects that a person mutes": MAX_PROJECTS},
)
