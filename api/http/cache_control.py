"""What caches may do with answers (RFC 9111), and which headers an answer depends on (RFC 9110, section 12.5.5).

Every answer says so, also one that is refused, a 304 and one to HEAD. What depends on the caller is ``private`` and
asked for anew each time (``no-cache``), which is what an ``ETag`` is for; it varies by the credentials, for two people
may use one browser. What holds a credential is kept by nobody, and neither is a refusal: some could be kept by rule (a
404 is, by heuristics), and a 429 must not be (RFC 6585, section 4).

An endpoint says what it answers with ``answers``, where that is not the caller's; the headers are made once a route.
"""

from collections.abc import Callable
from enum import Enum
from typing import Any, NamedTuple, TypeVar

Header = tuple[bytes, bytes]
F = TypeVar("F", bound=Callable[..., Any])

NO_STORE: Header = (b"cache-control", b"no-store")
PRIVATE: Header = (b"cache-control", b"private, no-cache")
CREDENTIALS = "Authorization, X-API-Key"
_NO_SNIFF: Header = (b"x-content-type-options", b"nosniff")
_VARY: Header = (b"vary", CREDENTIALS.encode())


class Kind(Enum):
    """What an endpoint answers."""

    CALLERS = "what the caller may see"
    CREDENTIAL = "a credential, or an account that has just been made"
    ANYBODYS = "the same for everybody"
    MOMENTS = "the same for everybody, and for the moment"
    STREAM = "what happens, as a stream that says itself that nobody keeps it"
    OWN = "what it says itself in Cache-Control and Vary"


class Fixed(NamedTuple):
    """Headers of a route's answers: of those that are given, and of those that are refused."""

    given: tuple[Header, ...]
    refused: tuple[Header, ...]


_FIXED = {
    Kind.CALLERS: Fixed((_NO_SNIFF, PRIVATE, _VARY), (_NO_SNIFF, NO_STORE, _VARY)),
    Kind.CREDENTIAL: Fixed((_NO_SNIFF, NO_STORE, _VARY), (_NO_SNIFF, NO_STORE, _VARY)),
    Kind.ANYBODYS: Fixed((_NO_SNIFF, (b"cache-control", b"no-cache")), (_NO_SNIFF, NO_STORE)),
    Kind.MOMENTS: Fixed((_NO_SNIFF, NO_STORE), (_NO_SNIFF, NO_STORE)),
    Kind.STREAM: Fixed((_NO_SNIFF, _VARY), (_NO_SNIFF, NO_STORE, _VARY)),
    Kind.OWN: Fixed((_NO_SNIFF,), (_NO_SNIFF,)),
}
UNKNOWN = _FIXED[Kind.OWN]
"""Of what no route answers."""


def answers(kind: Kind) -> Callable[[F], F]:
    """Marks an endpoint by what it answers; to stand below the route's own decorator."""

    def mark(endpoint: F) -> F:
        endpoint.answers = kind  # type: ignore[attr-defined]  # read by fixed_headers, from whatever wraps it
        return endpoint

    return mark


def fixed_headers(endpoint: Callable[..., Any]) -> Fixed:
    """The headers of what an endpoint answers."""
    return _FIXED[getattr(endpoint, "answers", Kind.CALLERS)]


def is_said(headers: list[Header]) -> bool:
    """Whether an answer says already what caches may do with it."""
    return any(name == b"cache-control" for name, _ in headers)
