"""Password hashing: Argon2id, with old bcrypt hashes verified and upgraded.

Parameters follow the OWASP Password Storage Cheat Sheet (19 MiB, two passes, one lane) and are settings. Hashing
takes tens of milliseconds, so it runs on a small thread pool of its own and never on the event loop.
"""

import re
import secrets
import unicodedata
import warnings

import anyio.to_thread
from anyio import CapacityLimiter

with warnings.catch_warnings():
    # passlib 1.7.4 asks for the standard library's crypt module and for argon2.__version__, both deprecated; it works
    # without the one, and with the version that we pin of the other
    warnings.simplefilter("ignore", DeprecationWarning)
    from passlib.context import CryptContext
    from passlib.exc import UnknownHashError
    from passlib.hash import argon2, bcrypt

    argon2.set_backend()
    bcrypt.set_backend()

MAX_PASSWORD_LENGTH = 1024
"""Longer input is refused before it is hashed."""

_OTHER_SPACE = re.compile(r"[\u00A0\u1680\u2000-\u200A\u202F\u205F\u3000]")


def prepared(password: str) -> str:
    """A password as it is hashed, so that it is the same from every keyboard: RFC 8265, section 4.2.2 (OpaqueString).

    Every space is U+0020, characters are composed (NFC), and case stays. What a new password must not hold is refused
    where it is set; here nothing is.
    """
    return password if password.isascii() else unicodedata.normalize("NFC", _OTHER_SPACE.sub(" ", password))


class PasswordHasher:
    """Hashes and verifies passwords off the event loop, a few at a time."""

    def __init__(self, *, memory_kib: int, rounds: int, concurrency: int = 2) -> None:
        self._context = CryptContext(
            schemes=["argon2", "bcrypt"],
            deprecated=["bcrypt"],
            argon2__type="ID",
            argon2__memory_cost=memory_kib,
            argon2__rounds=rounds,
            argon2__parallelism=1,
        )
        self._concurrency = concurrency
        self._limiter: CapacityLimiter | None = None
        self._decoy: str | None = None

    async def hash(self, password: str) -> str:
        """A hash of the password as prepared."""
        return await anyio.to_thread.run_sync(self.hash_now, password, limiter=self._slots())

    async def verify(self, password: str, hashed: str | None) -> tuple[bool, str | None]:
        """Whether the password fits, and a new hash where the stored one is of an old kind or cost.

        One that was hashed before passwords were prepared fits as it was typed then, and is to be replaced, too.
        With no stored hash (unknown user, account not claimed yet) the same work is done against a decoy, so that
        the answer takes the same time.
        """
        return await anyio.to_thread.run_sync(self._verify_now, password, hashed, limiter=self._slots())

    def hash_now(self, password: str) -> str:
        """As ``hash``, in the calling thread: for commands."""
        return str(self._context.hash(prepared(password)))

    def _verify_now(self, password: str, hashed: str | None) -> tuple[bool, str | None]:
        if self._decoy is None:  # whoever comes first waits for it, whatever his name
            self._decoy = self.hash_now(secrets.token_urlsafe(16))
        for form in dict.fromkeys((prepared(password), password)):
            fits, replacement = self._try(form, hashed)
            if fits:
                return True, replacement if form == prepared(password) else self.hash_now(password)
        return False, None

    def _try(self, password: str, hashed: str | None) -> tuple[bool, str | None]:
        if hashed is None:
            self._context.verify(password, self._decoy)
            return False, None
        try:
            fits, replacement = self._context.verify_and_update(password, hashed)
        except (ValueError, UnknownHashError):
            return False, None
        return bool(fits), replacement

    def _slots(self) -> CapacityLimiter:
        if self._limiter is None:
            self._limiter = CapacityLimiter(self._concurrency)
        return self._limiter
