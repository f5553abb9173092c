"""Access tokens (JWT, RFC 7519) around python-jose, and opaque secrets (refresh tokens, API keys).

python-jose accepts a token without ``exp`` or ``aud``, ignores ``crit``, and raises a dozen kinds of exception on
hostile input; everything it lets through is checked here, and every failure is one ``InvalidToken``.
"""

import hashlib
import json
import re
import secrets
import time
from base64 import urlsafe_b64encode
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from jose import ExpiredSignatureError, jwk, jwt
from uuid_utils import uuid7

MAX_TOKEN_LENGTH = 4096
MIN_RSA_BITS = 2048
MAX_ID = 2**31 - 1
"""What both databases can look up."""
CLOCK_SKEW_SECONDS = 5
_COMPACT = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
"""The compact serialization; python-jose would skip any other character (RFC 7515, section 5.2, step 2)."""
_REQUIRED = ("iss", "aud", "exp", "iat", "jti", "sub")


class InvalidToken(Exception):
    """The token is malformed, forged, expired, or not meant for this server."""


class ExpiredToken(InvalidToken):
    """The token was one of this server's."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified access token says: the account, its session, and when it ends (Unix seconds)."""

    user_id: int
    session_id: int
    expires_at: int
    token_id: str


class AccessTokens:
    """Issues and verifies access tokens with one key and one algorithm.

    HS256 with the secret key by default; with a PEM private key, RS256 (RSA) or ES256 (P-256), and the public half
    as a JWKS document (RFC 7517). Verified tokens are remembered, at most ``cache_size`` of them, until they expire.
    """

    def __init__(
        self,
        *,
        secret: str,
        issuer: str,
        audience: str,
        lifetime_seconds: int,
        private_key_file: Path | None = None,
        cache_size: int = 10_000,
    ) -> None:
        self.lifetime_seconds = lifetime_seconds
        self._issuer, self._audience = issuer, audience
        self._verified: OrderedDict[str, Claims] = OrderedDict()
        self._cache_size = cache_size
        self._public: dict[str, str] | None = None
        if private_key_file is None:
            self.algorithm = "HS256"
            self._signing_key: str = secret
            self._verifying_key: str | dict[str, str] = secret
            self.key_id = hashlib.sha256(b"kid:" + secret.encode()).hexdigest()[:16]
        else:
            self._use_key_pair(private_key_file)

    def _use_key_pair(self, file: Path) -> None:
        # python-jose takes a public key too, and any curve for ES256; neither would show before the first login
        pem = file.read_bytes()
        try:
            self.algorithm = _algorithm_of(load_pem_private_key(pem, password=None))
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise ValueError(
                "JWT_PRIVATE_KEY_FILE must hold a private key, RSA of 2048 bits or more or P-256, "
                "in PEM form and without a password"
            ) from None
        self._signing_key = pem.decode()
        public = jwk.construct(self._signing_key, self.algorithm).public_key().to_dict()
        self._public = {name: value if isinstance(value, str) else value.decode() for name, value in public.items()}
        members = ("e", "kty", "n") if self._public["kty"] == "RSA" else ("crv", "kty", "x", "y")
        thumbprint = json.dumps({name: self._public[name] for name in members}, separators=(",", ":"))  # RFC 7638
        digest = hashlib.sha256(thumbprint.encode()).digest()
        self.key_id = urlsafe_b64encode(digest).rstrip(b"=").decode()
        self._verifying_key = self._public

    @property
    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """The public key as a JWK Set; empty for HS256, whose key is a secret."""
        if self._public is None:
            return {"keys": []}
        return {"keys": [{**self._public, "kid": self.key_id, "use": "sig", "alg": self.algorithm}]}

    def issue(self, *, user_id: int, session_id: int) -> str:
        now = int(time.time())
        claims = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": str(user_id),
            "sid": session_id,
            "iat": now,
            "exp": now + self.lifetime_seconds,
            "jti": str(uuid7()),
            "typ": "access",
        }
        return str(jwt.encode(claims, self._signing_key, algorithm=self.algorithm, headers={"kid": self.key_id}))

    def verify(self, token: str) -> Claims:
        """The token's claims. Raises ``InvalidToken`` for anything but a live token of ours, ``ExpiredToken`` for one
        that was."""
        claims = self._verified.get(token)
        if claims is not None:
            if claims.expires_at > time.time():
                return claims
            del self._verified[token]
        claims = self._decode(token)
        self._verified[token] = claims
        if len(self._verified) > self._cache_size:
            self._verified.popitem(last=False)
        return claims

    def _decode(self, token: str) -> Claims:
        if len(token) > MAX_TOKEN_LENGTH or not _COMPACT.fullmatch(token):
            raise InvalidToken("too long, or not three parts of base64url")
        try:
            header = jwt.get_unverified_header(token)
            if header.get("kid") != self.key_id or header.get("alg") != self.algorithm or "crit" in header:
                raise InvalidToken("not a token of this server's key")
            options: dict[str, Any] = {f"require_{claim}": True for claim in _REQUIRED}
            payload = jwt.decode(
                token,
                self._verifying_key,
                algorithms=[self.algorithm],
                audience=self._audience,
                issuer=self._issuer,
                options={**options, "leeway": 0},
            )
            if payload.get("typ") != "access" or payload["iat"] > time.time() + CLOCK_SKEW_SECONDS:
                raise InvalidToken("not an access token, or issued in the future")
            if payload["aud"] != self._audience or payload["iss"] != self._issuer:
                raise InvalidToken("meant for another audience")
            claims = Claims(int(payload["sub"]), int(payload["sid"]), int(payload["exp"]), str(payload["jti"]))
            # python-jose compares whole seconds, and lets a token live through its last one (RFC 7519, section 4.1.4)
            if claims.expires_at <= time.time():
                raise ExpiredToken("expired")
            if not (0 < claims.user_id <= MAX_ID and 0 < claims.session_id <= MAX_ID):
                raise InvalidToken("no such account or session")
            return claims
        except InvalidToken:
            raise
        except ExpiredSignatureError:
            raise ExpiredToken("expired") from None
        except Exception as error:
            # RecursionError, OverflowError, AttributeError, JWKError …: all were seen on forged tokens
            raise InvalidToken(type(error).__name__) from None


def _algorithm_of(key: object) -> str:
    """What a private key signs with (RFC 7518, sections 3.3 and 3.4). Raises ``ValueError`` for any other key."""
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= MIN_RSA_BITS:
        return "RS256"
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
        return "ES256"
    raise ValueError("unfit key")


def new_secret(prefix: str) -> str:
    """A random secret of 256 bits that says what it is, so that a leak can be recognised by scanners."""
    return f"{prefix}_{secrets.token_urlsafe(32)}"


def fingerprint(secret: str) -> str:
    """What is stored of a random secret. It has 256 bits of entropy, so a plain SHA-256 cannot be searched."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
