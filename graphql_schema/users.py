from datetime import datetime

import strawberry
from pydantic import Field
from strawberry import UNSET

from graphql_schema.base import Node, attribute, described, narrow, service_input, shown
from graphql_schema.connections import After, Before, Connection, First, Last, connect, page_request
from graphql_schema.context import Info
from graphql_schema.ids import NodeId, parse_id
from graphql_schema.loading import PAGED
from graphql_schema.prices import Price, priced
from services import probes
from services.errors import NotFound
from services.inputs import UserId
from services.prices import PASSWORD
from services.users import commands, queries
from services.users.models import PasswordChange, UserAdminUpdate, UserCreate, UserOut, UserRecord, UserUpdate


@described(UserOut, record=UserRecord)
class User(Node):
    database_id: int = attribute("id")
    username: str
    full_name: str | None
    email: str | None
    timezone: str | None
    is_admin: bool | None
    disabled: bool | None
    created_at: datetime | None


RegisterInput = service_input("RegisterInput")(UserCreate)
UpdateMeInput = service_input("UpdateMeInput")(UserUpdate)
ChangePasswordInput = service_input("ChangePasswordInput")(PasswordChange)


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


@strawberry.type(description="The account after the change.")
class UpdateUserPayload:
    user: User = strawberry.field(description="The account.")


@strawberry.type
class UserQueries:
    @strawberry.field(description="The caller's account.")
    async def me(self, info: Info) -> User:
        async with info.context.reading() as session:
            return shown(await queries.me(session, info.context.actor))

    @strawberry.field(description="An account that the caller shares a project with; null where there is none.")
    async def user(self, info: Info, id: NodeId) -> User | None:
        user_id = parse_id("User", id)
        async with info.context.reading() as session:
            try:
                return shown(await queries.get(session, info.context.actor, user_id))
            except NotFound:
                return None

    @strawberry.field(
        description="The people the caller shares projects with, oldest account first; all people for administrators.",
        metadata=priced(PAGED),
    )
    async def users(
        self, info: Info, first: First = UNSET, after: After = UNSET, last: Last = UNSET, before: Before = UNSET
    ) -> Connection[User]:
        context, request = info.context, page_request(first, after, last, before)

        async def count() -> int:
            async with context.reading() as session:
                return await queries.count(session, context.actor)

        async with context.reading() as session:
            return connect(await queries.list_(session, context.actor, request), count)


@strawberry.type
class UserMutations:
    @strawberry.mutation(
        description="Register an account, with its Inbox. No login is needed.", metadata=priced(Price(call=PASSWORD))
    )
    async def register(self, info: Info, input: RegisterInput) -> RegisterPayload | None:  # type: ignore[valid-type]  # an input made at run time
        context = info.context
        user = await commands.register(
            context.database, context.actor, input, security=context.security, client=context.client
        )
        return RegisterPayload(user=shown(user))

    @strawberry.mutation(description="Change the caller's profile; fields that are left out stay as they are.")
    async def update_me(self, info: Info, input: UpdateMeInput) -> UpdateMePayload | None:  # type: ignore[valid-type]  # an input made at run time
        context = info.context
        async with probes.bounded(context.security.limits, context.actor), context.writing() as session:
            user = await commands.update_me(session, context.actor, input)
        return UpdateMePayload(user=shown(user))

    @strawberry.mutation(
        description="Change the caller's password and end every other session.",
        metadata=priced(Price(call=2 * PASSWORD)),
    )
    async def change_password(
        self,
        info: Info,
        input: ChangePasswordInput,  # type: ignore[valid-type]  # an input made at run time
    ) -> ChangePasswordPayload | None:
        context = info.context
        user = await commands.change_password(context.database, context.actor, input, security=context.security)
        return ChangePasswordPayload(user=shown(user))

    @strawberry.mutation(description="Disable or enable an account. Administrators only.")
    async def update_user(self, info: Info, input: UpdateUserInput) -> UpdateUserPayload | None:
        async with info.context.writing() as session:
            user = await commands.admin_update(session, info.context.actor, input.id, narrow(UserAdminUpdate, input))
        return UpdateUserPayload(user=shown(user))
