"""Work that is tried again until it succeeds: one line in the log when it begins to fail, one when that is over."""

import logging
import time

from services.shared.database_errors import from_database


class Outage:
    """Whether a piece of work fails now. ``what`` says what is not done meanwhile, as the beginning of a sentence."""

    def __init__(self, logger: logging.Logger, what: str) -> None:
        self._logger, self._what = logger, what
        self._since: float | None = None
        self._cause: type[Exception] | None = None

    def failed(self, error: Exception) -> None:
        """It failed. What is new is logged: a database that is away in a line, else with a traceback."""
        if self._since is None:
            self._since = time.monotonic()
        elif type(error) is self._cause:
            return
        self._cause = type(error)
        foreseen = from_database(error)
        reason = type(error).__name__ if foreseen is None else foreseen.message
        self._logger.warning("%s; trying again: %s", self._what, reason, exc_info=None if foreseen else error)

    def succeeded(self) -> None:
        """It was done."""
        if self._since is not None:
            self._logger.warning("%s; over after %.1f s", self._what, time.monotonic() - self._since)
            self._since = self._cause = None
