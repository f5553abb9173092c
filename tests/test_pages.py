"""The pages a browser sees, the assets behind them, and the command that installs those."""

import hashlib
import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from fastapi import FastAPI
from graphql import build_schema, parse, validate
from httpx import ASGITransport, AsyncClient, Response
from playwright.sync_api import expect

import api.pages
import api.pages.html
from api.pages import graphiql_page, home_page, router
from api.pages.assets import Assets
from api.pages.html import json_data, playground_examples
from tests.browser import InChromium, Visit
from tests.conftest import settings_for
from tools import assets as installer

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("/", "/graphql", "/reference", "/docs", "/redoc")
LIBRARY_PAGES = PAGES[1:]
LIBRARIES = [asset.name for asset in installer.ASSETS]


def install_libraries(target: Path, *, manifest: str | None = None, **replaced: str) -> None:
    """An installation in which each library is a line of text; ``replaced`` names other files for the manifest."""
    target.mkdir(exist_ok=True)
    files = {}
    for name in LIBRARIES:
        content = f"/* {name} */".encode()
        stem, _, suffix = name.partition(".")
        file = replaced.get(stem, f"{stem}-1.0.0.{suffix}")
        if Path(file).name == file:
            (target / file).write_bytes(content)
        files[name] = {"file": file, "sha256": hashlib.sha256(content).hexdigest()}
    (target / "manifest.json").write_text(json.dumps({"files": files}) if manifest is None else manifest)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder the libraries are installed in, still missing."""
    return tmp_path / "assets"


@pytest.fixture
def registry(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Assets:
    """What this process serves: the committed files, and what is in ``folder``."""
    registry = Assets(installed=folder)
    monkeypatch.setattr(api.pages, "ASSETS", registry)
    monkeypatch.setattr(api.pages.html, "ASSETS", registry)
    return registry


@pytest.fixture
def installed(folder: Path) -> Path:
    install_libraries(folder)
    return folder


@pytest.fixture
async def browser_client(registry: Assets) -> AsyncClient:
    """A client of an application that has nothing but the pages."""
    app = FastAPI(docs_url=None, redoc_url=None)
    app.state.tandem = SimpleNamespace(settings=settings_for("sqlite:///./unused.db"))
    app.include_router(router)
    app.add_api_route("/", home_page)
    app.add_api_route("/graphql", graphiql_page)
    return AsyncClient(transport=ASGITransport(app), base_url="http://test", headers={"Accept": "text/html"})


def asset_urls(page: Response) -> list[str]:
    return re.findall(r'(?:src|href)="(assets/[^"]+)"', page.text)


@pytest.mark.usefixtures("installed")
class TestPages:
    @pytest.mark.parametrize("path", PAGES)
    async def test_answers_html(self, browser_client: AsyncClient, path: str) -> None:
        page = await browser_client.get(path)
        assert page.status_code == 200
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert page.headers["cache-control"] == "no-cache"
        assert page.text.startswith("<!doctype html>")
        assert "{{" not in page.text

    @pytest.mark.parametrize("path", ["/docs", "/redoc", "/favicon.ico"])
    async def test_head_answers_without_a_body(self, browser_client: AsyncClient, path: str) -> None:
        head, get = await browser_client.head(path), await browser_client.get(path)
        assert head.status_code == 200
        assert head.headers["content-length"] == get.headers["content-length"]

    @pytest.mark.parametrize("path", PAGES)
    async def test_every_asset_of_a_page_is_served(self, browser_client: AsyncClient, path: str) -> None:
        page = await browser_client.get(path)
        urls = asset_urls(page)
        assert len(urls) > 2
        for url in urls:
            asset = await browser_client.get(f"/{url}")
            assert asset.status_code == 200, url

    @pytest.mark.parametrize("path", PAGES)
    async def test_page_needs_no_other_host_and_no_inline_code(self, browser_client: AsyncClient, path: str) -> None:
        text = (await browser_client.get(path)).text
        assert not re.search(r"<[^>]+\b(?:src|href|action)=\"(?:https?:)?//", text)
        assert not re.search(r"<[^>]+\s(?:style|on\w+)=", text)
        assert "<style" not in text
        scripts = re.findall(r"<script\b[^>]*>", text)
        assert all('src="assets/' in tag or 'type="application/json"' in tag for tag in scripts)

    @pytest.mark.parametrize("path", PAGES)
    async def test_page_may_load_from_this_server_only(self, browser_client: AsyncClient, path: str) -> None:
        headers = (await browser_client.get(path)).headers
        policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == "'self'"
        assert policy["connect-src"] == "'self'"
        assert policy["frame-ancestors"] == "'none'"
        assert not re.search(r"https?:|\*|unsafe-eval", headers["content-security-policy"])
        assert ("unsafe-inline" in policy["style-src"]) == (path in ("/reference", "/redoc"))
        assert ("sha256-" in policy["style-src"]) == (path == "/graphql")
        assert headers["x-frame-options"] == "DENY"

    @pytest.mark.parametrize("path", ["/", "/graphql"])
    async def test_caches_know_that_accept_chose_the_page(self, browser_client: AsyncClient, path: str) -> None:
        assert (await browser_client.get(path)).headers["vary"] == "Accept"

    async def test_home_leads_to_every_page_and_to_a_first_request(self, browser_client: AsyncClient) -> None:
        text = (await browser_client.get("/")).text
        assert {"graphql", "docs", "redoc", "openapi.json"} <= set(re.findall(r'<a [^>]*href="([^"]+)"', text))
        assert "/api/v1/users" in text
        assert "mutation SignIn" in text

    async def test_current_page_is_marked(self, browser_client: AsyncClient) -> None:
        text = (await browser_client.get("/reference")).text
        assert re.findall(r'<a [^>]*href="([^"]+)" aria-current="page"', text) == ["reference"]


class TestMissingLibraries:
    @pytest.mark.parametrize("path", LIBRARY_PAGES)
    async def test_page_says_what_to_run(self, browser_client: AsyncClient, path: str) -> None:
        page = await browser_client.get(path)
        assert page.status_code == 503
        assert page.headers["cache-control"] == "no-store"
        assert "make setup" in page.text
        assert "python tools/assets.py" in page.text
        for url in asset_urls(page):
            assert (await browser_client.get(f"/{url}")).status_code == 200

    async def test_home_works_without_libraries(self, browser_client: AsyncClient) -> None:
        assert (await browser_client.get("/")).status_code == 200

    async def test_libraries_installed_while_serving_are_found(self, folder: Path, browser_client: AsyncClient) -> None:
        assert (await browser_client.get("/docs")).status_code == 503
        install_libraries(folder)
        assert (await browser_client.get("/docs")).status_code == 200

    @pytest.mark.parametrize("manifest", ["", "[]", '{"files": {"redoc.js": {}}}', '{"files": 1}'])
    async def test_broken_manifest_counts_as_missing(
        self, folder: Path, browser_client: AsyncClient, manifest: str
    ) -> None:
        install_libraries(folder, manifest=manifest)
        assert (await browser_client.get("/redoc")).status_code == 503


class TestAssets:
    @pytest.mark.parametrize(
        ("name", "media_type"),
        [
            ("site.css", "text/css; charset=utf-8"),
            ("playground.js", "text/javascript; charset=utf-8"),
            ("icon.svg", "image/svg+xml"),
            ("redoc.js", "text/javascript; charset=utf-8"),
            ("redoc.LICENSE.txt", "text/plain; charset=utf-8"),
        ],
    )
    async def test_asset_is_typed_and_kept_for_ever(
        self, installed: Path, registry: Assets, browser_client: AsyncClient, name: str, media_type: str
    ) -> None:
        asset = await browser_client.get(f"/{registry.url(name)}")
        assert asset.status_code == 200
        assert asset.headers["content-type"] == media_type
        assert asset.headers["cache-control"] == "public, max-age=31536000, immutable"

    async def test_head_and_etag(self, registry: Assets, browser_client: AsyncClient) -> None:
        url = f"/{registry.url('site.css')}"
        get, head = await browser_client.get(url), await browser_client.head(url)
        assert head.headers["etag"] == get.headers["etag"]
        assert head.headers["content-length"] == str(len(get.content))
        assert head.content == b""
        for condition in (get.headers["etag"], f'"other", W/{get.headers["etag"]}', "*"):
            known = await browser_client.get(url, headers={"If-None-Match": condition})
            assert known.status_code == 304, condition
            assert known.content == b""
        assert (await browser_client.get(url, headers={"If-None-Match": '"other"'})).status_code == 200

    def test_name_changes_with_the_content(self, tmp_path: Path) -> None:
        (tmp_path / "site.css").write_text("a {}")
        before = Assets(static=tmp_path, installed=tmp_path / "none").url("site.css")
        (tmp_path / "site.css").write_text("b {}")
        assert before != Assets(static=tmp_path, installed=tmp_path / "none").url("site.css")

    @pytest.mark.parametrize(
        "path",
        [
            "/assets/manifest.json",
            "/assets/site.css",
            "/assets/",
            "/assets/%2e%2e",
            "/assets/..%2f__init__.py",
            "/assets/%2e%2e%2f__init__.py",
            "/assets/..%5c__init__.py",
            "/assets/%2fetc%2fpasswd",
            "/assets/%00",
            "/assets/static%2fsite.css",
        ],
    )
    async def test_nothing_but_assets_is_served(self, installed: Path, browser_client: AsyncClient, path: str) -> None:
        assert (await browser_client.get(path)).status_code == 404

    async def test_manifest_cannot_point_outside_its_folder(
        self, folder: Path, registry: Assets, browser_client: AsyncClient
    ) -> None:
        (folder.parent / "secret.js").write_text("secret")
        install_libraries(folder, redoc="../secret.js")
        assert registry.url("redoc.js") is None
        assert (await browser_client.get("/assets/..%2fsecret.js")).status_code == 404
        assert (await browser_client.get("/assets/secret.js")).status_code == 404

    async def test_browsers_find_an_icon_by_themselves(self, browser_client: AsyncClient) -> None:
        icon = await browser_client.get("/favicon.ico")
        assert icon.status_code == 200
        assert icon.headers["content-type"] == "image/svg+xml"


class TestExamples:
    @pytest.mark.usefixtures("installed")
    async def test_page_carries_the_examples(self, browser_client: AsyncClient) -> None:
        text = (await browser_client.get("/graphql")).text
        data = re.search(r'<script type="application/json" id="examples">(.*?)</script>', text)
        assert data
        assert json.loads(data[1]) == playground_examples()

    def test_data_cannot_end_its_element(self) -> None:
        assert "<" not in json_data(["</script><script>alert(1)"])

    def test_every_example_is_one_named_operation(self) -> None:
        examples = playground_examples()
        assert len({example["title"] for example in examples}) == len(examples) >= 5
        for example in examples:
            (operation,) = parse(example["query"]).definitions
            assert getattr(operation, "name", None)
            assert isinstance(json.loads(example["variables"] or "{}"), dict)

    def test_every_example_fits_the_schema(self) -> None:
        schema = build_schema((ROOT / "schema.graphql").read_text())
        sources = [example["query"] for example in playground_examples()]
        sources.append((ROOT / "api/pages/examples/first-request.graphql").read_text())
        for source in sources:
            assert validate(schema, parse(source)) == []


class TestInstaller:
    @pytest.fixture
    def modules(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """What npm would have installed, each file a line of text."""
        modules = tmp_path / "node_modules"
        for asset in installer.ASSETS:
            path = modules / asset.package / asset.path
            path.parent.mkdir(parents=True, exist_ok=True)
            (modules / asset.package / "package.json").write_text('{"version": "1.2.3"}')
            marks = "".join(text for text, _ in asset.replace)
            path.write_text(f"{asset.name} {marks}\n//# sourceMappingURL=x.map\n")
        monkeypatch.setattr(installer, "_npm_ci", lambda _scratch, development: modules)
        return modules

    def test_installs_all_files_and_knows_it(self, modules: Path, tmp_path: Path) -> None:
        target = tmp_path / "target"
        assert installer.problem(target) == "manifest.json is not installed"
        assert installer.install(target) == len(installer.ASSETS)
        assert installer.problem(target) is None
        served = Assets(installed=target)
        assert all(served.url(name) for name in LIBRARIES)

    def test_foreign_logo_and_source_maps_are_taken_out(self, modules: Path, tmp_path: Path) -> None:
        installer.install(tmp_path / "target")
        (redoc,) = (tmp_path / "target").glob("redoc-1.2.3-*.js")
        assert "https://" not in redoc.read_text()
        assert "sourceMappingURL" not in redoc.read_text()

    def test_upgrade_removes_what_is_no_longer_named(self, modules: Path, tmp_path: Path) -> None:
        target = tmp_path / "target"
        installer.install(target)
        (modules / "react/package.json").write_text('{"version": "2.0.0"}')
        installer.install(target)
        assert [path.name[:11] for path in target.glob("react-[0-9]*.js")] == ["react-2.0.0"]
        assert installer.problem(target) is None

    def test_changed_file_is_noticed(self, modules: Path, tmp_path: Path) -> None:
        target = tmp_path / "target"
        installer.install(target)
        next(target.glob("graphiql-1*.js")).write_text("changed")
        assert installer.problem(target) == "graphiql.js differs from its recorded hash"

    def test_library_without_the_expected_text_is_refused(self, modules: Path, tmp_path: Path) -> None:
        (modules / "redoc/bundles/redoc.standalone.js").write_text("all is new")
        with pytest.raises(installer.AssetsError, match="no longer contains"):
            installer.install(tmp_path / "target")
        assert not (tmp_path / "target").exists()

    def test_failure_of_npm_is_one_sentence(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        npm = tmp_path / "npm"
        npm.write_text(
            '#!/bin/sh\ncase $1 in --version) echo 10.0.0 ;; *) echo "npm error network is down" >&2; exit 7 ;; esac\n'
        )
        npm.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        monkeypatch.setattr(installer, "problem", lambda *_: "manifest.json is not installed")
        assert installer.main([]) == 1
        assert capsys.readouterr().err == (
            "Page assets were not installed: npm ci failed with exit code 7: npm error network is down\n"
        )

    def test_check_changes_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(installer, "problem", lambda *_: "manifest.json is not installed")
        monkeypatch.setattr(installer, "install", lambda *_: pytest.fail("it installed"))
        assert installer.main(["--check"]) == 1

    def test_lock_keeps_hashes_and_no_addresses(self) -> None:
        lock = json.loads((ROOT / "package-lock.json").read_text())
        packages = {name: entry for name, entry in lock["packages"].items() if name}
        assert all(entry["integrity"].startswith("sha512-") for entry in packages.values())
        assert not any("resolved" in entry for entry in packages.values())


class TestInChromium(InChromium):
    """What a person sees, on a real server; the playground is in test_playground.py."""

    @pytest.mark.parametrize("path", PAGES)
    def test_page_loads_from_this_server_without_an_error(self, visit: Visit, path: str) -> None:
        page = visit.open(path)
        page.wait_for_load_state("networkidle")
        assert visit.problems == []

    @pytest.mark.parametrize("path", ["/docs", "/redoc"])
    def test_reference_lists_the_operations(self, visit: Visit, path: str) -> None:
        page = visit.open(path)
        if path == "/docs":  # Swagger UI draws what is in sight
            page.get_by_placeholder("Filter by tag").fill("tasks")
        # ReDoc draws all of it first: seconds, on a machine that runs tests beside it
        expect(page.get_by_text("/api/v1/tasks", exact=True).first).to_be_attached(timeout=60_000)
        expect(page.locator(".opblock, [data-section-id*='operation/']").first).to_be_visible()
        assert visit.problems == []
