"""What a browser sees: the welcome page, the GraphQL playground, the REST references and the guides.

Everything is served by the application, so the pages work with the network cut.
"""

from html import escape
from typing import Final

from fastapi import APIRouter, HTTPException, Request
from starlette.responses import FileResponse, HTMLResponse, Response

from api.http.addresses import prefix_of
from api.http.cache_control import Kind, answers
from api.openapi import require_api_docs
from api.pages.assets import ASSETS
from api.pages.html import json_data, page, playground_examples

__all__ = ["graphiql_page", "home_page", "router"]

router: Final = APIRouter(include_in_schema=False)

_READ: Final = ["GET", "HEAD"]
#: Addresses of several levels: what is relative is from the first.
_ONE_BASE: Final = {"base-uri": "'self'"}
#: Scalar and ReDoc make style elements.
_STYLED: Final = {"style-src": "'self' 'unsafe-inline'"}
#: ReDoc searches in a worker that it makes from a blob.
_REDOC_POLICY: Final = _STYLED | {"worker-src": "blob:"}
#: The one style element that GraphiQL makes: it keeps the page from scrolling while a dialog is open.
_GRAPHIQL_POLICY: Final = {"style-src": "'self' 'sha256-Y/huXlwoYkVyQlxwSVcCi1RCDGDCSVBzDt0hYP9qlTc='"}


def home_page() -> HTMLResponse:
    """The welcome page, for ``GET /`` when the client prefers text/html."""
    return page("home.html", negotiated=True)


def graphiql_page() -> HTMLResponse:
    """GraphiQL with sign-in and example operations, for ``GET /graphql`` from a browser.

    Status 503 and a page that says what to run when GraphiQL is not installed.
    """
    examples = json_data(playground_examples())
    return page("graphiql.html", policy=_GRAPHIQL_POLICY, values={"examples": examples}, negotiated=True)


@router.api_route("/reference", methods=_READ)
@answers(Kind.OWN)
async def reference_page(request: Request) -> Response:
    """Scalar: the REST reference, on phones too, with examples that carry this server's address."""
    require_api_docs(request)
    return page("reference.html", policy=_STYLED)


@router.api_route("/docs", methods=_READ)
@answers(Kind.OWN)
async def swagger_page(request: Request) -> Response:
    """Swagger UI."""
    require_api_docs(request)
    return page("docs.html")


@router.api_route("/redoc", methods=_READ)
@answers(Kind.OWN)
async def redoc_page(request: Request) -> Response:
    """ReDoc."""
    require_api_docs(request)
    return page("redoc.html", policy=_REDOC_POLICY)


@router.api_route("/api/v1/notifications/preferences/unsubscribe/{token}", methods=_READ)
@answers(Kind.OWN)
async def unsubscribe_page(request: Request) -> Response:
    """What a person sees who follows the address of a message: reading it ends nothing, for mail programs and scanners
    read addresses, too. Its button posts to the same address, as mail programs do (RFC 8058)."""
    # no Referer: the address is the secret
    found = page("unsubscribe.html", policy=_ONE_BASE, values={"base": escape(f"{prefix_of(request.scope)}/")})
    found.headers["Referrer-Policy"] = "no-referrer"
    found.headers["Cache-Control"] = "no-store"
    return found


@router.api_route("/favicon.ico", methods=_READ)
@answers(Kind.OWN)
async def favicon(request: Request) -> Response:
    """The icon browsers ask for by themselves, on pages that name none."""
    url = ASSETS.url("icon.svg")
    return _asset(request, url.rpartition("/")[2] if url else "", "public, max-age=86400")


@router.api_route("/assets/{file}", methods=_READ)
@answers(Kind.OWN)
async def asset(file: str, request: Request) -> Response:
    """A script, style, icon or licence; its name changes with its content."""
    return _asset(request, file, "public, max-age=31536000, immutable")


def _asset(request: Request, served: str, caching: str) -> Response:
    found = ASSETS.find(served)
    if found is None or not found.path.is_file():
        raise HTTPException(404, "There is no such asset.")
    headers = {"Cache-Control": caching, "ETag": found.etag}
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("If-None-Match", "").split(",")}
    if found.etag in known or "*" in known:
        return Response(status_code=304, headers=headers)
    return FileResponse(found.path, media_type=found.media_type, headers=headers)
