"""`selfedit eval`: one command for each built-in domain, and `custom` for one of the user's own."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from selfedit.cli import continual, many
from selfedit.cli.running import Running
from selfedit.console import options
from selfedit.console.common import check_model, err, out, print_json, status
from selfedit.console.groups import grouped
from selfedit.console.plan import announce_work
from selfedit.console.progress import RichProgress
from selfedit.domains import BUILT_IN
from selfedit.show.files import check_writable

if TYPE_CHECKING:
    from selfedit.domains.options import Evaluates
    from selfedit.domains.rows import Row
    from selfedit.experiments import Evaluated
    from selfedit.store import Store

app = typer.Typer(
    help="Compare what a model knows or solves under several conditions, with honest intervals.",
    no_args_is_help=True,
)


@app.callback()
def _root() -> None:
    pass


@dataclass
class Comparing:
    """What every evaluation takes."""

    policy: options.Policy = None
    train_data: Annotated[
        str | None,
        typer.Option(
            "--train-data", help="Data of the policy's training: evaluating on it is refused."
        ),
    ] = None
    markdown: Annotated[
        Path | None, typer.Option("--markdown", help="Write the report to this file, too, as Markdown.")
    ] = None


def command(own_options: Any) -> Callable[..., None]:
    """The command of a domain. own_options: its class of options (`domains.options.Evaluates`)."""

    def evaluate(
        own: Evaluates,
        comparing: Comparing,
        running: Running,
        loading: options.Loading,
        sampling: options.Sampling,
        keeping: options.Keeping,
        going: options.Going,
    ) -> None:
        run(own, comparing, running, loading, sampling, keeping, going)

    evaluate.__doc__ = own_options.__doc__
    evaluate.__annotations__["own"] = own_options
    return grouped(evaluate)


def run(
    own: Evaluates,
    comparing: Comparing,
    running: Running,
    loading: options.Loading,
    sampling: options.Sampling,
    keeping: options.Keeping,
    going: options.Going,
) -> None:
    """Check what can be checked at once, evaluate, print."""
    from selfedit import experiments

    if comparing.markdown is not None:
        check_writable(comparing.markdown)
    own.check()
    running.check(sampling.sampler)
    policy = None if comparing.policy is None else str(comparing.policy)
    if policy is not None:
        check_model(policy)
    load = sampling.through(loading.loader_with(own.domain_class().skills()))
    store, model = keeping.store(), load(loading.model)
    asked = own.prepared(model, store)
    seen = None if comparing.train_data is None else asked.domain.tasks(comparing.train_data)
    with running.runners(load) as runner, RichProgress(err) as progress:
        found = experiments.evaluate(
            asked.domain,
            asked.tasks,
            model,
            asked.settings,
            store,
            policy=policy,
            load=load,
            conditions=asked.conditions,
            grader=asked.grader,
            trained=seen,
            sample=asked.sample,
            keep_ungradable=asked.keep_ungradable,
            confirm=lambda plan: announce_work(plan, asked.domain.noun, going.yes, progress),
            progress=progress,
            on_row=_say,
            notes=asked.notes,
            runner=runner,
        )
    asked.then(found.tasks, found.outcomes)
    _print(store, found, comparing.markdown, going.as_json)


def _say(row: Row) -> None:
    from selfedit.show.wording import percent

    status(f"{row.condition}: {percent(row.accuracy)}")


def _print(store: Store, found: Evaluated, markdown: Path | None, as_json: bool) -> None:
    """The evaluation's report, in the terminal or as one JSON object, and as Markdown if asked."""
    from selfedit.report.run_report import run_report
    from selfedit.show.files import write_whole
    from selfedit.show.markdown import page_markdown
    from selfedit.show.page_terminal import print_page

    page = run_report(store, store.run(found.run)).page
    if markdown is not None:
        status(f"wrote {write_whole(markdown, page_markdown(page))}")
    if as_json:
        print_json(found.evaluation.summary())
    else:
        print_page(page, out)


for _name in BUILT_IN:
    app.command(_name)(command(importlib.import_module(f"selfedit.domains.{_name}.options").Evaluating))
app.command("continual")(continual.continual)
app.command("many")(many.many)
app.command("custom")(command(importlib.import_module("selfedit.domains.options").Evaluating))
