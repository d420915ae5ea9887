"""`selfedit forget`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from selfedit.cli.library import open_library
from selfedit.console import options
from selfedit.console.common import err, out, print_json
from selfedit.console.groups import grouped
from selfedit.console.progress import RichProgress

if TYPE_CHECKING:
    from selfedit.learning.forgetting import Forgotten


@grouped
def forget(
    document: Annotated[
        str, typer.Argument(help="A learned document: its file, its title, or its source.")
    ],
    loading: options.Loading,
    keeping: options.Keeping,
    as_json: options.Json = False,
) -> None:
    """Forget a document, and show that its facts are gone and all else is as it was.

    A routed library drops the document's adapters, in seconds; where one adapter holds other documents,
    too, that is trained again without it. Older versions keep the document until they are deleted
    (`selfedit adapters delete`).
    """
    with RichProgress(err) as progress:
        done = open_library(loading, keeping, progress).forget(document)
    if as_json:
        print_json(done.summary())
    else:
        out.print(Text("\n".join(_lines(done))), soft_wrap=True)


def _lines(done: Forgotten) -> list[str]:
    now = "the bare model" if done.version is None else f"version {done.version}"
    lines = [f"{done.document} is forgotten: {now} is current, in {done.seconds:.1f} s."]
    if done.num_questions:
        lines.append(
            f"Of {done.num_questions} questions about it {done.right_before} were answered right; now "
            f"{done.right_after}, the bare model alone {done.right_bare}; {done.as_bare} are answered "
            "word for word as by the bare model."
        )
    if done.num_documents:
        lines.append(
            f"Other documents: {done.num_documents}. Adapters that are bit for bit as they were: "
            f"{done.unchanged}; passages trained again: {done.retrained}; questions that meet other "
            f"adapters than before: {done.rerouted}."
        )
    return lines
