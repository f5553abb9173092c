"""Commands for what is generated and committed: schema.graphql, openapi.json, asyncapi.json, docs/parity.md and
docs/roles.md."""

import difflib
import json
from pathlib import Path
from typing import Annotated

import typer

from cli.database import fail, reported

ROOT = Path(__file__).resolve().parent.parent
SHOWN_LINES = 60

app = typer.Typer(
    help="Export the GraphQL, OpenAPI and AsyncAPI schemas, or check the exported ones.", no_args_is_help=True
)
Directory = Annotated[Path, typer.Option(help="The folder of the files.", show_default=False)]


@app.command()
def export(directory: Directory = ROOT) -> None:
    """Write schema.graphql, openapi.json, asyncapi.json, docs/parity.md and docs/roles.md."""
    with reported():
        for name, text in _documents().items():
            path = directory / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
            typer.echo(f"Wrote {path.name}")


@app.command()
def check(directory: Directory = ROOT) -> None:
    """Fail, and show how, where the files differ from what the code says."""
    with reported():
        stale = []
        for name, text in _documents().items():
            path = directory / name
            exported = path.read_text(encoding="utf-8") if path.exists() else ""
            if exported != text:
                stale.append(name)
                _show_difference(name, exported, text)
        if stale:
            fail(f"{' and '.join(stale)}: not what the code says. Run: make schema")
    typer.echo("schema.graphql, openapi.json, asyncapi.json, docs/parity.md and docs/roles.md are those of the code.")


def _documents() -> dict[str, str]:
    """The text of each file: the same for the same code."""
    # here, so that other commands start without the application
    from api.graphql.asyncapi import document as asyncapi_document
    from api.main import openapi_document
    from api.problems import STATUS
    from graphql_schema.schema import schema, sdl
    from tools import parity, roles

    document = openapi_document()
    return {
        "schema.graphql": sdl().strip() + "\n",
        "openapi.json": json.dumps(document, indent=2, ensure_ascii=False) + "\n",
        "asyncapi.json": json.dumps(asyncapi_document(document), indent=2, ensure_ascii=False) + "\n",
        "docs/parity.md": parity.page(document, schema._schema, STATUS),
        "docs/roles.md": roles.page(document),
    }


def _show_difference(name: str, exported: str, text: str) -> None:
    difference = list(
        difflib.unified_diff(
            exported.splitlines(), text.splitlines(), f"{name} (exported)", f"{name} (code)", n=2, lineterm=""
        )
    )
    for line in difference[:SHOWN_LINES]:
        typer.echo(line, err=True)
    if len(difference) > SHOWN_LINES:
        typer.echo(f"... and {len(difference) - SHOWN_LINES} lines more", err=True)
