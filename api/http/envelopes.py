"""Lists in an envelope: the rows under their name, with what a plain array leaves to headers."""

from collections.abc import Mapping
from typing import Any

from fastapi import Request, Response

from core.json_texts import encode

ATTRIBUTE = "tandem_envelope"


def envelop(response: Response, about: Mapping[str, Any], request: Request) -> None:
    """Have the answer that ``response`` is the head of put into an envelope, under the last part of the list's address,
    below which it may be queried, too."""
    name = request.scope["route"].path.removesuffix("/query").rpartition("/")[2].replace("-", "_")
    setattr(response, ATTRIBUTE, (encode(about)[:-1], encode(name)))


def enveloped(response: Response, rows: bytes) -> bytes:
    """The rows as they are to be sent: in an envelope where one was asked for."""
    head = getattr(response, ATTRIBUTE, None)
    return rows if head is None else b"%s,%s:%s}" % (*head, rows)
