"""The composition root: what the commands are made of, as functions for everybody.

The command line parses, calls these, and prints; a notebook, a server or a cluster calls the same ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from selfedit.algorithms.gradient import First
from selfedit.algorithms.named import named
from selfedit.algorithms.reader import Reader, Untried, held_out
from selfedit.config import EvaluationSettings, JudgeSettings, OuterSettings
from selfedit.corpus.experiment import generate as generate  # noqa: PLC0414
from selfedit.data import drawn, take
from selfedit.domains.base import BaseDomain
from selfedit.domains.conditions import Bench, Condition, Outcome
from selfedit.domains.knowledge import Document, Knowledge
from selfedit.domains.knowledge.evaluation import KnowledgeEvaluation
from selfedit.domains.knowledge.reader import ReaderSettings
from selfedit.domains.knowledge.settings import LearnSettings
from selfedit.domains.rows import Evaluation, Row
from selfedit.errors import InputError
from selfedit.evaluation import evaluate as evaluation
from selfedit.evaluation.bench import StoredBench
from selfedit.evaluation.evaluate import Found
from selfedit.evaluation.lineage import refuse_overlap, trained_on
from selfedit.evaluation.plan import plan_evaluation
from selfedit.grading import Grader, offline
from selfedit.home import library_folder
from selfedit.learning.library import Library
from selfedit.learning.quiz_writer import Quiz
from selfedit.learning.shelf import Shelf
from selfedit.learning.standing import Standing
from selfedit.loops.estimate import Estimate
from selfedit.loops.outer import OuterRun
from selfedit.loops.plan import OuterPlan, plan_outer
from selfedit.loops.policies import Policies
from selfedit.loops.rewards import Reward, make_reward
from selfedit.loops.rounds import RoundRecord
from selfedit.loops.sampler import Writer
from selfedit.loops.trust import earlier
from selfedit.memory.answering import Adapted
from selfedit.memory.continual import ContinualSettings, Experiment
from selfedit.memory.guard import too_damaged
from selfedit.memory.many import ManyPassages, ManySettings
from selfedit.memory.plan import plan_continual, plan_many
from selfedit.memory.probe import probe
from selfedit.progress import Progress, Silent
from selfedit.runners.local import LocalRunner
from selfedit.runners.stored import Runners
from selfedit.seams import Algorithm, Model
from selfedit.show.html import write_report
from selfedit.store import Store
from selfedit.types import LearnResult, ProbeResult, Query, QuestionKind, Task, Trial


def learn(
    library: Library,
    documents: str | Path | Document | Sequence[str | Path | Document],
    quiz: str | Path | Sequence[Query] | Quiz | None = None,
    settings: LearnSettings | None = None,
    *,
    grader: Grader = offline,
    confirm: Callable[[Estimate], bool] | None = None,
    allow_urls: bool = False,
    origin: str = "",
) -> LearnResult:
    """Documents to memory: `Library.learn`, with a report in HTML in the library's folder.

    A version is committed only if it knows more than the one before and forgot little of it. Killed
    and called again, it goes on where it was. documents: files, folders, globs, "-" for standard input,
    or texts (`text_document`). allow_urls: also fetch those that are addresses. quiz: a file,
    questions about the documents, or a `Quiz`; None: the model writes its own. confirm: shown what will
    be trained before long work; False stops. origin: what asked for it, such as a server's job; the run
    keeps it. Raises SelfEditError.
    """
    return library.learn(
        documents,
        quiz,
        settings,
        grader=grader,
        confirm=confirm,
        report=write_report,
        allow_urls=allow_urls,
        origin=origin,
    )


@dataclass(frozen=True, slots=True)
class Evaluated:
    """An evaluation that is done. run: its number in the store. tasks, outcomes: what each condition
    came to, task by task."""

    evaluation: Evaluation
    run: int
    tasks: tuple[Task, ...]
    outcomes: Mapping[str, Outcome]


def evaluate(
    domain: BaseDomain,
    tasks: Sequence[Task],
    model: Model | str,
    settings: EvaluationSettings,
    store: Store,
    *,
    policy: str | None = None,
    load: Callable[[str], Model] | None = None,
    conditions: Mapping[str, Condition] | None = None,
    grader: Grader | None = None,
    trained: Sequence[Task] | None = None,
    sample: int | None = None,
    keep_ungradable: bool = False,
    confirm: Callable[[Estimate], bool] | None = None,
    progress: Progress | None = None,
    on_row: Callable[[Row], None] = lambda row: None,
    notes: Sequence[str] = (),
    runner: Runners = LocalRunner,
) -> Evaluated:
    """Every condition of the settings on the tasks, compared pair by pair (the paper's tables 1 and 2).

    Work that is in the store is not repeated: a killed evaluation goes on where it was.

    model: a model, or its name. policy: name or folder of the trained policy, which is loaded when its
    row comes. load: loads a model by its name; None: as `load_model` does, and a policy as the model
    was that was given. conditions: the domain's own by default. grader: of all answers; None: as the
    domain grades. trained: tasks that the policy was trained on; those that the store knows of need not
    be named. sample: evaluate a seeded sample of so many tasks. keep_ungradable: answer tasks that
    cannot be graded, too, as for a submission. confirm: shown what will be trained, before it is; False
    stops. notes: what a reader of the table must know, too. runner: makes what runs the trials, such as
    `runners.ray.Cluster.runner`.

    Raises InputError for what cannot be evaluated, also where the policy was trained on these tasks,
    and SelfEditError.
    """
    load = load or _loader(domain, model)
    model = load(model) if isinstance(model, str) else model
    kept, left_out = (list(tasks), 0) if keep_ungradable else evaluation.gradable(domain, tasks)
    if sample is not None:
        kept = take(kept, sample, settings.inner.seed)
    bench = StoredBench(
        domain,
        kept,
        model,
        settings,
        store,
        load_policy=None if policy is None else lambda: load(policy),
        conditions=conditions,
        progress=progress,
        runner=runner,
    )
    bench.check()
    checked = _refuse_seen(bench, policy, trained)
    _agree(bench, confirm)
    said = list(notes)
    if policy is not None and not bench.asks_for_policy:
        about = [name for name, own in bench.conditions.items() if own.needs_policy]
        bench.progress.warn(
            f"--policy has no row: no condition of {', '.join(settings.conditions)} is about it; "
            f"add {' or '.join(about)} to --conditions."
        )
    if bench.asks_for_policy and not checked:
        said.append(
            f"whether the policy was trained on these {domain.noun}s was not checked: it is not of "
            "this library (--train-data)"
        )
    found = evaluation.evaluate(bench, grader=grader, on_row=on_row, notes=said, left_out=left_out)
    return Evaluated(found, bench.run_id, tuple(kept), dict(bench.outcomes))


def _refuse_seen(bench: StoredBench, policy: str | None, trained: Sequence[Task] | None) -> bool:
    """Whether it is known what the policy was trained on. Raises InputError if that is evaluated."""
    seen = {name: trained_on(bench.store, name) for name in (bench.model.name, policy) if name}
    for own in (trained, *seen.values()):
        refuse_overlap(bench.domain, own or (), bench.tasks)
    return trained is not None or (policy is not None and seen[policy] is not None)


def _agree(
    bench: StoredBench,
    confirm: Callable[[Estimate], bool] | None,
    plan_of: Callable[[StoredBench], Estimate | None] = plan_evaluation,
) -> None:
    plan = None if confirm is None else plan_of(bench)
    if confirm is not None and plan is not None and not confirm(plan):
        raise InputError("stopped before anything was trained")


def at_bench(
    kind: str,
    work: Callable[[Bench], Found],
    domain: BaseDomain,
    tasks: Sequence[Task],
    model: Model,
    settings: EvaluationSettings,
    store: Store,
    *,
    plan_of: Callable[[StoredBench], Estimate | None] = plan_evaluation,
    confirm: Callable[[Estimate], bool] | None = None,
    progress: Progress | None = None,
    on_trials: Callable[[Sequence[Trial]], None] = lambda trials: None,
) -> Found:
    """Work of a domain's own that needs what an evaluation needs, as a run of its own kind.

    Its conditions are those of the settings; `BaseDomain.own_runs` says how its report looks. plan_of:
    what it will train, by default what the conditions do. confirm: see `evaluate`. on_trials: told of
    trials as they finish. Raises SelfEditError.
    """
    kept, _ = evaluation.gradable(domain, tasks)
    bench = StoredBench(domain, kept, model, settings, store, progress=progress, on_trials=on_trials)
    bench.check()
    _agree(bench, confirm, plan_of)
    return evaluation.record(bench, kind, work)


def continual(
    domain: Knowledge,
    tasks: Sequence[Task],
    model: Model,
    inner: LearnSettings,
    how: ContinualSettings,
    store: Store,
    folder: Path,
    *,
    confirm: Callable[[Estimate], bool] | None = None,
    progress: Progress | None = None,
) -> ContinualRun:
    """Documents learned one after the other, by each kind of memory (section 5 of the paper).

    Work that is in the store is not repeated: a killed experiment goes on where it was. tasks: those of
    all sequences, end to end. folder: of adapters, which a run that goes on needs. A matrix that was
    imported into the store (`selfedit import continual`) stands beside the result. confirm: see
    `evaluate`. Raises SelfEditError.
    """
    settings = KnowledgeEvaluation(conditions=("base",), inner=inner)
    beside = [run.result for run in store.runs(None) if run.kind == "continual" and run.result]
    recorded = next((own for own in beside if "recorded_from" in own), None)

    def work(bench: Bench) -> ContinualRun:
        found = Experiment(bench, store, folder, how).run().summary()
        return ContinualRun({**found, "recorded": recorded}, bench.run_id)

    return at_bench(
        "continual",
        work,
        domain,
        tasks,
        model,
        settings,
        store,
        plan_of=lambda bench: plan_continual(bench, how),
        confirm=confirm,
        progress=progress,
    )


def many(
    domain: Knowledge,
    tasks: Sequence[Task],
    model: Model,
    inner: LearnSettings,
    how: ManySettings,
    store: Store,
    folder: Path,
    *,
    confirm: Callable[[Estimate], bool] | None = None,
    progress: Progress | None = None,
    status: Callable[[str], None] = lambda text: None,
) -> ContinualRun:
    """Questions about many passages that are in memory at once (table 2 of the paper).

    tasks: of the largest library. folder: of adapters, as in `continual`. inner.router: what finds the
    passages. confirm: see `evaluate`. status: told when a model is fetched for that. Raises
    SelfEditError.
    """
    settings = KnowledgeEvaluation(conditions=("base",), inner=inner)
    router = Standing(model, store, Shelf(folder), status).router(inner.router)

    def work(bench: Bench) -> ContinualRun:
        found = ManyPassages(bench, store, folder, how, router).run().summary()
        return ContinualRun(found, bench.run_id)

    return at_bench(
        "many",
        work,
        domain,
        tasks,
        model,
        settings,
        store,
        plan_of=lambda bench: plan_many(bench, how),
        confirm=confirm,
        progress=progress,
    )


@dataclass(frozen=True, slots=True)
class ContinualRun:
    """What `continual` found (`memory.continual_result.Continual.summary`), and what was recorded; or
    what `many` did (`memory.many_result.Many.summary`). run: its number in the store."""

    values: Mapping[str, Any]
    run: int

    def summary(self) -> dict[str, Any]:
        return dict(self.values)


@dataclass(frozen=True, slots=True)
class Trained:
    """A policy's training that is done. policy: name or folder of the model that it ended with.
    tasks: in the order in which rounds sample them. notes: how they were chosen."""

    policy: str
    rounds: tuple[RoundRecord, ...]
    tasks: tuple[Task, ...]
    notes: tuple[str, ...] = ()

    def summary(self) -> dict[str, Any]:
        """A JSON value: what `selfedit train --json` prints."""
        return {
            "policy": self.policy,
            "rounds": [asdict(record) for record in self.rounds],
            "tasks": [task.id for task in self.tasks],
            "notes": list(self.notes),
        }


def train(
    domain: BaseDomain,
    tasks: Sequence[Task],
    model: Model | str,
    settings: OuterSettings,
    store: Store,
    *,
    load: Callable[[str], Model] | None = None,
    folder: Path | str | None = None,
    algorithm: Algorithm | None = None,
    reward: Reward | None = None,
    judge: JudgeSettings | None = None,
    confirm: Callable[[OuterPlan], bool] | None = None,
    progress: Progress | None = None,
    on_round: Callable[[RoundRecord], None] = lambda record: None,
    notes: Sequence[str] = (),
    questions: QuestionKind = "given",
    until: int | None = None,
    runner: Runners = LocalRunner,
) -> Trained:
    """The outer loop: rounds of self-edits by the current policy, which learns from the good ones
    (section 3 of the paper). Each round's policy is a model folder.

    Work that is in the store is not repeated: a killed run, started again, goes on where it was.

    domain: it grades, by the grader that it was made with; settings.grader only names that one. tasks:
    those that have questions which cannot be graded are left out, with a note. load: loads a policy by
    its folder; None: as `load_model` does, and as the model was that was given. folder: of the
    policies; None: `policies` in the user's library. algorithm, reward: None: those that the settings
    name. judge: of the rewards `proxy` and `cascade`. confirm: shown what the rounds that are left will
    take; False stops. on_round: told of each round as it is finished. notes: how the tasks were chosen.
    questions: whose questions reward an edit: the tasks' own, or such as the model writes about them.
    until: the last round of this call; another call goes on. runner: makes what runs the trials, such
    as `runners.ray.Cluster.runner`.

    Raises InputError for tasks that nothing can be learned from, and where another process is at work
    on the same run; SelfEditError.
    """
    progress = progress or Silent()
    load = load or _loader(domain, model)
    model = load(model) if isinstance(model, str) else model
    kept, left_out = _rewardable(domain, tasks)
    for note in left_out:
        progress.warn(note)
    if questions != "given":
        sampled = drawn(kept, settings.seed)[: settings.rounds * settings.contexts]
        writer = Writer(model, store, progress)
        kept, said = domain.own_questions(sampled, questions, writer.answer)
        left_out = (*left_out, *said)
    policies = Policies(model, load)
    run = OuterRun(
        policies,
        domain,
        algorithm or named(settings, First(model.revision, partial(load, model.name))),
        reward or make_reward(settings, store, judge),
        partial(runner, policies, store),
        kept,
        store,
        Path(folder) if folder is not None else library_folder() / "policies",
        settings,
        progress,
        on_round,
        (*notes, *left_out),
        until,
        questions,
    )
    finished = [] if confirm is None else run.finished()
    if confirm is not None and any(run.rounds_left(finished)):
        is_rewarded = reward is None and settings.reward != "proxy"
        trust = earlier(store, model.name, domain.name, settings, questions) if is_rewarded else None
        ahead = settings.model_copy(update={"rounds": run.until})
        plan = replace(plan_outer(model, domain, run.tasks, ahead, len(finished)), trust=trust)
        if not confirm(plan):
            raise InputError("stopped before anything was trained")
    del model  # a round's policy takes its place
    records = run.run()
    return Trained(records[-1].policy, tuple(records), tuple(run.tasks), (*notes, *left_out))


@dataclass(frozen=True, slots=True)
class TrainedReader:
    """A reader that is done. probe: what the model lost by it; None: not measured. refused: why it
    should not be used, or ""."""

    trained: Trained
    probe: ProbeResult | None = None
    refused: str = ""

    def summary(self) -> dict[str, Any]:
        """A JSON value: what `selfedit train reader --json` prints."""
        probe = None if self.probe is None else self.probe.measures()
        return {**self.trained.summary(), "probe": probe, "refused": self.refused}


def train_reader(
    domain: Knowledge,
    tasks: Sequence[Task],
    model: Model | str,
    settings: ReaderSettings,
    store: Store,
    *,
    load: Callable[[str], Model] | None = None,
    folder: Path | str | None = None,
    max_damage: float = 0.2,
    probe_questions: int = 100,
    confirm: Callable[[OuterPlan], bool] | None = None,
    progress: Progress | None = None,
    on_round: Callable[[RoundRecord], None] = lambda record: None,
    notes: Sequence[str] = (),
) -> TrainedReader:
    """A reader (`algorithms.reader`): an outer loop that trains the one who answers. Then the probe.

    max_damage: share of the general answers that it may lose (`memory.guard`). probe_questions: of the
    probe of a reader that is merged, at most; 0: none. The others: see `train`. Raises SelfEditError.
    """
    load = load or _loader(domain, model)
    model = load(model) if isinstance(model, str) else model
    name = model.name
    one_each = settings.inner.model_copy(update={"seeds": 1})  # nothing is compared
    settings = settings.model_copy(update={"inner": one_each})
    kept, _ = _rewardable(domain, tasks)
    sampled = drawn(kept, settings.seed)[: settings.rounds * settings.contexts]
    reader = Reader(
        domain,
        settings.inner,
        settings.policy,
        settings.seed,
        held_out(sampled, settings.held_out),
        merge=settings.merge,
        own_words=settings.own_words,
    )
    done = train(
        domain,
        tasks,
        model,
        settings,
        store,
        load=load,
        folder=folder,
        algorithm=reader,
        reward=Untried(),
        confirm=confirm,
        progress=progress,
        on_round=on_round,
        notes=notes,
    )
    # One that is attached changes nothing where no document is; `learn` probes each document with it.
    if probe_questions == 0 or not settings.merge or done.policy == name:
        return TrainedReader(done)
    found = probe(model, Adapted(other=load(done.policy)), progress=progress, sample=probe_questions)
    return TrainedReader(done, found, too_damaged(found, max_damage))


def _loader(domain: BaseDomain, model: Model | str) -> Callable[[str], Model]:
    """Loads policies as the model was that was given: there, in its precision, with its prompts."""
    from selfedit.model.language_model import LanguageModel

    alike: dict[str, Any] = model.loaded_as if isinstance(model, LanguageModel) else {}

    def load(name: str) -> Model:
        from selfedit.model.fake import load_fake
        from selfedit.model.load import load_model

        return load_fake(name, domain.skills()) or load_model(name, **alike)

    return load


def _rewardable(domain: BaseDomain, tasks: Sequence[Task]) -> tuple[list[Task], tuple[str, ...]]:
    """A task without any question takes part, and chooses nothing. Raises InputError if no task is
    left."""
    kept = [task for task in tasks if not task.queries or domain.is_gradable(task)]
    if tasks and not kept:
        raise InputError(f"no {domain.noun} has {domain.gold}, so that no self-edit can be rewarded")
    left_out = len(tasks) - len(kept)
    note = f"{left_out} {domain.noun}s without {domain.gold} were left out"
    return kept, (note,) if left_out else ()
