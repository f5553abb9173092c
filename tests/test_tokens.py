"""Access tokens: what python-jose lets through and what it chokes on is a 401 here, on both doors."""

import base64
import hmac
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from jose import jwt

from api.state import State
from core import tokens
from core.tokens import MAX_TOKEN_LENGTH, AccessTokens, InvalidToken
from db.driver.database import Database
from tests.actors import PASSWORD, Anonymous, Person
from tests.conftest import SECRET
from tests.doors import DOORS, Call, Door, another_instance, bearer, calling, log_in, on_both_doors

ME = Call("GET /users/me", "{ result: me { databaseId id } }")
WEAK_BITS = 1024
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
        key: str | bytes = SECRET,
        digest: str = "sha256",
        signature: str | None = None,
        **claims: Any,
    ) -> str:
        """A token of these claims, signed with a shared secret; None in the header leaves a member out."""
        head = {name: value for name, value in (self.header | (header or {})).items() if value is not None}
        payload = {name: value for name, value in (self.claims | claims).items() if name != without}
        signed = f"{encode(json.dumps(head).encode())}.{encode(json.dumps(payload).encode())}"
        if signature is None:
            secret = key if isinstance(key, bytes) else key.encode()
            signature = encode(hmac.digest(secret, signed.encode(), digest))
        return f"{signed}.{signature}"


def encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def tampered(forger: Forger) -> str:
    """The claims of another account under the signature of one's own."""
    header, _, signature = forger.token().split(".")
    _, claims, _ = forger.token(sub="1").split(".")
    return f"{header}.{claims}.{signature}"


def lacking(claim: str) -> Forge:
    return lambda forger: forger.token(without=claim)


def sign_raw(forger: Forger, claims: bytes) -> str:
    signed = f"{encode(json.dumps(forger.header).encode())}.{encode(claims)}"
    return f"{signed}.{encode(hmac.digest(SECRET.encode(), signed.encode(), 'sha256'))}"


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
    **{f"{claim} missing": lacking(claim) for claim in ("iss", "aud", "sub", "sid", "iat", "exp", "jti", "typ")},
    "exp Infinity": lambda f: f.token(exp=float("inf")),
    "exp NaN": lambda f: f.token(exp=float("nan")),
    "exp past": lambda f: f.token(exp=int(time.time()) - 1),
    "exp a text": lambda f: f.token(exp="tomorrow"),
    "exp null": lambda f: f.token(exp=None),
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
    "header a text": lambda f: encode(b'"HS256"') + ".e30.",
    "huge": lambda f: f.token(padding="x" * 100_000),
    "just too long": lambda f: f.token(padding="x" * MAX_TOKEN_LENGTH),
    "letters behind that base64 skips": lambda f: f.token() + "!",
    "a line break within": lambda f: f.token().replace(".", ".\n", 1),
    "not ASCII": lambda f: f.token().encode() + "é".encode(),
    "not text": lambda f: b"\xff\xfe.\x80.\x81",
    "two parts": lambda f: f.token().rpartition(".")[0],
    "four parts": lambda f: f.token() + ".e30",
    "dots": lambda f: "..",
    "empty": lambda f: "",
    "a word": lambda f: "token",
    "a refresh token": lambda f: "tdr_" + "x" * 43,
}


INVALID = [name for name in FORGERIES if name != "sid of another account"]
"""Those that show it themselves, without a look at the database."""


def as_text(token: str | bytes) -> str:
    """A token as a server reads it from a header."""
    return token.decode("latin-1") if isinstance(token, bytes) else token


@pytest.fixture
def access() -> AccessTokens:
    return AccessTokens(secret=SECRET, issuer="tandem", audience="tandem-api", lifetime_seconds=600)


def of_key_file(path: Path) -> AccessTokens:
    return AccessTokens(
        secret=SECRET, issuer="tandem", audience="tandem-api", lifetime_seconds=600, private_key_file=path
    )


