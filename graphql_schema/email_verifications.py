import strawberry

from graphql_schema.shared.base import as_output, output_type, service_input
from graphql_schema.shared.context import Info
from graphql_schema.shared.parts import Part
from services import email_verifications
from services.email_verifications import (
    EmailVerification,
    EmailVerificationRequest,
    EmailVerificationRequestOut,
)


@service_input()
class RequestEmailVerificationInput(EmailVerificationRequest): ...


@service_input()
class VerifyEmailInput(EmailVerification): ...


@output_type(EmailVerificationRequestOut)
class RequestEmailVerificationPayload:
    accepted: bool


@strawberry.type(description="That the address was verified.")
class VerifyEmailPayload:
    verified: bool = strawberry.field(description="Always true.")


@strawberry.type
class EmailVerificationMutations:
    @strawberry.mutation(
        description="Ask for a token to verify an address with. The answer is the same whether there is such an "
        "account or not."
    )
    async def request_email_verification(
        self, info: Info, input: RequestEmailVerificationInput
    ) -> RequestEmailVerificationPayload | None:
        context = info.context
        return as_output(
            await email_verifications.request(
                context.database, context.actor, input, security=context.security, client=context.client
            )
        )

    @strawberry.mutation(description="Verify the address that a token was sent to; it works once.")
    async def verify_email(self, info: Info, input: VerifyEmailInput) -> VerifyEmailPayload | None:
        context = info.context
        async with context.writing() as session:
            await email_verifications.verify(
                session, context.actor, input, security=context.security, client=context.client
            )
        return VerifyEmailPayload(verified=True)


PART = Part(mutations=EmailVerificationMutations)
