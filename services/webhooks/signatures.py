"""Secrets and signatures, after Standard Webhooks 1.0.0 (https://www.standardwebhooks.com).

Secrets are stored nowhere: each is derived of the server's ``SECRET_KEY`` and a random salt, so that who reads the
database has none of them. Another ``SECRET_KEY`` makes others of them all.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence

PREFIX = "whsec_"
_PURPOSE = b"tandem webhook secret 1:"


def new_salt() -> str:
    """What a new secret is derived of: 16 random bytes, in hexadecimal."""
    return secrets.token_hex(16)


class Signer:
    """Knows the secrets of webhooks by their salts."""

    def __init__(self, secret_key: str) -> None:
        self._key = secret_key.encode()

    def secret(self, salt: str) -> str:
        """``whsec_`` and 32 bytes in base64, as receivers are given it."""
        return PREFIX + base64.b64encode(self._bytes(salt)).decode()

    def headers(self, salts: Sequence[str], message_id: str, seconds: int, body: bytes) -> dict[str, str]:
        """The headers of a message that is sent at a time (seconds since 1970): a signature by each secret."""
        signed = f"{message_id}.{seconds}.".encode() + body
        signatures = (hmac.new(self._bytes(salt), signed, hashlib.sha256).digest() for salt in salts)
        return {
            "webhook-id": message_id,
            "webhook-timestamp": str(seconds),
            "webhook-signature": " ".join(f"v1,{base64.b64encode(one).decode()}" for one in signatures),
        }

    def _bytes(self, salt: str) -> bytes:
        return hmac.new(self._key, _PURPOSE + salt.encode(), hashlib.sha256).digest()
