"""A login that renews itself, for every client that is built on httpx."""

import threading
import time
from collections.abc import Generator

import httpx

SAFE = {"GET", "HEAD", "QUERY"}


class Session(httpx.Auth):
    """Sends an access token; gets another one when it has run out, and comes back when the server asks to."""

    def __init__(self, server: str, username: str, password: str) -> None:
        self._server, self._login = server, {"username": username, "password": password}
        self._lock = threading.Lock()  # a refresh token works once, and a second use ends the session
        self._tokens: dict[str, str] = {}

    def token(self, refused: str | None = None) -> str:
        """The access token; another one than ``refused``."""
        with self._lock:
            if self._tokens.get("access_token", refused) == refused:
                self._tokens = self._renewed()
            return self._tokens["access_token"]

    def _renewed(self) -> dict[str, str]:
        if spent := self._tokens.get("refresh_token"):
            answer = httpx.post(f"{self._server}/api/v1/token/refresh", json={"refresh_token": spent})
            if answer.status_code != 401:  # which says that the session has ended
                return answer.raise_for_status().json()
        return httpx.post(f"{self._server}/api/v1/token", data=self._login).raise_for_status().json()

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        repeatable = request.method in SAFE or "Idempotency-Key" in request.headers
        token = self.token()
        for attempt in range(4):
            request.headers["Authorization"] = f"Bearer {token}"
            response = yield request
            if response.status_code == 401 and attempt == 0:
                token = self.token(refused=token)
            elif response.status_code == 429 or (response.status_code == 503 and repeatable):
                time.sleep(float(response.headers.get("Retry-After", attempt)))
            else:
                return
