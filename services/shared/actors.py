"""Who is asking. There is always an Actor; an anonymous caller is one too."""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Literal, Self

from services.shared.errors import Forbidden, Unauthenticated
from services.shared.limited_keys import LimitedOwner


class Scope(StrEnum):
    """What an API key may do on behalf of its owner."""

    TASKS_READ = "tasks:read"
    TASKS_WRITE = "tasks:write"
    PROJECTS_ADMIN = "projects:admin"
    ADMIN = "admin"


_IMPLIED = {
    Scope.TASKS_READ: frozenset({Scope.TASKS_READ}),
    Scope.TASKS_WRITE: frozenset({Scope.TASKS_READ, Scope.TASKS_WRITE}),
    Scope.PROJECTS_ADMIN: frozenset({Scope.TASKS_READ, Scope.PROJECTS_ADMIN}),
    Scope.ADMIN: frozenset(Scope),
}
ALL_SCOPES = frozenset(Scope)

Method = Literal["anonymous", "token", "api_key", "server_key", "system"]


@dataclass(frozen=True, slots=True)
class Actor:
    """The caller: account, scopes, and how it was authenticated.

    ``server_key`` is the key from the settings, which belongs to no account; ``system`` is a command of the operator.
    """

    method: Method
    user_id: int | None = None
    is_admin: bool = False
    scopes: frozenset[Scope] = frozenset()
    session_id: int | None = None
    api_key_id: int | None = None
    api_key_hash: str | None = None
    """The fingerprint of the secret that the key was sent with: one that was replaced may work a while longer."""
    time_zone: str | None = field(default=None, compare=False)
    """The name of the account's time zone; None where it was not looked up."""
    tells: bool = True
    """Whether people are to be told of what the caller does (``notify``)."""

    def telling(self, notify: bool) -> Self:
        """The caller, of whose doings the people concerned are told, or are not."""
        return self if notify is self.tells else replace(self, tells=notify)

    @property
    def limited_by(self) -> int | None:
        """The id of the key that limits the caller to some of its owner's projects; None for no limit."""
        return self.user_id.key_id if isinstance(self.user_id, LimitedOwner) else None

    @property
    def identity(self) -> str:
        """Who a call with an idempotency key belongs to; empty for an anonymous caller."""
        if self.api_key_id is not None:
            return f"key:{self.api_key_id}"
        return f"user:{self.user_id}" if self.user_id is not None else self.method.replace("anonymous", "")

    @property
    def allowance(self) -> str:
        """Whose allowance a request counts against: the account's, whichever of its sessions or keys it comes with.

        Empty for an anonymous caller, who is counted by his address.
        """
        return f"user:{self.user_id}" if self.user_id is not None else self.method.replace("anonymous", "")

    def require(self, scope: Scope) -> int:
        """The account's id, if the caller has one and the scope. Raises ``Unauthenticated`` or ``Forbidden``."""
        if self.method == "anonymous":
            raise Unauthenticated
        if self.user_id is None:
            raise Forbidden("This key belongs to no account")
        if scope not in self.scopes:
            raise Forbidden(f"This key lacks the scope {scope.value}")
        return self.user_id

    def require_unlimited(self, doing: str) -> None:
        """Raises ``Forbidden`` for a key that is limited to some projects; ``doing`` is what it cannot do."""
        if self.limited_by is not None:
            raise Forbidden(f"This key is limited to some projects: it cannot {doing}")

    def require_login(self) -> int:
        """The account's id, if its owner logged in: accounts are not managed by keys."""
        if self.method == "anonymous":
            raise Unauthenticated
        if self.method != "token" or self.user_id is None:
            raise Forbidden("An API key cannot manage the account: log in")
        return self.user_id

    def require_admin_key(self) -> None:
        """Raises ``Forbidden`` unless the caller sent an API key with the scope ``admin``."""
        if self.method not in {"api_key", "server_key"} or Scope.ADMIN not in self.scopes:
            raise Forbidden("Invalid API key: an X-API-Key with the scope admin is required")

    def require_admin(self) -> None:
        """Raises unless the caller administers the server, by login or by key."""
        if self.method == "anonymous":
            raise Unauthenticated
        if not (self.is_admin and Scope.ADMIN in self.scopes):
            raise Forbidden("Administrators only")


ANONYMOUS = Actor("anonymous")
SERVER_KEY = Actor("server_key", is_admin=True, scopes=ALL_SCOPES)


def widen(scopes: list[str]) -> frozenset[Scope]:
    """The scopes with those they imply: writing includes reading, ``admin`` includes all."""
    return frozenset().union(*(_IMPLIED[Scope(scope)] for scope in scopes))
