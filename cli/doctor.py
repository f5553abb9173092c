"""The command that looks at everything a server needs."""

import asyncio
from pathlib import Path

import typer

from cli.database import reported
from services.doctor import examine


def doctor() -> None:
    """Look at the settings, versions, the database, Redis, the clock; say how to mend what is not well."""
    with reported():
        well = asyncio.run(_examined())
    if not well:
        raise typer.Exit(1)


async def _examined() -> bool:
    well = True
    async for finding in examine(Path(".env")):
        well = well and finding.well
        typer.echo(f"{'ok  ' if finding.well else 'MEND'}  {finding.what:10} {finding.sentence}")
    return well
