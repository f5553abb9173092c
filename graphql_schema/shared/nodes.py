"""Relay's ``node`` and ``nodes``: anything with a global id, in one statement for each type among the ids."""

import asyncio
from typing import Annotated

import strawberry

from graphql_schema.shared.base import Node, as_output
from graphql_schema.shared.context import Info
from graphql_schema.shared.ids import NodeId
from graphql_schema.shared.prices import Price, items, priced
from services.features import NODES
from services.shared import node_ids
from services.shared.actors import Scope
from services.shared.errors import BadUserInput
from services.shared.pagination import MAX_LIMIT
from services.shared.prices import STATEMENT


def _decode(node_id: str, *, pointer: str) -> tuple[str, int]:
    decoded = node_ids.decode(node_id)
    if decoded is None or decoded[0] not in NODES:
        raise BadUserInput.at(pointer, "not a global id of this server")
    return decoded


async def _load(info: Info, type_name: str, database_id: int) -> object:
    actor = info.context.actor
    actor.require(Scope.TASKS_READ)
    node = NODES[type_name]
    if node.logins_only and actor.method != "token":
        return None  # a key is not told what there is
    return await info.context.load(("node", type_name), node.load, None, database_id)


@strawberry.type
class NodeQueries:
    @strawberry.field(description="Anything with a global id; null where there is none that the caller may read.")
    async def node(self, info: Info, id: NodeId) -> Node | None:
        return as_output(await _load(info, *_decode(id, pointer="/id")))

    @strawberry.field(
        description="Several things by their global ids, in the same order, at most 100.",
        metadata=priced(Price(rows=MAX_LIMIT, call=len(NODES) * STATEMENT, sized_by=items("ids", at_most=MAX_LIMIT))),
    )
    async def nodes(
        self, info: Info, ids: Annotated[list[strawberry.ID], strawberry.argument(description="The global ids.")]
    ) -> list[Node | None]:
        if len(ids) > MAX_LIMIT:
            raise BadUserInput.at("/ids", f"at most {MAX_LIMIT} at once")
        decoded = [_decode(node_id, pointer=f"/ids/{index}") for index, node_id in enumerate(ids)]
        return as_output(await asyncio.gather(*(_load(info, *key) for key in decoded)))
