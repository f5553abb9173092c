"""A socket that listens no more to anybody new, and still has whoever was there.

Closing a listening socket resets the connections that wait to be accepted, whose clients have sent their requests
already. On Linux a filter of the socket (socket(7), SO_ATTACH_FILTER; classic BPF) drops what would open a connection,
so that a client asks again, a second later, and is refused then: nothing that it sent was lost. Those whose handshake
has begun get to the end of it, and are accepted. Elsewhere, nothing is done.
"""

import ctypes
import socket
import struct
import sys
from collections.abc import Iterable

_SO_ATTACH_FILTER = 26
_FLAGS, _SYN, _SYN_OR_ACK = 13, 0x02, 0x12  # of TCP's header (RFC 9293, section 3.1), which the filter is given
_PROGRAM = (
    (0x30, 0, 0, _FLAGS),  # load a byte
    (0x54, 0, 0, _SYN_OR_ACK),  # and
    (0x15, 0, 1, _SYN),  # equal?
    (0x06, 0, 0, 0),  # drop
    (0x06, 0, 0, 0xFFFFFFFF),  # keep
)
SETTLE_SECONDS = 0.1
"""Until the handshakes that have begun are done."""


def refuse_new(sockets: Iterable[socket.socket]) -> bool:
    """Let no new connection be opened to these, nor to whatever else listens by them. Whether that could be had."""
    if not sys.platform.startswith("linux"):
        return False
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in _PROGRAM))
    program = struct.pack("HP", len(_PROGRAM), ctypes.addressof(code))
    try:
        for listening in sockets:
            if listening.family in (socket.AF_INET, socket.AF_INET6):
                listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
    except OSError:
        return False
    return True
