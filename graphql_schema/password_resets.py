import strawberry

from graphql_schema.shared.base import as_output, output_type, service_input
from graphql_schema.shared.context import Info
from graphql_schema.shared.parts import Part
from graphql_schema.shared.prices import Price, priced
from services import password_resets
from services.password_resets import PasswordReset, PasswordResetRequest, PasswordResetRequestOut
from services.shared.prices import PASSWORD


@service_input()
class RequestPasswordResetInput(PasswordResetRequest): ...


@service_input()
class ResetPasswordInput(PasswordReset): ...


@output_type(PasswordResetRequestOut)
class RequestPasswordResetPayload:
    accepted: bool


@strawberry.type(description="That the password was set.")
class ResetPasswordPayload:
    reset: bool = strawberry.field(description="Always true.")


@strawberry.type
class PasswordResetMutations:
    @strawberry.mutation(
        description="Ask for a token to set a new password with. The answer is the same whether there is such an "
        "account or not."
    )
    async def request_password_reset(
        self, info: Info, input: RequestPasswordResetInput
    ) -> RequestPasswordResetPayload | None:
        context = info.context
        return as_output(
            await password_resets.request(
                context.database, context.actor, input, security=context.security, client=context.client
            )
        )

    @strawberry.mutation(
        description="Set a new password by a token, which works once; every session of the account ends.",
        metadata=priced(Price(call=PASSWORD)),
    )
    async def reset_password(self, info: Info, input: ResetPasswordInput) -> ResetPasswordPayload | None:
        context = info.context
        await password_resets.reset(
            context.database, context.actor, input, security=context.security, client=context.client
        )
        return ResetPasswordPayload(reset=True)


PART = Part(mutations=PasswordResetMutations)
