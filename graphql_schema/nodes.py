"""Relay's ``node`` and ``nodes``: anything with a global id."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import strawberry

from db.engine import Session
from graphql_schema.base import Node, shown
from graphql_schema.context import Context, Info
from graphql_schema.ids import NodeId
from services import api_keys, comments, history, members, node_ids, sessions, tags, users
from services.actors import Actor
from services.errors import BadUserInput, Forbidden, NotFound
from services.pagination import MAX_LIMIT
from services.projects import queries as projects
from services.tasks import queries as tasks

FETCHERS: dict[str, Callable[[Session, Actor, int], Awaitable[Any]]] = {
    "User": users.get,
    "Session": sessions.get,
    "ApiKey": api_keys.get,
    "Project": projects.get,
    "Tag": tags.get,
    "Task": tasks.get,
    "Comment": comments.get,
    "Member": members.by_id,
    "Event": history.get,
}
"""How each type with a global id is read; a test names one that was forgotten."""


async def _fetch(context: Context, node_id: str, *, pointer: str) -> Any:
    decoded = node_ids.decode(node_id)
    if decoded is None or decoded[0] not in FETCHERS:
        raise BadUserInput.at(pointer, "not a global id of this server")
    async with context.reading() as session:
        try:
            return await FETCHERS[decoded[0]](session, context.actor, decoded[1])
        except (NotFound, Forbidden):
            # a key that may not see the account's sessions is not told that they exist
            return None


@strawberry.type
class NodeQueries:
    @strawberry.field(description="Anything with a global id; null where there is none that the caller may read.")
    async def node(self, info: Info, id: NodeId) -> Node | None:
        return shown(await _fetch(info.context, id, pointer="/id"))

    @strawberry.field(description="Several things by their global ids, in the same order, at most 100.")
    async def nodes(
        self, info: Info, ids: Annotated[list[strawberry.ID], strawberry.argument(description="The global ids.")]
    ) -> list[Node | None]:
        if len(ids) > MAX_LIMIT:
            raise BadUserInput.at("/ids", f"at most {MAX_LIMIT} at once")
        return [
            shown(await _fetch(info.context, node_id, pointer=f"/ids/{index}")) for index, node_id in enumerate(ids)
        ]
