"""Logging: a line for each event, to standard error; JSON for collectors, text for people.

All that a server prints while it serves is in one format: its own lines, those of uvicorn or gunicorn, and Alembic's.
"""

import logging
import sys
from typing import Literal

from pythonjsonlogger.core import RESERVED_ATTRS, merge_record_extra
from pythonjsonlogger.orjson import OrjsonFormatter

from core import request_context

Format = Literal["console", "json"]
FOREIGN = ("uvicorn", "uvicorn.error", "gunicorn.error", "alembic")
"""Loggers of others. Their levels are at least INFO, whatever ours are."""
_NAMES = {"levelname": "level", "name": "logger", "message": "event", "exc_info": "exception"}
_RESERVED = [*RESERVED_ATTRS, "color_message"]  # uvicorn's own copy of the message, with colours


def configure(level: str, format: Format = "console") -> None:
    """Set up the loggers below ``tandem``, and those of others, to one handler."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_add_request_id)
    handler.setFormatter(formatter(format))
    root = logging.getLogger("tandem")
    root.setLevel(level)
    for logger in (root, *map(logging.getLogger, FOREIGN)):
        logger.handlers[:] = [handler]
        logger.propagate = False
    for name in FOREIGN:
        logging.getLogger(name).setLevel(max(logging.INFO, root.level))


def formatter(format: Format) -> logging.Formatter:
    """What writes a line."""
    if format == "json":
        return OrjsonFormatter([*_NAMES][:3], rename_fields=_NAMES, timestamp=True, reserved_attrs=_RESERVED)
    return LineFormatter("%(asctime)s %(levelname)-8s %(message)s")


class LineFormatter(logging.Formatter):
    """What is told beside the message follows it as ``name=value``, quoted: no value begins a line of its own."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        extra = merge_record_extra(record, {}, _RESERVED)
        return super().formatMessage(record) + "".join(f" {name}={value!r}" for name, value in extra.items())


def _add_request_id(record: logging.LogRecord) -> bool:
    """What clients are told to quote."""
    request_id = request_context.request_id.get()
    if request_id is not None:
        record.request_id = request_id
    return True
