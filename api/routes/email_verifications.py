from fastapi import APIRouter, Request

from api.dependencies.auth import OptionalActor
from api.dependencies.sessions import WriteSession
from api.dependencies.state import AppState
from api.http.addresses import client_of
from api.http.route import StrictRoute
from services import email_verifications
from services.account_tokens import Accepted
from services.email_verifications import (
    EmailVerification,
    EmailVerificationRequest,
    EmailVerificationRequestOut,
)

router = APIRouter(route_class=StrictRoute, prefix="/email-verification", tags=["email verifications"])


@router.post("", status_code=202, response_model=EmailVerificationRequestOut)
async def request_email_verification(
    body: EmailVerificationRequest, actor: OptionalActor, state: AppState, request: Request
) -> Accepted:
    """Ask for a token to verify an address with. The answer is the same whether there is such an account or not."""
    return await email_verifications.request(
        state.database, actor, body, security=state.security, client=client_of(request)
    )


@router.post("/confirm", status_code=204)
async def verify_email(
    body: EmailVerification, actor: OptionalActor, session: WriteSession, state: AppState, request: Request
) -> None:
    """Verify the address that a token was sent to; it works once."""
    await email_verifications.verify(session, actor, body, security=state.security, client=client_of(request))
