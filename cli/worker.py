"""The command that works beside the API."""

import asyncio
import signal
from contextlib import suppress
from typing import Annotated

import typer
from prometheus_client import CollectorRegistry, start_http_server

from cli.database import reported, with_database
from core import logs
from core.settings import Settings, get_settings
from db.driver.database import Database
from services.events.numbering import Numberer
from services.webhooks.documents import Documents, LaterDocuments
from services.work import make_outlet, make_work
from services.work_figures import WorkFigures


def worker(
    metrics_port: Annotated[
        int | None, typer.Option(min=1, max=65_535, help="Answer Prometheus on this port of 127.0.0.1.")
    ] = None,
) -> None:
    """Tell webhooks, and do what else is done beside the requests, until stopped. Any number of these may run."""
    with reported():
        settings = get_settings()
    logs.configure("DEBUG" if settings.debug else settings.log_level, settings.log_format)
    with_database(lambda database: _work(database, settings, metrics_port), pool_size=settings.database_pool_size)


async def _work(database: Database, settings: Settings, metrics_port: int | None) -> None:
    work = make_work(database, settings, make_outlet(settings, LaterDocuments(lambda: _documents(settings))))
    if metrics_port is not None:
        registry = CollectorRegistry()
        registry.register(WorkFigures(work))
        start_http_server(metrics_port, addr="127.0.0.1", registry=registry)
    numberer = Numberer(database)  # of what the worker itself records
    numberer.start()
    working = asyncio.create_task(work.worker.run())
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, working.cancel)
    typer.echo("The worker runs.")
    with suppress(asyncio.CancelledError):
        await working
    await numberer.stop()


def _documents(settings: Settings) -> Documents:
    """What resolves the documents of webhooks: with it comes the schema, which takes a second and some 60 MB."""
    from graphql_schema.execution.webhook_documents import make_documents

    return make_documents(settings)
