"""The reference client of docs/sync.md is right in the end, whatever happens to it (tests/syncing).

TANDEM_SYNC says how many histories, half of them on each database (``make sync HISTORIES=10000``), and TANDEM_SYNC_SEED
chooses others.
"""

import os
import random
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import offline
import pytest

from tests.actors import PASSWORD
from tests.conftest import BACKENDS
from tests.syncing.devices import Device, Line
from tests.syncing.histories import History, Web
from tests.syncing.servers import Server, serving

HISTORIES = int(os.environ.get("TANDEM_SYNC", "8")) // len(BACKENDS)
SEED = os.environ.get("TANDEM_SYNC_SEED", "1")
MANY = 200


@pytest.fixture
def server(backend: str, tmp_path: Path) -> Iterator[Server]:
    with serving(backend, tmp_path) as made:
        yield made


def test_histories_end_well(server: Server, tmp_path: Path) -> None:
    happened: Counter[str] = Counter()
    for number in range(HISTORIES):
        try:
            happened += History(server, f"{SEED}-{number}", tmp_path).happened
        except AssertionError as error:
            raise AssertionError(f"history {number} of TANDEM_SYNC_SEED={SEED}: {error}") from error

    print(f"{HISTORIES} histories:", {**happened}, {**server.answers})  # noqa: T201 - make sync shows it
    seen = happened + server.answers
    always = ["kills", "put aside", "days", "GET 410", "PATCH 412", "syncs that failed"]
    for name in [*always, "came late", "replayed", "DELETE 412"] if HISTORIES >= MANY else ["kills", "put aside"]:
        assert seen[name], f"{name} did not happen"


def test_a_kill_at_each_step_of_a_sync_changes_nothing_of_its_end(server: Server, tmp_path: Path) -> None:
    """All steps with many histories, else each eleventh: of a sync that sends a task, a change, one that both made,
    and a deletion."""
    every = 1 if HISTORIES >= MANY else 11
    killed = step = 0
    while True:
        step += every
        ends = _one_sync(server, tmp_path / f"{step}.db", step)
        if not ends:
            break
        killed += 1
    assert killed > 80 / every


def test_what_may_have_been_deleted_is_not_made_again(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = server.person()
    web, device = Web(server, ada, random.Random(1)), Device(server, ada, tmp_path / "a.db", random.Random(1))
    project = web.call("POST", "/projects", {"name": "P"}).json()["id"]
    device.faulty = False
    device.copy.create(project, title="once")
    with monkeypatch.context() as patch:
        patch.setattr(Line, "handle_request", _without_answers_to_posts)
        assert not device.sync()
    [task] = web.call("GET", "/tasks").json()
    assert web.call("DELETE", f"/tasks/{task['id']}").status_code == 204
    server.pass_a_day(month=True)

    assert device.sync()

    assert web.call("GET", "/tasks").json() == []
    [aside] = device.rows("SELECT * FROM aside")
    assert (aside["kind"], aside["why"]) == ("create", "it may have been deleted")
    device.copy.settle(aside["number"], mine=True)
    assert device.sync()
    assert [task["title"] for task in web.call("GET", "/tasks").json()] == ["once"]
    device.close()


def _without_answers_to_posts(line: Line, request: httpx.Request) -> httpx.Response:
    answer = line.device.server.send(request)
    if request.method == "POST":
        raise httpx.ReadError("the answer is lost")
    return answer


def _one_sync(server: Server, file: Path, kill_at: int) -> bool:
    """Whether the sync came as far as the step."""
    ada = server.person()
    web = Web(server, ada, random.Random(1))
    project = web.call("POST", "/projects", {"name": "P", "tasks": [{"title": name} for name in "abc"]}).json()["id"]
    device = Device(server, ada, file, random.Random(1))
    device.faulty = False
    try:
        server.number()
        assert device.sync()
        a, b, c = sorted(device.copy.tasks())
        device.copy.create(project, title="new")
        device.copy.change(a, title="mine", priority=2)
        device.copy.change(b, title="mine")
        device.copy.delete(c)
        web.call("PATCH", f"/tasks/{a}", {"status": "completed"})
        web.call("PATCH", f"/tasks/{b}", {"title": "theirs"})
        server.number()
        device.kill_at = device.steps + kill_at
        ended = device.sync()
        device.kill_at = None
        server.number()
        assert device.sync()
        server.number()
        assert device.sync()

        assert device.contents() == device.truth()
        shown = {(task["title"], task["status"], task["priority"]) for task in device.copy.tasks().values()}
        assert shown == {("mine", "completed", 2), ("theirs", "pending", 1), ("new", "pending", 1)}
        assert len(device.copy.tasks()) == 3
        [aside] = device.rows("SELECT * FROM aside")
        assert (aside["task"], aside["fields"], aside["why"]) == (b, '{"title": "mine"}', "both have changed it")
        device.copy.settle(aside["number"], mine=True)
        assert device.sync()
        assert web.call("GET", f"/tasks/{b}").json()["title"] == "mine"
        return not ended
    finally:
        device.close()


def test_the_command_works_without_a_server_and_with_one(
    live_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with httpx.Client(base_url=f"{live_server}/api/v1") as client:
        account = {"username": "offliner", "email": "offliner@example.com", "password": PASSWORD}
        client.post("/users", json=account).raise_for_status()
        token = client.post("/token", data={"username": "offliner", "password": PASSWORD}).json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        project = client.post("/projects", json={"name": "P", "tasks": [{"title": "old"}]}).json()["id"]
        made = client.post("/users/me/api-keys", json={"name": "k", "scopes": ["tasks:write"]}).json()
    monkeypatch.setenv("TANDEM_API_KEY", made["secret"])

    def command(*given: str, url: str = "http://127.0.0.1:9") -> list[str]:
        monkeypatch.setattr(sys, "argv", ["offline.py", str(tmp_path / "tasks.db"), "--url", url, *given])
        offline.main()
        return capsys.readouterr().out.splitlines()

    command("sync", url=live_server)
    [shown] = command("list")
    [local] = command("add", str(project), "new", "priority=3")
    command("set", local, "status=completed", "due_at=2027-01-31T17:00:00Z")
    command("delete", shown.split()[0])
    assert command("list") == [f"{local} completed new"]
    command("sync", url=live_server)
    [sent] = command("list")
    assert sent.endswith(" completed new")
    assert not sent.startswith(local)
    assert command("aside") == []
    with pytest.raises(SystemExit, match="one of title"):
        command("set", local, "color=red")
