"""What HTTP itself allows to be sent, by raw sockets: before anybody is known."""

import socket
import time
from contextlib import closing, suppress

from tests.attack.probes import Finding, answered, probe
from tests.attack.world import World

GET = b"GET /health HTTP/1.1\r\nHost: attacked\r\n"
SLOW = 10.0
"""Seconds after which a request that has not come is given up."""


def connect(world: World) -> socket.socket:
    return socket.create_connection(("127.0.0.1", world.port), timeout=30)


def status_of(answer: bytes) -> int:
    """The status of the first answer; 0 where there is none."""
    return int(answer[9:12]) if answer.startswith(b"HTTP/1.1 ") else 0


def sent(world: World, request: bytes, *, seconds: float = 5.0) -> tuple[int, bytes]:
    """Send raw bytes. Returns the status of the answer, 0 for a connection that was closed without one."""
    received = b""
    with closing(connect(world)) as raw:
        raw.settimeout(seconds)
        with suppress(OSError):
            raw.sendall(request)
        with suppress(OSError):
            while chunk := raw.recv(65_536):
                received += chunk
                if b"\r\n\r\n" in received:
                    break
    return status_of(received), received


@probe("edges", "a header of 100 MB is not read")
def _(world: World) -> Finding:
    before, memory, begun = world.cpu_seconds(), world.memory_mb(), time.monotonic()
    sent_bytes = 0
    received = b""
    with closing(connect(world)) as raw:
        with suppress(OSError):
            raw.sendall(GET + b"X-Large: ")
            while sent_bytes < 100_000_000 and time.monotonic() - begun < 20:
                raw.sendall(b"x" * 65_536)
                sent_bytes += 65_536
        raw.settimeout(3)
        with suppress(OSError):
            received = raw.recv(4_096)
    cpu, grown = world.cpu_seconds() - before, world.memory_mb() - memory
    status = status_of(received)
    said = f"{status} after {sent_bytes / 1e6:.1f} MB, {cpu:.2f} s of CPU, {grown:+.0f} MB"
    return Finding(status in {0, 431} and sent_bytes < 20_000_000 and cpu < 1.0 and grown < 20, said)


REFUSED: dict[str, tuple[bytes, set[int]]] = {
    "headers of 70 kB": (GET + b"X-Large: " + b"x" * 70_000 + b"\r\n\r\n", {431}),
    "10,000 headers": (GET + b"".join(b"X-%d: 1\r\n" % number for number in range(10_000)) + b"\r\n", {431}),
    "a header's name of a megabyte": (GET + b"x" * 1_000_000 + b": 1\r\n\r\n", {0, 431}),
    "a request line of a megabyte": (b"GET /" + b"x" * 1_000_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", {0, 414, 431}),
    "no host": (b"GET /health HTTP/1.1\r\n\r\n", {400}),
    "two hosts": (GET + b"Host: other\r\n\r\n", {400}),
    "a host with a path": (b"GET /health HTTP/1.1\r\nHost: a/b\r\n\r\n", {400}),
    "a host with somebody before it": (b"GET /health HTTP/1.1\r\nHost: me@a\r\n\r\n", {400}),
    "a host with a space": (b"GET /health HTTP/1.1\r\nHost: a b\r\n\r\n", {400}),
    "a host with a port of letters": (b"GET /health HTTP/1.1\r\nHost: a:port\r\n\r\n", {400}),
    "a length and chunks": (
        b"POST /graphql HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        {400},
    ),
    "two lengths": (b"POST /graphql HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde", {400}),
    "a negative length": (b"POST /graphql HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", {400}),
    "a length of letters": (b"POST /graphql HTTP/1.1\r\nHost: a\r\nContent-Length: 1e3\r\n\r\n", {400}),
    "a space before the colon": (GET + b"X-A : 1\r\n\r\n", {400}),
    "a folded header": (GET + b"X-A: 1\r\n 2\r\n\r\n", {400}),
    "a NUL in a header": (GET + b"X-A: 1\x002\r\n\r\n", {400}),
    "a body of 50 MB": (
        b"POST /graphql HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 50000000\r\n\r\n",
        {401, 413},
    ),
    "chunks of another size than they say": (
        b"POST /graphql HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
        {400},
    ),
    "no HTTP at all": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", {0, 400}),
}

for _name, (_request, _statuses) in REFUSED.items():

    @probe("edges", _name)
    def _(world: World, request: bytes = _request, statuses: set[int] = _statuses) -> Finding:
        status, _ = sent(world, request)
        return answered(status, statuses)


def _closed_after(world: World, first: bytes, then: bytes = b"") -> Finding:
    """How long a connection stays on which the request is never there; ``then`` is sent every second."""
    begun = time.monotonic()
    with closing(connect(world)) as raw:
        raw.settimeout(1.0)
        with suppress(OSError):
            raw.sendall(first)
        while (seconds := time.monotonic() - begun) < SLOW + 8:
            try:
                if not raw.recv(4_096):
                    break
            except TimeoutError:
                with suppress(OSError):
                    raw.sendall(then)
            except OSError:
                break
    return Finding(seconds <= SLOW + 3, f"closed after {seconds:.0f} s" if seconds < SLOW + 8 else "still open")


@probe("edges", "a silent connection is closed")
def _(world: World) -> Finding:
    return _closed_after(world, b"")


@probe("edges", "half a request line")
def _(world: World) -> Finding:
    return _closed_after(world, b"GET /hea")


@probe("edges", "headers by the drop")
def _(world: World) -> Finding:
    return _closed_after(world, GET, b"X-A: 1\r\n")


@probe("edges", "1,000 requests at once on one connection")
def _(world: World) -> Finding:
    with closing(connect(world)) as raw:
        raw.settimeout(20)
        with suppress(OSError):
            raw.sendall((GET + b"\r\n") * 1_000)
        answers, begun = b"", time.monotonic()
        with suppress(OSError):
            while answers.count(b"HTTP/1.1 ") < 1_000 and time.monotonic() - begun < 15:
                if not (chunk := raw.recv(262_144)):
                    break
                answers += chunk
    count = answers.count(b"HTTP/1.1 200")
    return Finding(count > 0, f"{count} answered in {time.monotonic() - begun:.1f} s")
