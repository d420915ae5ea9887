"""`selfedit train`: the outer loop, one command for each built-in domain, and `custom`."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import typer

from selfedit.cli.reader import reader
from selfedit.cli.rounds import Watch, print_rounds
from selfedit.cli.running import Running
from selfedit.console import options
from selfedit.console.common import err, print_json, status, warn
from selfedit.console.groups import grouped
from selfedit.console.progress import RichProgress
from selfedit.domains import BUILT_IN
from selfedit.domains.knowledge.reader import ReaderLoop

if TYPE_CHECKING:
    from selfedit.domains.options import Trains

app = typer.Typer(help="Train a policy that writes better self-edits.", no_args_is_help=True)


@app.callback()
def _root() -> None:
    pass


def command(own_options: Any) -> Callable[..., None]:
    """The command of a domain. own_options: its class of options (`domains.options.Trains`)."""

    def train(
        own: Trains,
        running: Running,
        loading: options.Loading,
        sampling: options.Sampling,
        keeping: options.Keeping,
        going: options.Going,
    ) -> None:
        run(own, running, loading, sampling, keeping, going)

    train.__doc__ = own_options.__doc__
    train.__annotations__["own"] = own_options
    return grouped(train)


def run(
    own: Trains,
    running: Running,
    loading: options.Loading,
    sampling: options.Sampling,
    keeping: options.Keeping,
    going: options.Going,
) -> None:
    """Check what can be checked at once, train, print."""
    from selfedit import experiments
    from selfedit.loops.tracking import Trackers

    running.check(sampling.sampler)
    settings = own.settings()
    trackers = Trackers(own.tracker or (), keeping.folder / "tracking", settings, warn)
    load = sampling.through(loading.loader_with(own.domain_class().skills()))
    store, model = keeping.store(), load(loading.model)
    asked = own.prepared(settings, model, store)
    for note in asked.notes:
        status(note)
    with running.runners(load) as runner, RichProgress(err) as progress:
        watch = Watch(asked.domain, settings.reward == "proxy", trackers, going.yes, progress)
        done = experiments.train(
            asked.domain,
            asked.tasks,
            model,
            settings,
            store,
            load=load,
            folder=keeping.folder / "policies",
            judge=asked.judge,
            confirm=watch.agreed,
            progress=progress,
            on_round=watch.tell,
            notes=asked.notes,
            questions=asked.questions,
            until=own.until,
            runner=runner,
        )
    trackers.close()
    if going.as_json:
        print_json(done.summary())
    else:
        print_rounds(done.rounds, asked.domain.use)


for _name in BUILT_IN:
    app.command(_name)(command(importlib.import_module(f"selfedit.domains.{_name}.options").OuterLoop))
app.command("reader", help=inspect.getdoc(ReaderLoop))(reader)
app.command("custom")(command(importlib.import_module("selfedit.domains.options").OuterLoop))
