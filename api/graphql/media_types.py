"""In which form a client is answered: media types and statuses (GraphQL over HTTP, edition of September 2026).

Who names a JSON type is answered by the edition. Who names none that would tell, as most HTTP libraries do, may be a
client from before it, which takes 200 and 400 for all that GraphQL has to say.
"""

from functools import lru_cache
from typing import NamedTuple

from api.http.accept import ranges

RESPONSE_JSON = "application/graphql-response+json"
LEGACY_JSON = "application/json"
PARTIAL = 294
"""The status of data with errors."""
UNREADABLE = frozenset({"GRAPHQL_PARSE_FAILED", "TOO_EXPENSIVE", "BAD_REQUEST"})
"""The codes of requests that are a 400 by the edition; what is read and does not hold is a 422."""


class Form(NamedTuple):
    """How a client is answered."""

    success: str
    """The media type of a 2xx."""
    failure: str
    """The media type of all others."""
    exact: bool = True
    """Whether the edition's statuses are understood."""

    def media_type(self, status: int) -> str:
        """The media type of an answer with this status."""
        return self.success if status < 300 else self.failure

    def content_type(self, status: int) -> str:
        """The header of an answer with this status."""
        return f"{self.media_type(status)}; charset=utf-8"

    def status_of(self, *codes: str) -> int:
        """The status of a request that was not executed, for the codes of its errors."""
        if not self.exact:
            return 200 if self.success == LEGACY_JSON else 400
        return 422 if UNREADABLE.isdisjoint(codes) else 400

    @property
    def malformed(self) -> int:
        """The status of JSON that is no request."""
        return 422 if self.exact else 400

    @property
    def partial(self) -> int:
        """The status of data with errors: 294 is for those who name the media type that came with it."""
        return PARTIAL if self.success == RESPONSE_JSON else 200


RESPONSE = Form(RESPONSE_JSON, RESPONSE_JSON)
PLAIN = Form(LEGACY_JSON, RESPONSE_JSON)
"""For a client that asks for ``application/json``: only a 2xx is relabelled."""
STREAM = Form(RESPONSE_JSON, RESPONSE_JSON, exact=False)
"""For what keeps a stream from beginning, whose protocol (graphql-sse) knows 400."""
UNNAMED = Form(LEGACY_JSON, LEGACY_JSON, exact=False)
"""For a client that takes anything, or says nothing."""
_FORMS = {RESPONSE_JSON: (2, RESPONSE), LEGACY_JSON: (1, PLAIN), "application/*": (0, UNNAMED), "*/*": (0, UNNAMED)}


@lru_cache(maxsize=500)
def negotiate(accept: str) -> Form | None:
    """The form that the client likes best (section 6.1); None where it takes neither type."""
    if not accept.strip():
        return UNNAMED
    best: tuple[float, int] | None = None
    chosen: Form | None = None
    for name, quality in ranges(accept):
        if quality <= 0 or name not in _FORMS:
            continue
        rank, form = _FORMS[name]
        if best is None or (quality, rank) > best:
            best, chosen = (quality, rank), form
    return chosen
