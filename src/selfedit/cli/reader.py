"""`selfedit train reader`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from selfedit.cli.rounds import plan_text
from selfedit.console import options
from selfedit.console.common import err, out, print_json, status
from selfedit.console.groups import grouped
from selfedit.console.plan import announce
from selfedit.console.progress import RichProgress
from selfedit.domains.knowledge.reader import ReaderLoop

if TYPE_CHECKING:
    from selfedit.experiments import TrainedReader
    from selfedit.loops.plan import OuterPlan
    from selfedit.loops.rounds import RoundRecord


@grouped
def reader(
    own: ReaderLoop, loading: options.Loading, keeping: options.Keeping, going: options.Going
) -> None:
    """See `ReaderLoop`, whose words are the help."""
    from selfedit import experiments
    from selfedit.grading import offline
    from selfedit.loops.tracking import Trackers

    settings = own.settings()
    trackers = Trackers(own.tracker or (), keeping.folder / "tracking", settings)
    domain = own.domain_class().of(settings.inner, offline)
    load = loading.loader_with(domain.skills())
    store, model = keeping.store(), load(loading.model)
    tasks = domain.tasks(own.data)[: own.limit]

    def tell(record: RoundRecord) -> None:
        status(reader_line(record))
        numbers = {k: v for k, v in asdict(record).items() if isinstance(v, int | float)}
        trackers.log({**numbers, **record.metrics}, step=record.number)

    with RichProgress(err) as progress:

        def agreed(plan: OuterPlan) -> bool:
            announce(plan_text(plan, domain.noun), plan.seconds, going.yes, progress)
            return True

        done = experiments.train_reader(
            domain,
            tasks,
            model,
            settings,
            store,
            load=load,
            folder=keeping.folder / "policies",
            max_damage=own.max_damage,
            probe_questions=own.probe_questions,
            confirm=agreed,
            progress=progress,
            on_round=tell,
            notes=domain.left_out,
        )
    trackers.close()
    if going.as_json:
        print_json(done.summary())
    else:
        show(done)


def reader_line(record: RoundRecord) -> str:
    """A round in a line."""
    from selfedit.show.wording import percent

    found = record.metrics
    if not record.changed:
        return f"round {record.number}: {record.note}"
    held = ""
    if "read_before" in found:
        held = (
            f"; held-out contexts: {percent(found['read_before'])} of "
            f"{found['held_out_questions']:.0f} questions without it, "
            f"{percent(found['read_after'])} with it"
        )
    losses = f"{record.losses[0]:.2f} -> {record.losses[-1]:.2f}"
    return (
        f"round {record.number}: {found['documents']:.0f} documents, {found['questions']:.0f} "
        f"questions, loss {losses}{held}"
    )


def show(done: TrainedReader) -> None:
    from selfedit.show.damage import print_probe

    for record in done.trained.rounds:
        out.print(reader_line(record), soft_wrap=True, markup=False, highlight=False)
    if done.probe is not None:
        print_probe(done.probe, out)
    policy = done.trained.policy
    if done.refused:
        out.print(f"Do not use {policy}: {done.refused}", soft_wrap=True, markup=False)
    else:
        out.print(f"Use it: selfedit learn FILE --model {policy}", soft_wrap=True, markup=False)
