"""Documents -> a committed adapter: candidates are tried, the best are kept, one adapter is trained.

Every finished step is in the store before the next begins; a killed run, started again, finds its
texts and trials there and ends with the same result.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from selfedit.config import InnerSettings
from selfedit.domains.knowledge import Document, Knowledge, left_out_note
from selfedit.domains.knowledge.settings import LearnSettings
from selfedit.errors import InputError, SelfEditError, StoreError
from selfedit.grading import Grader, identity, offline
from selfedit.learning.contest import compete, num_trainings
from selfedit.learning.damage import probed
from selfedit.learning.draft import Draft, Place, commit, final_plan, replay
from selfedit.learning.material import (
    Material,
    Passages,
    added_documents,
    gather,
    learned_documents,
    older_documents,
    with_older_passages,
)
from selfedit.learning.measuring import graded, measure
from selfedit.learning.outcome import Outcome, judged, learn_result
from selfedit.learning.quiz_writer import Quiz
from selfedit.learning.routed_draft import RoutedDrafts
from selfedit.learning.shelf import Shelf
from selfedit.learning.standing import Standing, settled
from selfedit.learning.workbench import Workbench
from selfedit.loops.estimate import Confirm, Estimate, estimate
from selfedit.loops.groups import kept_plan, trials_of
from selfedit.loops.inner import Keep
from selfedit.loops.policies import Policies, ref_of
from selfedit.loops.pulse import Watched
from selfedit.loops.runs import recorded_run
from selfedit.loops.sampler import Writer
from selfedit.memory.answering import Adapted
from selfedit.progress import Progress, by_steps
from selfedit.runners.local import LocalRunner
from selfedit.seams import Adapters, Model
from selfedit.store import AdapterRecord, Store
from selfedit.types import (
    GradedAnswer,
    Group,
    LearnResult,
    Proposal,
    Query,
    Score,
    Task,
    TrainingPlan,
)

# Below this many trainings there is nothing worth asking about.
_SMALL_JOB = 64

# Writes the report of a result to a path (`show.html.write_report`).
Report = Callable[[LearnResult, Path], object]


class Learner:
    """One run of `learn` on one library.

    folder: the library's. grader: of all answers. report: writes what was learned to a file of the
    library; None: no report. status: told what a user should know meanwhile.
    """

    def __init__(
        self,
        model: Model,
        store: Store,
        folder: Path,
        settings: LearnSettings,
        *,
        grader: Grader = offline,
        progress: Progress | None = None,
        report: Report | None = None,
        status: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.store, self.folder, self.shelf = store, folder, Shelf(folder)
        self.bare, self.standing = model, Standing(model, store, self.shelf, status)
        parent = store.current(model.revision)
        self.settings = settings = settled(settings, parent)
        self.stacks = str(settings.memory).startswith("stack")
        # What self-edits are trained on: in a stack, the model with all that was learned merged in.
        self.model = self.standing.stacked(parent) if self.stacks else model
        self.progress = Watched(progress)
        self.progress.workers = lambda: self.model.num_workers
        self.report = report
        self.domain = Knowledge(settings.knowledge, grader)
        self.writer = Writer(self.model, store, self.progress)
        self.workbench = Workbench(folder, self.model)
        self.run_id = 0

    def run(
        self,
        documents: Sequence[Document],
        questions: Sequence[Query] | Quiz = (),
        confirm: Confirm | None = None,
        quiz: str | None = None,
        notes: Sequence[str] = (),
        origin: str = "",
    ) -> LearnResult:
        """Learn the documents. Raises SelfEditError; what was finished stays in the store.

        questions: about the documents, or a quiz that was made of them; none: one is made. quiz: where
        they are from. notes: what a reader of the result must know of documents and quiz. origin: what
        asked for it.
        """
        if not documents:
            raise InputError("no document was named")
        passages = Passages.of(documents, self.settings.knowledge.passage_words)
        left_out = left_out_note(passages.documents)
        notes = (*notes, *passages.copies(documents), *([left_out] if left_out else ()))
        for note in notes:
            self.progress.warn(note)
        if confirm is not None:
            self._confirm(passages.tasks, confirm)
        inputs = {
            "files": [document.source for document in documents],
            "quiz": quiz,
            "grader": identity(self.domain.grader),
            **({"origin": origin} if origin else {}),
        }
        with recorded_run(self.store, "learn", self.bare, self.settings, inputs, self.progress) as run:
            self.run_id = run.id
            result = self._learn(passages, questions, notes)
            run.result = result.summary()
        return result

    def _confirm(self, tasks: Sequence[Task], confirm: Confirm) -> None:
        trainings = len(tasks) * self.settings.candidates * self.settings.seeds
        if trainings > _SMALL_JOB and not confirm(self._estimate(tasks)):
            raise InputError("stopped before anything was learned")

    def _estimate(self, tasks: Sequence[Task]) -> Estimate:
        # And the final adapter of all passages, unless each keeps its own.
        each = num_trainings(self.settings) + (self.settings.memory != "routed")
        return estimate(self.model, self.domain, tasks, self.settings, each=each)

    def _learn(
        self, passages: Passages, questions: Sequence[Query] | Quiz, notes: Sequence[str]
    ) -> LearnResult:
        start = time.perf_counter()
        material = gather(passages, questions, self.writer, self.domain, self.settings)
        baseline = self._ask_bare(material.selection)
        groups = self._compete(material, baseline)
        parent = self.store.current(self.bare.revision)
        draft = self._final(material, groups, parent)
        outcome = self._measure(material, draft, parent)
        losses = draft.losses if draft is not None else ()
        trials = trials_of(self.store, groups)
        result = learn_result(self.model.name, self.settings, material, groups, trials, outcome, losses)
        result = self._commit(replace(result, notes=(*notes, *result.notes)), draft)
        return self._reported(replace(result, seconds=time.perf_counter() - start))

    # -- candidates ------------------------------------------------------------------------------

    def _ask_bare(self, queries: Sequence[Query]) -> tuple[GradedAnswer, ...]:
        """Closed-book answers of the bare model, asked once for each question."""
        answers = self.writer.answer(
            [self.domain.question(q) for q in queries], "asking the model as it is"
        )
        return graded(self.domain, queries, answers)

    def _compete(self, material: Material, baseline: Sequence[GradedAnswer]) -> list[Group]:
        """Self-edits of each passage, and the best of them, if it beats the bare model."""
        older = older_documents(self.store.current(self.bare.revision), material.documents)
        keep: Keep = self.workbench.keep
        if self.settings.memory == "routed":
            keep = self.workbench.keep_best if self.settings.seeds == 1 else keep
        elif len(material.tasks) != 1 or (older and not self.stacks):
            # With other passages in the final adapter, none of one passage's adapters can be it.
            keep = lambda trials, bank: None  # noqa: E731

        def run(
            proposals: Sequence[Proposal], settings: InnerSettings, progress: Progress, *, full: bool
        ) -> list[Group]:
            own = keep if full else lambda trials, bank: None
            runner = LocalRunner(Policies(self.model), self.store, self.run_id, keep=own)
            return list(runner.run(ref_of(self.model), self.domain, proposals, settings, progress))

        return compete(self._propose(material, baseline), self.settings, run, self.progress)

    def _propose(self, material: Material, baseline: Sequence[GradedAnswer]) -> list[Proposal]:
        """Self-edits of each passage, and what the bare model knows of it (None: no question)."""
        before = dict(zip(material.selection, baseline, strict=True))
        edits = self.writer.propose(self.domain, material.tasks, self.settings)
        proposals = []
        for task, own in zip(material.tasks, edits, strict=True):
            known = tuple(before[query] for query in task.queries)
            proposals.append(Proposal(task, Score(known).value if known else None, tuple(own)))
        return proposals

    # -- the final adapter -----------------------------------------------------------------------

    def _final(
        self, material: Material, groups: Sequence[Group], parent: AdapterRecord | None
    ) -> Draft | None:
        """One adapter of everything kept, new and replayed, or those of the passages; None if no
        self-edit was kept."""
        plans = {group.task.id: kept_plan(self.domain, group) for group in groups}
        if self.settings.memory == "routed":
            routed = RoutedDrafts(
                self.standing, self.workbench, self.store, self.settings, self.progress
            )
            return routed.draft(material, groups, plans, parent)
        new = learned_documents(material, plans)
        if not any(document.sequences for document in new):
            return None
        older = tuple(older_documents(parent, new))
        known = parent.documents if parent is not None else ()
        added = added_documents(older, with_older_passages(new, known))
        if self.stacks:
            replayed = replay(older, self.settings) if self.settings.memory == "stack-anchored" else []
            plan = final_plan((*replayed, *added), self.settings.knowledge)
        else:
            plan = final_plan((*older, *added), self.settings.knowledge)
        over = self.model if self.stacks else None
        if (trained := self._trained(plan, plans, groups)) is not None:
            return Draft(older, added, parent, Adapted(trained[0], other=over), *trained)
        self.progress.start("training the final adapter", 100)
        adapters, (record,) = self.model.train(
            [plan],
            self.settings.lora,
            self.settings.train,
            [self.settings.seed],
            on_step=by_steps(self.progress, 100),
        )
        if record.failure:
            raise SelfEditError(
                f"the final adapter could not be trained: {record.failure}. Try a lower "
                "--learning-rate. All finished trials are kept."
            )
        answering = Adapted(adapters, other=over)
        return Draft(older, added, parent, answering, adapters, tuple(record.losses))

    def _trained(
        self, plan: TrainingPlan, plans: Mapping[str, TrainingPlan | None], groups: Sequence[Group]
    ) -> tuple[Adapters, tuple[float, ...]] | None:
        """The adapter of a candidate that was trained on just this, with the same seed, and its losses.

        None where there is none, as where documents have several passages.
        """
        kept = [group for group in groups if group.kept]
        if len(kept) != 1 or plans[kept[0].task.id] != plan:
            return None
        key = kept[0].candidates[kept[0].kept[0]].trials[0]
        adapters = self.workbench.find(key)
        return None if adapters is None else (adapters, self.store.trials([key])[key].losses)

    def _measure(
        self, material: Material, draft: Draft | None, parent: AdapterRecord | None
    ) -> Outcome:
        """New and older questions, asked of the version before and of the new adapter."""
        standing = self.standing.of(parent)
        return measure(material, draft, parent, standing, self.writer, self.domain)

    # -- the result ------------------------------------------------------------------------------

    def _commit(self, result: LearnResult, draft: Draft | None) -> LearnResult:
        if draft is None:
            self.workbench.clear()
            return replace(result, reason="no self-edit beat the model as it was")
        result = probed(result, draft, self.bare, self.settings, self.progress)
        verdict = judged(result, self.settings.max_forgetting, self.settings.max_damage)
        place = Place(self.store, self.shelf, self.run_id, self.model, self.bare)
        result = commit(draft, result, verdict, place)
        self.workbench.clear()
        return result

    def _reported(self, result: LearnResult) -> LearnResult:
        if self.report is None:
            return result
        path = self.shelf.report(self.run_id)
        result = replace(result, report_path=str(path))
        try:
            self.report(result, path)
        except StoreError as error:
            # What was learned is committed; a report that cannot be written must not hide that.
            note = f"The report could not be written: {error}"
            return replace(result, report_path=None, notes=(*result.notes, note))
        return result
