from fastapi import APIRouter, Request

from api.dependencies.auth import OptionalActor
from api.dependencies.state import AppState
from api.http.addresses import client_of
from api.http.route import StrictRoute
from services import password_resets
from services.account_tokens import Accepted
from services.password_resets import PasswordReset, PasswordResetRequest, PasswordResetRequestOut

router = APIRouter(route_class=StrictRoute, prefix="/password-reset", tags=["password resets"])


@router.post("", status_code=202, response_model=PasswordResetRequestOut)
async def request_password_reset(
    body: PasswordResetRequest, actor: OptionalActor, state: AppState, request: Request
) -> Accepted:
    """Ask for a token to set a new password with. The answer is the same whether there is such an account or not."""
    return await password_resets.request(
        state.database, actor, body, security=state.security, client=client_of(request)
    )


@router.post("/confirm", status_code=204)
async def reset_password(body: PasswordReset, actor: OptionalActor, state: AppState, request: Request) -> None:
    """Set a new password by a token, which works once; every session of the account ends."""
    await password_resets.reset(state.database, actor, body, security=state.security, client=client_of(request))
