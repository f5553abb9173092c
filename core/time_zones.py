"""The names of time zones: those of the IANA database, and no others that a machine happens to have."""

from functools import cache
from importlib import resources

_NO_ZONE = "Factory"
"""What the database has for clocks that nobody has set."""


@cache
def known() -> frozenset[str]:
    """The names of zones and links, of the version that is pinned (the package tzdata), whatever the machine has."""
    names = resources.files("tzdata").joinpath("zones").read_text("utf-8").split()
    return frozenset(names) - {_NO_ZONE}
