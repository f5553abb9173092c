"""Access tokens: what python-jose lets through and what it chokes on is a 401 here, on both doors."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from jose import jwt

from api.state import State
from core import tokens
from core.tokens import MAX_TOKEN_LENGTH, AccessTokens, Claims, InvalidToken
from db.engine import Database
from tests.actors import Anonymous, Person
from tests.conftest import SECRET
from tests.doors import Call, Door, another_instance, bearer, calling, log_in, on_both_doors
from tests.actors import PASSWORD

ME = Call("GET /users/me", "{ result: me { databaseId id } }")
Forge = Callable[["Forger"], str | bytes]


class Forger:
    """Writes tokens by hand: whatever a library would refuse to write, too."""

    def __init__(self, access: AccessTokens, user_id: int, session_id: int) -> None:
        now = int(time.time())
        self.access = access
        self.header: dict[str, Any] = {"alg": "HS256", "typ": "JWT", "kid": access.key_id}
        self.claims: dict[str, Any] = {
            "iss": "tandem",
            "aud": "tandem-api",
            "sub": str(user_id),
            "sid": session_id,
            "iat": now,
            "exp": now + 600,
            "jti": "01890a5d-ac96-774b-bcce-b302099a8057",
            "typ": "access",
        }

    def token(
        self,
        *,
        header: dict[str, Any] | None = None,
        without: str = "",
        key: str = SECRET,
        digest: str = "sha256",
        signature: str | None = None,
        **claims: Any,
    ) -> str:
        """A token of these claims, signed with a shared secret; None in the header leaves a member out."""
        head = {name: value for name, value in (self.header | (header or {})).items() if value is not None}
        payload = {name: value for name, value in (self.claims | claims).items() if name != without}
        signed = f"{encode(json.dumps(head).encode())}.{encode(json.dumps(payload).encode())}"
        if signature is None:
            signature = encode(hmac.digest(key.encode(), signed.encode(), digest))
        return f"{signed}.{signature}"


def encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def tampered(forger: Forger) -> str:
    """The claims of another account under the signature of one's own."""
    header, _, signature = forger.token().split(".")
    _, claims, _ = forger.token(sub="1").split(".")
    return f"{header}.{claims}.{signature}"


FORGERIES: dict[str, Forge] = {
    "alg none": lambda f: f.token(header={"alg": "none"}, signature=""),
    "alg None, signed": lambda f: f.token(header={"alg": "None"}),
    "alg HS512 of the same secret": lambda f: f.token(header={"alg": "HS512"}, digest="sha512"),
    "alg RS256 over the secret": lambda f: f.token(header={"alg": "RS256"}),
    "alg missing": lambda f: f.token(header={"alg": None}),
    "alg a list": lambda f: f.token(header={"alg": ["HS256"]}),
    "kid missing": lambda f: f.token(header={"kid": None}),
    "kid of another key": lambda f: f.token(header={"kid": "0123456789abcdef"}),
    "kid a path": lambda f: f.token(header={"kid": "../../../dev/null"}, key=""),
    "crit": lambda f: f.token(header={"crit": ["exp"]}),
    "crit empty": lambda f: f.token(header={"crit": []}),
    "jwk in the header": lambda f: f.token(header={"jwk": {"kty": "oct", "k": encode(b"mine")}}, key="mine"),
    **{f"{name} missing": lambda f, name=name: f.token(without=name) for name in ("iss", "aud", "sub", "sid", "iat")},
    **{f"{name} missing": lambda f, name=name: f.token(without=name) for name in ("exp", "jti", "typ")},
    "exp Infinity": lambda f: f.token(exp=float("inf")),
    "exp NaN": lambda f: f.token(exp=float("nan")),
    "exp past": lambda f: f.token(exp=int(time.time()) - 1),
    "exp a text": lambda f: f.token(exp="tomorrow"),
    "exp null": lambda f: f.token(exp=None),
    "exp a thousand digits": lambda f: f.token(exp=10**1000),
    "iat in the future": lambda f: f.token(iat=int(time.time()) + 60),
    "iat a text": lambda f: f.token(iat="yesterday"),
    "iat NaN": lambda f: f.token(iat=float("nan")),
    "nbf in the future": lambda f: f.token(nbf=int(time.time()) + 60),
    "aud of another": lambda f: f.token(aud="another-api"),
    "aud a list with ours": lambda f: f.token(aud=["another-api", "tandem-api"]),
    "iss of another": lambda f: f.token(iss="another"),
    "typ refresh": lambda f: f.token(typ="refresh"),
    "jti null": lambda f: f.token(jti=None),
    "sub a number": lambda f: f.token(sub=1),
    "sub a name": lambda f: f.token(sub="ada"),
    "sub beyond the database": lambda f: f.token(sub=str(2**63)),
    "sid a text": lambda f: f.token(sid="x"),
    "sid beyond the database": lambda f: f.token(sid=2**63),
    "sid of another account": lambda f: f.token(sub=str(int(f.claims["sub"]) + 1)),
    "signed with another secret": lambda f: f.token(key=SECRET + "x"),
    "signature missing": lambda f: f.token(signature=""),
    "signature not base64": lambda f: f.token(signature="!!!"),
    "tampered": tampered,
    "header of brackets": lambda f: f"{encode(b'[' * 1_000)}.e30.",
    "header of 1.4 KB of brackets": lambda f: encode(b"[" * 1_050) + "..",
    "claims of brackets": lambda f: sign_raw(f, b"[" * 2_000),
    "claims a list": lambda f: sign_raw(f, b"[]"),
    "claims not UTF-8": lambda f: sign_raw(f, b"\xff\xfe"),
    "header a text": lambda f: f"{encode(b'"HS256"')}.e30.",
    "huge": lambda f: f.token(padding="x" * 100_000),
    "just too long": lambda f: f.token(padding="x" * MAX_TOKEN_LENGTH),
    "not ASCII": lambda f: f.token().encode() + "é".encode(),
    "not text": lambda f: b"\xff\xfe.\x80.\x81",
    "two parts": lambda f: f.token().rpartition(".")[0],
    "four parts": lambda f: f.token() + ".e30",
    "dots": lambda f: "..",
    "empty": lambda f: "",
    "a word": lambda f: "token",
    "a refresh token": lambda f: "tdr_" + "x" * 43,
}


