"""No way inside: whatever an address is spelt like, and wherever a name leads."""

import asyncio
from ipaddress import ip_address
from typing import Any

import httpcore
import pytest

from services.webhooks.addresses import NotAllowed, Rules, is_public, read
from services.webhooks.sending import Sender
from tests.hooks import receiving

SPELLINGS = r"""
127.0.0.1 127.0.0.2 127.1 2130706433 0x7f000001 0X7F.0.0.1 0177.0.0.1 127.0.0.1. localhost LocalHost
localhost. sub.localhost 0 0.0.0.0 [::1] [::] [::ffff:127.0.0.1] [::ffff:7f00:1] [::127.0.0.1]
[::ffff:0:127.0.0.1] [64:ff9b::127.0.0.1] [64:ff9b:1::7f00:1] [2002:7f00:1::]
[2001:0:4136:e378:8000:63bf:80ff:fffe] [fe80::1] [fe80::1%25lo] [fc00::1] [fd12:3456::1] [fec0::1] [ff02::1]
[100::1] [2001:db8::1] [2606:4700::5efe:7f00:1] [fd00:ec2::254] 10.0.0.1 172.16.0.1 172.31.255.254
192.168.1.1 100.64.0.1 100.100.100.200 169.254.169.254 168.63.129.16 192.0.0.192 198.18.0.1 192.0.2.1
203.0.113.1 224.0.0.1 240.0.0.1 255.255.255.255 metadata.google.internal printer.local intranet 127。0。0。1
１２７.0.0.1 ⓛocalhost %31%32%37.0.0.1 user@example.com user:pass@example.com example.com@127.0.0.1
example.com\@127.0.0.1 example..com -example.com exa_mple.com example.com. [::1 ::1 [1.2.3.4] 1.2.3 1.2.3.4.5
256.1.1.1 01.2.3.4 example.com:0 example.com:99999 example.com: example.com:-1
"""  # noqa: RUF001 - that is what they are for
REFUSED = SPELLINGS.split()
WHOLE = [
    *("", "http://", "//example.com/", "ftp://example.com/", "file:///etc/passwd", "javascript:alert(1)"),
    *(
        "http:example.com",
        "http:///example.com/",
        "http://example.com/#x",
        "http://example.com\\x",
        " http://example.com",
    ),
    *(
        "http://exa\tmple.com/",
        "http://example.com/\r\nHost: x",
        "http://example.com/é",
        "http://example.com/" + "x" * 2000,
    ),
]


class TestSpellings:
    @pytest.mark.parametrize("host", REFUSED)
    def test_nothing_leads_inside(self, host: str) -> None:
        for scheme in ("http", "https"):
            with pytest.raises(NotAllowed):
                read(f"{scheme}://{host}/", Rules(ports=frozenset({9190})))

    @pytest.mark.parametrize("url", WHOLE)
    def test_what_is_no_address_is_refused(self, url: str) -> None:
        with pytest.raises(NotAllowed):
            read(url, Rules())

    @pytest.mark.parametrize(
        ("url", "parts"),
        [
            ("https://hooks.example.com", (True, "hooks.example.com", 443, "/")),
            ("HTTP://Hooks.Example.com:8080/a?b=c&d=%20", (False, "hooks.example.com", 8080, "/a?b=c&d=%20")),
            ("https://xn--bcher-kva.example/", (True, "xn--bcher-kva.example", 443, "/")),
            ("https://1.1.1.1/", (True, "1.1.1.1", 443, "/")),
            ("https://[2606:4700:4700::1111]:8443/x", (True, "2606:4700:4700::1111", 8443, "/x")),
        ],
    )
    def test_what_is_public_is_taken(self, url: str, parts: tuple[Any, ...]) -> None:
        target = read(url, Rules())
        assert (target.secure, target.host, target.port, target.path) == parts

    def test_tests_may_open_named_ports_of_one_address(self) -> None:
        rules = Rules(ports=frozenset({9190}))
        assert read("http://127.0.0.1:9190/x", rules).port == 9190
        for url in ("http://127.0.0.1:9191/", "http://127.0.0.2:9190/", "http://[::1]:9190/", "http://localhost:9190/"):
            with pytest.raises(NotAllowed):
                read(url, rules)

    def test_production_wants_tls(self) -> None:
        with pytest.raises(NotAllowed, match="https"):
            read("http://hooks.example.com/", Rules(https_only=True))

    def test_mapped_and_translated_addresses_are_not_public(self) -> None:
        for address in ("::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::", "::8.8.8.8"):
            assert not is_public(ip_address(address))


