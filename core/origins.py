"""Origins as browsers write them (RFC 6454, section 6.2): the text that stands in the header ``Origin``."""

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address

_PARTS = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*)://(\[[^\]]*\]|[^/:?#]*)(?::([^/?#]*))?(.*)", re.DOTALL)
_HOST = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*\.?", re.ASCII)
_DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
ANY = "*"
LOCAL = r"https?://(?:localhost|127\.0\.0\.1|\[::1\])(?::[0-9]{1,5})?"
"""A pattern of the origins of pages that the developer's own machine serves, on whichever port."""


def is_local(origin: str) -> bool:
    """Whether a page of this origin was served by the machine that it is shown on."""
    return re.fullmatch(LOCAL, origin) is not None


def normalised(origin: str) -> str:
    """The origin in the one form that a browser sends. Raises ``ValueError`` for what none would send.

    Small letters, no default port, no slash at the end, names beyond ASCII in Punycode.
    """
    if origin == "null":
        raise ValueError("'null' is what every sandboxed page and local file sends: it cannot be allowed")
    if "@" in origin:
        raise ValueError(f"{_shown(origin)} has a user in it: browsers send none")
    parts = _PARTS.fullmatch(origin)
    if parts is None:
        raise ValueError(f"{_shown(origin)} is no origin: write scheme://host, e.g. https://app.example.com")
    scheme, host, port, rest = parts[1].lower(), parts[2], parts[3], parts[4]
    if rest not in ("", "/"):
        raise ValueError(f"{_shown(origin)} has more than a scheme, a host and a port: browsers send no path")
    if scheme in ("ws", "wss"):
        raise ValueError(f"{_shown(origin)}: a page that opens a socket has the origin http:// or https://")
    return f"{scheme}://{_host(host, origin)}{_port(port, scheme, origin)}"


def _shown(origin: str) -> str:
    """The origin for a message, without what may be a password in it."""
    return repr(re.sub(r"//[^/]*@", "//…@", origin)[:100])


def _host(host: str, origin: str) -> str:
    if "*" in host:
        raise ValueError(f"{_shown(origin)} is a pattern: name each origin")
    if host.startswith("["):
        try:
            return f"[{IPv6Address(host[1:-1]).compressed}]"
        except AddressValueError:
            raise ValueError(f"{_shown(origin)} has no IPv6 address in its brackets") from None
    if not host.isascii():
        import idna  # its tables, only for those who need them

        try:
            host = idna.encode(host, uts46=True).decode("ascii")
        except idna.IDNAError:
            raise ValueError(f"{_shown(origin)} has a host that is no name (RFC 5891)") from None
    host = host.lower()
    if not _HOST.fullmatch(host) or len(host) > 253:
        raise ValueError(f"{_shown(origin)} has a host that is no name; several origins are separated by commas")
    if host.rstrip(".").rpartition(".")[2].isdigit():
        try:
            return str(IPv4Address(host))
        except AddressValueError:
            raise ValueError(f"{_shown(origin)} has a host that is no IPv4 address") from None
    return host


def _port(port: str | None, scheme: str, origin: str) -> str:
    if port is None or port == "":
        return ""
    if not (port.isascii() and port.isdigit()) or not 0 < int(port[:10]) < 65_536:
        raise ValueError(f"{_shown(origin)} has a port that is no number from 1 to 65535")
    return "" if int(port) == _DEFAULT_PORTS.get(scheme) else f":{int(port)}"
