"""The header ``Host``: RFC 9112, section 3.2, whose value is RFC 3986's host and port (sections 3.2.2 and 3.2.3)."""

import re
from ipaddress import IPv6Address

_NAME = rb"(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2}){1,255}"
_FUTURE = rb"[vV][0-9A-Fa-f]+\.[A-Za-z0-9._~!$&'()*+,;=:-]+"
_HOST = re.compile(rb"(?:%b|\[(?:%b|(?P<ipv6>[0-9A-Fa-f:.]{2,45}))\])(?::(?P<port>[0-9]{0,5}))?" % (_NAME, _FUTURE))
_KEPT = 1_000
_known: set[bytes] = set()


def is_host(value: bytes) -> bool:
    """Whether the value of a ``Host`` header is well-formed. What it names is not looked at: nothing rests on it."""
    if value in _known:
        return True
    match = _HOST.fullmatch(value)
    if match is None or int(match["port"] or 0) > 65_535:
        return False
    if match["ipv6"] is not None:
        try:
            IPv6Address(match["ipv6"].decode())
        except ValueError:
            return False
    if len(_known) < _KEPT:
        _known.add(value)
    return True
