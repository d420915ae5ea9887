"""`selfedit eval many`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast

import typer

from selfedit.console import options
from selfedit.console.common import err, out, parts, print_json, status
from selfedit.console.groups import grouped
from selfedit.console.plan import announce_work
from selfedit.console.progress import RichProgress
from selfedit.console.settings import checked, given_only
from selfedit.domains.knowledge.options import Statements
from selfedit.domains.knowledge.settings import ROUTER_KINDS
from selfedit.errors import InputError
from selfedit.show.files import check_figure

_WAYS = "in-context,retrieval,own,routed,cpt"


@grouped
def many(
    data: options.Data,
    loading: options.Loading,
    keeping: options.Keeping,
    training: options.Training,
    adapting: options.Adapting,
    statements: Statements,
    grading: options.Grading,
    going: options.Going,
    contexts: Annotated[
        str, typer.Option("--contexts", help="Numbers of passages in memory, with commas.")
    ] = "25,100,200",
    asked: Annotated[
        int | None,
        typer.Option(
            "--asked",
            min=1,
            help="Passages whose questions are asked (default: all). The others are in the library, "
            "and their adapters are trained when a question meets them.",
        ),
    ] = None,
    ways: Annotated[
        str,
        typer.Option(
            "--ways",
            help="Ways to answer, with commas: base, in-context, retrieval, own, routed, summed, "
            "single and cpt.",
        ),
    ] = _WAYS,
    router: Annotated[
        str, typer.Option("--router", help="What finds passages for all ways: bm25 or blended.")
    ] = "bm25",
    strategy: options.Strategy = None,
    topic: Annotated[
        bool, typer.Option("--topic/--no-topic", help="Put the title before each question.")
    ] = True,
    seed: options.Seed = None,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", help="Plot accuracy over passages to this .svg, .png or .pdf file."),
    ] = None,
) -> None:
    """Answer questions about many passages that are in memory at once.

    The paper's continued pretraining (table 2) beside a routed memory, the passages in the prompt, and
    retrieval by the same router, with what a question costs each. Killed and started again, it goes on
    where it was; adapters of `selfedit eval continual` in the same library are used again.

    \b
    selfedit eval many --data squad.json --contexts 25,100,200 --json
    selfedit eval many --data squad.json --contexts 200 --asked 20 --ways own,routed,summed
    """
    from selfedit import experiments
    from selfedit.data import take
    from selfedit.domains.knowledge.domain import Knowledge
    from selfedit.domains.knowledge.settings import LearnSettings
    from selfedit.memory.many import WAYS, ManySettings, Way

    if plot is not None:
        check_figure(plot)
    counts = _numbers(contexts)
    named = tuple(cast(Way, name) for name in _some_of("--ways", ways, WAYS))
    (finder,) = _some_of("--router", router, ROUTER_KINDS)
    given = {
        **training.given(),
        **adapting.given(),
        "candidates": 1,
        "seed": seed,
        "knowledge": {**statements.given()["knowledge"], "strategy": strategy, "topic": topic},
        "router": finder,
    }
    inner = checked(LearnSettings, given_only(given))
    store = keeping.store()
    domain, model = Knowledge(inner.knowledge, grading.chosen(store)), loading.load()
    tasks = [task for task in domain.tasks(data) if domain.is_gradable(task)]
    chosen = take(tasks, max(counts), inner.seed)
    how = ManySettings(counts, named, asked)
    with RichProgress(err) as progress:
        found = experiments.many(
            domain,
            chosen,
            model,
            inner,
            how,
            store,
            keeping.folder / "continual",
            confirm=lambda plan: announce_work(plan, domain.noun, going.yes, progress),
            progress=progress,
            status=status,
        )
    if plot is not None:
        from selfedit.domains.knowledge.many_report import AXES, curves
        from selfedit.show.plots import interval_figure, save_figure

        figure = interval_figure(curves(found.summary()), *AXES)
        assert figure is not None, "there is at least one way"
        save_figure(figure, plot)
        status(f"wrote {plot}")
    if going.as_json:
        print_json(found.summary())
        return
    from selfedit.report.run_report import run_report
    from selfedit.show.page_terminal import print_page

    print_page(run_report(store, store.run(found.run)).page, out)


def _numbers(text: str) -> tuple[int, ...]:
    named = parts(text)
    if not named or not all(name.isascii() and name.isdecimal() and int(name) > 0 for name in named):
        raise InputError(f"--contexts {text}: give numbers of passages, such as 25,100,200.")
    return tuple(map(int, named))


def _some_of(option: str, text: str, known: tuple[str, ...]) -> tuple[str, ...]:
    named = parts(text)
    unknown = [name for name in named if name not in known]
    if unknown or not named:
        said = unknown[0] if unknown else "nothing"
        raise InputError(f"{option} {said}: use some of {', '.join(known)}.")
    return tuple(named)
