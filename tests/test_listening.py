"""A socket that listens no more to anybody new, and still has whoever was there."""

import runpy
import socket
import sys

import pytest

from api.server.listening import refuse_new
from tests.conftest import ROOT


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a filter of Linux")
@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_those_who_were_there_are_accepted_and_nobody_else(family: int, address: str) -> None:
    with socket.socket(family) as listening:
        listening.bind((address, 0))
        listening.listen()
        there = listening.getsockname()[:2]
        before = [socket.create_connection(there, timeout=5) for _ in range(3)]

        assert refuse_new([listening])

        with pytest.raises(TimeoutError):
            socket.create_connection(there, timeout=0.3)
        for connection in before:
            connection.sendall(b"x")
            accepted, _ = listening.accept()
            assert accepted.recv(1) == b"x"  # its filter is not theirs
            accepted.close()
            connection.close()


def test_sockets_of_another_kind_are_left_alone(tmp_path: object) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{tmp_path}/socket")
        listening.listen()
        refuse_new([listening])
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(f"{tmp_path}/socket")


def test_gunicorn_hears_of_a_worker_several_times_before_it_gives_it_up() -> None:
    hooks = runpy.run_path(str(ROOT / "gunicorn.conf.py"))
    assert hooks["Worker"].CONFIG_KWARGS["timeout_notify"] * 4 <= hooks["timeout"]
    assert hooks["Worker"].CONFIG_KWARGS["timeout_graceful_shutdown"] < hooks["graceful_timeout"]
