"""`selfedit arc`: the domain's own commands, which `cli.app` adds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from selfedit.domains.arc.commands import score, solvable, tasks

if TYPE_CHECKING:
    from selfedit.domains.commands import AtBench


def commands(at_bench: AtBench) -> typer.Typer:
    """at_bench: `experiments.at_bench`, which stands above the domains."""
    app = typer.Typer(help="Tasks of ARC, and the training sets made of them.", no_args_is_help=True)
    app.command("show")(tasks.show)
    app.command("list")(tasks.list_)
    app.command("augment")(tasks.augment)
    app.command("score")(score.score)
    app.command("solvable")(solvable.command(at_bench))
    return app
