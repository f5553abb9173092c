"""Relay's ``node`` and ``nodes``: anything with a global id, in one statement for each type among the ids."""

import asyncio
from typing import Annotated, Any

import strawberry

from graphql_schema.base import Node, shown
from graphql_schema.context import BatchLoad, Info
from graphql_schema.ids import NodeId
from graphql_schema.prices import Price, items, priced
from services import api_keys, comments, history, members, node_ids, relations, saved_views, sessions, tags
from services.actors import Scope
from services.errors import BadUserInput
from services.pagination import MAX_LIMIT
from services.prices import STATEMENT
from services.projects import queries as projects
from services.tasks import queries as tasks
from services.users import queries as users

LOADERS: dict[str, BatchLoad[Any]] = {
    "User": users.by_ids,
    "Session": sessions.by_ids,
    "ApiKey": api_keys.by_ids,
    "Project": projects.by_ids,
    "Tag": tags.by_ids,
    "Task": tasks.by_ids,
    "Comment": comments.by_ids,
    "Relation": relations.by_ids,
    "SavedView": saved_views.by_ids,
    "Member": members.by_ids,
    "Event": history.by_ids,
}
"""How each type with a global id is read; a test names one that was forgotten."""
# an account's own things are for logins, not for keys
_FOR_LOGINS = frozenset({"Session", "ApiKey"})


def _decode(node_id: str, *, pointer: str) -> tuple[str, int]:
    decoded = node_ids.decode(node_id)
    if decoded is None or decoded[0] not in LOADERS:
        raise BadUserInput.at(pointer, "not a global id of this server")
    return decoded


async def _load(info: Info, type_name: str, database_id: int) -> Any:
    actor = info.context.actor
    actor.require(Scope.TASKS_READ)
    if type_name in _FOR_LOGINS and actor.method != "token":
        return None  # a key is not told what there is
    return await info.context.load(("node", type_name), LOADERS[type_name], None, database_id)


@strawberry.type
class NodeQueries:
    @strawberry.field(description="Anything with a global id; null where there is none that the caller may read.")
    async def node(self, info: Info, id: NodeId) -> Node | None:
        return shown(await _load(info, *_decode(id, pointer="/id")))

    @strawberry.field(
        description="Several things by their global ids, in the same order, at most 100.",
        metadata=priced(Price(rows=MAX_LIMIT, call=len(LOADERS) * STATEMENT, sized_by=items("ids", at_most=MAX_LIMIT))),
    )
    async def nodes(
        self, info: Info, ids: Annotated[list[strawberry.ID], strawberry.argument(description="The global ids.")]
    ) -> list[Node | None]:
        if len(ids) > MAX_LIMIT:
            raise BadUserInput.at("/ids", f"at most {MAX_LIMIT} at once")
        decoded = [_decode(node_id, pointer=f"/ids/{index}") for index, node_id in enumerate(ids)]
        return shown(await asyncio.gather(*(_load(info, *key) for key in decoded)))