@pytest.fixture(scope="module")
def key_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files that an operator may point JWT_PRIVATE_KEY_FILE at, fit and unfit ones."""
    folder = tmp_path_factory.mktemp("keys")
    plain, pkcs8 = NoEncryption(), PrivateFormat.PKCS8
    key = rsa.generate_private_key(65_537, 2048)
    contents = {
        "rsa": key.private_bytes(Encoding.PEM, pkcs8, plain),
        "other rsa": rsa.generate_private_key(65_537, 2048).private_bytes(Encoding.PEM, pkcs8, plain),
        "ec": ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, pkcs8, plain),
        "p384": ec.generate_private_key(ec.SECP384R1()).private_bytes(Encoding.PEM, pkcs8, plain),
        "short rsa": rsa.generate_private_key(65_537, WEAK_BITS).private_bytes(Encoding.PEM, pkcs8, plain),
        "ed25519": ed25519.Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, pkcs8, plain),
        "public": key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "encrypted": key.private_bytes(Encoding.PEM, pkcs8, BestAvailableEncryption(b"password")),
        "der": key.private_bytes(Encoding.DER, pkcs8, plain),
        "certificate": b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
        "empty": b"",
        "secret": SECRET.encode(),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return {name: folder / name for name in contents}


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

    @pytest.mark.parametrize("name", INVALID)
    def test_forgery_is_invalid(self, access: AccessTokens, name: str) -> None:
        token = as_text(FORGERIES[name](Forger(access, 7, 9)))

        for _ in range(2):  # nothing refused may be remembered as verified
            with pytest.raises(InvalidToken):
                access.verify(token)

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

        monkeypatch.setattr(jwt, "decode", spy)
        return seen

    def test_token_is_decoded_once(self, access: AccessTokens, decoded: list[str]) -> None:
        token = access.issue(user_id=7, session_id=9)

        assert [access.verify(token) for _ in range(3)] == [access.verify(token)] * 3
        assert decoded == [token]

    def test_memory_is_bounded(self, decoded: list[str]) -> None:
        access = AccessTokens(secret=SECRET, issuer="tandem", audience="tandem-api", lifetime_seconds=600, cache_size=3)
        issued = [access.issue(user_id=number, session_id=1) for number in range(1, 6)]

        for token in issued:
            access.verify(token)

        assert len(access._verified) == 3
        access.verify(issued[-1])
        assert decoded == issued
        access.verify(issued[0])
        assert decoded == [*issued, issued[0]]

    def test_remembered_token_is_forgotten_when_it_expires(
        self, access: AccessTokens, decoded: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        token = Forger(access, 7, 9).token(exp=int(time.time()) + 60)
        access.verify(token)

        later = SimpleNamespace(time=lambda: time.time() + 60)
        monkeypatch.setattr(tokens, "time", later)
        with pytest.raises(InvalidToken):  # ours, for python-jose's clock stands still
            access.verify(token)

        assert decoded == [token, token]

    def test_forgeries_are_not_remembered(self, access: AccessTokens) -> None:
        for name in INVALID:
            with pytest.raises(InvalidToken):
                access.verify(as_text(FORGERIES[name](Forger(access, 7, 9))))

        assert len(access._verified) == 0


class TestKeyPairs:
    @pytest.mark.parametrize(("kind", "algorithm"), [("rsa", "RS256"), ("ec", "ES256")])
    def test_anybody_verifies_with_the_public_key(self, key_files: dict[str, Path], kind: str, algorithm: str) -> None:
        access = of_key_file(key_files[kind])
        token = access.issue(user_id=7, session_id=9)

        [public] = access.jwks["keys"]

        header = jwt.get_unverified_header(token)
        assert (header["alg"], header["kid"]) == (algorithm, public["kid"])
        assert (public["alg"], public["use"]) == (algorithm, "sig")
        assert set(public) <= {"kty", "n", "e", "crv", "x", "y", "kid", "use", "alg"}
        claims = jwt.decode(token, public, algorithms=[algorithm], audience="tandem-api", issuer="tandem")
        assert claims["sub"] == "7"
        assert access.verify(token).user_id == 7

    def test_key_keeps_its_id_and_no_other_has_it(self, key_files: dict[str, Path]) -> None:
        ids = [of_key_file(key_files[kind]).key_id for kind in ("rsa", "rsa", "other rsa", "ec")]

        assert ids[0] == ids[1]
        assert len(set(ids)) == 3

    def test_another_key_under_the_same_id_is_refused(self, key_files: dict[str, Path]) -> None:
        ours, theirs = of_key_file(key_files["rsa"]), of_key_file(key_files["other rsa"])
        theirs.key_id = ours.key_id

        with pytest.raises(InvalidToken):
            ours.verify(theirs.issue(user_id=7, session_id=9))

    @pytest.mark.parametrize("kind", ["rsa", "ec"])
    @pytest.mark.parametrize("algorithm", ["HS256", "RS256", "ES256"])
    def test_public_key_is_no_shared_secret(self, key_files: dict[str, Path], kind: str, algorithm: str) -> None:
        access = of_key_file(key_files[kind])
        public = load_pem_private_key(key_files[kind].read_bytes(), None).public_key()
        secrets = [
            public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
            public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            json.dumps(access.jwks["keys"][0]).encode(),
        ]

        for secret in secrets:
            with pytest.raises(InvalidToken):
                access.verify(Forger(access, 7, 9).token(header={"alg": algorithm}, key=secret))

    @pytest.mark.parametrize(
        "kind", ["public", "p384", "short rsa", "ed25519", "encrypted", "der", "certificate", "empty", "secret"]
    )
    def test_unfit_key_file_stops_the_start(self, key_files: dict[str, Path], kind: str) -> None:
        with pytest.raises(ValueError, match="JWT_PRIVATE_KEY_FILE"):
            of_key_file(key_files[kind])


class TestDoors:
    """Whatever the token, the answer is 401, with the same code on both doors; never 500."""

    async def test_forgers_own_token_is_accepted(self, forger: Forger, anonymous: Anonymous) -> None:
        for door in DOORS:
            assert (await ME.on(door, bearer(anonymous, forger.token()))).body["id"] == int(forger.claims["sub"])

    @pytest.mark.parametrize("name", FORGERIES)
    async def test_forgery_is_a_401(self, forger: Forger, anonymous: Anonymous, name: str, logged: list[Any]) -> None:
        token = FORGERIES[name](forger)
        raw = token if isinstance(token, bytes) else token.encode()
        headers: Any = {"Authorization": b"Bearer " + raw}

        for door in DOORS:
            await expect_unauthenticated(door, Anonymous(anonymous.client, headers))
        assert {record.name for record in logged} == {"tandem.access"}

    @pytest.mark.parametrize(
        "header", ["", "Bearer", "Bearer ", "Basic YWRhOnB3", "Token {}", "{}", "Bearer{}", "Bearer {} x", "Bearer,{}"]
    )
    async def test_other_authorization_is_a_401(self, ada: Person, header: str) -> None:
        headers = {"Authorization": header.format(ada.access_token)}

        for door in DOORS:
            await expect_unauthenticated(door, Anonymous(ada.client, headers))

    @on_both_doors
    @pytest.mark.parametrize("header", ["Bearer {}", "bearer {}", "BEARER  {} "])
    async def test_scheme_is_of_any_case(self, ada: Person, door: Door, header: str) -> None:
        headers = {"Authorization": header.format(ada.access_token)}

        assert (await ME.on(door, Anonymous(ada.client, headers))).body["id"] == ada.id

    @on_both_doors
    @pytest.mark.parametrize("kind", ["rsa", "ec"])
    async def test_server_with_a_key_pair_takes_its_own_tokens_alone(
        self, ada: Person, database: Database, key_files: dict[str, Path], door: Door, kind: str
    ) -> None:
        async with another_instance(database, jwt_private_key_file=key_files[kind]) as app, calling(app) as there:
            tokens = (await log_in(door, there, ada.username, PASSWORD)).body

            assert (await ME.on(door, bearer(there, tokens["access_token"]))).body["id"] == ada.id
            await expect_unauthenticated(door, bearer(there, ada.access_token))
            await expect_unauthenticated(door, bearer(ada, tokens["access_token"]))
            page = (await there.get("//.well-known/jwks.json")).json()
        assert [key["kid"] for key in page["keys"]] == [jwt.get_unverified_header(tokens["access_token"])["kid"]]

    @on_both_doors
    async def test_one_that_has_run_out_says_so(self, ada: Person, door: Door) -> None:
        tokens = AccessTokens(secret=SECRET, issuer="tandem", audience="tandem-api", lifetime_seconds=-1)
        late = bearer(ada, tokens.issue(user_id=ada.id, session_id=ada.actor.session_id or 0))
        refused = await ME.on(door, late)

        assert (refused.status, refused.code) == (401, "UNAUTHENTICATED")
        says = 'error="invalid_token", error_description="The access token has expired"'
        assert refused.headers["www-authenticate"] == f"Bearer {says}"

    async def test_shared_secret_is_on_no_page(self, anonymous: Anonymous) -> None:
        assert (await anonymous.get("//.well-known/jwks.json")).json() == {"keys": []}


async def expect_unauthenticated(door: Door, caller: Anonymous) -> None:
    refused = await ME.on(door, caller)
    assert (refused.status, refused.code) == (401, "UNAUTHENTICATED")
    challenge = refused.headers["www-authenticate"]
    sent: str | bytes = caller.headers.get("Authorization", "")
    scheme = (sent if isinstance(sent, bytes) else sent.encode()).lower().partition(b" ")[0]
    if scheme == b"bearer":
        assert re.fullmatch(r'Bearer error="invalid_token", error_description="[^"\\\\]+"', challenge), challenge
    else:
        assert challenge == "Bearer"
