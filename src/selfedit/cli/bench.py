"""`selfedit bench`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from selfedit.cli.common import (
    DEFAULT_MODEL,
    DeviceOption,
    DtypeOption,
    JsonOption,
    ModelOption,
    out,
    print_json,
    status,
)

app = typer.Typer(help="Measure selfedit on this machine.", no_args_is_help=True)


@app.callback()
def _root() -> None:
    pass


@app.command()
def inner(
    model: ModelOption = DEFAULT_MODEL,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    edits: Annotated[int, typer.Option(min=1, help="Self-edits that are trained.")] = 6,
    repeats: Annotated[int, typer.Option(min=1, help="Timings of each way.")] = 3,
    epochs: Annotated[int, typer.Option(min=1)] = 2,
    layers: Annotated[str, typer.Option(help='"all", "upper-half" or e.g. "15-29".')] = "upper-half",
    released_edits: Annotated[
        int, typer.Option(min=0, help="Edits timed in the released way (slow); 0 leaves it out.")
    ] = 2,
    as_json: JsonOption = False,
) -> None:
    """Training: the bank, a plain PEFT loop, and the way of the paper's public release."""
    from selfedit.bench.inner import run_inner
    from selfedit.model.load import load_model

    loaded = load_model(model, device=device, dtype=dtype, status=status)
    result = run_inner(
        loaded,
        edits=edits,
        repeats=repeats,
        epochs=epochs,
        layers=layers,
        released_edits=released_edits,
        say=status,
    )
    if as_json:
        print_json(result)
        return
    table = Table(title=f"{result['model']} on {result['device']}, {layers} layers, {edits} edits")
    for heading in ("way", "s an edit", "tokens/s", "peak memory", "plain loop / it"):
        table.add_column(heading, justify="left" if heading == "way" else "right")
    plain = result["ways"]["plain PEFT loop"]["tokens_per_second"]
    for name, way in result["ways"].items():
        table.add_row(
            name,
            f"{way['seconds_per_edit']:.2f}",
            f"{way['tokens_per_second']:.0f}",
            f"{way['peak_memory'] / 1e6:.0f} MB",
            f"{way['tokens_per_second'] / plain:.2f}x",
        )
    out.print(table)
    for key in (
        "ratio_to_plain_loop",
        "ratio_to_plain_loop_with_trunk",
        "ratio_to_released",
        "max_weight_difference",
    ):
        value = result[key]
        out.print(f"{key:32s} {'not measured' if value is None else f'{value:.3g}'}")