def sign_raw(forger: Forger, claims: bytes) -> str:
    signed = f"{encode(json.dumps(forger.header).encode())}.{encode(claims)}"
    return f"{signed}.{encode(hmac.digest(SECRET.encode(), signed.encode(), 'sha256'))}"


@pytest.fixture
def access() -> AccessTokens:
    return AccessTokens(secret=SECRET, issuer="tandem", audience="tandem-api", lifetime_seconds=600)


@pytest.fixture
async def forger(ada: Person, state: State) -> Forger:
    return Forger(state.security.tokens, ada.id, ada.actor.session_id or 0)


class TestVerification:
    def test_token_says_who_and_until_when(self, access: AccessTokens) -> None:
        claims = access.verify(access.issue(user_id=7, session_id=9))

        assert (claims.user_id, claims.session_id) == (7, 9)
        assert 595 < claims.expires_at - time.time() <= 600

    def test_every_token_is_another(self, access: AccessTokens) -> None:
        issued = {access.issue(user_id=7, session_id=9) for _ in range(100)}

        assert len({access.verify(token).token_id for token in issued}) == 100

    def test_hand_made_token_is_verified(self, access: AccessTokens) -> None:
        """Else the forgeries below would be refused for a fault of the forger's."""
        assert access.verify(Forger(access, 7, 9).token()).user_id == 7

    @pytest.mark.parametrize("name", [name for name in FORGERIES if name != "sid of another account"])
    def test_forgery_is_invalid(self, access: AccessTokens, name: str) -> None:
        token = FORGERIES[name](Forger(access, 7, 9))

        for _ in range(2):  # nothing refused may be remembered as verified
            with pytest.raises(InvalidToken):
                access.verify(token.decode("latin-1") if isinstance(token, bytes) else token)

    def test_clocks_may_differ_a_little(self, access: AccessTokens) -> None:
        assert access.verify(Forger(access, 7, 9).token(iat=int(time.time()) + 2)).user_id == 7


class TestMemory:
    @pytest.fixture
    def decoded(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """The tokens that python-jose was asked to decode."""
        seen: list[str] = []
        decode = jwt.decode

        def spy(token: str, *arguments: Any, **options: Any) -> dict[str, Any]:
            seen.append(token)
            return decode(token, *arguments, **options)

        monkeypatch.setattr(tokens.jwt, "decode", spy)
        return seen

    def test_token_is_decoded_once(self, access: AccessTokens, decoded: list[str]) -> None:
        token = access.issue(user_id=7, session_id=9)

        assert [access.verify(token) for _ in range(3)] == [access.verify(token)] * 3
        assert decoded == [token]

    def test_memory_is_bounded(self, decoded: list[str]) -> None:
        access = AccessTokens(
            secret=SECRET, issuer="tandem", audience="tandem-api", lifetime_seconds=600, cache_size=3
        )
        issued = [access.issue(user_id=number, session_id=1) for number in range(1, 6)]

        for token in issued:
            access.verify(token)

        assert len(access._verified) == 3
        access.verify(issued[-1])
        assert decoded == issued
        access.verify(issued[0])
        assert decoded == [*issued, issued[0]]

    def test_remembered_token_expires(
        self, access: AccessTokens, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        token = Forger(access, 7, 9).token(exp=int(time.time()) + 3)
        access.verify(token)

        monkeypatch.setattr(tokens, "time", SimpleNamespace(time=lambda: time.time() + 3))
        monkeypatch.setattr("jose.jwt.datetime", LaterDatetime)

        with pytest.raises(InvalidToken):
            access.verify(token)
        assert token not in access._verified

    def test_forgeries_are_not_remembered(self, access: AccessTokens) -> None:
        for forge in FORGERIES.values():
            token = forge(Forger(access, 7, 9))
            if isinstance(token, str) and token != Forger(access, 7, 9).token():
                with pytest.raises(InvalidToken):
                    access.verify(token)

        assert len(access._verified) == 0
