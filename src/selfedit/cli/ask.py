"""`selfedit ask`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from selfedit.cli.library import open_library
from selfedit.console import options
from selfedit.console.common import out, print_json
from selfedit.console.groups import grouped
from selfedit.errors import InputError

if TYPE_CHECKING:
    from selfedit.learning.library import Library


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
    as_json: options.Json = False,
) -> None:
    """Ask the current version, or another one, a question; documents are not consulted."""
    from selfedit.learning.library import ask_model

    if base and (version is not None or compare):
        raise InputError("--base goes with neither --version nor --compare")
    questions = [question] if question is not None else [q for q in map(str.strip, sys.stdin) if q]
    if not questions or not questions[0].strip():
        raise InputError("there is no question; give one, or pipe some in, one per line")
    current = None
    if base:  # needs no library
        answers = ask_model(loading.load(), questions)
    else:
        opened = open_library(loading, keeping)
        current = version if version is not None else _current(opened)
        answers = opened.ask(questions, version=version)
    bare = opened.ask(questions, base=True) if compare else []
    if as_json:
        print_json(
            {
                "model": loading.model,
                "version": current,
                "answers": [
                    {"question": q, "answer": a, **({"base": bare[i]} if compare else {})}
                    for i, (q, a) in enumerate(zip(questions, answers, strict=True))
                ],
            }
        )
    elif compare:
        _print_table(questions, bare, answers, current)
    else:
        for answer in answers:
            out.print(answer, markup=False, highlight=False, soft_wrap=True)


def _current(library: Library) -> int | None:
    record = library.current()
    return record.version if record else None


def _print_table(questions: list[str], bare: list[str], new: list[str], version: int | None) -> None:
    table = Table(show_lines=True)
    for heading in (
        "question",
        "base",
        f"version {version}" if version else "base (no version yet)",
    ):
        table.add_column(heading, overflow="fold", ratio=1)
    for row in zip(questions, bare, new, strict=True):
        table.add_row(*map(Text, row))
    out.print(table)
