"""Pages as responses: templates filled in, and the headers every page carries."""

import functools
import html
import json
import re
from typing import Final

from starlette.responses import HTMLResponse

from api.pages.assets import ASSETS, HERE

_SLOT: Final = re.compile(r"\{\{ (asset|include|example|value|current) ([\w.-]+) \}\}")
_COMMENT: Final = re.compile(r"^#.*$", re.MULTILINE)

#: Everything from this server and nothing inline; the libraries carry their fonts and icons as data: URLs.
_POLICY: Final = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "font-src": "'self' data:",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
}


class MissingAssetError(LookupError):
    """A page needs a library that has not been installed."""


def page(
    template: str,
    *,
    policy: dict[str, str] | None = None,
    values: dict[str, str] | None = None,
    negotiated: bool = False,
    status: int = 200,
) -> HTMLResponse:
    """The page made from ``templates/<template>``, or the page that says what is missing.

    ``policy`` replaces directives of the Content-Security-Policy; ``values`` are inserted as they are. A page that
    shares its URL with a machine's answer is ``negotiated``: caches are told that the Accept header chose it.
    """
    try:
        body = _render(template, values or {})
    except MissingAssetError:
        # Not 404, for the page exists, and not 500, for nothing is broken: the installation lacks a step that only
        # its operator can take. 503 says so to monitors and caches, and clients know it as temporary.
        body = _render("missing.html", {})
        status, policy = 503, None
    headers = {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in (_POLICY | (policy or {})).items()),
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "same-origin",
        "Cache-Control": "no-cache" if status == 200 else "no-store",
    }
    if negotiated:
        headers["Vary"] = "Accept"
    return HTMLResponse(body, status_code=status, headers=headers)


def _render(template: str, values: dict[str, str]) -> str:
    def fill(slot: re.Match[str]) -> str:
        kind, name = slot.groups()
        if kind == "include":
            return _SLOT.sub(fill, _read("templates", name))
        if kind == "current":
            return ' aria-current="page"' if template == name else ""
        if kind == "example":
            return _highlight(_read("examples", name))
        if kind == "value":
            return values[name]
        if url := ASSETS.url(name):
            return url
        raise MissingAssetError(name)

    return _SLOT.sub(fill, _read("templates", template))


@functools.cache
def _read(folder: str, name: str) -> str:
    return (HERE / folder / name).read_text(encoding="utf-8")


def _highlight(source: str) -> str:
    """Source as HTML text with its comment lines set apart."""
    return _COMMENT.sub(r"<i>\g<0></i>", html.escape(source.strip(), quote=False))


def playground_examples() -> list[dict[str, str]]:
    """The operations of ``examples/playground.graphql``, one per tab: ``title``, ``query`` and ``variables``."""
    examples = []
    for block in re.split(r"^#---", _read("examples", "playground.graphql"), flags=re.MULTILINE)[1:]:
        title, _, source = block.partition("\n")
        variables = ""
        if found := re.search(r"^# variables: (.*)\n", source, re.MULTILINE):
            variables = json.dumps(json.loads(found[1]), indent=2)
            source = source.replace(found[0], "")
        examples.append({"title": title.strip(), "query": source.strip() + "\n", "variables": variables})
    return examples


def json_data(value: object) -> str:
    """JSON that is safe inside a ``<script type="application/json">`` element."""
    return json.dumps(value).replace("<", "\\u003c")
