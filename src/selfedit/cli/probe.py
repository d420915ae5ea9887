"""`selfedit probe`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from selfedit.cli.library import open_library
from selfedit.console import options
from selfedit.console.common import err, out, print_json
from selfedit.console.groups import grouped
from selfedit.console.progress import RichProgress
from selfedit.errors import InputError


@grouped
def probe(
    version: Annotated[
        int | None, typer.Option("--version", help="Number of the version; default: the current one.")
    ] = None,
    adapter: Annotated[
        Path | None, typer.Option("--adapter", help="A PEFT adapter's folder, in place of a version.")
    ] = None,
    base: Annotated[
        str | None,
        typer.Option("--base", help="Compare the whole --model with this one: for trained policies."),
    ] = None,
    document: Annotated[
        list[Path] | None,
        typer.Option("--document", help="What was taught, where no version knows it; repeatable."),
    ] = None,
    quiz: Annotated[
        Path | None, typer.Option("--quiz", help="Questions about the documents, as for `learn`.")
    ] = None,
    sample: Annotated[
        int, typer.Option("--sample", min=1, help="General questions to be asked again, at most.")
    ] = 100,
    *,
    loading: options.Loading,
    keeping: options.Keeping,
    as_json: options.Json = False,
) -> None:
    """What a version, an adapter or a trained policy broke of the bare model; no labels are needed.

    Measured are the share of general questions that are still answered right, of those that the bare
    model answers right; the drift from the bare model on its own texts (KL divergence, nats a token);
    and how often a question about another thing of the same kind gets a fact of the documents.

    \b
    selfedit probe                           the current version
    selfedit probe --version 3 --json        another one, for scripts
    selfedit probe --adapter out/ --document notes.md --quiz notes.quiz.jsonl
    selfedit probe --model runs/policy --base smollm2-135m
    """
    if sum(given is not None for given in (version, adapter, base)) > 1:
        raise InputError("--version, --adapter and --base exclude each other: give one of them")
    if quiz is not None and not document:
        raise InputError("--quiz needs the --document that its questions are about")
    from selfedit.domains.knowledge import read_document, read_quiz
    from selfedit.memory.probe import Adapted
    from selfedit.memory.probe import probe as run
    from selfedit.memory.subjects import subject_of_text
    from selfedit.show.damage import print_probe

    documents = [read_document(path) for path in document or ()]
    questions = read_quiz(quiz) if quiz is not None else ()
    with RichProgress(err) as progress:
        if base is not None:
            subjects = [subject_of_text(one, questions) for one in documents]
            changed = Adapted(other=loading.load())
            result = run(loading.loader(base), changed, subjects, progress=progress, sample=sample)
        else:
            library = open_library(loading, keeping, progress, create=adapter is not None)
            result = library.probe(
                version, adapter=adapter, documents=documents, questions=questions, sample=sample
            )
    if as_json:
        print_json(result.to_json())
    else:
        print_probe(result, out)
