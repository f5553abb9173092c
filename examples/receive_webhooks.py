"""Receives webhooks with Python's standard library alone: verifies each, and takes each change once.

    WEBHOOK_SECRET=whsec_… python examples/receive_webhooks.py 9000

prints a line for each change. See docs/webhooks.md.
"""

import base64
import hashlib
import hmac
import json
import os
import sys
import time
from collections import OrderedDict
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

TOLERANCE_SECONDS = 5 * 60
MAX_BODY = 1024 * 1024
REMEMBERED = 10_000


class NotVerified(Exception):
    """A message that is not the sender's, or is an old one that somebody sends again."""


def verify(secret: str, headers: Mapping[str, str], body: bytes, *, now: float | None = None) -> str:
    """The id of a message that bears a signature by the secret (Standard Webhooks). Raises ``NotVerified``."""
    message_id, sent_at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not (message_id and sent_at.isascii() and sent_at.isdigit()):
        raise NotVerified("no message of a webhook")
    if abs((time.time() if now is None else now) - int(sent_at)) > TOLERANCE_SECONDS:
        raise NotVerified("too old, or the clocks differ")
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{message_id}.{sent_at}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    # several while a secret is replaced
    given = headers.get("webhook-signature", "").split(" ")
    if not any(hmac.compare_digest(expected.encode(), one.encode()) for one in given):
        raise NotVerified("no signature by this secret")
    return message_id


class Receiver(BaseHTTPRequestHandler):
    """Answers 204 to what it has taken, also to what it had taken before; 401 to what is not verified."""

    secret = os.environ.get("WEBHOOK_SECRET", "")
    seen: ClassVar[OrderedDict[str, None]] = OrderedDict()

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        if length > MAX_BODY:
            return self._answer(413)
        body = self.rfile.read(length)
        try:
            message_id = verify(self.secret, {name.lower(): value for name, value in self.headers.items()}, body)
        except NotVerified:
            return self._answer(401)
        if message_id not in self.seen:
            self.seen[message_id] = None
            if len(self.seen) > REMEMBERED:
                self.seen.popitem(last=False)
            message = json.loads(body)
            data = message["data"]
            print(message["type"], data.get("entity_type", ""), data.get("entity_id", ""), flush=True)
        return self._answer(204)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """A line for each request is not what is to be read here."""


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 9000
    ThreadingHTTPServer(("127.0.0.1", port), Receiver).serve_forever()
