"""The playground in Chromium: one session for all tabs, what an answer took, and widths from a phone's to a desk's."""

import json
import re
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from api.pages.html import playground_examples
from tests.browser import InChromium, Visit
from tests.infrastructure import lacking
from tools import assets as installer

PASSWORD = "analytical-engine-1843"
#: Puts a change into the session that the page keeps.
CHANGE_SESSION = """change => {
    const key = Object.keys(localStorage).find((name) => name.startsWith("tandem:session:"));
    localStorage.setItem(key, JSON.stringify({...JSON.parse(localStorage.getItem(key)), ...change}));
}"""
SESSION = 'Object.entries(localStorage).find(([name]) => name.startsWith("tandem:session:"))?.[1] ?? "null"'
OVER = {"expiresAt": 0}
REFUSED = {"accessToken": "of-bad-news"}


def open_playground(visit: Visit) -> Page:
    page = visit.open("/graphql")
    expect(page.locator(".graphiql-query-editor .CodeMirror")).to_be_visible()
    return page


def result(page: Page) -> Locator:
    return page.get_by_label("Result Window")


def dialog(page: Page, name: str) -> Locator:
    return page.get_by_role("dialog", name=name)


def register(page: Page, username: str) -> None:
    page.locator(".account").get_by_role("button", name="Sign in").click()
    dialog(page, "Sign in").get_by_role("button", name="Register").click()
    fill(dialog(page, "Register"), username)
    dialog(page, "Register").get_by_role("button", name="Create account").click()
    expect(page.get_by_text(f"Signed in as {username}")).to_be_visible()


def fill(form: Locator, username: str, password: str = PASSWORD) -> None:
    form.get_by_label("Username").fill(username)
    form.get_by_label("E-mail").fill(f"{username}@example.com")
    form.get_by_label("Password").fill(password)


def choose(page: Page, operation: str) -> None:
    page.locator(".graphiql-tab-button").filter(has_text=operation).click()


def run(page: Page, operation: str) -> None:
    choose(page, operation)
    page.locator(".graphiql-execute-button").click()


def session_of(page: Page) -> Any:
    return json.loads(page.evaluate(SESSION))


