from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from api.dependencies.auth import CurrentActor
from api.dependencies.state import AppState
from api.http.addresses import prefix_of
from api.http.cache_control import Kind, answers
from api.http.route import ProbeRoute
from api.metrics import Metrics
from api.pages import home_page
from services.shared.errors import Unavailable

router = APIRouter(route_class=ProbeRoute, tags=["meta"])


class Welcome(BaseModel):
    """A greeting; the Link header says where things are."""

    message: str = Field(description="A greeting.", examples=["Welcome to the Task Manager API"])


class Health(BaseModel):
    """How the server is."""

    status: str = Field(description='Always "healthy" in an answer.', examples=["healthy"])


@router.get("/", response_model=Welcome)
@answers(Kind.OWN)
async def get_root(request: Request, state: AppState, response: Response) -> Welcome | Response:
    """A greeting, and in the Link header (RFC 8288) where things are; a browser gets the welcome page instead."""
    settings = state.settings
    # the page leads to the playground and the references
    if "text/html" in request.headers.get("accept", "") and settings.graphiql_on and settings.api_docs_on:
        return home_page()
    prefix = prefix_of(request.scope)
    response.headers["Cache-Control"] = "no-cache"
    response.headers["Vary"] = "Accept"
    # relations of RFC 8631 and RFC 5829
    links = [
        f'<{prefix}/api/v1>; rel="latest-version"; title="{request.app.version}"',
        f'<{prefix}/graphql>; rel="service"; title="GraphQL"',
    ]
    if settings.api_docs_on:
        links += [f'<{prefix}/reference>; rel="service-doc"', f'<{prefix}/openapi.json>; rel="service-desc"']
    response.headers["Link"] = ", ".join(links)
    return Welcome(message="Welcome to the Task Manager API")


@router.get("/health", response_model=Health)
@answers(Kind.MOMENTS)
async def get_health() -> Health:
    """Whether the process answers."""
    return Health(status="healthy")


@router.get("/health/ready", response_model=Health)
@answers(Kind.MOMENTS)
async def get_readiness(request: Request, state: AppState) -> Health:
    """Whether the server can serve: 503 while its database is away, not migrated, or takes no writes within 2 s; and
    from when it was told to end."""
    if request.app.state.door.draining:
        raise Unavailable("The server is shutting down")
    await state.readiness.require()
    return Health(status="healthy")


# no part of the API: generated clients, which call everything in the document, have no use for it and read JSON alone
@router.get("/metrics", include_in_schema=False)
async def get_metrics(request: Request, actor: CurrentActor) -> Response:
    """What Prometheus reads. Takes an X-API-Key with the scope admin, or an administrator's token."""
    if actor.method == "token":
        actor.require_admin()
    else:
        actor.require_admin_key()
    metrics: Metrics = request.app.state.metrics
    return Response(metrics.text(), media_type=CONTENT_TYPE_PLAIN_0_0_4)


@router.get("/.well-known/jwks.json", response_class=JSONResponse)
@answers(Kind.ANYBODYS)
async def get_jwks(state: AppState) -> dict[str, list[dict[str, str]]]:
    """The public keys that access tokens can be verified with (RFC 7517); none while HS256 is used."""
    return state.security.tokens.jwks
