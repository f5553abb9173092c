"""Messages to people: written to the log or a folder, or handed to a server of mail (RFC 6409), after the answer."""

import asyncio
import logging
import smtplib
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from contextvars import Context
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple, Protocol

from core.settings import Settings

logger = logging.getLogger("tandem.mail")

MAX_WAITING = 1_000
"""What is to be done later, at most; more is not done, and logged."""
AT_ONCE = 4
SMTP_SECONDS = 10.0
CLOSE_SECONDS = 5.0
_NO_CODE = "=\u2060?"
"""What stands for ``=?``, with a joiner that nobody sees: what looks like a word in a code (RFC 2047) would be decoded,
line breaks and all, and a line break begins another header."""
Encryption = Literal["starttls", "tls", "off"]


class Message(NamedTuple):
    """To one person."""

    to: str
    subject: str
    text: str


class Mailer(Protocol):
    """Delivers a message; it may block. Raises ``OSError`` or ``smtplib.SMTPException``."""

    def __call__(self, message: EmailMessage, /) -> None: ...


class ConsoleMailer:
    """Writes messages to the log, for development: whoever reads it can use what is in them."""

    def __call__(self, message: EmailMessage) -> None:
        logger.info("a message", extra={"to": str(message["To"]), "text": message.get_content()})


class FileMailer:
    """Writes messages into a folder, a file each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, message: EmailMessage) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}.eml"
        path = self._folder / name
        path.touch(0o600)
        path.write_bytes(bytes(message))


class SmtpMailer:
    """Hands messages to a server, a connection each."""

    def __init__(self, host: str, port: int, *, user: str | None, password: str | None, encryption: Encryption) -> None:
        self._host, self._port, self._user, self._password = host, port, user, password
        self._encryption = encryption

    def __call__(self, message: EmailMessage) -> None:
        with self._connect() as server:
            if self._encryption == "starttls":
                server.starttls(context=ssl.create_default_context())
            if self._user is not None:
                server.login(self._user, self._password or "")
            server.send_message(message)

    def _connect(self) -> smtplib.SMTP:
        if self._encryption == "tls":
            context = ssl.create_default_context()
            return smtplib.SMTP_SSL(self._host, self._port, timeout=SMTP_SECONDS, context=context)
        return smtplib.SMTP(self._host, self._port, timeout=SMTP_SECONDS)


def written(
    message: Message,
    *,
    sender: str,
    message_id: str,
    moment: datetime,
    headers: Mapping[str, str] = MappingProxyType({}),
) -> EmailMessage:
    """A message as it is sent. Raises ``ValueError`` for a header with a line break in it, and for an address that
    would be read as another one."""
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = sender, message.to, message.subject.replace("=?", _NO_CODE)
    if [address.addr_spec for address in made["To"].addresses] != [message.to]:
        raise ValueError("the address would be read as another one")
    made["Date"], made["Message-ID"] = format_datetime(moment), message_id
    made["Auto-Submitted"] = "auto-generated"  # RFC 3834
    for name, value in headers.items():
        made[name] = value
    made.set_content(message.text)
    return made


def make_mailer(settings: Settings) -> Mailer | None:
    """What delivers messages; None where nothing does."""
    if settings.mail_by == "console":
        return ConsoleMailer()
    if settings.mail_by == "file":
        return FileMailer(settings.mail_folder)
    if settings.mail_by == "smtp":
        return SmtpMailer(
            settings.smtp_host or "",
            settings.smtp_port,
            user=settings.smtp_user,
            password=settings.smtp_password.get_secret_value() if settings.smtp_password else None,
            encryption=settings.smtp_tls,
        )
    return None


class Outbox:
    """What ends in a message is done after the answer, which therefore takes as long whether there is one or not."""

    def __init__(self, mailer: Mailer | None = None, *, sender: str = "tandem@localhost") -> None:
        """Without a ``mailer`` nothing is sent."""
        self._mailer, self._sender = mailer, sender
        self._waiting: set[asyncio.Task[None]] = set()
        self._turns = asyncio.Semaphore(AT_ONCE)

    @property
    def sends(self) -> bool:
        """Whether anything is sent at all."""
        return self._mailer is not None

    def later(self, work: Callable[[], Awaitable[Message | None]]) -> None:
        """Do something that makes a message, or none, and send it. What goes wrong is logged."""
        if len(self._waiting) >= MAX_WAITING:
            logger.error("too much waits to be sent: a message was left out")
            return
        # of nobody's request: neither its deadline nor its id
        task = asyncio.create_task(self._do(work), context=Context())
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def idle(self) -> None:
        """Until nothing waits."""
        while self._waiting:
            await asyncio.wait([*self._waiting])

    async def close(self) -> None:
        """Send what waits, for some seconds, at shutdown."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self.idle()
        for task in self._waiting:
            task.cancel()

    async def _do(self, work: Callable[[], Awaitable[Message | None]]) -> None:
        async with self._turns:
            try:
                message = await work()
                if message is not None and self._mailer is not None:
                    await asyncio.to_thread(self._mailer, self._written(message))
            except Exception:
                logger.exception("a message was not sent")

    def _written(self, message: Message) -> EmailMessage:
        return written(message, sender=self._sender, message_id=make_msgid(domain="tandem"), moment=datetime.now(UTC))
