"""Runs each Python client against a server: {server, accounts, pause} on stdin. Answers what each did."""

import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module

import httpx
from session import Session

MODULES = {
    "gql": "with_gql",
    "ariadne-codegen": "with_ariadne_codegen",
    "openapi-python-client": "with_openapi_python_client",
}
given = json.load(sys.stdin)


class Watched(Session):
    """Counts what goes out; the second request is answered by 429, by nobody."""

    def __init__(self, server: str, username: str, password: str) -> None:
        super().__init__(server, username, password)
        self.seen = {"logins": 0, "renewals": 0, "requests": 0}
        self._counting = threading.Lock()

    def _renewed(self) -> dict[str, str]:
        self.seen["renewals" if self._tokens else "logins"] += 1
        return super()._renewed()

    def sync_auth_flow(self, request):
        flow = super().sync_auth_flow(request)
        sent = next(flow)
        while True:
            with self._counting:
                self.seen["requests"] += 1
                refused = self.seen["requests"] == 2
            answer = httpx.Response(429, headers={"Retry-After": "0"}) if refused else (yield sent)
            try:
                sent = flow.send(answer)
            except StopIteration:
                return


def run(name: str) -> dict:
    client = import_module(MODULES[name])
    auth = Watched(given["server"], **given["accounts"][name])
    first = client.create(given["server"], auth, f"{name} 1")
    titles = client.titles(given["server"], auth)
    time.sleep(given["pause"])
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda n: client.create(given["server"], auth, f"{name} {n}"), (2, 3)))
    return {"first": first, "titles": titles, "seen": auth.seen}


with ThreadPoolExecutor(len(MODULES)) as pool:
    print(json.dumps(dict(zip(MODULES, pool.map(run, MODULES), strict=True))))
