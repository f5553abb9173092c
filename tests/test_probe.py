import json

from tests.actors import *
from tests.doors import *

REG = Call(
    "POST /users",
    "mutation($input: RegisterInput!) { result: register(input: $input) { user { id databaseId username email } } }",
)


@on_both_doors
async def test_p(anonymous, ada, people, door, state):
    import secrets

    def base():
        n = "p" + secrets.token_hex(5)
        return {"username": n, "email": f"{n}@example.com", "password": "correct horse battery"}

    for change in [
        {},
        {"username": "ab"},
        {"username": "a\n1b"},
        {"username": "abc\n"},
        {"username": 5},
        {"email": "x"},
        {"email": "İ" * 64 + "@" + "a" * 60 + "." + "b" * 60 + "." + "c" * 55 + ".com"},
        {"email": "a\x00b@example.com"},
        {"password": "short"},
        {"password": "a\x00bcdefghijk"},
        {"is_admin": True},
        {"id": 5},
        {"full_name": "   "},
        {"full_name": None},
        {"timezone": "Mars/X"},
        {"timezone": None},
        {"username": None},
        {"email": "Ünï@example.com"},
        {"password": "x" * 1025},
        {"full_name": "x" * 201},
        {"timezone": "x" * 65},
        {"username": "\ud800abc"},
    ]:
        try:
            if "\ud800abc" in change.values():
                raw = json.dumps(base() | change)
                r = await anonymous.client.post(
                    "/api/v1/users", content=raw, headers={"content-type": "application/json"}
                )
                print(door, r.status_code, r.text)
                raw = json.dumps({"query": REG.graphql, "variables": {"input": base() | change}})
                r = await anonymous.client.post(
                    "/graphql", content=raw, headers={"content-type": "application/json", "accept": GRAPHQL_JSON}
                )
                print(door, r.status_code, r.text)
                continue
            r = await REG.on(door, anonymous, base() | change)
            print(door, list(change), r.status, r.code, r.pointers, r.message[:150], r.body if not r.code else "")
        except BaseException as e:
            print(door, change, "EXC", repr(e)[:400])
    r = await anonymous.post(
        "/token",
        data=None,
        content=b"username=a%00b&password=abc",
        headers={"content-type": "application/x-www-form-urlencoded"},
    )
    print(r.status_code, r.text)
    r = await anonymous.rest(
        "POST",
        "/token",
        content=b"username=a%ffb&password=abc",
        headers={"content-type": "application/x-www-form-urlencoded"},
    )
    print(r.status_code, r.text)
    r = await anonymous.rest(
        "POST",
        "/token",
        content=b"username=a%ed%a0%80b&password=abc",
        headers={"content-type": "application/x-www-form-urlencoded"},
    )
    print(r.status_code, r.text)
    r = await anonymous.rest("POST", "/token", data={"username": ada.username, "password": PASSWORD, "grant_type": "x"})
    print(r.status_code, r.text)
    r = await anonymous.rest("POST", "/token", json={"username": ada.username, "password": PASSWORD, "grant_type": "x"})
    print(r.status_code, r.text)
    assert 0
