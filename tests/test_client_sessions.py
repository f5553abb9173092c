"""Clients as docs/clients.md has them, against a live server whose access tokens last three seconds.

Each logs in, creates, reads a page, outlives its token, is answered by 429 and by 401, and shows a changed task out of
its cache. Clients of REST are generated from openapi.json here; those of GraphQL read schema.graphql.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.actors import PASSWORD
from tests.conftest import settings_for
from tests.infrastructure import lacking
from tests.live import LiveServer

CLIENTS = Path(__file__).resolve().parent / "clients"
JAVASCRIPT = ("apollo", "urql", "relay", "openapi-fetch", "hey-api")
PYTHON_CLIENTS = CLIENTS / "python"
PYTHON = ("gql", "ariadne-codegen", "openapi-python-client")
TOKEN_MINUTES = 3 / 60
LONGER = 3.2
"""Seconds: more than a token lasts."""


@pytest.fixture(scope="module")
def server(database_urls: dict[str, str]) -> Iterator[LiveServer]:
    settings = settings_for(database_urls["sqlite"]).model_copy(update={"access_token_minutes": TOKEN_MINUTES})
    with LiveServer(settings) as live:
        yield live


@pytest.fixture
def backend() -> str:
    """What clients do depends on no database."""
    return "sqlite"


def account(server: LiveServer, name: str) -> dict[str, str]:
    """An account of its own, with an empty Inbox."""
    username = f"client_{name.replace('-', '_')}"
    body = {"username": username, "email": f"{username}@example.com", "password": PASSWORD}
    httpx.post(f"{server.base_url}/api/v1/users", json=body).raise_for_status()
    return {"username": username, "password": PASSWORD}


def node(*arguments: str, given: object = None) -> str:
    path = shutil.which("node")
    if path is None or not (CLIENTS / "node_modules" / "openapi-fetch").is_dir():
        lacking("clients", "Node.js and what `make clients` installs")
    done = subprocess.run(
        [path, *arguments], cwd=CLIENTS, input=json.dumps(given), capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3_000:]
    return done.stdout


@pytest.fixture(scope="module")
def built() -> None:
    node("build.mjs")


class TestJavaScript:
    @pytest.fixture(scope="class")
    @classmethod
    def told(cls, server: LiveServer, built: None) -> dict[str, dict[str, Any]]:
        """What each client did; they run beside each other."""
        accounts = {name: account(server, name) for name in JAVASCRIPT}
        given = {"server": server.base_url, "accounts": accounts, "clients": JAVASCRIPT, "pause": LONGER}
        answer: dict[str, dict[str, Any]] = json.loads(node("generated/run.mjs", given=given).splitlines()[-1])
        return answer

    @pytest.mark.parametrize("name", JAVASCRIPT)
    def test_creates_and_reads(self, told: dict[str, dict[str, Any]], name: str) -> None:
        assert told[name]["first"] == f"{name} 1"
        assert told[name]["titles"] == [f"{name} 1"]

    @pytest.mark.parametrize("name", JAVASCRIPT)
    def test_logs_in_once_and_renews_for_two_requests_at_once(self, told: dict[str, dict[str, Any]], name: str) -> None:
        # three creates and a page, which was sent again after 429; one create was, after 401
        assert told[name]["seen"] == {"logins": 1, "renewals": 2, "requests": 6}

    @pytest.mark.parametrize("name", ["apollo", "urql", "relay"])
    def test_a_changed_task_is_shown_out_of_the_cache(self, told: dict[str, dict[str, Any]], name: str) -> None:
        assert told[name]["cached"] == [f"{name} renamed"]
        assert told[name]["asked"] == 0

    @pytest.mark.parametrize("name", ["apollo", "urql"])
    def test_a_second_page_joins_the_first(self, told: dict[str, dict[str, Any]], name: str) -> None:
        assert sorted(told[name]["more"]) == [f"{name} 2", f"{name} 3", f"{name} renamed"]


def test_a_socket_outlives_its_token_and_comes_back_after_its_session(server: LiveServer, built: None) -> None:
    given = {"server": server.base_url, "account": account(server, "socket"), "pause": LONGER}
    told = json.loads(node("follow.mjs", given=given))
    assert told["connected"] == 2
    assert told["codes"] == [4403]
    assert told["refs"] == ["INBOX-1", "INBOX-2"]


class TestPython:
    @pytest.fixture(scope="class")
    @classmethod
    def told(cls, server: LiveServer) -> dict[str, dict[str, Any]]:
        python = PYTHON_CLIENTS / ".venv" / "bin" / "python"
        if not python.exists():
            lacking("python-clients", "what `make python-clients` installs")
        (PYTHON_CLIENTS / "generated").mkdir(exist_ok=True)  # not in git, and ariadne-codegen makes none
        run(python.with_name("ariadne-codegen"), "--config", "ariadne.toml")
        document = ["--path", "../../../openapi.json", "--meta", "none", "--output-path", "generated/tandem_client"]
        run(python.with_name("openapi-python-client"), "generate", *document, "--overwrite")
        accounts = {name: account(server, name) for name in PYTHON}
        given = {"server": server.base_url, "accounts": accounts, "pause": LONGER}
        answer: dict[str, dict[str, Any]] = json.loads(run(python, "run.py", given=given))
        return answer

    @pytest.mark.parametrize("name", PYTHON)
    def test_creates_and_reads(self, told: dict[str, dict[str, Any]], name: str) -> None:
        assert told[name]["first"] == f"{name} 1"
        assert told[name]["titles"] == [f"{name} 1"]

    @pytest.mark.parametrize("name", PYTHON)
    def test_logs_in_once_and_renews_for_two_requests_at_once(self, told: dict[str, dict[str, Any]], name: str) -> None:
        seen = told[name]["seen"]
        assert (seen["logins"], seen["renewals"]) == (1, 1)
        # as above, with 401 for one create or for both, which wait for one renewal
        assert seen["requests"] in (6, 7)


def run(command: Path, *arguments: str, given: object = None) -> str:
    done = subprocess.run(
        [command, *arguments],
        cwd=PYTHON_CLIENTS,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "PATH": f"{command.parent}:{os.environ['PATH']}"},
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3_000:]
    return done.stdout


def test_the_types_hold(built: None) -> None:
    """What the generated types refuse is no example."""
    node("node_modules/typescript/bin/tsc", "-p", ".")
