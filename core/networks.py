"""Where callers are: the network that an address is counted with."""

from functools import lru_cache
from ipaddress import IPv6Address, ip_address

MAX_ADDRESS = 64
"""Characters that are kept of what is no IP address: a proxy may write what it likes."""


@lru_cache(maxsize=4_096)
def network_of(address: str) -> str:
    """What the allowances of an address are counted for: an IPv4 address itself, of an IPv6 address its /64.

    A provider gives each customer a /64 at least (RFC 6177), and whoever has one has 2**64 addresses. An IPv4 address
    that is mapped into IPv6 (RFC 4291, section 2.5.5.2) is the IPv4 address. What is no address is taken as it is.
    """
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address[:MAX_ADDRESS]
    if not isinstance(found, IPv6Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return f"{IPv6Address(int(found) >> 64 << 64)}/64"
