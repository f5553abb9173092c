from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from sqlalchemy import text
from starlette.responses import JSONResponse, Response

from api.dependencies import AppState, Reading
from api.pages import home_page

router = APIRouter(tags=["meta"])


class Welcome(BaseModel):
    """Where things are."""

    message: str = Field(description="A greeting.")
    version: str = Field(description="The version of the API.")
    graphql: str = Field(description="The GraphQL endpoint and playground.")
    docs: str = Field(description="The REST reference.")
    openapi: str = Field(description="The OpenAPI document.")


class Health(BaseModel):
    """How the server is."""

    status: str = Field(description='Always "healthy" in an answer.', examples=["healthy"])


@router.get("/", response_model=Welcome)
async def get_root(request: Request) -> Welcome | Response:
    """A greeting and where things are; a browser gets the welcome page instead."""
    accept = request.headers.get("accept", "")
    if "text/html" in accept:
        return home_page()
    return Welcome(
        message="Welcome to the Task Manager API",
        version=request.app.version,
        graphql="/graphql",
        docs="/docs",
        openapi="/openapi.json",
    )


@router.get("/health")
async def get_health() -> Health:
    """Whether the process answers."""
    return Health(status="healthy")


@router.get("/health/ready")
async def get_readiness(session: Reading) -> Health:
    """Whether the database answers too: 503 while it does not."""
    await session.scalar(text("SELECT 1"))
    return Health(status="healthy")


@router.get("/.well-known/jwks.json", response_class=JSONResponse)
async def get_jwks(state: AppState) -> dict[str, list[dict[str, str]]]:
    """The public keys that access tokens can be verified with (RFC 7517); none while HS256 is used."""
    return state.security.tokens.jwks
