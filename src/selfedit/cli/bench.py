"""`selfedit bench`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from selfedit.console import options
from selfedit.console.common import out, parts, print_json, status
from selfedit.errors import InputError
from selfedit.show.files import check_figure

if TYPE_CHECKING:
    from selfedit.model.language_model import LanguageModel

Shape = Annotated[
    str,
    typer.Option(
        help="Random weights of a known shape instead of a model: smollm2-135m, gemma3-270m, "
        "qwen2.5-0.5b, llama-3.2-1b, qwen2.5-7b, or tiny."
    ),
]

app = typer.Typer(help="Measure selfedit on this machine.", no_args_is_help=True)


@app.callback()
def _root() -> None:
    pass


@app.command()
def inner(
    model: options.Model = options.DEFAULT_MODEL,
    shape: Shape = "",
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    edits: Annotated[int, typer.Option(min=1, help="Number of self-edits to train.")] = 4,
    widths: Annotated[
        str, typer.Option(help="Numbers K of adapters that share a step, separated by commas.")
    ] = "1,4",
    ways: Annotated[
        str,
        typer.Option(
            help="Some of plain,trainer,mixed,padded,packed,trunk,threads,refilled,checkpointed (see "
            "docs/performance.md); default: all but the "
            "last, the widest bank with activation checkpointing."
        ),
    ] = "",
    repeats: Annotated[
        int, typer.Option(min=1, help="Number of timings of the plain loop and of the widest bank.")
    ] = 2,
    peer_edits: Annotated[
        int,
        typer.Option(
            min=0,
            help="Time all but the widest bank on this many of the first edits only, in whole waves; "
            "0: on all. Ratios are of tokens per second.",
        ),
    ] = 0,
    epochs: Annotated[int, typer.Option(min=1)] = 10,
    layers: Annotated[str, typer.Option(help='"all", "upper-half" or e.g. "15-29".')] = "upper-half",
    modules: Annotated[
        str, typer.Option(help="Linear modules to adapt, separated by commas; default: all.")
    ] = "",
    rank: Annotated[int, typer.Option(min=1)] = 32,
    questions: Annotated[
        int, typer.Option(min=0, help="Questions for each adapter; 0: do not time answers.")
    ] = 5,
    released_edits: Annotated[
        int, typer.Option(min=0, help="Edits timed as in the paper's release (slow); 0: none.")
    ] = 2,
    released_steps: Annotated[
        int, typer.Option(min=0, help="Steps timed for each of them, the rest extrapolated; 0: all.")
    ] = 3,
    float64: Annotated[
        bool, typer.Option("--float64", help="Compare weights in float64, too (loads a second model).")
    ] = False,
    plot: Annotated[
        Path | None, typer.Option(help="Plot seconds per self-edit against K (.svg, .png or .pdf).")
    ] = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Time training: the bank against a plain PEFT loop, PEFT's mixed batch, and the paper's release.

    Few edits make it quick; few epochs would hide what the frozen trunk saves, since the first epoch
    fills it.
    """
    from selfedit.bench.inner import run_inner
    from selfedit.bench.plan import InnerBench
    from selfedit.bench.plots import save_by_width
    from selfedit.bench.ways import DEFAULT_KINDS, KINDS
    from selfedit.config import ALL_LINEAR, LoraSettings, TrainSettings

    if plot is not None:
        check_figure(plot)
    chosen = _listed("--ways", ways, KINDS.count) if ways else DEFAULT_KINDS
    what = InnerBench(
        edits=edits,
        widths=tuple(int(width) for width in _listed("--widths", widths, _is_width)),
        kinds=tuple(kind for kind in KINDS if kind in chosen),
        repeats=repeats,
        peer_edits=min(peer_edits, edits),
        released_edits=min(released_edits, edits),
        released_steps=released_steps,
        questions=questions,
        float64=float64,
    )
    lora = LoraSettings(
        rank=rank, alpha=2 * rank, layers=layers, target_modules=parts(modules) or ALL_LINEAR
    )
    loaded = _loaded(model, shape, device, dtype)
    result = run_inner(loaded, lora, TrainSettings(epochs=epochs), what, status)
    if plot is not None:
        save_by_width([result], plot)
    if as_json:
        print_json(result)
    else:
        _show(result)


