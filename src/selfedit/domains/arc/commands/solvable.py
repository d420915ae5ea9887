"""`selfedit arc solvable`: the tasks that a model can learn to solve."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from selfedit.console import options
from selfedit.console.common import err, out, print_json, status
from selfedit.console.groups import grouped
from selfedit.console.plan import announce_work
from selfedit.console.progress import RichProgress
from selfedit.console.settings import given_by
from selfedit.domains.arc.options import (
    Choosing,
    Examples,
    Oracle,
    Preset,
    StepLimit,
    Voting,
    inner_with,
)
from selfedit.errors import InputError
from selfedit.show.files import check_writable, write_whole

if TYPE_CHECKING:
    from selfedit.domains.arc.solvable import Solvable
    from selfedit.domains.commands import AtBench
    from selfedit.types import Trial


@dataclass(kw_only=True)
class Trying(Choosing, Oracle, options.Adapting):
    """Which tasks are tried, and how they are learned."""

    preset: Preset = "arc-small"
    examples: Examples = None
    step_limit: StepLimit = None
    voting: Voting = False
    seeds: Annotated[
        int | None, typer.Option("--seeds", help="Trainings of each task; all have to solve it.")
    ] = None
    seed: options.Seed = None
    ids_file: Annotated[
        Path | None, typer.Option("--out", help="Write the solved tasks' ids to this file, for --ids.")
    ] = None
    only_learned: Annotated[
        bool,
        typer.Option("--only-learned", help="Leave out of it what is solved without training."),
    ] = False

    def given(self) -> dict[str, object]:
        domain = {
            "data": {"limit": self.examples},
            "step_limit": self.step_limit,
            "prediction": "voting" if self.voting else None,
        }
        return {"arc": domain, "seeds": self.seeds, "seed": self.seed}


def command(at_bench: AtBench) -> Callable[..., None]:
    """The command. at_bench: what it is handed to work with."""

    @grouped
    def solvable(
        trying: Trying, loading: options.Loading, keeping: options.Keeping, going: options.Going
    ) -> None:
        """List the tasks that the model solves after test-time training.

        It is trained with the fixed best configuration. The paper kept only such tasks. Killed and
        started again, it goes on where it was.
        """
        run(at_bench, trying, loading, keeping, going)

    return solvable


def run(
    at_bench: AtBench,
    trying: Trying,
    loading: options.Loading,
    keeping: options.Keeping,
    going: options.Going,
) -> None:
    from selfedit.domains.arc.conditions import ArcEvaluation
    from selfedit.domains.arc.domain import Arc
    from selfedit.domains.arc.solvable import solvable as tried

    if trying.ids_file is not None:
        check_writable(trying.ids_file)
    elif trying.only_learned:
        raise InputError("--only-learned is about the file of --out: name one.")
    settings = ArcEvaluation(
        conditions=("in-context", "oracle"), inner=inner_with(trying.preset, given_by(trying))
    )
    model = loading.loader_with(Arc.skills())(loading.model)
    chosen = trying.choose(model, settings.inner)
    with RichProgress(err) as progress:
        result: Solvable = at_bench(
            "arc-solvable",
            tried,
            Arc.of(settings.inner),
            chosen.tasks,
            model,
            settings,
            keeping.store(),
            confirm=lambda plan: announce_work(plan, Arc.noun, going.yes, progress),
            progress=progress,
            on_trials=_say,
        )
    if trying.ids_file is not None:
        write_whole(trying.ids_file, result.ids_file(trying.only_learned))
        status(f"wrote {trying.ids_file}")
    if going.as_json:
        print_json({**result.summary(), "notes": chosen.notes})
    else:
        _show(result)


def _say(trials: Sequence[Trial]) -> None:
    for trial in trials:
        said = "solved" if trial.reward == 1.0 else trial.reason or "not solved"
        status(f"{trial.task_id}: {said}, {trial.seconds:.0f} s")


def _show(result: Solvable) -> None:
    table = Table()
    for heading in ("task", "in context", "oracle", "seconds", "reason"):
        table.add_column(heading, overflow="fold")
    for one in result.tried:
        table.add_row(
            *(Text("solved" if right else "—") if i else Text(one.id)
              for i, right in enumerate((True, one.in_context, one.solved))),
            Text(f"{one.seconds:.0f}"),
            Text(one.reason),
        )  # fmt: skip
    out.print(table)
    out.print(Text(f"{len(result.ids)} of {len(result.tried)} tasks solved by {result.how}"))
