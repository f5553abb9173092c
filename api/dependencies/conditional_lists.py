"""304 for lists: by what is known of them, where nothing has happened since, or by the digest of what is read."""

import re
from urllib.parse import unquote_to_bytes

from fastapi import Request, Response

from api.http.headers import headers_of
from api.http.list_tags import Known, KnownLists, key_of, names, not_modified, tag_list
from api.state import State
from db.driver.sessions import Session
from services import list_states
from services.shared.actors import Actor

_BY_THE_CLOCK = re.compile(
    rb"overdue|trashed|saved_view|now|today|tomorrow|yesterday|minute|hour|day|week|month|year|[+-]\s*\d+[a-z]",
    re.IGNORECASE,
)
"""What a list is asked by whose rows change as time passes, without an event; and what may stand for such."""


def if_none_match_of(request: Request) -> str | None:
    """The header of a request whose method it concerns (RFC 9110, section 13.1.2; RFC 10008)."""
    if request.method == "POST":
        return None
    found = headers_of(request.scope).get(b"if-none-match")
    return None if found is None else found.decode("latin-1")


async def unmodified(
    session: Session,
    actor: Actor,
    request: Request,
    response: Response,
    if_none_match: str | None,
    *,
    body: str = "",
    told: bool = True,
) -> Response | None:
    """304 where the client has the list, and that is known without reading it; else None, and ``response`` is to be
    tagged as it is written. ``body`` is what was asked by one; ``told`` says that whatever changes the list leaves an
    event."""
    if request.method == "POST":
        return None
    scope = request.scope
    asked = unquote_to_bytes(scope["query_string"]) + body.encode("utf-8", "surrogatepass")
    # to what a key is limited, nobody is told
    told = told and actor.limited_by is None
    if if_none_match is None or not told or _BY_THE_CLOCK.search(asked):
        tag_list(response, if_none_match)
        return None
    state: State = request.app.state.tandem
    lists: KnownLists = state.known_lists
    key = key_of(actor.identity, scope["path"], scope["query_string"], body)
    known = lists.get(key)
    if known is not None and names(if_none_match, known.tag):
        standing = await list_states.unchanged(session, actor, known.standing)
        if standing is not None:
            lists.put(key, Known(known.tag, standing))
            return not_modified(known.tag)
    before = await list_states.standing(session)
    tag_list(response, if_none_match, lambda tag: lists.put(key, Known(tag, before)))
    return None
