"""The collector of garbage is told what to do where a server starts, and not by an import."""

import ctypes
import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

from api.server import collector
from tests.actors import Person
from tests.conftest import SECRET

LOOK = "print(gc.isenabled(), gc.get_freeze_count() > 0, gc.get_threshold()[0])"


def told(script: str, folder: Path) -> list[str]:
    """What the script prints, run by itself."""
    environment = os.environ | {
        "ENVIRONMENT": "test",
        "SECRET_KEY": SECRET,
        "DATABASE_URL": f"sqlite:///{folder / 'unused.db'}",
    }
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_import_leaves_it_alone_and_the_application_that_a_server_asks_for_is_left_alone_by_it(tmp_path: Path) -> None:
    before, after, resting, settled = told(
        f"import gc; {LOOK}; import api.main; {LOOK};"
        f"from api.server import collector; collector.rest(); {LOOK}; api.main.app; {LOOK}",
        tmp_path,
    )
    assert before == after
    assert resting.startswith("False False")
    assert settled == "True True 10000"


def test_it_rests_while_something_is_made_and_goes_on_as_it_was() -> None:
    found = []
    for enable in (gc.enable, gc.disable):
        enable()
        with pytest.raises(ValueError), collector.resting():  # noqa: PT011, PT012 - whatever ends it
            found.append(gc.isenabled())
            raise ValueError
        found.append(gc.isenabled())
    gc.enable()
    assert found == [False, True, False, False]


def test_large_pieces_of_memory_are_given_back(tmp_path: Path) -> None:
    """What a hash takes for a moment: the first piece raises glibc's own threshold, and the next ones are kept."""
    if not hasattr(ctypes.CDLL(None), "mallopt"):
        pytest.skip("another C library")
    script = """
import ctypes, threading
from api.server import allocator
def held(): return int(open("/proc/self/statm").read().split()[1]) * 4096 >> 20
def work():
    for _ in range(3): ctypes.memset(piece := library.malloc(size), 1, size); library.free(ctypes.c_void_p(piece))
library, size = ctypes.CDLL(None), 19 << 20
library.malloc.restype = ctypes.c_void_p
ctypes.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
allocator.settle()
before = held(); thread = threading.Thread(target=work); thread.start(); thread.join(); print(held() - before < 5)
"""
    assert told(script, tmp_path) == ["True"]


REFUSED = {
    "create": ("/tasks/bulk/create", [{"title": "x", "parent_id": 900_000 + n} for n in range(200)]),
    "update": ("/tasks/bulk/update", [{"id": 900_000 + n, "title": "x"} for n in range(200)]),
}


@pytest.mark.parametrize("call", REFUSED)
async def test_tasks_of_a_bulk_call_that_are_refused_are_no_work_for_it(ada: Person, call: str) -> None:
    """Errors that are kept in a frame that they came through would be: a second call of a thousand made the event loop
    stand still for 0.1 s."""
    path, tasks = REFUSED[call]
    for _ in range(2):  # what is made once is there
        answer = await ada.post(path, {"mode": "partial", "tasks": tasks})
        assert answer.json()["failed"] == 200
    gc.collect()
    gc.disable()
    try:
        answer = await ada.post(path, {"mode": "partial", "tasks": tasks})
        assert gc.collect() < 400
    finally:
        gc.enable()
