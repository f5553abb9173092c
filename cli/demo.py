"""The command for a demonstration."""

from typing import Annotated

import typer

from cli.database import CommandSettings, fail, hasher, reported, with_database
from services.demo import build


def demo(
    in_production: Annotated[
        bool, typer.Option("--in-production", help="Also where ENVIRONMENT is production.")
    ] = False,
) -> None:
    """Make three projects with people, tasks, comments and relations to look at, and print the logins."""
    with reported():
        production = CommandSettings().environment == "production"
    if production and not in_production:
        fail("This is a production server: a demonstration is for others, or for --in-production")
    made = with_database(lambda database: build.build(database, hasher=hasher()))
    for key, name, tasks in made.projects:
        typer.echo(f"{key:5} {name} ({tasks} tasks)")
    typer.echo(f"Log in with the password {made.password} as:")
    for username, full_name in made.people:
        typer.echo(f"  {username:6} {full_name}")
