"""The commands and where they are."""

import typer

from cli import imports, schema, trash, users

app = typer.Typer(
    help="Operate a Tandem server. DATABASE_URL (or .env) says which database.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.command("create-admin")(users.create_admin)
app.command("claim-user")(users.claim_user)
app.command("disable-user")(users.disable_user)
app.command("enable-user")(users.enable_user)
app.command("purge-trash")(trash.purge_trash)
app.add_typer(imports.app, name="import")
app.add_typer(schema.app, name="schema")
