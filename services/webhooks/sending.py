"""One attempt: a request to where a webhook leads, by an address of the public internet, within bounds.

A name is looked up once for an attempt; every address that it has must be allowed, one of them is connected to, and
what the socket is connected to is compared with it before the first byte. So no name leads elsewhere between a check
and its use, and nothing is sent by a proxy of the environment. Redirects are answers, and no more.
"""

import asyncio
import ssl
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address, ip_address
from time import monotonic
from typing import Any

import dns.asyncbackend
import dns.asyncresolver
import dns.exception
import dns.resolver
import httpcore

from core.clock import now
from core.version import VERSION
from services.webhooks.addresses import NotAllowed, Rules, Target, allowed, read

MAX_ANSWER = 64 * 1024
"""Bytes of an answer that are read."""
KEPT_ANSWER = 1_000
"""Characters of an answer that are kept."""
LOOKUP_SECONDS = 5.0
MAX_ADDRESSES = 4
"""Of a name's addresses, how many are tried to connect to."""
MAX_RETRY_AFTER = 24 * 60 * 60.0
_USER_AGENT = f"Tandem/{VERSION} (webhooks)"

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of an attempt: a status, or why there is none."""

    seconds: float
    status: int | None = None
    error: str | None = None
    address: str | None = None
    text: str = ""
    retry_after: float | None = None
    """How many seconds the receiver asked to be left alone, a day at most."""

    @property
    def accepted(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


class Sender:
    """Makes attempts, each of which takes so many seconds at most."""

    def __init__(self, rules: Rules, *, timeout_seconds: float, resolver: str | None = None) -> None:
        """``resolver``: the address and port of a name server (``127.0.0.1:53``), in place of the system's."""
        self._rules, self._timeout, self._resolver_at = rules, timeout_seconds, resolver

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send a message, and say what came of it. It raises nothing but what cancels it."""
        began, connected = monotonic(), _Connected()
        status, error, text, retry_after = None, None, b"", None
        try:
            async with asyncio.timeout(self._timeout):
                target = read(url, self._rules)
                addresses = await self._addresses(target)
                response = self._exchange(target, addresses, headers, body, connected)
                status, text, retry_after = await response
        except NotAllowed as refusal:
            error = f"blocked: the address {refusal}"
        except TimeoutError:
            error = f"timeout: no answer within {self._timeout:g} s"
        except (httpcore.TimeoutException, dns.exception.Timeout):
            error = "timeout: the host did not answer in time"
        except dns.exception.DNSException:
            error = "not found: the name has no address"
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError, ValueError) as problem:
            error = f"not connected: {_sentence(problem)}"
        return Answer(
            round(monotonic() - began, 3),
            status,
            error,
            connected.address,
            text.decode("utf-8", "replace").replace("\x00", "\ufffd")[:KEPT_ANSWER],
            retry_after,
        )

    async def _addresses(self, target: Target) -> Sequence[Address]:
        if target.address is not None:
            return [target.address]
        answers = await asyncio.gather(*(self._lookup(target.host, family) for family in ("A", "AAAA")))
        found = [address for answer in answers for address in answer]
        if not found:
            raise dns.resolver.NoAnswer
        for address in found:
            if not allowed(address, target.port, self._rules):
                raise NotAllowed(f"leads to {address}, which is not of the public internet")
        return found[:MAX_ADDRESSES]

    async def _lookup(self, name: str, family: str) -> list[Address]:
        try:
            found = await self._resolver.resolve(
                f"{name}.", family, search=False, raise_on_no_answer=False, lifetime=LOOKUP_SECONDS
            )
        except dns.resolver.NXDOMAIN:
            return []
        return [ip_address(record.address) for record in found or ()]

    @cached_property
    def _resolver(self) -> Any:
        if self._resolver_at is None:
            return dns.asyncresolver.Resolver()
        host, _, port = self._resolver_at.rpartition(":")
        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers, resolver.port = [host.strip("[]")], int(port)
        return resolver

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context()

    async def _exchange(
        self,
        target: Target,
        addresses: Sequence[Address],
        headers: Mapping[str, str],
        body: bytes,
        connected: "_Connected",
    ) -> tuple[int, bytes, float | None]:
        host = f"[{target.host}]" if ":" in target.host else target.host
        usual = 443 if target.secure else 80
        sent = {
            "Host": host if target.port == usual else f"{host}:{target.port}",
            "User-Agent": _USER_AGENT,
            "Accept": "*/*",
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Connection": "close",
            **headers,
        }
        url = httpcore.URL(
            scheme=b"https" if target.secure else b"http",
            host=target.host.encode(),
            port=target.port,
            target=target.path.encode(),
        )
        async with (
            httpcore.AsyncConnectionPool(
                ssl_context=self._tls if target.secure else None,
                max_connections=1,
                network_backend=_Pinned(addresses, target.port, connected),
            ) as pool,
            pool.stream("POST", url, headers=[*sent.items()], content=body) as response,
        ):
            text = bytearray()
            async for piece in response.aiter_stream():
                text += piece[: MAX_ANSWER - len(text)]
                if len(text) == MAX_ANSWER:
                    break
            return response.status, bytes(text), _retry_after(response.status, response.headers)


class _Connected:
    """Where an attempt was connected to."""

    address: str | None = None


class _Pinned(httpcore.AnyIOBackend):
    """Connects to one of some addresses, whatever the name."""

    def __init__(self, addresses: Sequence[Address], port: int, connected: _Connected) -> None:
        self._addresses, self._port, self._connected = addresses, port, connected

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the library's
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        for number, address in enumerate(self._addresses, 1):
            try:
                stream = await super().connect_tcp(str(address), self._port, timeout=LOOKUP_SECONDS)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if number == len(self._addresses):
                    raise
                continue
            peer = stream.get_extra_info("server_addr")
            if ip_address(peer[0].partition("%")[0]) != address:
                await stream.aclose()
                raise NotAllowed(f"led to {peer[0]}, and not to {address}")
            self._connected.address = str(address)
            return stream
        raise httpcore.ConnectError("no address")

    async def connect_unix_socket(self, *args: Any, **options: Any) -> httpcore.AsyncNetworkStream:
        raise NotAllowed("must lead to a host of the public internet")


def _retry_after(status: int, headers: Iterable[tuple[bytes, bytes]]) -> float | None:
    """The seconds of ``Retry-After`` (RFC 9110, section 10.2.3), of an answer that says to come back."""
    if status not in (429, 503):
        return None
    value = next((value.decode("latin-1").strip() for name, value in headers if name.lower() == b"retry-after"), "")
    if value.isascii() and value.isdigit():
        seconds = float(value[:12])
    else:
        try:
            seconds = (parsedate_to_datetime(value) - now()).total_seconds()
        except (ValueError, TypeError, OverflowError):
            return None
    return min(seconds, MAX_RETRY_AFTER) if seconds > 0 else None


def _sentence(problem: Exception) -> str:
    """What a library says of a problem, in one line of some length."""
    return " ".join(str(problem).split())[:200] or type(problem).__name__
