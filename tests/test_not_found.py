"""What is answered where there is nothing: a page for a browser, a problem document for everybody else."""

import re

import httpx
import pytest

from db.driver.database import Database
from tests.actors import Anonymous
from tests.conftest import migrate, settings_for
from tests.doors import another_instance, calling
from tests.live import LiveServer

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
#: Who is no browser, though one of them names HTML beside what it can read better.
OTHERS = ["*/*", "application/json", "application/problem+json, text/html;q=0.5", "text/plain", ""]


class TestNotFound:
    @pytest.mark.parametrize(
        "path", ["//nowhere", "//api/v1", "//api/v2/tasks", "//a/b/c/d", "//assets/none.js", "//%ff"]
    )
    async def test_browser_gets_a_page_that_says_where_things_are(self, anonymous: Anonymous, path: str) -> None:
        page = await anonymous.get(path, headers=BROWSER)
        assert page.status_code == 404
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert page.headers["cache-control"] == "no-store"
        assert "Accept" in page.headers["vary"]
        assert {"graphql", "reference", "guides"} <= set(re.findall(r'<a href="([^"]+)"', page.text))
        assert '<base href="/">' in page.text

    @pytest.mark.parametrize("accept", OTHERS)
    async def test_everybody_else_gets_a_problem(self, anonymous: Anonymous, accept: str) -> None:
        answer = await anonymous.get("//nowhere", headers={"Accept": accept})
        assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")
        assert answer.headers["content-type"] == "application/problem+json"
        assert "Accept" in answer.headers["vary"]

    async def test_only_reads_get_the_page(self, anonymous: Anonymous) -> None:
        for method, media_type in (("HEAD", "text/html; charset=utf-8"), ("POST", "application/problem+json")):
            answer = await anonymous.rest(method, "//nowhere", headers=BROWSER)
            assert (answer.status_code, answer.headers["content-type"]) == (404, media_type)

    async def test_what_the_address_says_stays_text(self, anonymous: Anonymous) -> None:
        page = await anonymous.get("//<script>alert(1)</script>{{ asset icon.svg }}" + "x" * 5_000, headers=BROWSER)
        assert "/&lt;script&gt;alert(1)&lt;/script&gt;{{ asset icon.svg }}x" in page.text
        assert "<script" not in page.text
        assert "x" * 201 not in page.text
        assert "base-uri 'self'" in page.headers["content-security-policy"]

    async def test_what_is_switched_off_is_named_and_not_led_to(self, database: Database) -> None:
        async with another_instance(database, graphiql=False, api_docs=False) as app, calling(app) as anonymous:
            for path, setting in (("//graphql", "GRAPHIQL"), ("//docs", "API_DOCS"), ("//openapi.json", "API_DOCS")):
                page = await anonymous.get(path, headers=BROWSER)
                assert page.status_code == 404
                assert f"This is switched off on this server ({setting})." in page.text
                assert "<li>\n<h3>" not in page.text
        async with another_instance(database, api_docs=False) as app, calling(app) as anonymous:
            page = await anonymous.get("//nowhere", headers=BROWSER)
            assert re.findall(r'<h3><a href="([^"]+)"', page.text) == ["graphql"]

    def test_links_begin_at_the_prefix_of_a_proxy(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        url = f"sqlite:///{tmp_path_factory.mktemp('prefix') / 'test.db'}"
        migrate(url)
        with LiveServer(settings_for(url), root_path="/tandem") as server:
            page = httpx.get(f"{server.base_url}/tandem/a/b/c", headers=BROWSER)
            assert page.status_code == 404
            assert '<base href="/tandem/">' in page.text
