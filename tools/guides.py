#!/usr/bin/env python3
"""Render the guides behind /guides into ``api/pages/guides/``: docs/*.md and what they link to, a file of JSON each.

No worker imports a library for it, and none renders anything. Nothing happens when the pages are those of the sources.

    python tools/guides.py            render, or do nothing when up to date
    python tools/guides.py --check    exit 1 unless the rendered pages are those of the sources
"""

from __future__ import annotations

import argparse
import hashlib
import html
import itertools
import json
import os
import posixpath
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.token import Token
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

ROOT: Final = Path(__file__).resolve().parent.parent
TARGET: Final = ROOT / "api" / "pages" / "guides"
KEY: Final = "key.txt"
INDEX: Final = "index"
#: What becomes a page, by its path in the repository; whatever else is linked to stays text.
SOURCES: Final = ("README.md", "CHANGELOG.md", "docs/*.md", "docs/decisions/*.md", "examples/*.py")
#: What the server answers itself.
SERVED: Final = {
    "schema.graphql": "graphql/schema.graphql",
    "openapi.json": "openapi.json",
    "asyncapi.json": "asyncapi.json",
}
_LANGUAGES: Final = {"sh": "bash", "js": "javascript", "ts": "typescript"}
#: A header that heads nothing is none: a screen reader would read it out.
_EMPTY_HEADER: Final = re.compile(r"<th(?: class=\"number\")?></th>")
_FORMATTER: Final = HtmlFormatter(nowrap=True, classprefix="t-")


def page_name(path: str) -> str:
    """The name of a source's page, in its address: ``docs/decisions/0006-cursors.md`` is ``decision-0006-cursors``."""
    if path == "docs/README.md":
        return INDEX
    folder, _, file = path.rpartition("/")
    if folder == "docs/decisions":
        return "decisions" if file == "README.md" else "decision-" + file.removesuffix(".md")
    return {"README.md": "start", "CHANGELOG.md": "changelog"}.get(path, file.removesuffix(".md"))


def sources(root: Path = ROOT) -> dict[str, str]:
    """The pages' names by their paths in the repository."""
    found = sorted(path.relative_to(root).as_posix() for pattern in SOURCES for path in root.glob(pattern))
    names = {path: page_name(path) for path in found}
    if len(set(names.values())) < len(names):
        raise ValueError("Two sources of guides have the same name.")
    return names


def slug(title: str) -> str:
    """A heading's anchor, as forges make it."""
    return re.sub(r"[^\w\- ]", "", title).lower().replace(" ", "-")


