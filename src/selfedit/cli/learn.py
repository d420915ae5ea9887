"""`selfedit learn`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from selfedit.cli.library import open_library
from selfedit.console import options
from selfedit.console.common import err, out, print_json
from selfedit.console.groups import grouped
from selfedit.console.plan import agreed
from selfedit.console.progress import RichProgress
from selfedit.domains.knowledge.options import Statements, learn_settings, read_prompt

if TYPE_CHECKING:
    from selfedit.loops.estimate import Estimate


@grouped
def learn(
    files: Annotated[
        list[str],
        typer.Argument(
            help="Documents: files (.txt, .md, .html, .pdf, .docx, .epub, .rst, source code), folders, "
            "globs, or - for standard input.",
        ),
    ],
    loading: options.Loading,
    keeping: options.Keeping,
    writing: options.Writing,
    adapting: options.Adapting,
    training: options.Training,
    statements: Statements,
    grading: options.Grading,
    going: options.Going,
    quiz: Annotated[
        Path | None,
        typer.Option(
            help='Questions: JSON lines {"question", "answer"}, CSV, SQuAD, chats, a dataset id and '
            "more. Without: blanks in sentences of the documents."
        ),
    ] = None,
    allow_urls: options.AllowUrls = False,
    preset: Annotated[
        str,
        typer.Option(help="fast, balanced or paper; individual options override it."),
    ] = "balanced",
    strategy: Annotated[
        str | None,
        typer.Option(
            help="sentences, implications, implications-long, implications-very-long, rewrite, "
            "self-qa, chain-of-thought or none.",
        ),
    ] = None,
    prompt_file: Annotated[
        Path | None,
        typer.Option(
            help="Your own instruction; {title} and {context} are filled in.",
        ),
    ] = None,
    restatements: Annotated[
        int | None,
        typer.Option(help="`sentences`: restatements of each sentence."),
    ] = None,
    max_forgetting: Annotated[
        float | None,
        typer.Option(help="Accuracy on older questions that a new version may lose, from 0 to 1."),
    ] = None,
    max_damage: Annotated[
        float | None,
        typer.Option(help="Share of known general questions that may be lost, from 0 to 1."),
    ] = None,
    probe_questions: Annotated[
        int | None,
        typer.Option(
            help="Maximum number of general questions to probe a new version with; 0: no probe."
        ),
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option(
            help="How what was learned is kept: single, routed, stack or stack-anchored (default: as "
            "before in this library; routed in a new one)."
        ),
    ] = None,
    adapters_per_question: Annotated[
        int | None,
        typer.Option(help="`routed`: adapters that are summed for a question, at most."),
    ] = None,
    router: Annotated[
        str | None,
        typer.Option(
            help="`routed`: what finds a question's passages: bm25, or blended with a small embedding "
            "model, fetched once (default: as before in this library; bm25 in a new one)."
        ),
    ] = None,
    topic: Annotated[
        bool, typer.Option("--topic", help="Put the document's title before each question.")
    ] = False,
) -> None:
    """Learn documents: the model writes training text, learns from it, and is tested without it.

    The new version is kept only if it answers more of the questions than the one before, has not
    forgotten what was learned earlier, and still answers the general questions that the bare model
    answers (see `selfedit probe`). Killed and started again, it goes on where it was.
    """
    from selfedit import experiments

    given = {
        **writing.given(),
        **adapting.given(),
        **training.given(),
        "knowledge": {
            **statements.given()["knowledge"],
            "strategy": strategy or ("implications" if prompt_file else None),
            "prompt_text": read_prompt(prompt_file),
            "restatements": restatements,
            "topic": topic or None,
        },
        "max_forgetting": max_forgetting,
        "max_damage": max_damage,
        "probe_questions": probe_questions,
        "memory": memory,
        "adapters_per_question": adapters_per_question,
        "router": router,
    }
    settings = learn_settings(given, preset)
    with RichProgress(err) as progress:

        def confirm(estimate: Estimate) -> bool:
            return going.yes or agreed(estimate, progress)

        library = open_library(loading, keeping, progress, create=True)
        grader = grading.chosen(library.store)
        result = experiments.learn(
            library, files, quiz, settings, grader=grader, confirm=confirm, allow_urls=allow_urls
        )
    if going.as_json:
        print_json(result.summary())
    else:
        from selfedit.show.terminal import print_result

        print_result(result, out)
