"""Counting in windows: in memory, and in a Redis that may hang, be gone, and come back."""

import asyncio
import os
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from limits import parse

from core.networks import network_of
from services.allowances import windows
from services.allowances.rate_limits import RateLimits
from services.allowances.windows import RedisAway, SharedWindows, Windows
from services.shared.errors import RateLimited
from tests.infrastructure import require
from tests.processes import free_port

HOUR = parse("2/hour")


class TestMemory:
    def test_clock_of_the_day_has_no_say(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """One that is set back would keep a caller out for as long."""
        clock = SimpleNamespace(time=time.time, monotonic=lambda: 1000.0)
        monkeypatch.setattr(windows, "time", clock)
        counted = Windows()
        for _ in range(2):
            counted.hit(HOUR, "a")
        clock.time = lambda: time.time() - 86_400
        with pytest.raises(RateLimited) as refused:
            counted.hit(HOUR, "a")
        assert refused.value.retry_after == 3600
        clock.monotonic = lambda: 1000.0 + 3600
        assert counted.hit(HOUR, "a").remaining == 1

    def test_identifiers_and_kinds_are_apart(self) -> None:
        counted = Windows()
        for identifiers in (("a", "x"), ("a", "y"), ("b", "x")):
            assert counted.hit(HOUR, *identifiers).remaining == 1

    def test_what_has_ended_is_forgotten_and_the_oldest_beyond_a_bound(self, monkeypatch: pytest.MonkeyPatch) -> None:
        clock = SimpleNamespace(monotonic=lambda: 0.0)
        monkeypatch.setattr(windows, "time", clock)
        counted = Windows(10, most=40)
        for number in range(1000):
            counted.hit(HOUR, str(number))
            assert len(counted) <= 40
        assert counted.hit(HOUR, "999").remaining == 0
        clock.monotonic = lambda: 4000.0
        for number in range(40):
            counted.hit(HOUR, f"later {number}")
        assert ("999",) not in counted._windows

    def test_nothing_is_counted_without_a_weight(self) -> None:
        counted = Windows()
        for _ in range(9):
            assert counted.hit(HOUR, "a", weight=0).remaining == 2


class TestNetworks:
    @pytest.mark.parametrize(
        ("address", "network"),
        [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:0:1:2:3:4:5", "2001:db8:0:1::/64"),
            ("2001:DB8::1", "2001:db8::/64"),
            ("fe80::1%eth0", "fe80::/64"),
            ("::1", "::/64"),
            ("", ""),
            ("unknown", "unknown"),
            ("x" * 1000, "x" * 64),
        ],
    )
    def test_address_is_counted_with_its_network(self, address: str, network: str) -> None:
        assert network_of(address) == network


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is logged of Redis."""
    lines: list[str] = []
    monkeypatch.setattr(windows.logger, "warning", lambda message, *values: lines.append(message % values))
    return lines


class TestRedis:
    async def test_counts_as_memory_does(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(windows, "ANSWER_SECONDS", 10)
        async with _shared(require("redis")) as shared:
            name = os.urandom(8).hex()
            assert (await shared.hit(HOUR, "a", name, weight=0)).remaining == 2
            assert (await shared.hit(HOUR, "a", name))[2:] == (1, 3600)
            assert (await shared.hit(HOUR, "b", name)).remaining == 1
            assert (await shared.hit(HOUR, "a", name)).remaining == 0
            with pytest.raises(RateLimited) as refused:
                await shared.hit(HOUR, "a", name)
            assert refused.value.retry_after == 3600
            key = f"{windows.PREFIX}:a:{name}"
            await shared._redis.persist(key)
            with pytest.raises(RateLimited):
                await shared.hit(HOUR, "a", name)
            assert await shared._redis.ttl(key) > 3500  # no window is without an end
            await shared._redis.pexpire(key, 1)
            await asyncio.sleep(0.05)
            assert (await shared.hit(HOUR, "a", name)).remaining == 1

    async def test_one_that_accepts_and_never_answers_costs_one_wait(
        self, monkeypatch: pytest.MonkeyPatch, heard: list[str]
    ) -> None:
        monkeypatch.setattr(windows, "AWAY_SECONDS", 1.0)
        connections: list[Any] = []

        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connections.append(writer)
            await reader.read()

        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        limits = RateLimits(general="100/minute", login="3/minute", redis_url=f"redis://127.0.0.1:{port}/0")
        try:
            begun = time.perf_counter()
            together = [asyncio.create_task(limits.check(f"user:{number}")) for number in range(20)]
            await asyncio.gather(*together)
            assert time.perf_counter() - begun > 0.07
            seen = len(connections)
            for _ in range(90):
                await limits.check("user:1")
            for _ in range(3):
                await limits.check_login("192.0.2.1")
            with pytest.raises(RateLimited):
                await limits.check_login("192.0.2.1")
            assert len(connections) == seen  # nobody asks
            for _ in range(200):
                if len(connections) > seen:
                    break
                await asyncio.sleep(0.05)
            assert len(connections) > seen  # but for the one beside the requests
            assert len(heard) == 1
            assert heard[0].startswith("Redis does not answer: each worker counts alone until it does")
        finally:
            await limits.close()
            server.close()
            for writer in connections:
                writer.close()

    async def test_one_that_stands_still_is_left_and_used_again(
        self, monkeypatch: pytest.MonkeyPatch, heard: list[str], tmp_path: Path
    ) -> None:
        monkeypatch.setattr(windows, "AWAY_SECONDS", 0.1)
        with _redis(tmp_path) as (process, url):
            async with _shared(url) as shared:
                await _until_counted(shared, "a")
                process.send_signal(signal.SIGSTOP)
                with pytest.raises(RedisAway):
                    await shared.hit(HOUR, "b")
                begun = time.perf_counter()
                for _ in range(1000):
                    with pytest.raises(RedisAway):
                        await shared.hit(HOUR, "b")
                assert time.perf_counter() - begun < 1000 * windows.ANSWER_SECONDS / 8
                process.send_signal(signal.SIGCONT)
                await _until_counted(shared, "c")
        assert [line.partition(":")[0] for line in heard if "answer" in line][-2:] == [
            "Redis does not answer",
            "Redis answers again",
        ]

    async def test_one_that_is_gone_is_left_and_used_when_it_comes(
        self, monkeypatch: pytest.MonkeyPatch, heard: list[str], tmp_path: Path
    ) -> None:
        monkeypatch.setattr(windows, "AWAY_SECONDS", 0.1)
        monkeypatch.setattr(windows, "ANSWER_SECONDS", 10)
        port = free_port()
        async with _shared(f"redis://127.0.0.1:{port}/0") as shared:
            with pytest.raises(RedisAway):
                await shared.hit(HOUR, "a")
            await asyncio.sleep(0.5)
            assert shared.away
            assert len(heard) == 1  # a line for a change, none for a request or a try
            with _redis(tmp_path, port):
                await _until_counted(shared, "a")
        assert [line.partition(":")[0] for line in heard] == ["Redis does not answer", "Redis answers again"]

    async def test_password_does_not_stand_in_the_log(self, heard: list[str]) -> None:
        async with _shared(f"redis://:hunter2@127.0.0.1:{free_port()}/0") as shared:
            with pytest.raises(RedisAway):
                await shared.hit(HOUR, "a")
        assert "hunter2" not in heard[0]

    async def test_none_is_loaded_without_a_url(self) -> None:
        limits = RateLimits(general="1/minute")
        assert limits._shared is None
        await limits.check("user:1")
        with pytest.raises(RateLimited):
            await limits.check("user:1")


@asynccontextmanager
async def _shared(url: str) -> AsyncIterator[SharedWindows]:
    shared = SharedWindows(url)
    try:
        yield shared
    finally:
        await shared.close()


async def _until_counted(shared: SharedWindows, name: str) -> None:
    for _ in range(200):
        with suppress(RedisAway):
            await shared.hit(HOUR, name)
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it was not used again")


@contextmanager
def _redis(folder: Path, port: int | None = None) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A Redis of our own, to stop and to end."""
    require("redis")
    port = port or free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            for _ in range(200):
                with suppress(OSError):
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                time.sleep(0.05)
            yield process, f"redis://127.0.0.1:{port}/0"
        finally:
            process.send_signal(signal.SIGCONT)
            process.kill()
