"""`selfedit ask`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from selfedit.cli.library import open_library
from selfedit.console import options
from selfedit.console.common import err, out, print_json, standard_input
from selfedit.console.groups import grouped
from selfedit.console.progress import RichProgress
from selfedit.errors import InputError

_MOST_PIPED = 10_000_000  # characters of questions

if TYPE_CHECKING:
    from selfedit.learning.library import Library
    from selfedit.memory.routed import Source
    from selfedit.seams import Model


@grouped
def ask(
    loading: options.Loading,
    keeping: options.Keeping,
    question: Annotated[
        str | None,
        typer.Argument(help="The question; without it, stdin is read, one question per line."),
    ] = None,
    base: Annotated[bool, typer.Option("--base", help="Ask the bare model.")] = False,
    version: Annotated[
        int | None, typer.Option(help="Version to ask (default: the current one).")
    ] = None,
    compare: Annotated[
        bool,
        typer.Option("--compare", help="Show answers of the bare model and the version side by side."),
    ] = False,
    sources: Annotated[
        bool,
        typer.Option("--sources", help="Say which learned documents each question concerns."),
    ] = False,
    learn_first: Annotated[
        list[str] | None,
        typer.Option(help="Learn this document first, for these questions alone; may be repeated."),
    ] = None,
    allow_urls: options.AllowUrls = False,
    as_json: options.Json = False,
) -> None:
    """Ask the current version, or another one, a question; documents are not consulted.

    With --learn-first the bare model is trained on a document and asked (test-time training); what it
    learned is thrown away afterwards, and the library is neither used nor changed.
    """
    from selfedit.learning.library import ask_model

    if base and (version is not None or compare or sources or learn_first):
        raise InputError(
            "--base goes with neither --version nor --compare nor --sources nor --learn-first"
        )
    if learn_first and (version is not None or sources):
        raise InputError("--learn-first asks no version: it goes with neither --version nor --sources")
    _check_reading(question, learn_first or (), allow_urls)
    questions = [_as_text(question)] if question is not None else _piped()
    if not questions or not questions[0].strip():
        raise InputError("there is no question; give one, or pipe some in, one per line")
    current, found, bare = None, None, list[str]()
    if learn_first:
        model = loading.load()
        answers = _after_learning(model, questions, learn_first, allow_urls)
        bare = ask_model(model, questions) if compare else []
    elif base:  # needs no library
        answers = ask_model(loading.load(), questions)
    else:
        opened = open_library(loading, keeping)
        current = version if version is not None else _current(opened)
        answers = opened.ask(questions, version=version)
        found = opened.sources(questions, version=version) if sources or as_json else None
        bare = opened.ask(questions, base=True) if compare else []
    if as_json:
        sourced = found or [[] for _ in questions]
        rows = [
            {
                "question": asked,
                "answer": answers[i],
                **({"base": bare[i]} if compare else {}),
                "sources": list(map(_source, sourced[i])),
            }
            for i, asked in enumerate(questions)
        ]
        print_json({"model": loading.model, "version": current, "answers": rows})
    elif compare:
        name = "after learning" if learn_first else _named(current)
        _print_table(questions, bare, answers, name)
    else:
        for i, answer in enumerate(answers):
            out.print(answer, markup=False, highlight=False, soft_wrap=True)
            if found is not None:
                out.print(Text(_from(found[i]), style="dim"), soft_wrap=True)


def _check_reading(question: str | None, documents: Sequence[str], allow_urls: bool) -> None:
    """Raises InputError for documents of --learn-first that could not be read as was asked."""
    if allow_urls and not documents:
        raise InputError("--allow-urls goes with --learn-first: no other document is read")
    if question is None and "-" in documents:
        raise InputError("--learn-first - reads stdin: give the question behind `ask`")


def _as_text(argument: str) -> str:
    """Without the lone surrogates that Python makes of broken bytes, and no tokenizer takes."""
    return argument.encode("utf-8", "replace").decode()


def _piped() -> list[str]:
    """The questions on stdin, one per line. Raises InputError for a pipe that may never end."""
    text = standard_input().read(_MOST_PIPED + 1)
    if len(text) > _MOST_PIPED:
        raise InputError(f"stdin has more than {_MOST_PIPED:,} characters: ask in several parts")
    return [line for line in map(str.strip, text.split("\n")) if line]


def _source(source: Source) -> dict[str, Any]:
    return {
        "document": source.document.title,
        "source": source.document.source,
        "passage": source.passage.title,
        "adapter": source.adapter,
        "weight": round(source.weight, 4),
        "score": round(source.score, 2),
    }


def _from(sources: Sequence[Source]) -> str:
    """Where an answer came from, in a line."""
    named = dict.fromkeys(f"{own.document.title} ({own.document.source})" for own in sources)
    return f"  from {'; '.join(named)}" if named else "  concerns nothing that was learned"


def _current(library: Library) -> int | None:
    record = library.current()
    return record.version if record else None


def _after_learning(
    model: Model, questions: list[str], documents: list[str], allow_urls: bool
) -> list[str]:
    from selfedit.agents.first import ask_after_learning

    with RichProgress(err) as progress:
        answers, result = ask_after_learning(
            model, questions, documents, allow_urls=allow_urls, progress=progress
        )
    if not result.committed:
        err.print(
            f"Warning: what it wrote taught it nothing ({result.reason}): the bare model answers",
            style="yellow",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
    return answers


def _named(version: int | None) -> str:
    return f"version {version}" if version else "base (no version yet)"


def _print_table(questions: list[str], bare: list[str], new: list[str], name: str) -> None:
    table = Table(show_lines=True)
    for heading in ("question", "base", name):
        table.add_column(heading, overflow="fold", ratio=1)
    for row in zip(questions, bare, new, strict=True):
        table.add_row(*map(Text, row))
    out.print(table)