class Page:
    """One page, rendered."""

    def __init__(self, path: str, names: dict[str, str], root: Path = ROOT) -> None:
        self.path, self.names, self.root = path, names, root
        self.name = names[path]
        self.title, self.toc, self.images = "", "", set[str]()
        self._slugs: dict[str, int] = {}
        text = (root / path).read_text(encoding="utf-8")
        self.body = self._markdown(text) if path.endswith(".md") else self._source(text)

    def as_json(self) -> bytes:
        kept = {"title": self.title, "toc": self.toc, "body": self.body}
        return json.dumps(kept, ensure_ascii=False).encode()

    def _source(self, text: str) -> str:
        self.title = posixpath.basename(self.path)
        return f"<h1>{html.escape(self.title)}</h1>\n{code(text, 'python')}"

    def _markdown(self, text: str) -> str:
        parser = MarkdownIt("commonmark", {"html": False}).enable("table")
        tokens = parser.parse(re.sub(r"<!--.*?-->\n?", "", text, flags=re.DOTALL))
        entries = []
        for opening, inline in itertools.pairwise(tokens):
            if inline.type == "inline":
                self._links(inline)
            if opening.attrGet("style") == "text-align:right":  # which our Content-Security-Policy does not let pass
                opening.attrs = {"class": "number"}
            if opening.type != "heading_open":
                continue
            title = "".join(part.content for part in inline.children or () if part.type in ("text", "code_inline"))
            anchor = self._anchor(opening, inline, title)
            if opening.tag == "h1":
                self.title = self.title or title
            elif opening.tag == "h2":
                entries.append(f'<li><a href="{anchor}">{html.escape(title)}</a></li>')
        self.toc = "\n".join(entries)
        parser.add_render_rule("fence", lambda _self, found, index, *_: code(found[index].content, found[index].info))
        parser.add_render_rule("table_open", lambda *_: '<div class="table" tabindex="0" role="group">\n<table>\n')
        parser.add_render_rule("table_close", lambda *_: "</table>\n</div>\n")
        rendered: str = parser.renderer.render(tokens, parser.options, {})
        return _EMPTY_HEADER.sub("<td></td>", rendered)

    def _anchor(self, opening: Token, inline: Token, title: str) -> str:
        """Gives a heading its anchor, and makes it a link to itself unless it has links; answers its address."""
        base = slug(title)
        count = self._slugs[base] = self._slugs.get(base, -1) + 1
        anchor = f"{base}-{count}" if count else base
        opening.attrSet("id", anchor)
        address = f"{self._address(self.name)}#{anchor}"
        children = inline.children or []
        if opening.tag != "h1" and not any(part.type == "link_open" for part in children):
            link = Token("link_open", "a", 1, attrs={"href": address, "class": "anchor"})
            inline.children = [link, *children, Token("link_close", "a", -1)]
        return address

    @staticmethod
    def _address(name: str) -> str:
        return "guides" if name == INDEX else f"guides/{name}"

    def _links(self, inline: Token) -> None:
        kept: list[Token] = []
        dropped = 0
        for part in inline.children or ():
            if part.type == "link_open":
                address = self._resolved(str(part.attrGet("href")))
                if address is None:
                    dropped += 1
                    continue
                part.attrSet("href", address)
            elif part.type == "link_close" and dropped:
                dropped -= 1
                continue
            elif part.type == "image":
                found = self._repository_path(str(part.attrGet("src")))
                self.images.add(found)
                part.attrSet("src", f"guides/{posixpath.basename(found)}")
                part.attrSet("loading", "lazy")
            kept.append(part)
        inline.children = kept

    def _resolved(self, target: str) -> str | None:
        """Where a link leads, seen from the server's root; None for what it does not serve."""
        if re.match(r"[a-z]+:", target):
            return target
        path, _, heading = target.partition("#")
        found = self._repository_path(path) if path else self.path
        if found in SERVED:
            return SERVED[found]
        if found not in self.names:
            return None
        return self._address(self.names[found]) + (f"#{heading}" if heading else "")

    def _repository_path(self, target: str) -> str:
        return posixpath.normpath(posixpath.join(posixpath.dirname(self.path), target))


def code(text: str, language: str) -> str:
    """A block of code with its tokens in spans; what no lexer is there for stays plain."""
    try:
        lexer = get_lexer_by_name(_LANGUAGES.get(language.strip(), language.strip() or "text"), stripnl=False)
        shown = highlight(text, lexer, _FORMATTER)
    except ClassNotFound:
        shown = html.escape(text, quote=False)
    return f'<pre tabindex="0"><code>{shown.rstrip()}\n</code></pre>\n'


def key(root: Path = ROOT) -> str:
    """What the pages depend on: their sources, and this recipe."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for path in [*sources(root), *(each.relative_to(root).as_posix() for each in sorted(root.glob("docs/*.svg")))]:
        content = (root / path).read_bytes()
        digest.update(f"{path} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def rendered(root: Path = ROOT) -> Iterator[tuple[str, bytes]]:
    """Every file of the guides: its name and what is in it."""
    names = sources(root)
    pages = [Page(path, names, root) for path in names]
    for page in pages:
        yield f"{page.name}.json", page.as_json()
    for image in sorted(set().union(*(page.images for page in pages))):
        yield posixpath.basename(image), (root / image).read_bytes()


def up_to_date(target: Path = TARGET, root: Path = ROOT) -> bool:
    try:
        return (target / KEY).read_text() == key(root)
    except OSError:
        return False


def render(target: Path = TARGET, root: Path = ROOT) -> int:
    """Make the folder anew, beside the old one, which it then replaces; answers how many files there are."""
    target.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=target.parent, prefix=".guides-"))
    try:
        made.chmod(0o755)
        files = [*rendered(root), (KEY, key(root).encode())]
        for name, content in files:
            (made / name).write_bytes(content)
        old = target.with_name(f".guides-old-{os.getpid()}")
        if target.exists():
            target.rename(old)
        made.rename(target)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return len(files)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Render the guides that the application serves.")
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 unless all is up to date")
    options = parser.parse_args(arguments)
    current = up_to_date()
    if options.check:
        if not current:
            sys.stderr.write("Run `python tools/guides.py`: the guides are not those of docs/.\n")
        return 0 if current else 1
    if current:
        sys.stdout.write("Guides: up to date.\n")
        return 0
    try:
        sys.stdout.write(f"Guides: {render()} files rendered in {TARGET.relative_to(ROOT)}.\n")
    except OSError as error:
        sys.stderr.write(f"Guides were not rendered: {error.strerror}: {error.filename}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
