"""Commands for the trash."""

import typer

from cli.database import with_database
from services import purge
from services.accounts import OPERATOR


def purge_trash() -> None:
    """Delete for good what is in the trash for longer than it can be restored (30 days), and old idempotency keys."""
    count = with_database(lambda database: purge.purge(database, OPERATOR))
    typer.echo(f"Removed {count:,} {'task' if count == 1 else 'tasks'}.")
