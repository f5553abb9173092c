"""Telling a webhook what waits for it: the job of one webhook, which one worker does at a time.

Of each ``order_key`` only the oldest that waits is told, and what follows waits for it, so order holds over failures
and workers. A delivery is marked when its answer is known: a worker that ends before that leaves it to another one,
which tells it once more, with the same ``webhook-id``.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import exists, func, literal, literal_column, null, or_, select
from sqlalchemy import update as sql_update
from sqlalchemy.orm import aliased

from core.clock import now, wire_format
from db.driver.database import Database
from db.driver.sessions import Session
from db.driver.statements import Prepared
from db.models import User, Webhook, WebhookDelivery
from services.events import catalogue, log
from services.events.catalogue import EventKind
from services.jobs.worker import Outcome
from services.shared.actors import Actor
from services.shared.features import NodeType
from services.shared.statements import parameter
from services.webhooks import payloads
from services.webhooks.commands import Outlet
from services.webhooks.models import MAX_ATTEMPTS_KEPT, TEST
from services.webhooks.records import content_of

if TYPE_CHECKING:
    from services.webhooks.sending import Answer

DELAYS = (5, 30, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600)
"""Seconds between attempts, before they are made longer at random: eleven attempts over three days."""
JITTER = 0.2
"""By how much of itself a delay is longer at most."""
MAX_HOLD = 60.0
"""Seconds that a webhook that takes nothing is left alone between attempts of different deliveries."""
TOGETHER = 8
"""Requests at a time to one webhook; one while it takes nothing."""
TURN_SECONDS = 20.0
"""How long one webhook is told without a pause for others that wait for a place."""
SYSTEM = Actor("system")


class _Hook(NamedTuple):
    id: int
    owner_id: int
    url: str
    content: str
    filter: dict[str, Any] | None
    document: str | None
    state: str
    salt: str
    former_salt: str | None
    former_until: datetime | None
    failures: int
    held_until: datetime | None
    last_delivered_at: datetime | None
    name: str
    disabled: bool


class _Head(NamedTuple):
    id: int
    event_row_id: int | None
    event_id: str
    kind: str
    matches: bool | None
    tries: int
    payload: str | None
    attempts: list[dict[str, Any]]


_HOOK = Prepared(
    select(*(getattr(Webhook, name) for name in _Hook._fields[:-1]), User.disabled)
    .join(User, User.id == Webhook.owner_id)
    .where(Webhook.id == parameter("webhook_id")),
    _Hook,
)
_earlier = aliased(WebhookDelivery)
# the state as a constant, by which databases see that the index of those has them all
_waits = WebhookDelivery.state == literal_column("'waiting'")
_is_head = ~exists(
    select(literal(1)).where(
        _earlier.webhook_id == WebhookDelivery.webhook_id,
        _earlier.order_key == WebhookDelivery.order_key,
        _earlier.state == literal_column("'waiting'"),
        _earlier.id < WebhookDelivery.id,
    )
)
_of_hook = (
    WebhookDelivery.webhook_id == parameter("webhook_id"),
    _waits,
    or_(parameter("active", User.disabled.type), WebhookDelivery.kind == TEST),
)
_HEADS = Prepared(
    select(*(getattr(WebhookDelivery, name) for name in _Head._fields))
    .where(*_of_hook, _is_head, WebhookDelivery.next_attempt_at <= parameter("moment"))
    .order_by(WebhookDelivery.id)
    .limit(parameter("rows")),
    _Head,
)
# what waits behind another has been due since it came
_NEXT = Prepared(
    select(func.min(WebhookDelivery.next_attempt_at)).where(
        *_of_hook, WebhookDelivery.next_attempt_at > parameter("moment")
    )
)
_ANY = Prepared(select(WebhookDelivery.id).where(*_of_hook).limit(1))
_still_waits = (WebhookDelivery.id == parameter("delivery_id"), _waits)
_PREPARED = Prepared(sql_update(WebhookDelivery).where(*_still_waits).values(payload=parameter("body")))
_WITHHELD = Prepared(
    sql_update(WebhookDelivery)
    .where(*_still_waits)
    .values(state="withheld", finished_at=parameter("moment"), next_attempt_at=null(), payload=null())
)
_LOCK = Prepared(select(Webhook.state).where(Webhook.id == parameter("webhook_id")).with_for_update(key_share=True))


class Deliverer:
    """Tells webhooks, and counts what came of it."""

    def __init__(
        self,
        database: Database,
        outlet: Outlet,
        nodes: Mapping[str, NodeType],
        *,
        timeout_seconds: float,
        delays: Sequence[float] = DELAYS,
        resolver: str | None = None,
    ) -> None:
        self._database, self._outlet, self._nodes = database, outlet, nodes
        self._timeout, self._delays, self._resolver = timeout_seconds, delays, resolver
        self.attempts: Counter[str] = Counter()
        """How many attempts there were, by what came of them: accepted, refused (another status), unanswered."""
        self.ended: Counter[str] = Counter()
        """How many deliveries came to an end, by their state."""

    async def __call__(self, webhook_id: int) -> Outcome:
        """Tell what is due. Returns when to tell more."""
        until = monotonic() + TURN_SECONDS
        while True:
            hook = await self._database.reads.first(_HOOK(webhook_id=webhook_id))
            if hook is None:
                return Outcome(gone=True)
            active = hook.state == "active" and not hook.disabled
            moment = now()
            held = hook.held_until is not None and hook.held_until > moment
            rows = 1 if hook.failures else TOGETHER
            heads = await self._database.reads.all(
                _HEADS(webhook_id=webhook_id, active=active and not held, moment=moment, rows=rows)
            )
            if not heads:
                return Outcome(await self._next(hook, active, held, moment), failing=hook.failures > 0)
            answers = await self._tell(hook, heads)
            if await self._settle(hook, answers):
                return Outcome(gone=True)
            if monotonic() > until:
                return Outcome(now(), failing=hook.failures > 0)

    async def _next(self, hook: _Hook, active: bool, held: bool, moment: datetime) -> datetime | None:
        """When to tell it more, while nothing is due; None where nothing waits."""
        reads = self._database.reads
        if held and await reads.scalar(_ANY(webhook_id=hook.id, active=active)) is not None:
            return hook.held_until
        again_at: datetime | None = await reads.scalar(_NEXT(webhook_id=hook.id, active=active, moment=moment))
        return again_at

    async def _tell(self, hook: _Hook, heads: Sequence[_Head]) -> "Sequence[Answer]":
        told = [(head, body) for head, body in await self._bodies(hook, heads) if body is not None]
        return await asyncio.gather(*(self._attempt(hook, head, body) for head, body in told))

    async def _bodies(self, hook: _Hook, heads: Sequence[_Head]) -> Sequence[tuple[_Head, str | None]]:
        """What each is told by: made the first time, and kept. None for what the owner may not be told (any more)."""
        reads = self._database.reads
        events = {head.event_row_id for head in heads if head.event_row_id is not None}
        new = {head.event_row_id for head in heads if head.payload is None and head.event_row_id is not None}
        made = await self._made(hook, heads, new) if new else {}
        seen = set(made) | (await payloads.seen(reads, hook.owner_id, events - new) if events - new else set())
        bodies = []
        for head in heads:
            row_id = head.event_row_id
            body = head.payload if row_id is None or head.payload is not None else made.get(row_id)
            bodies.append((head, body if row_id is None or row_id in seen else None))
        async with self._database.writing() as session:
            for head, body in bodies:
                if body is None:
                    await session.execute(_WITHHELD(delivery_id=head.id, moment=now()))
                elif head.payload is None:
                    await session.execute(_PREPARED(delivery_id=head.id, body=body))
        self.ended["withheld"] += sum(body is None for _, body in bodies)
        return bodies

    async def _made(self, hook: _Hook, heads: Sequence[_Head], new: Collection[int]) -> Mapping[int, str]:
        """The bodies that tell of events for the first time."""
        matches = {head.event_row_id: head.matches for head in heads if head.event_row_id in new}
        wanted = payloads.Wanted(
            content_of(hook.content, hook.document),
            {id_: matches[id_] for id_ in new} if hook.filter is not None else {},
            hook.document,
        )
        return await payloads.made(self._database, hook.owner_id, new, wanted, self._nodes, self._outlet.documents)

    async def _attempt(self, hook: _Hook, head: _Head, payload: str) -> "Answer":
        moment, body = now(), payload.encode()
        salts = [hook.salt]
        if hook.former_salt is not None and hook.former_until is not None and hook.former_until > moment:
            salts.append(hook.former_salt)
        headers = self._outlet.signer.headers(salts, head.event_id, int(moment.timestamp()), body)
        answer: Answer = await self._sender.send(hook.url, headers, body)
        outcome = "accepted" if answer.accepted else "unanswered" if answer.status is None else "refused"
        self.attempts[outcome] += 1
        attempt = {
            "at": wire_format(moment),
            "url": hook.url,
            "address": answer.address,
            "status": answer.status,
            "error": answer.error,
            "answer": answer.text,
            "seconds": answer.seconds,
        }
        await self._record(hook, head, answer, [*head.attempts, attempt][-MAX_ATTEMPTS_KEPT:])
        return answer

    async def _record(self, hook: _Hook, head: _Head, answer: "Answer", attempts: list[dict[str, Any]]) -> None:
        moment, tries = now(), head.tries + 1
        values: dict[str, object] = {"attempts": attempts, "tries": tries}
        reason = None
        if answer.accepted:
            values |= {"state": "delivered", "finished_at": moment, "next_attempt_at": None}
        elif head.kind == TEST or answer.status == 410 or tries > len(self._delays):
            values |= {"state": "failed", "finished_at": moment, "next_attempt_at": None}
            reason = None if head.kind == TEST else "gone" if answer.status == 410 else "exhausted"
        else:
            wait = self._delays[tries - 1] * (1 + JITTER * random.random())  # noqa: S311 - no secret
            values["next_attempt_at"] = moment + timedelta(seconds=max(wait, answer.retry_after or 0))
        async with self._database.writing() as session:
            if await session.first(_LOCK(webhook_id=hook.id)) is None:
                return
            if reason is not None:
                await self._disable(session, hook, head, attempts, reason)
            waits = (WebhookDelivery.id == head.id, WebhookDelivery.state == "waiting")
            await session.execute(sql_update(WebhookDelivery).where(*waits).values(**values))
        if state := values.get("state"):
            self.ended[str(state)] += 1

    async def _disable(
        self, session: Session, hook: _Hook, head: _Head, attempts: Sequence[Mapping[str, Any]], reason: str
    ) -> None:
        """Tell a webhook nothing more, and its owner why; one that takes other things lacks this one alone."""
        kind: EventKind = catalogue.WEBHOOK_DISABLED
        changes: log.Changes = {"state": (hook.state, "disabled"), "disabled_reason": (None, reason)}
        begun = datetime.fromisoformat(attempts[0]["at"])
        if reason == "exhausted" and hook.last_delivered_at is not None and hook.last_delivered_at > begun:
            kind, changes = catalogue.WEBHOOK_DELIVERY_FAILED, {"delivery_id": (None, head.id)}
        else:
            values = {"state": "disabled", "disabled_reason": reason, "updated_at": now()}
            values["version"] = Webhook.version + 1
            active = (Webhook.id == hook.id, Webhook.state == "active")
            if not await session.execute(sql_update(Webhook).where(*active).values(**values)):
                return
        await log.record_for_account(session, SYSTEM, hook.owner_id, log.NewEvent(kind, hook.id, changes))

    async def _settle(self, hook: _Hook, answers: "Sequence[Answer]") -> bool:
        """Note how the webhook does. Returns whether it is gone."""
        if not answers:
            return False
        moment = now()
        asked = max((answer.retry_after or 0 for answer in answers), default=0)
        values: dict[str, object] = {}
        if any(answer.accepted for answer in answers):
            values = {"failures": 0, "last_delivered_at": moment, "held_until": None}
            hold = asked
        else:
            values = {"failures": Webhook.failures + 1}
            delay = self._delays[min(hook.failures, len(self._delays) - 1)]
            hold = max(asked, min(delay, MAX_HOLD))
        if hold:
            values["held_until"] = moment + timedelta(seconds=hold)
        async with self._database.writing() as session:
            return not await session.execute(sql_update(Webhook).where(Webhook.id == hook.id).values(**values))

    @cached_property
    def _sender(self) -> Any:
        # what it imports takes some megabytes, which only a worker that tells somebody needs
        from services.webhooks.sending import Sender

        return Sender(self._outlet.rules, timeout_seconds=self._timeout, resolver=self._resolver)
