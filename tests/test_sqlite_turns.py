"""Several processes that write one file of SQLite: in turns, whoever is busy."""

import asyncio
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from db.driver.database import Database
from db.driver.sqlite.turns import SUFFIX, Turns
from tests.conftest import ROOT

WRITER = """
import asyncio, sys, time
from sqlalchemy import text
from db.driver.database import Database

async def main(path, seconds):
    database = Database(f"sqlite:///{path}")
    await database.reads.scalar(text("SELECT 1"))
    print("ready", flush=True)
    sys.stdin.readline()
    ends = time.monotonic() + seconds
    longest = number = 0

    async def write():
        nonlocal longest, number
        while time.monotonic() < ends:
            began = time.monotonic()
            async with database.writing() as session:
                await session.execute(text("INSERT INTO t (x) VALUES ('x')"))
                await session.execute(text("INSERT INTO t (x) SELECT value FROM json_each('[1, 2, 3]')"))
            longest, number = max(longest, time.monotonic() - began), number + 1

    await asyncio.gather(*(write() for _ in range(8)))
    await database.dispose()
    print(number, longest)

asyncio.run(main(sys.argv[1], float(sys.argv[2])))
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    async def make() -> None:
        database = Database(f"sqlite:///{tmp_path}/t.db")
        async with database.writing() as session:
            await session.execute(text("CREATE TABLE t (x TEXT)"))
        await database.dispose()

    asyncio.run(make())
    return tmp_path / "t.db"


class TestProcesses:
    def test_that_are_both_busy_write_as_often_and_none_waits_long(self, path: Path) -> None:
        command = [sys.executable, "-c", WRITER, str(path), "3"]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        running = [subprocess.Popen(command, env=environment, cwd=ROOT, **pipes) for _ in range(2)]
        for process in running:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in running:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        told = [process.communicate(timeout=60)[0].split() for process in running]
        numbers, longest = zip(*((int(number), float(seconds)) for number, seconds in told), strict=True)

        # without turns, one of two waits for seconds, and writes a tenth of what the other does
        assert min(numbers) > max(numbers) / 3, numbers
        assert max(longest) < 2.0, longest


class TestTurns:
    def test_one_at_a_time(self, tmp_path: Path) -> None:
        one, other = Turns(f"{tmp_path}/t.db"), Turns(f"{tmp_path}/t.db")

        assert (one.take(), other.take()) == (True, False)
        one.end()
        assert (other.take(), one.take()) == (True, False)
        assert (one.held, other.held) == (False, True)

    def test_who_waits_is_not_passed_by(self, tmp_path: Path) -> None:
        one, other = Turns(f"{tmp_path}/t.db"), Turns(f"{tmp_path}/t.db")
        one.take()
        waiting = threading.Thread(target=other.wait)
        waiting.start()
        time.sleep(0.2)
        one.end()
        # again at once, before the other has noticed: in vain
        taken = one.take()
        waiting.join(5)

        assert (taken, other.held) == (False, True)

    def test_ends_with_the_process(self, tmp_path: Path) -> None:
        code = f"""
import os
from db.driver.sqlite.turns import Turns
turns = Turns('{tmp_path}/t.db')
print(turns.take(), flush=True)
os._exit(9)
"""
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)

        assert done.stdout == "True\n"
        assert Turns(f"{tmp_path}/t.db").take()

    def test_where_there_is_no_file_to_be_had_nobody_waits(self, tmp_path: Path) -> None:
        (tmp_path / f"t.db{SUFFIX}").mkdir()
        one, other = Turns(f"{tmp_path}/t.db"), Turns(f"{tmp_path}/t.db")

        assert (one.take(), other.take()) == (True, True)
        other.wait()
        one.end()


class TestWriter:
    async def test_that_gives_up_waiting_leaves_the_turn_to_others(self, path: Path) -> None:
        database = Database(f"sqlite:///{path}")
        async with database.writing() as session:
            await session.scalar(text("SELECT 1"))
        other = Turns(str(path))
        assert other.take()

        async def write() -> None:
            async with database.writing() as session:
                await session.execute(text("INSERT INTO t (x) VALUES ('never')"))

        task = asyncio.create_task(write())
        await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.wait([task])
        other.end()
        async with database.writing() as session:
            await session.execute(text("INSERT INTO t (x) VALUES ('once')"))

        assert await database.reads.scalar(text("SELECT group_concat(x) FROM t")) == "once"
        assert other.take()
        other.close()
        await database.dispose()

    async def test_that_fails_to_commit_leaves_the_turn_to_others(self, path: Path) -> None:
        database, other = Database(f"sqlite:///{path}"), Turns(str(path))

        async def fail() -> None:
            async with database.writing() as session:
                await session.execute(text("INSERT INTO t (x) VALUES ('never')"))
                assert not other.take()
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await fail()
        assert other.take()
        other.close()
        await database.dispose()
