"""Calls that may carry an ``Idempotency-Key`` (``services.shared.idempotency``)."""

from collections.abc import Awaitable, Callable
from typing import Annotated, ParamSpec, Self, TypeVar

from fastapi import Depends, Header, Request, Response

from api.dependencies.auth import CurrentActor
from api.dependencies.parameters import Notify
from api.dependencies.preconditions import with_etag
from api.dependencies.sessions import WriteSession
from api.dependencies.state import AppState
from api.http.addresses import locate
from api.http.route import IDEMPOTENCY_KEY
from db.driver.sessions import Session
from services.allowances.rate_limits import RateLimits
from services.shared.actors import Actor
from services.shared.idempotency import KEY_DESCRIPTION, IdempotencyContext, KeyText, RepeatableCommand

P = ParamSpec("P")
T = TypeVar("T")


class IdempotentCall:
    """Runs a call, or answers what it answered before, where it carries an ``Idempotency-Key``."""

    def __init__(
        self,
        actor: Actor,
        session: Session,
        request: Request,
        response: Response,
        limits: RateLimits,
        key: str | None,
    ) -> None:
        self._actor, self._session, self._request, self._response = actor, session, request, response
        self._limits = limits
        # as the draft has it, a structured string stands in quotes; most clients leave them out
        quoted = key is not None and len(key) > 2 and key[0] == key[-1] == '"'
        self._context = IdempotencyContext(key[1:-1] if key is not None and quoted else key)

    async def __call__(self, command: RepeatableCommand[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What the command answers or answered."""
        return await self.run(
            lambda context: command.once(self._session, self._actor, context, self._limits, *args, **kwargs)
        )

    def telling(self, notify: bool) -> Self:
        """The same of a caller who says whether people are told of it."""
        self._actor = self._actor.telling(notify)
        return self

    def located(self, path: str, thing: T) -> T:
        """Something new, whose address goes into ``Location``, and its version, where it has one, into the ``ETag``."""
        locate(self._request, self._response, path)
        version = getattr(thing, "version", None)
        return thing if version is None else with_etag(self._response, thing, version)

    async def run(self, call: Callable[[IdempotencyContext], Awaitable[T]]) -> T:
        """What a service answers that looks at the key itself; ``Idempotency-Replayed`` marks an earlier answer."""
        result = await call(self._context)
        if self._context.replayed:
            self._response.headers["Idempotency-Replayed"] = "true"
        return result


async def _idempotent(
    actor: CurrentActor,
    session: WriteSession,
    request: Request,
    response: Response,
    state: AppState,
    key: Annotated[KeyText | None, Header(alias=IDEMPOTENCY_KEY, description=KEY_DESCRIPTION)] = None,
) -> IdempotentCall:
    return IdempotentCall(actor, session, request, response, state.security.limits, key)


Idempotent = Annotated[IdempotentCall, Depends(_idempotent)]


async def _telling(call: Idempotent, notify: Notify = True) -> IdempotentCall:
    return call.telling(notify)


IdempotentTelling = Annotated[IdempotentCall, Depends(_telling)]
"""Of what people may be told of: it takes ``notify``, which says whether they are."""
