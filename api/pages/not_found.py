"""What is answered where there is nothing: a page for a browser, a problem document for everybody else."""

from collections.abc import Awaitable, Callable
from html import escape
from typing import Final

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api.http.addresses import prefix_of
from api.pages.html import page
from api.problems import SwitchedOff, on_http_exception

__all__ = ["install"]

#: Characters of the address that the page repeats.
_SHOWN: Final = 200
#: The address below the prefix, what stands there, and what it is for.
_PLAYGROUND: Final = ("graphql", "GraphQL playground", "Write an operation, sign in, and see it run.")
_REFERENCES: Final = (
    ("reference", "REST reference", "Every operation, with snippets and a form that sends the request to this server."),
    ("guides", "Guides", "How things are done, with examples that work when copied."),
)
#: From any depth, the links and assets of the page begin at the prefix.
_POLICY: Final = {"base-uri": "'self'"}


def install(app: FastAPI) -> None:
    """Register the handler of what has no address, for compiled routes and FastAPI's own alike."""
    handler: Callable[..., Awaitable[Response]] = on_not_found
    app.add_exception_handler(404, handler)


async def on_not_found(request: Request, error: HTTPException) -> Response:
    """The 404 of an address: a page that says where the pages are, if ``Accept`` names text/html and no JSON."""
    accept = request.headers.get("accept", "")
    if request.method in {"GET", "HEAD"} and "text/html" in accept and "json" not in accept:
        return _page(request, error)
    response = await on_http_exception(request, error)
    response.headers.append("Vary", "Accept")
    return response


def _page(request: Request, error: HTTPException) -> Response:
    path = request.scope["path"]
    address = path if len(path) <= _SHOWN else path[:_SHOWN] + "…"
    # bytes that are no UTF-8 may be in an address
    readable = address.encode(errors="replace").decode()
    said = f"{error.detail}." if isinstance(error, SwitchedOff) else "There is nothing at this address."
    values = {
        "base": escape(prefix_of(request.scope) + "/"),
        "address": escape(readable),
        "said": escape(said),
        "places": "\n".join(_places(request)),
    }
    return page("not-found.html", status=404, policy=_POLICY, values=values, negotiated=True)


def _places(request: Request) -> list[str]:
    settings = request.app.state.tandem.settings
    shown = [*([_PLAYGROUND] if settings.graphiql_on else []), *(_REFERENCES if settings.api_docs_on else ())]
    return [
        f'<li>\n<h3><a href="{href}">{name}</a></h3>\n<p>{purpose}</p>\n<code>/{href}</code>\n</li>'
        for href, name, purpose in shown
    ] or ["<li>\n<p>The playground and the reference are switched off on this server.</p>\n</li>"]
