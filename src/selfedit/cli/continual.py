"""`selfedit eval continual`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from selfedit.console import options
from selfedit.console.common import err, out, parts, print_json, status
from selfedit.console.groups import grouped
from selfedit.console.plan import announce_work
from selfedit.console.progress import RichProgress
from selfedit.console.settings import checked, given_only
from selfedit.domains.knowledge.options import Statements
from selfedit.domains.knowledge.settings import MEMORY_KINDS, MemoryKind
from selfedit.errors import InputError
from selfedit.show.files import check_figure


@grouped
def continual(
    data: options.Data,
    loading: options.Loading,
    keeping: options.Keeping,
    training: options.Training,
    adapting: options.Adapting,
    statements: Statements,
    grading: options.Grading,
    going: options.Going,
    contexts: Annotated[
        int, typer.Option("--contexts", min=1, help="Documents that are learned one after the other.")
    ] = 8,
    sequences: Annotated[
        int, typer.Option("--sequences", min=1, help="Sequences, each of its own documents.")
    ] = 8,
    memory: Annotated[
        str,
        typer.Option("--memory", help="Kinds of memory to compare, with commas (docs/memory.md)."),
    ] = ",".join(MEMORY_KINDS),
    probe_every: Annotated[
        int,
        typer.Option(
            "--probe-every",
            min=0,
            help="Documents between two probes of general knowledge and drift; 0: none.",
        ),
    ] = 8,
    probe_questions: Annotated[
        int, typer.Option("--probe-questions", min=1, help="General questions of a probe, at most.")
    ] = 100,
    strategy: options.Strategy = None,
    topic: Annotated[
        bool, typer.Option("--topic/--no-topic", help="Put the title before each question.")
    ] = True,
    seed: options.Seed = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Write the heat maps to this .svg, .png or .pdf file.")
    ] = None,
) -> None:
    """Learn documents one after the other, and ask about all of them after each one.

    Section 5 and figure 6 of the paper, for every kind of memory: accuracy right after a document's own
    edit, at the end, and of the untouched model; what was broken, seconds for each document, and what a
    question costs. Killed and started again, it goes on where it was.

    \b
    selfedit import continual continual_matrix.json      the original's, shown beside it
    selfedit eval continual --data squad.json --sequences 8 --memory stack,routed --json
    """
    from selfedit import experiments
    from selfedit.data import take
    from selfedit.domains.knowledge.domain import Knowledge
    from selfedit.domains.knowledge.settings import LearnSettings
    from selfedit.memory.continual import ContinualSettings

    if plot is not None:
        check_figure(plot)
    kinds = _kinds(memory)
    given = {
        **training.given(),
        **adapting.given(),
        "candidates": 1,
        "seed": seed,
        "knowledge": {**statements.given()["knowledge"], "strategy": strategy, "topic": topic},
    }
    inner = checked(LearnSettings, given_only(given))
    store = keeping.store()
    domain, model = Knowledge(inner.knowledge, grading.chosen(store)), loading.load()
    tasks = [task for task in domain.tasks(data) if domain.is_gradable(task)]
    chosen = take(tasks, contexts * sequences, inner.seed)
    how = ContinualSettings(contexts, kinds, probe_every, probe_questions)
    with RichProgress(err) as progress:
        found = experiments.continual(
            domain,
            chosen,
            model,
            inner,
            how,
            store,
            keeping.folder / "continual",
            confirm=lambda plan: announce_work(plan, domain.noun, going.yes, progress),
            progress=progress,
        )
    if plot is not None:
        from selfedit.domains.knowledge.continual_report import matrices
        from selfedit.show.heat_map import heat_map_figure
        from selfedit.show.plots import save_figure

        figure = heat_map_figure(matrices(found.summary()))
        assert figure is not None, "there is at least one kind"
        save_figure(figure, plot)
        status(f"wrote {plot}")
    if going.as_json:
        print_json(found.summary())
        return
    from selfedit.report.run_report import run_report
    from selfedit.show.page_terminal import print_page

    print_page(run_report(store, store.run(found.run)).page, out)


def _kinds(named: str) -> tuple[MemoryKind, ...]:
    wanted = parts(named)
    unknown = [name for name in wanted if name not in MEMORY_KINDS]
    if unknown or not wanted:
        said = unknown[0] if unknown else "nothing"
        raise InputError(f"--memory {said}: use some of {', '.join(MEMORY_KINDS)}.")
    return tuple(kind for kind in MEMORY_KINDS if kind in wanted)