class TestSession(InChromium):
    def test_sign_in_then_queries_show_data(self, visit: Visit) -> None:
        page = open_playground(visit)
        register(page, "browser_ada")
        run(page, "WhoAmI")
        expect(result(page)).to_contain_text('"username": "browser_ada"')
        page.reload()
        expect(page.get_by_text("Signed in as browser_ada")).to_be_visible()
        assert visit.problems == []

    def test_empty_answer_says_how_to_sign_in(self, visit: Visit) -> None:
        page = open_playground(visit)
        page.locator(".empty").get_by_role("button", name="Sign in").click()
        expect(dialog(page, "Sign in")).to_be_visible()
        page.keyboard.press("Escape")
        run(page, "CreateTask")
        expect(result(page)).to_contain_text("UNAUTHENTICATED")
        expect(page.locator(".took")).to_contain_text("401")
        page.locator(".took").get_by_role("button", name="Sign in").click()
        expect(dialog(page, "Sign in")).to_be_visible()

    def test_sign_out_and_sign_in_again(self, visit: Visit) -> None:
        page = open_playground(visit)
        register(page, "browser_grace")
        page.get_by_role("button", name="Sign out").click()
        assert session_of(page) is None
        run(page, "WhoAmI")
        expect(result(page)).to_contain_text(re.compile('"me": null|UNAUTHENTICATED'))
        page.locator(".account").get_by_role("button", name="Sign in").click()
        form = dialog(page, "Sign in")
        form.get_by_label("Username or e-mail").fill("browser_grace@example.com")
        form.get_by_label("Password").fill("wrong")
        page.keyboard.press("Enter")
        expect(form.get_by_role("alert")).to_have_text("Incorrect username or password")
        expect(form.get_by_label("Username or e-mail")).to_have_value("browser_grace@example.com")
        form.get_by_label("Password").fill(PASSWORD)
        page.keyboard.press("Enter")
        expect(page.get_by_text("Signed in as browser_grace", exact=True)).to_be_visible()

    def test_refused_registration_keeps_what_was_typed(self, visit: Visit) -> None:
        page = open_playground(visit)
        page.locator(".account").get_by_role("button", name="Sign in").click()
        dialog(page, "Sign in").get_by_label("Username or e-mail").fill("browser_joan")
        dialog(page, "Sign in").get_by_role("button", name="Register").click()
        form = dialog(page, "Register")
        expect(form.get_by_label("Username")).to_have_value("browser_joan")
        fill(form, "browser_joan", "short")
        form.get_by_role("button", name="Create account").click()
        expect(form.get_by_role("alert")).to_contain_text("Password: must have at least 8 characters")
        expect(form.get_by_label("Password")).to_have_attribute("aria-invalid", "true")
        form.get_by_role("button", name="Cancel").click()
        page.locator(".empty").get_by_role("button", name="Register").click()
        for label, value in (
            ("Username", "browser_joan"),
            ("E-mail", "browser_joan@example.com"),
            ("Password", "short"),
        ):
            expect(form.get_by_label(label)).to_have_value(value)

    def test_headers_pane_wins_over_the_sign_in(self, visit: Visit) -> None:
        page = open_playground(visit)
        register(page, "browser_mary")
        page.get_by_role("button", name="Headers", exact=True).click()
        page.locator(".graphiql-editor-tool .CodeMirror:visible").click()
        page.keyboard.insert_text('{"authorization": "Bearer of-bad-news"}')
        with page.expect_request(lambda request: request.url.endswith("/graphql") and request.method == "POST") as sent:
            page.locator(".graphiql-execute-button").click()
        assert sent.value.headers["authorization"] == "Bearer of-bad-news"

    @pytest.mark.parametrize("change", [OVER, REFUSED], ids=["over", "refused"])
    def test_token_is_renewed_for_a_query(self, visit: Visit, change: dict[str, Any]) -> None:
        page = open_playground(visit)
        username = f"browser_renew_{'expiresAt' in change}"
        register(page, username)
        before = session_of(page)
        page.evaluate(CHANGE_SESSION, change)
        run(page, "WhoAmI")
        expect(result(page)).to_contain_text(f'"username": "{username}"')
        after = session_of(page)
        assert before["refreshToken"] != after["refreshToken"]
        assert after["accessToken"] not in (before["accessToken"], change.get("accessToken"))

    @pytest.mark.parametrize("change", [OVER, REFUSED], ids=["over", "refused"])
    def test_token_is_renewed_for_a_subscription(self, visit: Visit, change: dict[str, Any]) -> None:
        page = open_playground(visit)
        register(page, f"browser_watch_{'expiresAt' in change}")
        page.evaluate(CHANGE_SESSION, change)
        run(page, "WatchTasks")
        events = page.get_by_role("region", name="Events")
        expect(events.get_by_text("Connected")).to_be_visible()
        events.get_by_role("button", name="Create a task").click()
        expect(result(page)).to_contain_text("Try the playground")
        expect(events.locator("li.lost")).to_have_count(1 if change is REFUSED else 0)

    def test_tabs_and_the_reference_share_a_session_and_renew_it_once(self, visit: Visit) -> None:
        page, other = open_playground(visit), visit.another()
        second = open_playground(other)
        register(page, "browser_two")
        expect(second.get_by_text("Signed in as browser_two")).to_be_visible()
        renewals: list[str] = []
        page.context.on("request", lambda r: renewals.append(r.url) if r.url.endswith("/token/refresh") else None)
        page.evaluate(CHANGE_SESSION, OVER)
        for tab in (page, second):
            tab.evaluate("window.bearer = Tandem.session.bearer()")
        tokens = {tab.evaluate("window.bearer") for tab in (page, second)}
        assert len(tokens) == 1
        assert len(renewals) == 1
        reference = visit.another().open("/docs")
        expect(reference.get_by_text("Signed in as browser_two")).to_be_visible()
        intercepted = "request => window.ui.getConfigs().requestInterceptor(request).then(({headers}) => headers)"
        for url, given, sent in (
            ("/api/v1/tasks", {}, {"Authorization": f"Bearer {tokens.pop()}"}),
            ("/api/v1/tasks", {"X-API-Key": "tdk_x"}, {"X-API-Key": "tdk_x"}),
            ("https://elsewhere.example/", {}, {}),
        ):
            assert reference.evaluate(intercepted, {"url": url, "headers": given}) == sent
        second.get_by_role("button", name="Sign out").click()
        expect(page.locator(".account").get_by_role("button", name="Sign in")).to_be_visible()

    def test_session_that_was_ended_says_so(self, visit: Visit) -> None:
        page = open_playground(visit)
        register(page, "browser_ended")
        page.evaluate(CHANGE_SESSION, OVER | {"refreshToken": "spent"})
        run(page, "WhoAmI")
        expect(page.get_by_text("Your session has ended: sign in again.")).to_be_visible()
        expect(page.locator(".account").get_by_role("button", name="Sign in")).to_be_visible()


