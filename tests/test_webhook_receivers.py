"""The receivers in examples/ take what the server sends, each change once, and nothing that is not verified."""

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import IO

import httpx
import pytest

from services.webhooks.signatures import Signer, new_salt
from tests.hooks import hooks_on
from tests.infrastructure import lacking
from tests.processes import ROOT, end, free_port
from tests.waiting import until


def command(language: str) -> list[str]:
    if language == "python":
        return [sys.executable, str(ROOT / "examples" / "receive_webhooks.py")]
    node = shutil.which("node")
    if node is None:
        lacking("clients", "there is no Node.js on this machine")
    return [str(node), str(ROOT / "examples" / "receive_webhooks.mjs")]


@pytest.mark.parametrize("language", ["python", "node"])
async def test_each_change_is_taken_once_and_nothing_else(tmp_path: Path, language: str) -> None:
    port = free_port()
    async with hooks_on("sqlite", tmp_path, webhook_test_ports=(port,)) as hooks:
        made = (await hooks.ada.post("/webhooks", {"name": "x", "url": f"http://127.0.0.1:{port}/"})).json()
        shown = tmp_path / "shown"
        with shown.open("w") as output:
            environment = os.environ | {"WEBHOOK_SECRET": made["secret"]}
            process = started([*command(language), str(port)], environment, output)
        try:
            await until_it_listens(port)
            async with hooks.working():
                task = await hooks.ada.task()
                await hooks.until_states(made, "delivered")
                redeliver = {"state": "delivered"}
                assert (await hooks.ada.post(f"/webhooks/{made['id']}/redeliver", redeliver)).status_code == 202
                await until(lambda: hooks.state.work.deliverer.ended["delivered"] == 2)
            await refused_what_is_not_signed(port, made["secret"])
        finally:
            end(process)

    assert shown.read_text().splitlines() == [f"task.created task {task['id']}"]


def started(command: list[str], environment: dict[str, str], output: IO[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, env=environment, stdout=output)


async def refused_what_is_not_signed(port: int, secret: str) -> None:
    body, signer, salt = b'{"type":"task.created","data":{}}', Signer("another key than the server's"), new_salt()
    async with httpx.AsyncClient() as http:
        for headers in ({}, signer.headers([salt], "id", 1_700_000_000, body)):
            assert (await http.post(f"http://127.0.0.1:{port}/", content=body, headers=headers)).status_code == 401


async def until_it_listens(port: int) -> None:
    for _ in range(200):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    raise AssertionError("it does not listen")
