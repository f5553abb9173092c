"""What the kernel knows of a connection."""

import fcntl
import struct
import termios
from typing import Protocol


class Socket(Protocol):
    def fileno(self) -> int: ...


def untaken(socket: Socket | None) -> int:
    """Bytes in the kernel that the other side has not acknowledged (Linux: ``SIOCOUTQ``); 0 where it does not say."""
    try:
        if socket is not None:
            found: tuple[int] = struct.unpack("i", fcntl.ioctl(socket.fileno(), termios.TIOCOUTQ, b"\0" * 4))
            return found[0]
    except OSError:  # closed, or another system
        pass
    return 0
