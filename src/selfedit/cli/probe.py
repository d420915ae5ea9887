"""`selfedit probe`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from selfedit.cli.library import open_library
from selfedit.console import options
from selfedit.console.common import err, out, print_json
from selfedit.console.groups import grouped
from selfedit.console.progress import RichProgress
from selfedit.errors import InputError
from selfedit.home import expanded

if TYPE_CHECKING:
    from selfedit.memory.answering import Adapted
    from selfedit.seams import Model


@grouped
def probe(
    version: Annotated[
        int | None, typer.Option("--version", help="Number of the version; default: the current one.")
    ] = None,
    adapter: Annotated[
        Path | None, typer.Option("--adapter", help="Folder of a PEFT adapter, instead of a version.")
    ] = None,
    base: Annotated[
        str | None,
        typer.Option("--base", help="Compare the whole --model with this one: for trained policies."),
    ] = None,
    document: Annotated[
        list[Path] | None,
        typer.Option("--document", help="Learned document, if no version knows it; repeatable."),
    ] = None,
    quiz: Annotated[
        Path | None, typer.Option("--quiz", help="Questions about the documents, as for `learn`.")
    ] = None,
    sample: Annotated[
        int, typer.Option("--sample", min=1, help="Maximum number of general questions to ask again.")
    ] = 100,
    *,
    loading: options.Loading,
    keeping: options.Keeping,
    as_json: options.Json = False,
) -> None:
    """Measure what a version, an adapter or a trained policy broke; no labels are needed.

    It measures how many of the general questions that the bare model answers right are still answered
    right; the drift from the bare model on its own texts (KL divergence, nats per token); and how often
    a question about another thing of the same kind is answered with a fact of the documents.

    \b
    selfedit probe                           the current version
    selfedit probe --version 3 --json        another one, for scripts
    selfedit probe --adapter out/ --document notes.md --quiz notes.quiz.jsonl
    selfedit probe --model runs/policy --base smollm2-135m
    """
    if sum(given is not None for given in (version, adapter, base)) > 1:
        raise InputError("--version, --adapter and --base exclude each other: give one of them")
    if document and adapter is None and base is None:
        raise InputError("a version knows its documents: --document goes with --adapter or --base")
    if quiz is not None and not document:
        raise InputError("--quiz needs the --document that its questions are about")
    from selfedit.data import Skipped, read_quiz
    from selfedit.domains.knowledge import read_document
    from selfedit.memory.probe import probe as run
    from selfedit.memory.subjects import subject_of_text
    from selfedit.show.damage import print_probe

    skipped = Skipped()
    with RichProgress(err) as progress:
        if adapter is None and base is None:
            result = open_library(loading, keeping, progress).probe(version, sample)
        else:
            questions = read_quiz(quiz, skipped=skipped) if quiz is not None else ()
            subjects = [subject_of_text(read_document(path), questions) for path in document or []]
            bare = loading.loader(base or loading.model)
            changed = _changed(bare, loading, adapter)
            result = run(bare, changed, subjects, progress=progress, sample=sample)
    result = replace(result, notes=(*skipped.notes(str(quiz)), *result.notes))
    if as_json:
        print_json(result.to_json())
    else:
        print_probe(result, out)


def _changed(bare: Model, loading: options.Loading, adapter: Path | None) -> Adapted:
    """The adapter, or the whole model that --model names."""
    from selfedit.memory.answering import Adapted

    return (
        Adapted(other=loading.load())
        if adapter is None
        else Adapted(bare.load_adapter(expanded(adapter)))
    )
