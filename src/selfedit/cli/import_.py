"""`selfedit import`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from selfedit.console import options
from selfedit.console.common import out, print_json

app = typer.Typer(help="Import runs that were recorded elsewhere.", no_args_is_help=True)


@app.callback()
def _root() -> None:
    pass


@app.command()
def release(
    file: Annotated[Path, typer.Argument(help="A recorded run of the paper's release (JSON).")],
    library: options.Library = None,
    as_json: options.Json = False,
) -> None:
    """Import a recorded run of the paper's public release: trials, accuracies, selected self-edits."""
    from selfedit.release import import_release
    from selfedit.show.wording import percent

    result = import_release(file, library)
    if as_json:
        print_json(asdict(result))
        return
    out.print(Text(f"{file}: {result.num_tasks} tasks, {result.num_trials} trials"), soft_wrap=True)
    if result.proxy_score is not None:
        out.print(f"proxy score       {result.proxy_score:.2f}")
    else:
        out.print(f"baseline accuracy {percent(result.baseline_accuracy, 2)}")
        out.print(f"adapted accuracy  {percent(result.adapted_accuracy, 2)}")
    out.print(f"selected edits    {len(result.selected)}")
    for note in result.notes:
        out.print(Text(f"Note: {note}."), soft_wrap=True)
    new = f"{result.num_new} new trials" if result.num_new else "nothing new"
    out.print(f"Stored as run {result.run_id}: {new}.")


@app.command()
def continual(
    file: Annotated[
        Path, typer.Argument(help="The matrix of the release's continual experiment (JSON).")
    ],
    library: options.Library = None,
    as_json: options.Json = False,
) -> None:
    """Import a recorded matrix of continual self-edits; `selfedit eval continual` shows it, too."""
    from selfedit.console.common import open_store
    from selfedit.release.continual import import_continual
    from selfedit.show.wording import percent

    with open_store(library) as store:
        run_id, result = import_continual(file, store)
    if as_json:
        print_json(result)
        return
    (kind,) = result["kinds"].values()
    out.print(Text(f"{file}: {result['sequences']} sequences of {result['contexts']}"), soft_wrap=True)
    for name, value in (
        ("untouched", result["untouched"]),
        ("right after its own edit", kind["right_after"]),
        ("at the end", kind["at_the_end"]),
    ):
        out.print(f"{name:25s} {percent(value['value'], 1)}")
    out.print(f"Stored as run {run_id}; `selfedit report {run_id}` shows it.")