class Names:
    """A resolver of some names: each time a name is asked for, the next of its lists."""

    def __init__(self, **answers: list[list[str]]) -> None:
        self._answers, self.asked = answers, 0
        self._last: list[str] = []

    async def resolve(self, name: str, family: str, **_: object) -> list[Any]:
        if family == "AAAA":
            return [_Record(one) for one in self._last if ":" in one]
        self.asked += 1
        answers = self._answers[name.split(".")[0]]
        self._last = answers.pop(0) if len(answers) > 1 else answers[0]
        return [_Record(one) for one in self._last if ":" not in one]


class _Record:
    def __init__(self, address: str) -> None:
        self.address = address


class TestNames:
    @pytest.mark.parametrize(
        "addresses",
        [
            ["127.0.0.1"],
            ["1.1.1.1", "127.0.0.1"],
            ["1.1.1.1", "::1"],
            ["::ffff:127.0.0.1"],
            ["64:ff9b::7f00:1"],
            ["10.0.0.1"],
        ],
    )
    async def test_a_name_that_leads_inside_by_any_of_its_addresses_is_not_connected_to(
        self, addresses: list[str]
    ) -> None:
        async with receiving() as receiver:
            sender = Sender(Rules(), timeout_seconds=2)
            sender.__dict__["_resolver"] = Names(hook=[addresses])
            answer = await sender.send(f"http://hook.example.com:{receiver.port}/", {}, b"{}")

            assert answer.error is not None
            assert answer.error.startswith("blocked: ")
            assert receiver.connections == 0

    async def test_a_name_that_changes_its_mind_is_asked_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        connected: list[str] = []

        async def connect(self: Any, host: str, port: int, **_: object) -> Any:
            connected.append(host)
            raise httpcore.ConnectError("nobody")

        monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", connect)
        sender = Sender(Rules(), timeout_seconds=2)
        sender.__dict__["_resolver"] = names = Names(rebind=[["1.1.1.1"], ["127.0.0.1"]])
        await sender.send("http://rebind.example.com/", {}, b"{}")
        assert (connected, names.asked) == (["1.1.1.1"], 1)
        answer = await sender.send("http://rebind.example.com/", {}, b"{}")
        assert connected == ["1.1.1.1"]
        assert answer.error is not None
        assert "blocked" in answer.error

    async def test_a_socket_that_leads_elsewhere_is_sent_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async with receiving() as receiver:
            to = httpcore.AnyIOBackend.connect_tcp

            async def elsewhere(self: Any, host: str, port: int, **options: Any) -> Any:
                return await to(self, "127.0.0.1", receiver.port, **options)

            monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", elsewhere)
            answer = await Sender(Rules(), timeout_seconds=2).send("http://1.1.1.1/", {}, b"{}")
            await asyncio.sleep(0.05)

            assert answer.error is not None
            assert answer.error.startswith("blocked: ")
            assert receiver.got == []

    async def test_redirects_are_not_followed_and_proxies_not_used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async with receiving() as receiver:
            monkeypatch.setenv("HTTP_PROXY", receiver.url("/proxy"))
            receiver.statuses["/moved"], receiver.headers["Location"] = [307], receiver.url("/elsewhere")
            sender = Sender(Rules(ports=frozenset({receiver.port})), timeout_seconds=2)
            answer = await sender.send(receiver.url("/moved"), {"webhook-id": "x"}, b"{}")

            assert answer.status == 307
            assert [message.path for message in receiver.got] == ["/moved"]
