"""Tokens that were tampered with, guesses at passwords, and what a stranger may learn."""

import base64
import json
import time
from typing import Any

import httpx
from jose import jwt

from tests.attack.probes import Finding, probe
from tests.attack.world import PASSWORD, World
from tests.conftest import SECRET

ME = "/api/v1/users/me"


def _part(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _claims(world: World, **changes: Any) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.get_unverified_claims(world.victim.token)
    return {name: value for name, value in (claims | changes).items() if value is not None}


def _both(world: World, authorization: bytes) -> tuple[int, int]:
    headers = {b"Authorization": authorization}
    with httpx.Client(base_url=world.base_url, timeout=10) as client:
        rest = client.get(ME, headers=headers).status_code
        body = {"query": "{ me { id } }"}
        accept = headers | {b"Accept": b"application/graphql-response+json"}
        return rest, client.post("/graphql", json=body, headers=accept).status_code


TAMPERED: dict[str, Any] = {
    "no signature": lambda world: f"{_part({'alg': 'none'})}.{_part(_claims(world))}.",
    "another secret": lambda world: jwt.encode(_claims(world), SECRET + "x"),
    "no audience": lambda world: jwt.encode(_claims(world, aud=None), SECRET),
    "no expiry": lambda world: jwt.encode(_claims(world, exp=None), SECRET),
    "expired": lambda world: jwt.encode(_claims(world, exp=1), SECRET),
    "issued tomorrow": lambda world: jwt.encode(_claims(world, iat=time.time() + 90_000), SECRET),
    "a header of brackets": lambda _world: f"{_part(b'[' * 1_000)}.{_part({})}.AAAA",
    "an unknown critical extension": lambda world: jwt.encode(_claims(world), SECRET, headers={"crit": ["x"]}),
    "another user in the same session": lambda world: jwt.encode(
        _claims(world, sub=str(world.mallory.user_id)), SECRET
    ),
    "a megabyte": lambda _world: "x" * 60_000,
    "not ASCII": lambda _world: "\u00e9\u00e9.\u00e9.\u00e9",
}

for _name, _make in TAMPERED.items():

    @probe("tokens", _name)
    def _(world: World, make: Any = _make) -> Finding:
        token = make(world)
        rest, graphql = _both(world, f"Bearer {token}".encode())
        return Finding((rest, graphql) == (401, 401), f"{rest} and {graphql}")


@probe("allowances", "nobody locks an owner out from elsewhere, nor guesses for long")
def _(world: World) -> Finding:
    with httpx.Client(base_url=f"{world.base_url}/api/v1", timeout=30) as client:
        guesses = [
            client.post("/token", data={"username": name, "password": f"guess {number}"}).status_code
            for number in range(15)
            for name in ("victim", "VICTIM@example.com")
        ]
    stopped = guesses.index(429) if 429 in guesses else len(guesses)
    # from another address of this machine: 127.0.0.2 is one as well
    transport = httpx.HTTPTransport(local_address="127.0.0.2")
    with httpx.Client(base_url=f"{world.base_url}/api/v1", transport=transport, timeout=30) as owner:
        status = owner.post("/token", data={"username": "victim", "password": PASSWORD}).status_code
    # four workers that do not know of each other count four times
    said = f"stopped after {stopped} guesses; the owner got {status}"
    return Finding(stopped <= 10 * world.workers and status == 200, said)


@probe("allowances", "registration is bounded for an address")
def _(world: World) -> Finding:
    transport = httpx.HTTPTransport(local_address="127.0.0.3")
    with httpx.Client(base_url=f"{world.base_url}/api/v1", transport=transport, timeout=30) as client:
        for number in range(200):
            name = f"spam{number}"
            body = {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
            if client.post("/users", json=body).status_code == 429:
                return Finding(True, f"429 after {number} accounts")
    return Finding(False, "200 accounts were made")


@probe("learning", "credentials are not stored by anybody on the way")
def _(world: World) -> Finding:
    with httpx.Client(base_url=world.base_url, timeout=30) as client:
        login = client.post("/api/v1/token", data={"username": "mallory", "password": PASSWORD})
        read = client.get(ME, headers=world.mallory.headers)
        query = {"query": "{ me { id } }"}
        asked = client.post("/graphql", json=query, headers=world.mallory.headers)
    kept = [answer.headers.get("cache-control", "") for answer in (login, read, asked)]
    right = "no-store" in kept[0] and all("private" in held or "no-store" in held for held in kept[1:])
    varies = all("authorization" in answer.headers.get("vary", "").lower() for answer in (read, asked))
    return Finding(right and varies, f"{kept}, Vary {'says' if varies else 'does not say'} Authorization")
