from datetime import datetime

import strawberry
from pydantic import Field
from strawberry import UNSET

from graphql_schema.base import Node, attribute, described, enumeration, service_input, shown
from graphql_schema.connections import After, Before, Connection, First, Last, connect, page_request
from graphql_schema.context import Info
from graphql_schema.loading import PAGED
from graphql_schema.prices import listed, priced
from services import api_keys, node_ids
from services.actors import Scope
from services.api_keys import ApiKeyCreate, ApiKeyOut, ApiKeyRecord
from services.inputs import ApiKeyId, Input

enumeration(
    Scope,
    "What an API key may do on behalf of its owner.",
    TASKS_READ="Read projects, tasks, comments and the owner's profile.",
    TASKS_WRITE="Also write tasks, comments and tags.",
    PROJECTS_ADMIN="Read, and manage projects and their members.",
    ADMIN="Everything, the server's administration included; for keys of administrators.",
)


@described(ApiKeyOut, record=ApiKeyRecord)
class ApiKey(Node):
    database_id: int = attribute("id")
    name: str
    prefix: str
    scopes: list[Scope] = listed(len(Scope))
    expires_at: datetime | None
    last_used_at: datetime | None
    created_at: datetime


CreateApiKeyInput = service_input("CreateApiKeyInput")(ApiKeyCreate)


@strawberry.type(description="The new key, with its secret.")
class CreateApiKeyPayload:
    api_key: ApiKey = strawberry.field(description="The key.")
    secret: str = strawberry.field(description="What goes into the X-API-Key header. It is shown this once.")


@service_input()
class DeleteApiKeyInput(Input):
    """Deletes an API key."""

    id: ApiKeyId = Field(description="The id.")


@strawberry.type(description="The key that was deleted.")
class DeleteApiKeyPayload:
    deleted_api_key_id: strawberry.ID = strawberry.field(description="The id of the key.")


@strawberry.type
class ApiKeyQueries:
    @strawberry.field(description="The caller's API keys, newest first, without their secrets.", metadata=priced(PAGED))
    async def api_keys(
        self, info: Info, first: First = UNSET, after: After = UNSET, last: Last = UNSET, before: Before = UNSET
    ) -> Connection[ApiKey]:
        context, request = info.context, page_request(first, after, last, before)

        async def count() -> int:
            async with context.reading() as session:
                return await api_keys.count(session, context.actor)

        async with context.reading() as session:
            return connect(await api_keys.list_(session, context.actor, request), count)


@strawberry.type
class ApiKeyMutations:
    @strawberry.mutation(description="Make an API key.")
    async def create_api_key(
        self,
        info: Info,
        input: CreateApiKeyInput,  # type: ignore[valid-type]  # an input made at run time
    ) -> CreateApiKeyPayload | None:
        async with info.context.writing() as session:
            key = await api_keys.create(session, info.context.actor, input)
        return CreateApiKeyPayload(api_key=shown(key), secret=key.secret)

    @strawberry.mutation(description="Delete an API key: it stops working everywhere within a second.")
    async def delete_api_key(self, info: Info, input: DeleteApiKeyInput) -> DeleteApiKeyPayload | None:
        async with info.context.writing() as session:
            await api_keys.delete(session, info.context.actor, input.id)
        return DeleteApiKeyPayload(deleted_api_key_id=strawberry.ID(node_ids.encode("ApiKey", input.id)))
