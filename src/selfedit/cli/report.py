"""`selfedit report` and `selfedit compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from selfedit.console import options
from selfedit.console.common import folder_of, open_store, out, print_json, status
from selfedit.errors import InputError

if TYPE_CHECKING:
    from selfedit.show.page import Page
    from selfedit.store import Store

LISTED_RUNS = 50

HtmlOption = Annotated[Path | None, typer.Option("--html", help="Write HTML to this file.")]
MarkdownOption = Annotated[Path | None, typer.Option("--markdown", help="Write Markdown to this file.")]


def report(
    run: Annotated[
        str | None, typer.Argument(help="A run's number, or `latest`; without it, list the runs.")
    ] = None,
    context: Annotated[
        str | None,
        typer.Option(
            help="Context whose self-edits to show side by side: an id or title (train and import; "
            "default: the first that was sampled in most rounds)."
        ),
    ] = None,
    follow: Annotated[
        bool,
        typer.Option(
            "--follow",
            "-f",
            help="Watch a run until it ends, or, without a number, all that go on until Ctrl-C. With "
            "--json: one object a line, every 2 seconds.",
        ),
    ] = False,
    html: HtmlOption = None,
    markdown: MarkdownOption = None,
    library: options.Library = None,
    as_json: options.Json = False,
) -> None:
    """Show stored runs and their results: learn, train, eval, generate and imported runs.

    For a train run: its rounds, and the self-edits of one context over the rounds side by side. A run
    that goes on says how far it is (--follow, in another terminal); one that was killed is said to be.

    \b
    selfedit report
    selfedit report latest --html report.html
    selfedit report --follow
    selfedit report 12 --follow --json | jq .runs[0].left
    """
    from selfedit.cli.follow import follow as watch
    from selfedit.report.learn_run import report_file
    from selfedit.report.run_report import run_report
    from selfedit.report.runs import find_run

    with _store(library) as store:
        if follow:
            if context or html or markdown:
                raise InputError("--follow shows runs while they go on; leave out the other options.")
            watch(store, None if run is None else find_run(store, run).id, as_json)
            return
        if run is None:
            if context or html or markdown:
                raise InputError("name a run, or `latest`; `selfedit report` alone lists them.")
            _list(store, as_json)
            return
        record = find_run(store, run)
        found = run_report(store, record, context)
        full = report_file(store, record)
        if html is not None and full is not None:  # what `learn` itself wrote says more
            _copy(full, html)
            _write(None, markdown, found.page)
        else:
            _write(html, markdown, found.page)
    if as_json:
        print_json(found.values)
    else:
        _show(found.page)


def compare(
    runs: Annotated[
        list[str],
        typer.Argument(
            help="Runs of `selfedit eval`: RUN, LABEL=RUN, or LABEL@ROUNDS=RUN for a policy whose "
            "rounds of RL this library does not know."
        ),
    ],
    form: Annotated[
        str,
        typer.Option(
            "--as",
            help="table2 (conditions x regimes), prompts (strategies x rounds of RL) or figure4 "
            "(accuracy over the rounds).",
        ),
    ] = "table2",
    figure: Annotated[
        Path | None, typer.Option(help="Write the figure to this file: .svg, .png or .pdf.")
    ] = None,
    html: HtmlOption = None,
    markdown: MarkdownOption = None,
    library: options.Library = None,
    as_json: options.Json = False,
) -> None:
    """Compare rows of several evaluations in one table, pair by pair on the same contexts.

    Each cell has its interval and its n; pairs measured on different contexts are refused.
    """
    from selfedit.report.by_round import save_accuracy_by_round
    from selfedit.report.compare import FORMS, summary
    from selfedit.report.compare import compare as compared
    from selfedit.report.compare_page import compare_page
    from selfedit.show.files import check_figure

    chosen = next((name for name in FORMS if name == form), None)
    if chosen is None:
        raise InputError(f"--as {form}: use one of {', '.join(FORMS)}.")
    if figure is not None and chosen == "table2":
        raise InputError("--figure: add --as figure4 (or prompts); table 2 has no figure.")
    if figure is not None:
        check_figure(figure)
    with _store(library) as store:
        found = compared(store, runs, chosen)
    page = compare_page(found)
    if figure is not None:
        save_accuracy_by_round(found.curves, figure)
        status(f"wrote {figure}")
    _write(html, markdown, page)
    if as_json:
        print_json(summary(found))
    else:
        _show(page)


def _store(library: Path | None) -> Store:
    """The library's store. One that is not there is not made: there would be nothing in it."""
    from selfedit.home import STORE, shared_store

    folder = folder_of(library)
    if shared_store() is None and not (folder / STORE).is_file():
        raise InputError(f"nothing was run with the library {folder} yet; choose one with --library.")
    return open_store(library)


def _list(store: Store, as_json: bool) -> None:
    from selfedit.report.runs import LISTED, listing, run_values
    from selfedit.show.page_terminal import table

    runs = store.runs(None)
    if as_json:
        print_json({"runs": [run_values(store, run) for run in runs]})
        return
    if not runs:
        out.print("No run is stored.")
        return
    out.print(table(LISTED, listing(store, runs[:LISTED_RUNS]), out, most=LISTED_RUNS))
    if len(runs) > LISTED_RUNS:
        out.print(f"{len(runs) - LISTED_RUNS} older runs: --json has all.")
    out.print("One of them: selfedit report RUN --html FILE")


def _show(page: Page) -> None:
    from selfedit.show.page_terminal import print_page

    print_page(page, out)


def _write(html: Path | None, markdown: Path | None, page: Page) -> None:
    from selfedit.show.files import write_whole
    from selfedit.show.html import render_page
    from selfedit.show.markdown import page_markdown

    if html is not None:
        status(f"wrote {write_whole(html, render_page(page))}")
    if markdown is not None:
        status(f"wrote {write_whole(markdown, page_markdown(page))}")


def _copy(full: Path, target: Path) -> None:
    from selfedit.show.files import write_whole

    status(f"wrote {write_whole(target, full.read_text(encoding='utf-8'))}, the report of that time")
