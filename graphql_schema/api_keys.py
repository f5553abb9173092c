from datetime import datetime

import strawberry

from graphql_schema.base import Node, attribute, described, service_input, shown
from graphql_schema.connections import After, Before, Connection, First, Last, connect, page_request
from graphql_schema.context import Info
from graphql_schema.ids import NodeId, parse_id
from services import api_keys
from services.actors import Scope
from services.api_keys import ApiKeyCreate, ApiKeyOut, ApiKeyRecord

strawberry.enum(Scope, description="What an API key may do on behalf of its owner.")


@described(ApiKeyOut, record=ApiKeyRecord)
class ApiKey(Node):
    database_id: int = attribute("id")
    name: str
    prefix: str
    scopes: list[Scope]
    expires_at: datetime | None
    last_used_at: datetime | None
    created_at: datetime


CreateApiKeyInput = service_input("CreateApiKeyInput")(ApiKeyCreate)


@strawberry.type(description="The new key, with its secret.")
class CreateApiKeyPayload:
    api_key: ApiKey = strawberry.field(description="The key.")
    secret: str = strawberry.field(description="What goes into the X-API-Key header. It is shown this once.")


@strawberry.type(description="The key that was deleted.")
class DeleteApiKeyPayload:
    deleted_api_key_id: strawberry.ID = strawberry.field(description="The id of the key.")


@strawberry.type
class ApiKeyQueries:
    @strawberry.field(description="The caller's API keys, newest first, without their secrets.")
    async def api_keys(
        self, info: Info, first: First = None, after: After = None, last: Last = None, before: Before = None
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
        input: CreateApiKeyInput,  # type: ignore[valid-type]
    ) -> CreateApiKeyPayload:
        async with info.context.writing() as session:
            key = await api_keys.create(session, info.context.actor, input)
        return CreateApiKeyPayload(api_key=shown(key), secret=key.secret)

    @strawberry.mutation(description="Delete an API key: it stops working everywhere within a second.")
    async def delete_api_key(self, info: Info, id: NodeId) -> DeleteApiKeyPayload:
        key_id = parse_id("ApiKey", id)
        async with info.context.writing() as session:
            await api_keys.delete(session, info.context.actor, key_id)
        info.context.authenticator.forget()
        return DeleteApiKeyPayload(deleted_api_key_id=id)
