"""Bytes on a socket, for what no HTTP client sends."""

import socket
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

HOST = b"Host: tandem.example\r\n"
HEALTH = b"GET /health HTTP/1.1\r\n" + HOST + b"\r\n"


@dataclass(frozen=True, slots=True)
class Answers:
    """All that came on a connection, until it ended or nothing came for a while."""

    content: bytes
    ended: bool
    seconds: float

    @property
    def statuses(self) -> list[int]:
        lines = self.content.split(b"HTTP/1.1 ")[1:]
        return [int(line[:3]) for line in lines]

    @property
    def body(self) -> bytes:
        return self.content.rpartition(b"\r\n\r\n")[2]


def connect(url: str) -> socket.socket:
    parts = urlsplit(url)
    assert parts.hostname is not None
    return socket.create_connection((parts.hostname, parts.port or 80), timeout=10)


def listen(connection: socket.socket, *, quiet: float = 0.3, began: float | None = None) -> Answers:
    """What comes until the server ends the connection, or is quiet for so long."""
    began = time.monotonic() if began is None else began
    connection.settimeout(quiet)
    pieces = []
    ended = True
    while True:
        try:
            piece = connection.recv(65_536)
        except TimeoutError:
            ended = False
            break
        except ConnectionResetError:
            break
        if not piece:
            break
        pieces.append(piece)
    return Answers(b"".join(pieces), ended, time.monotonic() - began)


def send(url: str, *pieces: bytes, quiet: float = 0.3, pause: float = 0.0) -> Answers:
    """Send the pieces, with a pause between them, and listen."""
    with connect(url) as connection:
        began = time.monotonic()
        for piece in pieces:
            try:
                connection.sendall(piece)
            except ConnectionError:  # it was refused, and does not read on
                break
            time.sleep(pause)
        return listen(connection, quiet=quiet, began=began)
