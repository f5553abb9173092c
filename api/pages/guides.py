"""The guides: pages that ``tools/guides.py`` has rendered from docs/, put into the page that they share.

A request names a file of one folder and never a path: names have neither slashes nor leading dots.
"""

import html
import json
import re
from pathlib import Path
from typing import Final

from fastapi import APIRouter, HTTPException, Request
from starlette.responses import FileResponse, Response

from api.http.cache_control import Kind, answers
from api.openapi import require_api_docs
from api.pages.html import page

__all__ = ["router"]

GUIDES: Final = Path(__file__).resolve().parent / "guides"
INDEX: Final = "index"

router: Final = APIRouter(include_in_schema=False)

_READ: Final = ["GET", "HEAD"]
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,99}", re.ASCII)
#: Their addresses begin at the server's root, which lies one level above a guide.
_POLICY: Final = {"base-uri": "'self'"}
_MISSING: Final = """<h1>One step is missing</h1>
<p>The guides are rendered from <code>docs/</code> when the server is set up. Run one of these in the project's folder,
then reload the page; the server need not be restarted:</p>
<pre tabindex="0"><code>make setup</code></pre>
<pre tabindex="0"><code>python tools/guides.py</code></pre>
"""


@router.api_route("/guides", methods=_READ)
@answers(Kind.OWN)
async def guides_page(request: Request) -> Response:
    """The index of the guides."""
    require_api_docs(request)
    return _guide(INDEX, base="./")


@router.api_route("/guides/{name}", methods=_READ)
@answers(Kind.OWN)
async def guide_page(name: str, request: Request) -> Response:
    """A guide, or a picture in one."""
    require_api_docs(request)
    if _NAME.fullmatch(name) and name != INDEX:
        if name.endswith(".svg") and (GUIDES / name).is_file():
            return FileResponse(GUIDES / name, media_type="image/svg+xml", headers={"Cache-Control": "no-cache"})
        if (GUIDES / f"{name}.json").is_file() or not (GUIDES / f"{INDEX}.json").is_file():
            return _guide(name, base="../")
    raise HTTPException(404, "There is no such guide.")


def _guide(name: str, *, base: str) -> Response:
    status = 200
    try:
        found: dict[str, str] = json.loads((GUIDES / f"{name}.json").read_bytes())
    except OSError:
        # as for the libraries of the other pages: there is a step that only the operator can take
        status, found = 503, {"title": "One step is missing", "toc": "", "body": _MISSING}
    values = {"base": base, "title": html.escape(found["title"]), "toc": found["toc"], "body": found["body"]}
    return page("guides.html", policy=_POLICY, values=values, status=status)
