"""How a server starts: what is in its way, in a sentence with a way out, and what is where once it serves."""

import logging
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from core import refused_settings
from core.settings import Settings, get_settings

if TYPE_CHECKING:  # a command that hands over to gunicorn imports no application, which takes a second
    from api.state import State

logger = logging.getLogger("tandem.server")

_OF_A_SETTING = re.compile(r"[A-Z][A-Z0-9_]+:? ")


def settings_or_exit() -> Settings:
    """The settings of the process. Ends it with a sentence where they are refused."""
    try:
        return get_settings()
    except ValidationError as error:
        raise SystemExit(f"Tandem cannot start: {refused_settings.explain(error)}") from None
    except (UnicodeDecodeError, OSError):
        if (problem := refused_settings.unreadable()) is None:
            raise
        raise SystemExit(f"Tandem cannot start: {problem}") from None


def explained(error: Exception) -> str | None:
    """The sentence for what makes it impossible to make the application; None for a defect."""
    if isinstance(error, ValidationError) and error.title == Settings.__name__:
        return refused_settings.explain(error)
    # what settings mean is found out by those who use them, who name the setting
    if isinstance(error, ValueError) and not isinstance(error, ValidationError) and _OF_A_SETTING.match(str(error)):
        return refused_settings.mended(str(error))
    return None


def require_metrics_folder() -> None:
    """End the process with a sentence where it could not write the metrics of several workers."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    try:
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        sentence = f"PROMETHEUS_MULTIPROC_DIR: the folder cannot be made ({error})"
        raise SystemExit(f"Tandem cannot start: {refused_settings.mended(sentence)}") from None


def require_address(host: str, port: int) -> None:
    """End the process with a sentence where it could not listen there."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror:
        raise SystemExit(f"Tandem cannot start: HOST names no address of this machine: {host}") from None
    family, kind, protocol, _, address = found[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            raise SystemExit(f"Tandem cannot start: {_not_bound(error, host, port)}") from None


def _not_bound(error: OSError, host: str, port: int) -> str:
    if isinstance(error, PermissionError):
        return f"port {port} is for the superuser: choose one from 1024, e.g. make run PORT=8000"
    if error.errno == 98 or "in use" in str(error):
        return (
            f"port {port} of {host} is taken: stop what listens there, or choose another, e.g. make run PORT={port + 1}"
        )
    return f"HOST names no address of this machine: {host}"


async def report(state: "State") -> None:
    """Say in the log what is wrong with the database, once: the server serves, and answers 503 until it is mended."""
    from services import doctor

    if (problem := await doctor.database_problem(state.database)) is not None:
        logger.error("%s. Until then, requests are answered with 503", problem)
    elif (problem := await doctor.writing_problem(state.database)) is not None:
        logger.error("%s. Until then, requests that write are answered with 503", problem)


def address(host: str, port: int) -> str:
    """Where a browser on the machine finds what listens there."""
    everywhere = host in ("0.0.0.0", "::")  # noqa: S104  which is asked, not opened
    name = "localhost" if everywhere else f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}"


def places(settings: Settings, address: str) -> Iterator[str]:
    """What is where, a line each, for the log."""
    from db import diagnosis

    if settings.graphiql_on:
        yield f"playground: {address}/graphql"
    if settings.api_docs_on:
        yield f"REST reference: {address}/reference"
    yield f"database: {diagnosis.shown_url(settings.database_url)}"
    if settings.environment == "development" and settings.graphiql_on:
        yield f"what next: open {address}/graphql and register, or run `make demo` for projects with people and tasks"
