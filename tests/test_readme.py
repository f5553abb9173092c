"""The README is run, word for word, and the pages beside it lead where they say.

Its blocks of shell go through one bash in their order, against a server on an empty database; the block that follows
one directly is what it prints, where … stands for anything. What is not run here: `make run`, which makes an
environment of its own (CI gets through the same set-up by `make test`), and the sections that need an archive or a
PostgreSQL of the reader's.
"""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import pytest
from pydantic_core import PydanticUndefined

from api.problems import CODES, STATUS
from core.settings import Settings
from graphql_schema.execution.limits import Limits
from tests.conftest import ROOT, migrate, settings_for
from tests.infrastructure import lacking
from tests.live import LiveServer

README = ROOT / "README.md"
WRITTEN = [page for folder in ("docs", "tests") for page in sorted((ROOT / folder).rglob("*.md"))]
PAGES = [README, ROOT / "CHANGELOG.md", *(page for page in WRITTEN if not {"node_modules", ".venv"} & set(page.parts))]
PAGE_NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
EXECUTED = ("Tour", "Accounts and API keys", "Errors")
START = "make run"
DOCUMENTED_SERVER = "http://127.0.0.1:8000"
DOCUMENTED_PYTHON = ".venv/bin/python"
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
    with LiveServer(settings_for(database)) as server:
        outputs = run_in_one_shell(bash, blocks, os.environ | {"DATABASE_URL": database}, server.base_url)
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


def rows(page: str, heading: str) -> list[list[str]]:
    """The cells of the tables under a heading."""
    text = (ROOT / page).read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]


def test_limits_are_those_of_the_code() -> None:
    documented = {name: int(bound.replace(",", "")) for name, bound, _ in rows("docs/graphql.md", "Limits")[2:]}
    assert {name.strip(" `"): bound for name, bound in documented.items()} == asdict(Limits())


def test_settings_are_those_of_the_code() -> None:
    documented: dict[str, str] = {}
    for names, defaults, _ in rows("docs/deployment.md", "Settings")[2:]:
        values = re.findall(r"`([^`]+)`", defaults) or [defaults.strip()]
        documented |= zip(re.findall(r"`([^`]+)`", names), values, strict=True)
    assert documented == {name.upper(): default(name) for name in Settings.model_fields}


def default(name: str) -> str:
    """A setting's default, as the page shows it."""
    value = Settings.model_fields[name].default
    if value is PydanticUndefined:
        return "**required**"
    if isinstance(value, tuple):
        return ", ".join(value)
    if isinstance(value, bool):
        return str(value).lower()
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def test_catalogue_has_every_code_with_its_status() -> None:
    documented = [
        (code.strip(" `"), int(status))
        for code, status, *_ in rows("docs/errors.md", "The catalogue")
        if status.strip().isdigit()
    ]
    statuses = dict(STATUS) | {code: status for status, code in CODES.items()}
    assert dict(documented) == statuses
    assert len(documented) == len(statuses)
