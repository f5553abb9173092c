"""What is said on one connection to PostgreSQL: something is sent, and answered, or the connection ends.

Whatever happens to the other side, nobody waits for ever, and no descriptor is left with the loop after it was closed:

- The loop watches a duplicate of the socket's descriptor. libpq closes its own by itself, in the middle of a call; its
  number is then given to the next connection, whose watching would be taken for one that goes on, and never begin.
- uvloop tells of an error (EPOLLERR) once and watches no more, though data and the error itself are still to be read.
  Where a socket is at its end, everything is read in one go; and what has been waited for longer than ``TICK_SECONDS``
  is looked after, whether or not the loop has told of anything.
- Of what has no answer for ``SILENT_SECONDS`` somebody is told who knows the hosts (``db/driver/postgresql/hosts.py``).
- What has no answer ``MARGIN_SECONDS`` after the server itself should have ended it ends the connection.
- What is done for a piece of work that has no time left is given up: its statement is then cancelled (``settle``).
"""

import asyncio
import logging
import os
import select
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.errors import error_from_result
from psycopg.pq import ConnStatus, ExecStatus, PipelineStatus, TransactionStatus
from psycopg.pq.abc import PGresult

from core.deadlines import LONG, UNBOUNDED, DeadlinePassed

logger = logging.getLogger("tandem.database")

STATEMENT_SECONDS = 30.0
"""How long a statement may take where the server has been told to set no limit (``statement_timeout = 0``)."""
MARGIN_SECONDS = 5.0
TICK_SECONDS = 0.25
SILENT_SECONDS = 2.0
"""What has no answer for so long may be on a host that stands still: ``when_silent``."""
GRACE_SECONDS = 0.02
"""What is under way when nobody waits for it any more may end by itself for so long, before it is cancelled."""
CANCEL_SECONDS = 5.0
COMMIT_SECONDS = 5.0
"""How long COMMIT may take, whatever is left of the deadline: cut off, nobody could say what came of it."""
COMMIT_GRACE_SECONDS = 0.5
"""As ``GRACE_SECONDS``, for COMMIT: most that it is asked for is done."""
DONE = frozenset({ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK, ExecStatus.EMPTY_QUERY, ExecStatus.PIPELINE_SYNC})


class ConnectionLost(psycopg.OperationalError):
    """There is no connection (any more): it could not be made, the other side has ended it, or does not answer.

    What was under way may have been carried out or not.
    """

    sqlstate = "08006"


class NotAnswered(ConnectionLost):
    """The server has taken what was sent, and stands still."""


