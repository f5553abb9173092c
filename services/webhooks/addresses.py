"""Where webhooks may lead: to hosts of the public internet, and nowhere else.

An address is read as strictly as it can be written: whatever browsers and libraries make of other spellings
(``0x7f.1``, ``127。0。0。1``, ``user@host``), here it is none. A name is looked at again when it is connected to
(``services.webhooks.sending``), by what it leads to then.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit

MAX_URL = 2_000
"""Characters of an address."""

# IANA's registries of special-purpose addresses, and what is more: what is not for everybody, or leads elsewhere
_NOT_IPV4 = tuple(
    map(
        ip_network,
        (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/3",
            "168.63.129.16/32",  # where Azure's hosts answer their guests
        ),
    )
)
_IPV6 = ip_network("2000::/3")
"""Global unicast; all else is loopback, link-local, unique-local, mapped, translated (NAT64), multicast or nobody's."""
_NOT_IPV6 = tuple(
    map(
        ip_network,
        (
            "2001::/23",  # Teredo, ORCHID, benchmarks
            "2001:db8::/32",
            "2002::/16",  # 6to4: an IPv4 address within
            "3fff::/20",
        ),
    )
)
_ISATAP = re.compile(r"0[02]00:?5efe", re.ASCII)
_URL = re.compile(r"https?://[!-~]+", re.ASCII | re.IGNORECASE)
_NAME = re.compile(
    r"(?=.{4,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])", re.ASCII
)
_LOCAL = ("localhost", "local", "internal", "intranet", "lan", "home", "corp", "private", "home.arpa", "onion")
"""Ends of names that no public server has (RFC 6761, RFC 6762, RFC 8375, ICANN's reserved ones)."""


class NotAllowed(Exception):
    """An address that webhooks may not lead to; its text says why, for people."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What an operator allows."""

    https_only: bool = False
    ports: frozenset[int] = frozenset()
    """Ports of 127.0.0.1 that may be connected to, for tests: nothing else of this machine may."""


@dataclass(frozen=True, slots=True)
class Target:
    """An address in its parts: ``host`` is a name in lower case, or an IP address."""

    secure: bool
    host: str
    port: int
    path: str
    """With the query, as it is sent."""

    @property
    def address(self) -> IPv4Address | IPv6Address | None:
        try:
            return ip_address(self.host)
        except ValueError:
            return None


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address is one of the public internet, whatever it is written or embedded in."""
    if isinstance(address, IPv4Address):
        return address.is_global and not any(address in network for network in _NOT_IPV4)
    if address.scope_id is not None or address not in _IPV6 or not address.is_global:
        return False
    if any(address in network for network in _NOT_IPV6):
        return False
    return not _ISATAP.match(address.exploded[20:29])


def allowed(address: IPv4Address | IPv6Address, port: int, rules: Rules) -> bool:
    """Whether webhooks may be sent there."""
    return is_public(address) or (str(address) == "127.0.0.1" and port in rules.ports)


def read(url: str, rules: Rules) -> Target:
    """The parts of an address that a webhook may have. Raises ``NotAllowed``."""
    if len(url) > MAX_URL:
        raise NotAllowed(f"must have at most {MAX_URL:,} characters")
    if not _URL.fullmatch(url) or any(letter in url for letter in '\\"<>^`{|}'):
        raise NotAllowed(
            "must be an address such as https://example.com/path, in ASCII: other letters as %-escapes, and in names "
            "as Punycode (xn--…)"
        )
    try:
        parts = urlsplit(url)
    except ValueError:
        raise NotAllowed("must name a host, or an IP address as RFC 3986 writes it") from None
    if "@" in parts.netloc:
        raise NotAllowed("must not hold a user name or a password")
    if "#" in url:
        raise NotAllowed("must not have a fragment (#…)")
    secure = parts.scheme.lower() == "https"
    if rules.https_only and not secure:
        raise NotAllowed("must begin with https://")
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0 or parts.netloc.endswith(":"):
        raise NotAllowed("must have a port from 1 to 65535, or none")
    port = port or (443 if secure else 80)
    host = parts.netloc.rpartition(":")[0] if parts.port is not None else parts.netloc
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(secure, _host(host, port, rules), port, path)


def _host(host: str, port: int, rules: Rules) -> str:
    if host.startswith("["):
        try:
            address: IPv4Address | IPv6Address = IPv6Address(host[1:-1] if host.endswith("]") else "")
        except ValueError:
            raise NotAllowed("must name a host, or an IP address as RFC 3986 writes it") from None
    else:
        name = host.lower()
        if _NAME.fullmatch(name):
            if any(name.endswith(f".{end}") for end in _LOCAL):
                raise NotAllowed("must lead to a host of the public internet")
            return name
        if name == "localhost" or (re.fullmatch(r"[a-z0-9-]{1,63}", name) and not name[-1].isdigit()):
            raise NotAllowed("must lead to a host of the public internet")
        try:
            address = IPv4Address(host)
        except ValueError:
            raise NotAllowed("must name a host, or an IP address as RFC 3986 writes it") from None
    if not allowed(address, port, rules):
        raise NotAllowed("must lead to a host of the public internet")
    return str(address)