class TestAnswers(InChromium):
    def test_every_tab_works_as_delivered(self, visit: Visit) -> None:
        page = open_playground(visit)
        register(page, "browser_tabs")
        tabs = page.locator(".graphiql-tab-button").all_inner_texts()
        assert len(tabs) == len(playground_examples())
        for tab in tabs:
            run(page, tab)
            if tab == "WatchTasks":
                page.get_by_role("button", name="Create a task").click()
            else:
                expect(page.locator(".took")).to_contain_text("Status200")
            expect(result(page)).to_contain_text('"data"')
            expect(result(page)).not_to_contain_text('"errors"')
        assert visit.problems == []

    def test_answer_has_its_status_time_size_and_price(self, visit: Visit) -> None:
        page = open_playground(visit)
        register(page, "browser_facts")
        run(page, "OpenTasks")
        facts = page.locator(".took dl")
        expect(facts).to_have_text(re.compile(r"^Status200Time[\d.]+ m?sSize[\d.]+ k?BPrice[\d,]+ points$"))
        expect(result(page)).to_contain_text('"pageInfo"')
        expect(result(page)).not_to_contain_text("extensions")
        choose(page, "WhoAmI")
        expect(page.locator(".empty")).to_be_visible()
        choose(page, "OpenTasks")
        expect(facts).to_be_visible()

    def test_events_of_a_subscription_are_logged_with_their_times(self, visit: Visit) -> None:
        page = open_playground(visit)
        register(page, "browser_events")
        run(page, "WatchTasks")
        events = page.get_by_role("region", name="Events")
        for count in (1, 2):
            events.get_by_role("button", name="Create a task").click()
            expect(events.get_by_text(f"Listening, {count} event")).to_be_visible()
        expect(events.locator("li.event time").first).to_have_text(re.compile(r"^\d\d:\d\d:\d\d\.\d{3}$"))
        events.locator("summary").last.click()
        expect(events.locator("pre:visible")).to_contain_text('"ref": "INBOX-1"')
        page.locator(".graphiql-execute-button").click()
        expect(events.locator("li").first).to_contain_text("Stopped")
        expect(events.get_by_role("button", name="Create a task")).to_have_count(0)
        assert visit.problems == []


#: What axe finds in GraphiQL, CodeMirror and the explorer, and cannot be mended from outside: rule, selector, why.
OF_THE_LIBRARIES = (
    ("scrollable-region-focusable", ".CodeMirror-scroll", "it scrolls by its text area, which lies beside it"),
    ("label-content-name-mismatch", ".graphiql-history-item", "the history names each operation 'Set active'"),
    ("select-name", "select", "the explorer's choice of what to add"),
)
AXE = """async (known) => {
    const { violations } = await axe.run(document, { resultTypes: ["violations"] });
    return violations.flatMap(({ id, nodes }) => nodes
        .filter(({ target }) => !known.some(([rule, within]) =>
            rule === id && document.querySelector(target.at(-1))?.closest(within)))
        .map(({ target, failureSummary }) => `${id} ${target}: ${failureSummary}`));
}"""
WIDTHS = [360, 390, 600, 768, 900, 1440]


