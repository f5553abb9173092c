"""Logging: a line for each event, to standard error; JSON for collectors, text for people."""

import logging
import sys

from pythonjsonlogger.core import RESERVED_ATTRS, merge_record_extra
from pythonjsonlogger.orjson import OrjsonFormatter

from core import context
from core.settings import Settings

_NAMES = {"levelname": "level", "name": "logger", "message": "event", "exc_info": "exception"}


def configure_logging(settings: Settings) -> None:
    """Set up the loggers below ``tandem``."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_add_request_id)
    if settings.log_format == "json":
        handler.setFormatter(OrjsonFormatter([*_NAMES][:3], rename_fields=_NAMES, timestamp=True))
    else:
        handler.setFormatter(LineFormatter("%(asctime)s %(levelname)-8s %(message)s"))
    root = logging.getLogger("tandem")
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if settings.debug else settings.log_level)
    root.propagate = False


class LineFormatter(logging.Formatter):
    """What is told beside the message follows it as ``name=value``, quoted: no value begins a line of its own."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        extra = merge_record_extra(record, {}, RESERVED_ATTRS)
        return super().formatMessage(record) + "".join(f" {name}={value!r}" for name, value in extra.items())


def _add_request_id(record: logging.LogRecord) -> bool:
    """What clients are told to quote."""
    request_id = context.request_id.get()
    if request_id is not None:
        record.request_id = request_id
    return True