@app.command()
def answers(
    model: options.Model = options.DEFAULT_MODEL,
    shape: Shape = "",
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    articles: Annotated[
        int, typer.Option(min=1, help="Number of articles whose questions are asked.")
    ] = 2,
    edits: Annotated[int, typer.Option(min=1, help="Adapters for each article.")] = 4,
    repeats: Annotated[int, typer.Option(min=1, help="Number of timings of each way.")] = 3,
    layers: Annotated[str, typer.Option(help='"all", "upper-half" or e.g. "15-29".')] = "upper-half",
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Time answering: all adapters and questions in one loop, against PEFT adapter by adapter."""
    from selfedit.bench.answers import run_answers

    loaded = _loaded(model, shape, device, dtype)
    result = run_answers(
        loaded, num_articles=articles, edits=edits, repeats=repeats, layers=layers, say=status
    )
    if as_json:
        print_json(result)
        return
    table = Table(title=f"{result['answers']} answers of {result['adapters']} adapters")
    for heading in ("way", "seconds", "answers/s"):
        table.add_column(heading, justify="left" if heading == "way" else "right")
    for name, way in result["ways"].items():
        table.add_row(name, f"{way['seconds']:.1f}", f"{way['answers_per_second']:.2f}")
    out.print(table)
    out.print(f"answers_ratio {result['answers_ratio']:.2f}, same answers {result['same_answers']:.0%}")


def _loaded(model: str, shape: str, device: str, dtype: str) -> LanguageModel:
    from selfedit.bench.shapes import shaped_model
    from selfedit.model.load import load_model

    if shape:
        return shaped_model(shape, device=device, dtype=dtype, status=status)
    return load_model(model, device=device, dtype=dtype, status=status)


def _is_width(text: str) -> bool:
    return text.isdecimal() and 0 < int(text) <= 1024


def _listed(option: str, text: str, good: Callable[[str], object]) -> tuple[str, ...]:
    listed = parts(text)
    if not listed or not all(map(good, listed)):
        raise InputError(f"{option} {text!r}: give a list such as its default (see --help).")
    return listed


def _show(result: dict[str, Any]) -> None:
    title = f"{result['model']} on {result['device']}, {result['edits']} self-edits"
    table = Table(title=f"{title}, {result['lora']['layers']} layers, {result['epochs']} epochs")
    for heading in (
        "way",
        "edits",
        "s an edit",
        "answers, s",
        "tokens/s",
        "peak MB",
        "x floor",
        "x plain",
    ):
        table.add_column(
            heading, justify="left" if heading == "way" else "right", no_wrap=heading == "way"
        )
    plain = result["ways"].get("plain PEFT loop", {}).get("tokens_per_second")
    for name, way in result["ways"].items():
        rate, peak = way["tokens_per_second"], way.get("peak_memory")
        table.add_row(
            name,
            str(way["edits"]),
            _number(way["seconds_per_edit"], "{:.2f}"),
            _number(way.get("answers_per_edit"), "{:.2f}"),
            _number(rate, "{:.0f}"),
            _number(peak / 1e6 if peak else None, "{:.0f}"),
            _number(way.get("achieved_over_floor"), "{:.1f}"),
            _number(rate / plain if plain and rate else None, "{:.2f}"),
        )
    out.print(table)
    for key, value in result.items():
        if key.startswith(("ratio_", "gain_", "answers_ratio", "max_weight", "planned_", "peak_")):
            out.print(f"{key:32s} {_number(value, '{:.3g}')}")


def _number(value: float | None, form: str) -> str:
    return "not measured" if value is None else form.format(value)