class TestWidths(InChromium):
    @pytest.mark.parametrize(
        "options", [{"viewport": {"width": w, "height": 640}} for w in WIDTHS], ids=map(str, WIDTHS)
    )
    def test_nothing_is_cut_off(self, visit: Visit, options: dict[str, Any]) -> None:
        width = options["viewport"]["width"]
        page = open_playground(visit)

        def seen(*shown: Locator) -> None:
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            for locator in shown:
                box = locator.bounding_box()
                assert box is not None
                assert box["x"] >= 0
                assert box["x"] + box["width"] <= width, locator
                assert box["y"] + box["height"] <= 640, locator

        execute = page.locator(".graphiql-execute-button")
        links = page.get_by_role("navigation", name="Pages").get_by_role("link").all()
        seen(execute, *links, page.locator(".empty .ways button").first, page.locator(".account button").first)
        register(page, f"a_person_with_a_long_name_of_50_characters_{width:07}")
        seen(page.get_by_role("button", name="Sign out"), execute)
        run(page, "OpenTasks")
        seen(page.locator(".took"), page.locator(".graphiql-tab-active .graphiql-tab-close"))
        query, answer = page.locator(".graphiql-query-editor").bounding_box(), result(page).bounding_box()
        assert query
        assert answer
        assert (answer["y"] >= query["y"] + query["height"]) is (width <= 900)
        page.get_by_role("button", name="Show Documentation Explorer").click()
        panel = page.locator(".graphiql-plugin")
        seen(panel.get_by_text("Docs"), page.get_by_role("button", name="Hide Documentation Explorer"))
        covered = panel.bounding_box()
        assert covered
        assert (covered["width"] == width) is (width <= 900)
        page.get_by_role("button", name="Hide Documentation Explorer").click()
        expect(execute).to_be_in_viewport()
        page.get_by_role("button", name="Open settings dialog").click()
        close = page.get_by_role("button", name="Close dialog")
        seen(close, close.locator("svg"), page.get_by_role("button", name="Dark"))
        icon = close.locator("svg").bounding_box()
        assert icon
        assert icon["width"] > 24
        close.click()
        assert visit.problems == []

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("width", [390, 1440])
    @pytest.mark.parametrize("options", [{}], ids=[""])
    def test_axe_finds_nothing_of_ours(self, visit: Visit, width: int, scheme: Any, options: dict[str, Any]) -> None:
        if reason := installer.problem(installer.TEST_TARGET, installer.TEST_ASSETS):
            lacking("assets", reason)
        [source] = [path.read_text() for path in installer.TEST_TARGET.glob("axe-*.js")]
        page = visit.page
        page.set_viewport_size({"width": width, "height": 844})
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")

        def check() -> None:
            page.evaluate(source)
            assert page.evaluate(AXE, [[rule, within] for rule, within, _ in OF_THE_LIBRARIES]) == []

        visit.open("/nowhere/at/all")
        check()
        visit.open("/")
        check()
        open_playground(visit)
        check()
        page.locator(".account").get_by_role("button", name="Sign in").click()
        check()
        page.keyboard.press("Escape")
        register(page, f"browser_axe_{width}_{scheme}")
        run(page, "OpenTasks")
        expect(page.locator(".took")).to_be_visible()
        page.get_by_role("button", name="Show Documentation Explorer").click()
        expect(page.get_by_text("query: Query")).to_be_visible()
        check()
        page.get_by_role("button", name="Hide Documentation Explorer").click()
        run(page, "WatchTasks")
        page.get_by_role("button", name="Create a task").click()
        expect(page.locator("li.event")).to_be_visible()
        check()
