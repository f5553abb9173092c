from datetime import datetime

import strawberry
from pydantic import Field

from graphql_schema.shared.base import (
    Node,
    as_output,
    attribute,
    enumeration,
    output_type,
    service_input,
    to_service_input,
)
from graphql_schema.shared.connections import Connection
from graphql_schema.shared.context import Info
from graphql_schema.shared.parts import Part
from graphql_schema.shared.prices import Price, listed, priced
from graphql_schema.shared.root_fields import delete_field, list_field, update_field
from services import api_keys
from services.api_keys import ApiKeyCreate, ApiKeyFilter, ApiKeyOut, ApiKeyRecord, ApiKeyRotate, ApiKeyUpdate
from services.shared.actors import Scope
from services.shared.inputs import ApiKeyId

enumeration(
    Scope,
    "What an API key may do on behalf of its owner.",
    TASKS_READ="Read projects, tasks, comments and the owner's profile.",
    TASKS_WRITE="Also write tasks, comments and tags.",
    PROJECTS_ADMIN="Read, and manage projects and their members.",
    ADMIN="Everything, the server's administration included; for keys of administrators.",
)


@output_type(ApiKeyOut, record=ApiKeyRecord)
class ApiKey(Node):
    database_id: int = attribute("id")
    name: str
    prefix: str
    scopes: list[Scope] = listed(len(Scope))
    expires_at: datetime | None
    last_used_at: datetime | None
    created_at: datetime
    former_until: datetime | None
    project_ids: list[strawberry.ID] | None = attribute(
        "project_node_ids", metadata=priced(Price(rows=api_keys.MAX_PROJECTS))
    )


@service_input()
class CreateApiKeyInput(ApiKeyCreate): ...


@strawberry.type(description="The new key, with its secret.")
class CreateApiKeyPayload:
    api_key: ApiKey = strawberry.field(description="The key.")
    secret: str = strawberry.field(description="What goes into the X-API-Key header. It is shown this once.")


@service_input()
class RotateApiKeyInput(ApiKeyRotate):
    """Gives an API key another secret."""

    id: ApiKeyId = Field(description="The key.")


@strawberry.type(description="The key, with its new secret.")
class RotateApiKeyPayload:
    api_key: ApiKey = strawberry.field(description="The key.")
    secret: str = strawberry.field(description="What goes into the X-API-Key header. It is shown this once.")


@strawberry.type
class ApiKeyQueries:
    api_keys: Connection[ApiKey] = list_field(
        api_keys.list_, api_keys.count, ApiKeyFilter, "The caller's API keys, newest first, without their secrets."
    )


@strawberry.type
class ApiKeyMutations:
    @strawberry.mutation(description="Make an API key.")
    async def create_api_key(self, info: Info, input: CreateApiKeyInput) -> CreateApiKeyPayload | None:
        async with info.context.writing() as session:
            key = await api_keys.create(session, info.context.actor, input)
        return CreateApiKeyPayload(api_key=as_output(key), secret=key.secret)

    update_api_key = update_field(
        ApiKey, api_keys.update, ApiKeyUpdate, "Rename an API key, or have it be for other projects.", id=ApiKeyId
    )

    @strawberry.mutation(
        description="Give an API key another secret; the one before ends at once, or after graceSeconds."
    )
    async def rotate_api_key(self, info: Info, input: RotateApiKeyInput) -> RotateApiKeyPayload | None:
        data = to_service_input(ApiKeyRotate, input)
        async with info.context.writing() as session:
            key = await api_keys.rotate(session, info.context.actor, input.id, data)
        return RotateApiKeyPayload(api_key=as_output(key), secret=key.secret)

    delete_api_key = delete_field(
        ApiKey,
        api_keys.delete,
        ApiKeyId,
        "Delete an API key: it stops working everywhere within a second.",
        about="Deletes an API key.",
        thing="key",
    )


PART = Part(queries=ApiKeyQueries, mutations=ApiKeyMutations)
