"""The guides: what their examples do, where they lead, and how they are shown.

Blocks of shell go through one bash a page, in their order, against a server with a task or two; the block that follows
one directly is what it prints, where … stands for anything. GraphQL is executed. Code in other languages is that of a
file which other tests run. What stands here of the blocks that are not executed is why not.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from graphql import OperationDefinitionNode, OperationType, build_schema, parse, validate
from httpx import ASGITransport, AsyncClient

import api.pages.guides
from api.main import create_app
from tests.conftest import ROOT, migrate, settings_for
from tests.infrastructure import lacking
from tests.live import LiveServer
from tests.test_readme import Block, fenced_blocks, pattern, run_in_one_shell
from tools import guides

DOCS = sorted((ROOT / "docs").glob("*.md"))
NAMES = [page.name for page in DOCS]
CODE = {"js", "ts", "python", "toml"}
NOT_EXECUTED = {
    "": "a drawing, or a list of names",
    "text": "what the block before prints",
    "json": "what is sent or answered: it is parsed",
    "bash": "for the reader's own machine: its backups, settings, generators",
    "yaml": "the configuration of another program",
    "promql": "the configuration of another program",
    "nginx": "the configuration of another program",
    "caddy": "the configuration of another program",
}
SERVED = {"graphql", "reference", "openapi.json", "asyncapi.json", "graphql/schema.graphql"}
"""What pages link to beside one another."""
OPERATED = {"deployment.md", "import.md"}
"""Pages whose commands start servers, build images and read archives; tests of their own do so."""
RUN_ELSEWHERE = [
    path
    for folder in ("tests/clients", "tests/clients/python", "examples")
    for path in (ROOT / folder).iterdir()
    if path.suffix in {".mjs", ".js", ".ts", ".py", ".toml", ".graphql"}
]
PRELUDE = """
SERVER={server}
JSON='Content-Type: application/json'
AUTH="Authorization: Bearer $TOKEN"
python() {{ .venv/bin/python "$@" 2>/dev/null; }}
curl() {{
  case " $* " in
    *' -N '*|*' -sN '*|*' OPTIONS '*) timeout 2 curl -s "$@" || true ;;
    *) command curl --fail-with-body "$@" ;;
  esac
}}
"""


@pytest.fixture
def backend() -> str:
    """Examples are the same on every database."""
    return "sqlite"


class World:
    """A server, somebody who is logged in, and what the pages name: tasks 1 to 5, project 1."""

    def __init__(self, server: str, database: str) -> None:
        self.server, self.database = server, database
        account = {"username": "ada", "email": "ada@example.com", "password": "analytical-engine-1843"}
        httpx.post(f"{server}/api/v1/users", json=account).raise_for_status()
        login = {"username": account["username"], "password": account["password"]}
        self.token = httpx.post(f"{server}/api/v1/token", data=login).raise_for_status().json()["access_token"]
        self.headers = {"Authorization": f"Bearer {self.token}"}
        for title in ("Write the first program", "Correct the proofs", "Design", "Build", "Test"):
            httpx.post(f"{server}/api/v1/tasks", json={"title": title}, headers=self.headers).raise_for_status()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    database = f"sqlite:///{tmp_path / 'guide.db'}"
    migrate(database)
    with LiveServer(settings_for(database, environment="development", mailer="console")) as server:
        yield World(server.base_url, database)


def blocks_of(page: Path, *languages: str) -> list[Block]:
    return [block for block in fenced_blocks(page) if block.language in languages]


def is_output(page: Path, block: Block) -> bool:
    """Whether what follows a block is what it prints: no other example."""
    return any(each.text == block.output for each in blocks_of(page, "json", "text"))


def normalised(text: str) -> str:
    return " ".join(text.split())


SHELLS = [page for page in DOCS if page.name not in OPERATED and blocks_of(page, "sh")]
QUERIES = [page for page in DOCS if blocks_of(page, "graphql")]


class TestExamples:
    @pytest.mark.parametrize("page", SHELLS, ids=[page.name for page in SHELLS])
    def test_shell_does_what_it_shows(self, page: Path, world: World) -> None:
        bash = shutil.which("bash") or lacking("bash", "no bash on PATH")
        if shutil.which("curl") is None:
            lacking("curl", "no curl on PATH")
        blocks = blocks_of(page, "sh")
        prelude = Block("", "sh", 0, PRELUDE.format(server=world.server))
        environment = os.environ | {"TOKEN": world.token, "DATABASE_URL": world.database, "ENVIRONMENT": "test"}
        environment |= {"SECRET_KEY": "this-is-no-secret-for-checks-only", "LOG_LEVEL": "ERROR"}
        _, *outputs = run_in_one_shell(bash, [prelude, *blocks], environment, world.server)
        for block, output in zip(blocks, outputs, strict=True):
            assert '"status":5' not in output
            if block.output and is_output(page, block):
                expected, printed = ("".join(text.split()) for text in (block.output, output))
                assert pattern(expected).search(printed), f"{page.name}, line {block.line}: {output}"

    @pytest.mark.parametrize("page", QUERIES, ids=[page.name for page in QUERIES])
    def test_graphql_is_executed(self, page: Path, world: World) -> None:
        schema = build_schema((ROOT / "schema.graphql").read_text(encoding="utf-8"))
        for block in blocks_of(page, "graphql"):
            document = parse(block.text)
            assert validate(schema, document) == [], f"{page.name}, line {block.line}"
            (operation, *others) = document.definitions
            assert isinstance(operation, OperationDefinitionNode)
            if operation.operation is OperationType.SUBSCRIPTION or others or operation.variable_definitions:
                continue
            answer = httpx.post(f"{world.server}/graphql", json={"query": block.text}, headers=world.headers)
            assert "errors" not in answer.json(), f"{page.name}, line {block.line}"

    @pytest.mark.parametrize("page", DOCS, ids=NAMES)
    def test_code_is_what_other_tests_run(self, page: Path) -> None:
        run = [normalised(path.read_text(encoding="utf-8").replace("../../../", "")) for path in RUN_ELSEWHERE]
        for block in blocks_of(page, *CODE):
            text = normalised(block.text).removesuffix(";")
            # a line or two that use what stands above them
            assert len(block.text.splitlines()) < 3 or any(text in each for each in run) or "proxy" in text, (
                f"{page.name}, line {block.line}: no test runs this"
            )

    @pytest.mark.parametrize("page", DOCS, ids=NAMES)
    def test_every_block_is_of_a_kind_that_is_looked_at(self, page: Path) -> None:
        for block in fenced_blocks(page):
            assert block.language in {"sh", "graphql", *CODE, *NOT_EXECUTED}, f"{page.name}, line {block.line}"
            if block.language == "json" and "…" not in block.text:
                json.loads(block.text)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("pages") / "guides"
    guides.render(target)
    return target


@pytest.fixture
async def reader(rendered: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AsyncClient]:
    """A browser at an application that serves what was rendered."""
    monkeypatch.setattr(api.pages.guides, "GUIDES", rendered)
    app = create_app(settings_for("sqlite:///./unused.db"))
    async with AsyncClient(
        transport=ASGITransport(app), base_url="http://test", headers={"Accept": "text/html"}
    ) as client:
        yield client


GUIDES = sorted(name for name in guides.sources().values())


class TestPages:
    def test_every_guide_is_in_the_index(self) -> None:
        index = (ROOT / "docs/README.md").read_text(encoding="utf-8")
        assert [name for name in NAMES if name != "README.md" and f"({name})" not in index] == []

    @pytest.mark.parametrize("name", GUIDES)
    async def test_a_guide_is_a_page_and_its_links_lead_somewhere(self, reader: AsyncClient, name: str) -> None:
        page = await reader.get("/guides" if name == "index" else f"/guides/{name}")
        assert page.status_code == 200
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert "unsafe-inline" not in page.headers["content-security-policy"]
        assert not re.search(r"<[^>]+\s(?:style|on\w+)=", page.text)
        for target in set(re.findall(r'(?:href|src)="([^"]+)"', page.text)) - {"./", "../"}:
            if "://" in target or target.startswith("mailto:"):
                continue
            path, _, heading = target.partition("#")
            if path in SERVED or path.startswith("assets/"):
                continue
            assert path == "guides" or path.startswith("guides/"), target
            found = await reader.get(f"/{path}")
            assert found.status_code == 200, target
            assert not heading or f'id="{heading}"' in found.text, target

    async def test_examples_and_what_is_written_are_no_markup(self, tmp_path: Path) -> None:
        (tmp_path / "docs").mkdir()
        text = (
            "# A <b>&\n\n<script>alert(1)</script>\n\n## Two\n\n## Two\n\n"
            "[x](javascript:alert(1)) [y](../secret.txt)\n\n```sh\n</code><i>\n```\n"
        )
        (tmp_path / "docs/a.md").write_text(text)
        page = guides.Page("docs/a.md", {"docs/a.md": "a"}, tmp_path)
        assert page.title == "A <b>&"
        assert not re.search(r"<(script|b|i)>|href=\"(javascript|\.\.)", page.body)
        assert re.findall(r'id="([^"]+)"', page.body) == ["a-b", "two", "two-1"]

    @pytest.mark.parametrize(
        "name", ["nothing", "index", "key.txt", "..%2f__init__.py", "%2e%2e", "a" * 200, "Rest", "%00"]
    )
    async def test_nothing_but_guides_is_served(self, reader: AsyncClient, name: str) -> None:
        assert (await reader.get(f"/guides/{name}")).status_code == 404

    async def test_pictures_are_served(self, reader: AsyncClient) -> None:
        picture = await reader.get("/guides/doors.svg")
        assert picture.status_code == 200
        assert picture.headers["content-type"] == "image/svg+xml"

    @pytest.mark.parametrize("path", ["/guides", "/guides/rest"])
    async def test_what_is_not_rendered_says_what_to_run(
        self, reader: AsyncClient, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(api.pages.guides, "GUIDES", tmp_path)
        page = await reader.get(path)
        assert page.status_code == 503
        assert page.headers["cache-control"] == "no-store"
        assert "make setup" in page.text

    async def test_they_are_switched_off_with_the_reference(self, rendered: Path) -> None:
        app = create_app(settings_for("sqlite:///./unused.db", api_docs=False))
        async with AsyncClient(transport=ASGITransport(app), base_url="http://test") as client:
            for path in ("/guides", "/guides/rest", "/reference"):
                assert (await client.get(path)).status_code == 404


class TestRendering:
    def test_it_is_done_again_when_a_source_changes(self, tmp_path: Path) -> None:
        (tmp_path / "docs").mkdir()
        page, target = tmp_path / "docs/a.md", tmp_path / "made"
        page.write_text("# One\n")
        guides.render(target, tmp_path)
        assert guides.up_to_date(target, tmp_path)
        page.write_text("# Two\n")
        assert not guides.up_to_date(target, tmp_path)
        guides.render(target, tmp_path)
        assert json.loads((target / "a.json").read_text())["title"] == "Two"
        assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".guides")] == []

    def test_no_worker_imports_what_renders(self) -> None:
        script = (
            "import api.main, sys; print([n for n in ('markdown_it', 'pygments', 'tools.guides') if n in sys.modules])"
        )
        environment = os.environ | {"SECRET_KEY": "this-is-no-secret-for-checks-only", "ENVIRONMENT": "test"}
        command = [sys.executable, "-c", script]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"
