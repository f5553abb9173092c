"""What is logged: a line for each event, with what a client may have sent kept inside it."""

import logging
import re
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest

from core import logs, request_context

Configure = Callable[..., None]


@pytest.fixture
def configure() -> Iterator[Configure]:
    root = logging.getLogger("tandem")
    before = root.handlers[:], root.level, root.propagate
    yield lambda log_level, log_format: logs.configure(log_level, log_format)
    root.handlers[:], root.level, root.propagate = before


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_json_holds_everything_in_one_line(configure: Configure, capsys: pytest.CaptureFixture[str]) -> None:
    configure(log_format="json", log_level="INFO")
    token = request_context.request_id.set("abc-1")
    try:
        logging.getLogger("tandem.access").info("request", extra={"path": "/a\nb", "status": 200})
        try:
            raise ValueError("broken")
        except ValueError:
            logging.getLogger("tandem.errors").exception("failed %s", "twice")
    finally:
        request_context.request_id.reset(token)

    request, failure = map(orjson.loads, lines(capsys))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+\+00:00", request.pop("timestamp"))
    assert request == {
        "level": "INFO",
        "logger": "tandem.access",
        "event": "request",
        "path": "/a\nb",
        "status": 200,
        "request_id": "abc-1",
    }
    assert failure["event"] == "failed twice"
    assert failure["exception"].startswith("Traceback")
    assert failure["exception"].endswith("ValueError: broken")


def test_text_keeps_values_in_their_line(configure: Configure, capsys: pytest.CaptureFixture[str]) -> None:
    configure(log_format="console", log_level="INFO")
    logging.getLogger("tandem.access").info("request", extra={"path": "/a\n2026-01-01 INFO forged", "status": 200})

    [line] = lines(capsys)
    assert line.endswith(r"INFO     request path='/a\n2026-01-01 INFO forged' status=200")


def test_a_traceback_follows_its_line_without_values_of_variables(
    configure: Configure, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(log_format="console", log_level="INFO")
    password = "correct horse"
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("tandem.errors").exception("failed", extra={"request": 1})

    first, *traceback = lines(capsys)
    assert first.endswith("ERROR    failed request=1")
    assert traceback[-1] == "ValueError: broken"
    assert not any(password in line for line in traceback if "password =" not in line)


@pytest.mark.parametrize(("changes", "count"), [({"log_level": "WARNING"}, 1), ({"log_level": "DEBUG"}, 3)])
def test_levels(configure: Configure, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], count: int) -> None:
    configure(log_format="json", **changes)
    logger = logging.getLogger("tandem.errors")
    for level in (logging.DEBUG, logging.INFO, logging.WARNING):
        logger.log(level, "said")

    assert len(lines(capsys)) == count
