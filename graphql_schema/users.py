from datetime import datetime
from functools import partial

import strawberry
from pydantic import Field

from graphql_schema.shared.base import Node, as_output, attribute, output_type, service_input
from graphql_schema.shared.connections import Connection
from graphql_schema.shared.context import Info
from graphql_schema.shared.parts import Part
from graphql_schema.shared.prices import Price, priced
from graphql_schema.shared.root_fields import command_field, list_field, node_field
from services import email_verifications
from services.shared.inputs import UserId
from services.shared.prices import PASSWORD
from services.users import commands, deletion, queries
from services.users.deletion import AccountDeletion
from services.users.models import (
    PasswordChange,
    UserAdminUpdate,
    UserCreate,
    UserFilter,
    UserOut,
    UserRecord,
    UserUpdate,
)


@output_type(UserOut, record=UserRecord)
class User(Node):
    database_id: int = attribute("id")
    username: str
    full_name: str | None
    email: str | None
    email_verified_at: datetime | None
    timezone: str | None
    is_admin: bool | None
    disabled: bool | None
    created_at: datetime | None


@service_input()
class RegisterInput(UserCreate): ...


@service_input()
class UpdateMeInput(UserUpdate): ...


@service_input()
class ChangePasswordInput(PasswordChange): ...


@service_input()
class DeleteMeInput(AccountDeletion): ...


@strawberry.type(description="That the account was deleted.")
class DeleteMePayload:
    deleted: bool = strawberry.field(description="Always true.")


@service_input()
class UpdateUserInput(UserAdminUpdate):
    """What an administrator may change of an account."""

    id: UserId = Field(description="The account.")


@strawberry.type(description="The account that was registered.")
class RegisterPayload:
    user: User = strawberry.field(description="The account.")


@strawberry.type(description="The caller's account after the change.")
class UpdateMePayload:
    user: User = strawberry.field(description="The account.")


@strawberry.type(description="The caller's account after the change.")
class ChangePasswordPayload:
    user: User = strawberry.field(description="The account.")


@strawberry.type
class UserQueries:
    @strawberry.field(description="The caller's account.")
    async def me(self, info: Info) -> User:
        async with info.context.reading() as session:
            return as_output(await queries.me(session, info.context.actor))

    user: User | None = node_field(
        "User", queries.get, "An account that the caller shares a project with; null where there is none."
    )
    users: Connection[User] = list_field(
        queries.list_,
        queries.count,
        UserFilter,
        "The people the caller shares projects with, oldest account first; all people for administrators.",
    )


@strawberry.type
class UserMutations:
    @strawberry.mutation(
        description="Register an account, with its Inbox. No login is needed.", metadata=priced(Price(call=PASSWORD))
    )
    async def register(self, info: Info, input: RegisterInput) -> RegisterPayload | None:
        context = info.context
        user = await commands.register(
            context.database, context.actor, input, security=context.security, client=context.client
        )
        return RegisterPayload(user=as_output(user))

    @strawberry.mutation(description="Change the caller's profile; fields that are left out stay as they are.")
    async def update_me(self, info: Info, input: UpdateMeInput) -> UpdateMePayload | None:
        context = info.context
        async with context.writing() as session:
            user = await commands.update_me(
                session,
                context.actor,
                input,
                limits=context.security.limits,
                changed_email=partial(email_verifications.send, context.database, context.security),
            )
        return UpdateMePayload(user=as_output(user))

    @strawberry.mutation(
        description="Change the caller's password and end every other session.",
        metadata=priced(Price(call=2 * PASSWORD)),
    )
    async def change_password(self, info: Info, input: ChangePasswordInput) -> ChangePasswordPayload | None:
        context = info.context
        user = await commands.change_password(context.database, context.actor, input, security=context.security)
        return ChangePasswordPayload(user=as_output(user))

    @strawberry.mutation(
        description="Delete the caller's account for good, with all that is its own. What it wrote in projects of "
        "others stays.",
        metadata=priced(Price(call=PASSWORD)),
    )
    async def delete_me(self, info: Info, input: DeleteMeInput) -> DeleteMePayload | None:
        context = info.context
        await deletion.delete_me(context.database, context.actor, input, security=context.security)
        return DeleteMePayload(deleted=True)

    update_user = command_field(
        User,
        commands.admin_update,
        UpdateUserInput,
        "Disable or enable an account. Administrators only.",
        payload="The account after the change.",
        thing="account",
    )


PART = Part(queries=UserQueries, mutations=UserMutations)
