"""GraphQL documents of webhooks: what is sent of a change is what its owner's document selects.

The schema is above the services. So what looks at a document and resolves it is given to them by whoever starts the
application or the worker (``Documents``), and what it is given by a change is said here.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

from core.aside import aside
from core.clock import wire_format
from core.deadlines import current
from db.driver.database import Database
from services.events.happenings import Happening
from services.shared import node_ids
from services.shared.actors import Actor

RESOLVE_SECONDS = 5.0
"""How long a document may take to be resolved. Then its error is sent (DEADLINE_EXCEEDED)."""
VARIABLES: Mapping[str, str] = {
    "id": "ID",
    "taskId": "ID",
    "projectId": "ID",
    "actorId": "ID",
    "kind": "String",
    "eventId": "String",
    "occurredAt": "DateTime",
    "matches": "Boolean",
}
"""The variables that a change gives, and their types: of the thing that changed (of a member, the person), its task,
its project and whoever did it the global ids, if there are any."""
_ACCOUNTS = {"member", "follow"}
_WITHOUT_ID = {"server"}


class Documents(Protocol):
    """Looks at documents, and resolves them."""

    async def check(self, text: str) -> None:
        """Raises ``BadUserInput`` for a document that webhooks cannot have, ``TooExpensive`` for one that asks for more
        than a request may."""

    async def resolve(self, database: Database, actor: Actor, text: str, variables: Mapping[str, object]) -> bytes:
        """What a document answers to somebody, as GraphQL over HTTP has it: JSON with ``data``, ``errors`` or both.
        Raises ``Unavailable`` where that is to be tried again."""


class LaterDocuments:
    """Makes what resolves documents when the first one comes: a worker that has none does without the schema."""

    def __init__(self, make: Callable[[], Documents]) -> None:
        self._make = make
        self._made: list[Documents] = []
        self._making = asyncio.Lock()

    async def _documents(self) -> Documents:
        if not self._made:
            async with self._making:
                await self._make_once()
            # the first ones have waited for the schema, which is no time of theirs
            current.get().renew()
        return self._made[0]

    async def _make_once(self) -> None:
        if not self._made:
            self._made.append(await aside(self._make))

    async def check(self, text: str) -> None:
        """As ``Documents.check``."""
        await (await self._documents()).check(text)

    async def resolve(self, database: Database, actor: Actor, text: str, variables: Mapping[str, object]) -> bytes:
        """As ``Documents.resolve``."""
        return await (await self._documents()).resolve(database, actor, text, variables)


def variables_of(happening: Happening, matches: bool | None) -> dict[str, object]:
    """The variables that a change gives. Ids of what it has not are not among them."""
    found: dict[str, object] = {
        "kind": happening.kind,
        "eventId": happening.event_id,
        "occurredAt": wire_format(happening.occurred_at),
        "matches": matches is not False,
    }
    ids = {
        "id": (type_of(happening.entity_type), happening.entity_id),
        "taskId": ("Task", happening.task_id),
        "projectId": ("Project", happening.project_id),
        "actorId": ("User", happening.actor_id),
    }
    for name, (type_name, id_) in ids.items():
        if type_name is not None and id_ is not None:
            found[name] = node_ids.encode(type_name, id_)
    return found


def type_of(entity_type: str) -> str | None:
    """The type of the global ids of what events are about, by the ids that these have; None for what has none."""
    if entity_type in _WITHOUT_ID:
        return None
    return "User" if entity_type in _ACCOUNTS else "".join(part.title() for part in entity_type.split("_"))
