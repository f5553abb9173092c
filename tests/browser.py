"""Pages in Chromium, on a real server, and what goes wrong in them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright
from playwright.sync_api import Response as PageResponse

from tests.infrastructure import lacking, require
from tools import assets as installer


@dataclass
class Visit:
    """A page in Chromium, and what went wrong in it."""

    page: Page
    base: str
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("request", self._request)
        self.page.on("response", self._response)
        self.page.on("requestfailed", lambda request: self.problems.append(f"failed: {request.url}"))
        self.page.on("pageerror", lambda error: self.problems.append(f"script: {error}"))
        self.page.on("console", self._console)

    def _request(self, request: Request) -> None:
        url = urlsplit(request.url)
        if url.scheme not in ("data", "blob") and url.netloc != urlsplit(self.base).netloc:
            self.problems.append(f"foreign: {request.url}")

    def _response(self, response: PageResponse) -> None:
        if response.status >= 400:
            self.problems.append(f"{response.status}: {response.url}")

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.problems.append(f"console: {message.text}")

    def another(self) -> "Visit":
        """Another tab of the same browser."""
        return Visit(self.page.context.new_page(), self.base)

    def open(self, path: str) -> Page:
        self.page.goto(self.base + path)
        return self.page


class InChromium:
    """For tests of what a person sees, on a real server."""

    # For the class and no longer: while it runs, this thread cannot run asynchronous tests.
    @pytest.fixture(scope="class")
    @classmethod
    def chromium(cls) -> Iterator[Browser]:
        path = require("chromium")
        if reason := installer.problem():
            lacking("assets", reason)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
            yield browser
            browser.close()

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        """Options of the browser's context, which a test may parametrize."""
        return {}

    @pytest.fixture
    def visit(self, chromium: Browser, live_server: str, options: dict[str, Any]) -> Iterator[Visit]:
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 800}} | options)
        context.set_default_timeout(10_000)
        yield Visit(context.new_page(), live_server.rstrip("/"))
        context.close()
