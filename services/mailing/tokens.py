"""Tokens of messages, which end what a message was sent for without a login (RFC 8058): signed by the server, good for
that alone, and for as long as messages are kept."""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from enum import StrEnum

from services.shared.node_ids import MAX_DATABASE_ID

_PURPOSE = b"tandem unsubscribe 1:"
_SIGNATURE = 32
"""The characters of a signature, of six bits each."""


class Unsubscribed(StrEnum):
    """What a message was sent for."""

    NOTIFICATIONS = "notifications"
    DIGEST = "digest"


class MailTokens:
    """Makes and reads the tokens of a server, by its ``SECRET_KEY``: another one makes others of them all."""

    def __init__(self, secret_key: str) -> None:
        self._key = secret_key.encode()

    def make(self, user_id: int, what: Unsubscribed) -> str:
        """The token of somebody's messages of a sort."""
        said = f"{user_id}.{what.value}"
        return f"{said}.{self._signature(said)}"

    def read(self, token: str) -> tuple[int, Unsubscribed] | None:
        """Whose messages, and of which sort, a token ends; None for one that this server did not make."""
        said, _, signature = token.rpartition(".")
        if not hmac.compare_digest(self._signature(said).encode(), signature.encode()):
            return None
        user_id, _, what = said.partition(".")
        if not user_id.isdecimal() or what not in [*Unsubscribed] or int(user_id) > MAX_DATABASE_ID:
            return None
        return int(user_id), Unsubscribed(what)

    def _signature(self, said: str) -> str:
        digest = hmac.new(self._key, _PURPOSE + said.encode(), hashlib.sha256).digest()
        return urlsafe_b64encode(digest).decode()[:_SIGNATURE]
