"""Versions of single things: ``ETag``, ``If-Match`` and ``If-None-Match`` (RFC 9110, section 13.1)."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Concatenate, ParamSpec, Protocol, TypeVar

from fastapi import Depends, Header, HTTPException, Response

from api.dependencies.auth import CurrentActor, TellingActor
from api.dependencies.sessions import ReadSession, WriteSession
from api.http import list_tags
from db.driver.sessions import Session
from services.shared.actors import Actor
from services.shared.errors import Expected


class _Versioned(Protocol):
    @property
    def version(self) -> int: ...


P = ParamSpec("P")
T = TypeVar("T")
V = TypeVar("V", bound=_Versioned)

_TAG = re.compile(r'(?:W/)?"[^"]*"|(?<![^\s,])[0-9]{1,10}(?![^\s,])', re.ASCII)
"""An entity tag (RFC 9110, section 8.8.3), or a version whose quotes a shell or a script has taken away."""
_VERSION = re.compile(r'("?)([0-9]{1,10})\1', re.ASCII)


async def expected_version(
    if_match: Annotated[
        str | None,
        Header(
            alias="If-Match",
            json_schema_extra={"format": "etag"},
            description='Write only if the ETag is still this one (RFC 9110, section 13.1.1), e.g. "3".',
        ),
    ] = None,
) -> Expected:
    """The versions that ``If-Match`` names; None without the header, or for ``*``. Raises 400 for what is no tag."""
    if if_match is None or if_match.strip() == "*":
        return None
    if _TAG.sub("", if_match).strip(" \t,") or not if_match.strip(" \t,"):
        raise HTTPException(400, 'If-Match takes ETags, in double quotes as they were sent: If-Match: "3"')
    # a weak or foreign tag matches no version (RFC 9110, section 8.8.3.2)
    matches = map(_VERSION.fullmatch, _TAG.findall(if_match))
    return frozenset(int(match[2]) for match in matches if match)


ExpectedVersion = Annotated[Expected, Depends(expected_version)]


IfNoneMatch = Annotated[
    str | None,
    Header(alias="If-None-Match", description="Answer 304 if the ETag is still this one (RFC 9110, section 13.1.2)."),
]


def with_etag(response: Response, thing: T, version: int) -> T:
    """The thing, whose version goes into the ``ETag``."""
    response.raw_headers.append((b"etag", b'"%d"' % version))
    return thing


def not_modified_or(response: Response, thing: T, version: int, if_none_match: str | None) -> T | Response:
    """The thing with its ``ETag``, or 304 where the client has that version already."""
    return not_modified(version, if_none_match) or with_etag(response, thing, version)


def not_modified(version: int, if_none_match: str | None) -> Response | None:
    """304 where the client has that version already."""
    if if_none_match is None:
        return None
    tag = f'"{version}"'
    return list_tags.not_modified(tag) if list_tags.names(if_none_match, tag) else None


@dataclass(frozen=True, slots=True)
class VersionedReadCall:
    """Answers one thing with its ``ETag``, or 304 where the client has its version already."""

    actor: Actor
    session: Session
    response: Response
    if_none_match: str | None

    async def __call__(
        self, get: Callable[Concatenate[Session, Actor, P], Awaitable[V]], *args: P.args, **kwargs: P.kwargs
    ) -> V | Response:
        """What a service reads."""
        thing = await get(self.session, self.actor, *args, **kwargs)
        return not_modified_or(self.response, thing, thing.version, self.if_none_match)


@dataclass(frozen=True, slots=True)
class VersionedWriteCall:
    """Changes one thing, and answers it with its new ``ETag``. ``expected`` is what ``If-Match`` names."""

    actor: Actor
    session: Session
    response: Response
    expected: Expected

    async def __call__(
        self, change: Callable[Concatenate[Session, Actor, P], Awaitable[V]], *args: P.args, **kwargs: P.kwargs
    ) -> V:
        """What a service makes of it."""
        thing = await change(self.session, self.actor, *args, **kwargs)
        return with_etag(self.response, thing, thing.version)


async def _reading(
    actor: CurrentActor, session: ReadSession, response: Response, if_none_match: IfNoneMatch = None
) -> VersionedReadCall:
    return VersionedReadCall(actor, session, response, if_none_match)


async def _writing(
    actor: CurrentActor, session: WriteSession, response: Response, expected: ExpectedVersion
) -> VersionedWriteCall:
    return VersionedWriteCall(actor, session, response, expected)


async def _telling(
    actor: TellingActor, session: WriteSession, response: Response, expected: ExpectedVersion
) -> VersionedWriteCall:
    return VersionedWriteCall(actor, session, response, expected)


VersionedRead = Annotated[VersionedReadCall, Depends(_reading)]
VersionedWrite = Annotated[VersionedWriteCall, Depends(_writing)]
VersionedTellingWrite = Annotated[VersionedWriteCall, Depends(_telling)]
"""Of what people may be told of: it takes ``notify``, which says whether they are."""
