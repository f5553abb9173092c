"""The README is run, word for word, and the pages beside it lead where they say.

Its blocks of shell go through one bash in their order, against a server on an empty database; the block that follows
one directly is what it prints, where … stands for anything. What is not run here: `make run`, which makes an
environment of its own (the server is started by its command, and CI gets through the same set-up by `make test`), and
the sections that need an archive or a PostgreSQL of the reader's.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from tests.conftest import ROOT, SECRET, SERVER_KEY, migrate
from tests.infrastructure import lacking

README = ROOT / "README.md"
PAGES = [README, ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "tests").rglob("*.md"))]
PAGE_NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
EXECUTED = ("Tour", "Accounts and API keys", "Errors")
START = "make run"
DOCUMENTED_SERVER = "http://127.0.0.1:8000"
DOCUMENTED_PYTHON = ".venv/bin/python"
START_SECONDS = 30
MARK = "--- the end of a block ---"


class Block(NamedTuple):
    """A fenced block under a heading of the second level; ``output`` is the block that follows it directly."""

    section: str
    language: str
    line: int
    text: str
    output: str = ""


def fenced_blocks(page: Path) -> list[Block]:
    found: list[Block] = []
    section, opened, ended = "", 0, 0
    lines = page.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, start=1):
        if line.startswith("```") and not opened:
            opened = number
        elif line.startswith("```"):
            block = Block(section, lines[opened - 1][3:], opened, "\n".join(lines[opened : number - 1]))
            if block.language != "sh" and found and opened == ended + 2:
                found[-1] = found[-1]._replace(output=block.text)
            found.append(block)
            opened, ended = 0, number
        elif not opened and line.startswith("## "):
            section = line[3:]
    return found


def pattern(output: str) -> re.Pattern[str]:
    """What fits an output as shown: every character of it, and anything in the place of …"""
    return re.compile(".*?".join(map(re.escape, output.split("…"))), re.DOTALL)


@contextmanager
def server(environment: dict[str, str], log: Path) -> Iterator[str]:
    """What `make run` starts, on a free port. Yields its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "uvicorn", "api.main:app", "--host", "127.0.0.1", "--port", str(port)]
    options = ["--no-server-header", "--no-access-log", "--timeout-graceful-shutdown", "10"]
    with (
        log.open("w") as output,
        subprocess.Popen([*command, *options], cwd=ROOT, env=environment, stdout=output, stderr=output) as process,
    ):
        try:
            deadline = time.monotonic() + START_SECONDS
            while not _answers(url):
                if process.poll() is not None or time.monotonic() > deadline:
                    pytest.fail(f"the server did not start:\n{log.read_text()}")
                time.sleep(0.05)
            yield url
        finally:
            process.terminate()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health").is_success
    except httpx.TransportError:
        return False


def run_in_one_shell(bash: str, blocks: list[Block], environment: dict[str, str], url: str) -> list[str]:
    """What each block prints. The shell ends at the first command that fails, and so does the test."""
    script = "\n".join(f"{block.text}\nprintf '\\n%s\\n' '{MARK}'" for block in blocks)
    script = script.replace(DOCUMENTED_SERVER, url).replace(DOCUMENTED_PYTHON, sys.executable)
    done = subprocess.run(
        [bash, "-euo", "pipefail", "-c", script],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    printed = done.stdout.split(f"\n{MARK}\n")
    if done.returncode or done.stderr:
        broken = blocks[min(len(printed), len(blocks)) - 1]
        pytest.fail(f"README.md, line {broken.line}: exit status {done.returncode}\n{printed[-1]}{done.stderr}")
    return printed[:-1]


def test_every_command_of_the_readme_does_what_it_shows(tmp_path: Path) -> None:
    bash = shutil.which("bash") or lacking("bash", "no bash on PATH")
    if shutil.which("curl") is None:
        lacking("curl", "no curl on PATH")
    first, *blocks = (block for block in fenced_blocks(README) if block.language == "sh" and block.section in EXECUTED)
    assert first.text == START
    assert {block.section for block in blocks} == set(EXECUTED)
    database = f"sqlite:///{tmp_path / 'readme.db'}"
    migrate(database)
    settings = {"DATABASE_URL": database, "SECRET_KEY": SECRET, "API_KEY": SERVER_KEY, "ENVIRONMENT": "test"}
    environment = os.environ | settings | {"LOGIN_RATE_LIMIT": "off", "RATE_LIMIT": "off"}  # whatever .env says
    with server(environment, tmp_path / "server.log") as url:
        outputs = run_in_one_shell(bash, blocks, environment, url)
    for block, output in zip(blocks, outputs, strict=True):
        assert pattern(block.output).fullmatch(output.strip()), (
            f"README.md, line {block.line} prints\n{output}\nand not\n{block.output}"
        )


@pytest.mark.parametrize("page", PAGES, ids=PAGE_NAMES)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        path, _, heading = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{target}: there is no such file"
        assert found.is_relative_to(ROOT)
        assert not heading or heading in headings(found), f"{target}: there is no such heading"


def headings(page: Path) -> set[str]:
    """The anchors of a page, as forges make them of its headings."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title).lower().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=PAGE_NAMES)
def test_every_make_target_that_is_mentioned_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    mentioned = re.findall(r"(?:`|^)make ([a-z][a-z-]*)", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert set(mentioned) <= targets