class Exchange:
    """A connection on which one thing is said at a time. Who is cancelled leaves it ``busy``, until ``settle``."""

    def __init__(self, connection: AsyncConnection[tuple[Any, ...]]) -> None:
        self._connection = connection
        self._pg = connection.pgconn
        self.pid = self._pg.backend_pid
        """The server's process."""
        self._loop = asyncio.get_running_loop()
        self._results: list[PGresult] = []
        self._answer: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._begun = 0.0
        self.work = UNBOUNDED
        """What is under way is for it, and given up when it has no time left."""
        self._limit = STATEMENT_SECONDS + MARGIN_SECONDS
        self._grace = GRACE_SECONDS
        self.when_silent: Callable[[], None] | None = None
        """Called now and then while something has had no answer for ``SILENT_SECONDS``."""
        self._busy = self._closed = False
        self._lent = False
        """Whether psycopg waits by itself."""
        self._socket = socket.socket(fileno=os.dup(self._pg.socket))
        self._events = select.poll()
        self._events.register(self._socket, select.POLLIN)
        self._loop.add_reader(self._socket, self._on_readable)

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def busy(self) -> bool:
        """Whether a statement is under way: for somebody who waits for it, or who was cancelled."""
        return self._busy

    @property
    def lasted(self) -> float:
        """The seconds for which something has been under way; none where nothing is."""
        return self._loop.time() - self._begun if self._busy else 0.0

    @property
    def in_transaction(self) -> bool:
        return not self._closed and self._pg.transaction_status != TransactionStatus.IDLE

    async def settle(self) -> None:
        """End what nobody waits for any more. Afterwards it is either closed, or fit for the next statement.

        What is not done in a moment is cancelled in the database, and heard out for ``CANCEL_SECONDS`` at most; the
        connection is not used again then, for the cancelling might hit what comes next.
        """
        if not self._busy:
            return
        self.work = UNBOUNDED
        try:
            grace, self._grace = self._grace, GRACE_SECONDS
            async with asyncio.timeout(grace):
                await self._settled()
        except (TimeoutError, psycopg.Error):
            try:
                async with asyncio.timeout(CANCEL_SECONDS):
                    await self._connection.cancel_safe(timeout=CANCEL_SECONDS)
                    await self._settled()
            except (TimeoutError, psycopg.Error, OSError) as error:
                logger.warning("a statement could not be cancelled", exc_info=error)
            finally:
                self.close()

    def close(self, error: ConnectionLost | None = None) -> None:
        """Close it, whatever it is doing; who waits for it is told the error."""
        if self._closed:
            return
        self._closed, self._busy = True, False
        # before the descriptor's number can be another one's
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket.close()
        self._pg.finish()
        if self._timer is not None:
            self._timer.cancel()
        for waiting in (self._answer, self._room):
            if waiting is not None and not waiting.done():
                waiting.set_exception(error or ConnectionLost("the connection was closed"))
                waiting.exception()  # perhaps nobody asks for it any more

    def abandon(self, error: ConnectionLost) -> None:
        """End whatever is under way, for the other side stands still; who waits for it is told the error."""
        if self._busy:
            self.close(error)
        elif not self._closed and self._lent:
            self._hang_up()

    def _refuse_closed(self) -> None:
        if self._closed:
            raise ConnectionLost("the connection is closed")

    def _begin(self) -> None:
        """From now on there is something to be answered."""
        self._refuse_closed()
        self._results = []
        self._busy = True
        self._look_after()

    def _look_after(self) -> None:
        """Begin to count how long there is no answer."""
        self._begun = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_later(TICK_SECONDS, self._tick)

    async def _answered(self) -> PGresult:
        """The result of what was sent. Raises where it is an error."""
        await self._until_answered()
        for result in self._results:
            if result.status not in DONE:
                raise error_from_result(result)
        if not self._results or self._pg.status != ConnStatus.OK:
            raise self._lost(psycopg.OperationalError(self._pg.get_error_message()))
        return next(result for result in reversed(self._results) if result.status != ExecStatus.PIPELINE_SYNC)

    async def _until_answered(self) -> None:
        """Until what is under way has its answer. Raises ``ConnectionLost``."""
        self._answer = self._loop.create_future()
        try:
            while self._flush():
                await self._until_writable()
            if self._busy:
                await self._answer
            else:
                self._refuse_closed()
        finally:
            self._answer = None

    def _flush(self) -> bool:
        """Send on; whether there is more than the socket takes."""
        self._refuse_closed()
        try:
            return bool(self._pg.flush())
        except psycopg.Error as error:
            raise self._lost(error) from error

    async def _until_writable(self) -> None:
        self._room = self._loop.create_future()
        self._loop.add_writer(self._socket, self._on_writable)
        try:
            await self._room
        finally:
            self._room = None
            if not self._closed:
                self._loop.remove_writer(self._socket)

    async def _settled(self) -> None:
        """Until what was under way for somebody else has its answer, whatever that is."""
        self._take_in()
        if self._busy:
            await self._until_answered()
        self._leave_pipeline()

    def _lost(self, error: psycopg.Error) -> ConnectionLost:
        """The error of a connection that is of no use any more, which is closed."""
        lost = ConnectionLost(str(error))
        self.close(lost)
        return lost

    def _hang_up(self) -> None:
        """End the connection while psycopg is waiting: it reads the end, and gives up its descriptor in good order."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _leave_pipeline(self) -> None:
        if not self._closed and not self._busy and self._pg.pipeline_status != PipelineStatus.OFF:
            self._pg.exit_pipeline_mode()

    def _on_writable(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def _on_readable(self) -> None:
        # a callback that was under way when the connection was closed
        if not self._closed:
            self._take_in()

    def _take_in(self) -> None:
        """Read what there is, and where the socket is at its end, all that there will be."""
        try:
            self._pg.consume_input()
            while not self._collect() and self._is_at_its_end():
                self._pg.consume_input()  # raises when there is nothing left
        except psycopg.Error as error:
            said = [result for result in self._results if result.status not in DONE]
            self._lost(error_from_result(said[0]) if said else error)

    def _collect(self) -> bool:
        """Keep the results that are complete; whether they are all that was asked for."""
        while self._busy and not self._pg.is_busy():
            result = self._pg.get_result()
            if result is not None:
                self._results.append(result)
            # in a pipeline None ends one statement's results, and the mark that was sent last ends all
            last = ExecStatus.PIPELINE_SYNC if self._pg.pipeline_status else None
            if last == (result and result.status):
                self._busy = False
                if self._answer is not None and not self._answer.done():
                    self._answer.set_result(None)
                return True
        return False

    def _is_at_its_end(self) -> bool:
        """Whether the connection has ended, with something still to be read or not: there is an error, or no peer."""
        return any(event & ~select.POLLIN for _, event in self._events.poll(0))

    def _tick(self) -> None:
        """Look after what has been waited for: the loop may have missed something, or the server be gone."""
        self._timer = None
        if self._busy:
            self._take_in()
        lasted = self._loop.time() - self._begun
        limit = self._limit * LONG if self.work.long else self._limit
        if self._busy and lasted > limit:
            self.close(NotAnswered(f"the database did not answer in {limit:g} s"))
        if self._busy or self._lent:
            left = self.work.left if self._busy else TICK_SECONDS
            if left <= 0:
                self.give_up(DeadlinePassed(self.work.seconds))
            self._timer = self._loop.call_later(min(TICK_SECONDS, left) if left > 0 else TICK_SECONDS, self._tick)
            if lasted >= SILENT_SECONDS and self.when_silent is not None:
                self.when_silent()

    def give_up(self, error: Exception) -> None:
        """Have nobody wait any longer for what is under way, which is left ``busy``."""
        for waiting in (self._answer, self._room):
            if waiting is not None and not waiting.done():
                waiting.set_exception(error)
