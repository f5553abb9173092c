"""The reference and the guides in Chromium: on phones and desks, light and dark, with the console watched."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import expect

import api.pages.guides
from tests.actors import PASSWORD
from tests.browser import InChromium, Visit
from tests.infrastructure import lacking
from tools import assets as installer
from tools import guides

PAGES = ("/reference", "/guides", "/guides/clients", "/guides/roles", "/guides/start")
WIDTHS = (390, 768, 1440)
SCHEMES: dict[Literal["light", "dark"], str] = {
    "light": "axe.run(document)",
    "dark": 'axe.run(document, {runOnly: ["color-contrast"]})',
}
"""What is looked for in each: in the dark, colours alone are others."""
PHONE = {"viewport": {"width": 390, "height": 844}}


@pytest.fixture(scope="module", autouse=True)
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The guides of these sources; the server looks for them where it is told."""
    target = tmp_path_factory.mktemp("pages") / "guides"
    guides.render(target)
    patched = pytest.MonkeyPatch()
    patched.setattr(api.pages.guides, "GUIDES", target)
    yield target
    patched.undo()


class TestPages(InChromium):
    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return PHONE

    @pytest.mark.parametrize("path", PAGES)
    def test_nothing_is_cut_off_and_nothing_fails(self, visit: Visit, path: str) -> None:
        page = visit.open(path)
        page.wait_for_load_state("networkidle")
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 844})
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), width
        assert visit.problems == []

    def test_snippets_carry_this_servers_address(self, visit: Visit) -> None:
        page = visit.open("/reference#tag/tasks/POST/api/v1/tasks")
        for name, text in (("Shell", "curl"), ("Python", "requests.post"), ("JavaScript", "fetch(")):
            page.get_by_role("tab", name=name).first.dispatch_event("click", timeout=30_000)
            shown = page.locator("pre").filter(has_text=text).filter(has_text=f"{visit.base}/api/v1/tasks")
            expect(shown.first).to_be_attached(timeout=30_000)
        assert visit.problems == []

    def test_who_is_signed_in_on_this_server_is_so_in_the_reference(self, visit: Visit) -> None:
        account = {"username": "reference_ada", "email": "reference@example.com", "password": PASSWORD}
        httpx.post(f"{visit.base}/api/v1/users", json=account).raise_for_status()
        page = visit.open("/reference#tag/tasks/POST/api/v1/tasks")
        page.evaluate("(login) => Tandem.session.signIn(login)", {"username": "reference_ada", "password": PASSWORD})
        page.get_by_role("button", name="(post /api/v1/tasks)").click(timeout=30_000)
        with page.expect_response(lambda response: urlsplit(response.url).path == "/api/v1/tasks") as answered:
            page.get_by_role("button", name="Send").first.click()
        assert answered.value.status == 201
        assert visit.problems == []

    def test_examples_of_a_guide_name_this_server_and_are_copied(self, visit: Visit) -> None:
        page = visit.open("/guides")
        example = page.locator("figure").filter(has_text="SERVER=").first
        expect(example).to_contain_text(f"SERVER={visit.base}")
        example.get_by_role("button", name="Copy").click()
        expect(page.locator("#copied")).to_have_text("Copied")

    def test_links_of_a_guide_to_the_server_lead_to_this_one(self, visit: Visit) -> None:
        page = visit.open("/guides/start")
        for path in ("/graphql", "/reference", "/guides"):
            link = page.get_by_role("link", name=f"{visit.base}{path}", exact=True)
            expect(link).to_have_attribute("href", f"{visit.base}{path}")


class TestAxe(InChromium):
    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return PHONE | {"color_scheme": "light", "reduced_motion": "reduce"}

    @pytest.mark.parametrize("path", PAGES)
    def test_labels_and_contrasts(self, visit: Visit, path: str) -> None:
        if reason := installer.problem(installer.TEST_TARGET, installer.TEST_ASSETS):
            lacking("assets", reason)
        [source] = [file.read_text() for file in installer.TEST_TARGET.glob("axe-*.js")]
        page = visit.open(path)
        page.wait_for_load_state("networkidle")
        page.evaluate(source)
        for scheme, rules in SCHEMES.items():
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            for width in (390, 1440):
                page.set_viewport_size({"width": width, "height": 844})
                found = page.evaluate(rules)["violations"]
                assert {each["id"]: [node["html"] for node in each["nodes"]] for each in found} == {}, (scheme, width)
