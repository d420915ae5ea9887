"""Documents -> a committed adapter: candidates are tried, the best are kept, one adapter is trained.

Every finished step is in the store before the next begins; a killed run, started again, finds its
texts and trials there and ends with the same result.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from selfedit.config import ANSWER_SAMPLING, LearnSettings
from selfedit.domains.knowledge import Document, Knowledge, assign_queries, split_quiz
from selfedit.errors import InputError, SelfEditError, StoreError
from selfedit.learning.material import (
    Material,
    document_records,
    older_documents,
    query_of,
    read_material,
    with_topics,
)
from selfedit.learning.outcome import Outcome, judged, learn_result, version_record
from selfedit.learning.quiz_writer import write_quiz
from selfedit.loops.candidates import Choice, choose, with_plan
from selfedit.loops.estimate import Confirm, estimate
from selfedit.loops.inner import run_trials
from selfedit.loops.runs import recorded_run
from selfedit.loops.sampler import Writer
from selfedit.model import Adapters, Model
from selfedit.progress import Progress, Silent, by_steps
from selfedit.show.html import write_report
from selfedit.store import AdapterRecord, Store
from selfedit.types import (
    GradedAnswer,
    LearnResult,
    Prompt,
    Query,
    Score,
    SelfEdit,
    Task,
    TrainingPlan,
    TrainingSequence,
    Trial,
)

# Below this many trainings there is nothing worth asking about.
_SMALL_JOB = 64


class Learner:
    """One run of `learn` on one library."""

    def __init__(
        self,
        model: Model,
        store: Store,
        folder: Path,
        settings: LearnSettings,
        progress: Progress | None = None,
    ) -> None:
        self.model, self.store, self.folder, self.settings = model, store, folder, settings
        self.progress = progress or Silent()
        self.domain = Knowledge(settings.knowledge)
        self.writer = Writer(model, store, self.progress)
        self.run_id = 0

    def run(
        self, files: Sequence[Path], quiz: Path | None, confirm: Confirm | None = None
    ) -> LearnResult:
        """Learn the files. Raises SelfEditError; what was finished stays in the store."""
        if not files:
            raise InputError("no document was named")
        inputs = {"files": [str(path) for path in files], "quiz": str(quiz) if quiz else None}
        documents, passages, questions = read_material(files, quiz, self.settings)
        if confirm is not None:
            self._confirm([task for own in passages for task in own], confirm)
        with recorded_run(self.store, "learn", self.model, self.settings, inputs) as run:
            self.run_id = run.id
            result = self._learn(documents, passages, questions)
            run.result = result.summary()
        return result

    def _confirm(self, tasks: Sequence[Task], confirm: Confirm) -> None:
        trainings = len(tasks) * self.settings.candidates * self.settings.seeds
        if trainings > _SMALL_JOB and not confirm(estimate(self.model, tasks, self.settings)):
            raise InputError("stopped before anything was learned")

    def _learn(
        self,
        documents: tuple[Document, ...],
        passages: tuple[tuple[Task, ...], ...],
        questions: tuple[Query, ...],
    ) -> LearnResult:
        start = time.perf_counter()
        material = self._material(documents, passages, questions)
        baseline = self._ask_base(material.selection)
        tasks = assign_queries(material.tasks, material.selection)
        choices = self._choose(tasks, dict(zip(material.selection, baseline, strict=True)))
        parent = self.store.current(self.model.revision)
        plan, records = self._final_plan(material, choices, parent)
        new, losses = self._final(plan) if plan is not None else (None, ())
        outcome = self._measure(material, parent, records, new)
        result = learn_result(self.model.name, self.settings, material, choices, outcome, losses)
        if new is not None:
            result = self._commit(result, new, records, parent)
        else:
            result = replace(result, reason="no self-edit beat the model as it was")
        result = replace(result, seconds=time.perf_counter() - start)
        return self._report(result)

    # -- questions -------------------------------------------------------------------------------

    def _material(
        self,
        documents: tuple[Document, ...],
        passages: tuple[tuple[Task, ...], ...],
        questions: tuple[Query, ...],
    ) -> Material:
        notes: list[str] = []
        if not questions:
            tasks = [task for own in passages for task in own]
            questions, note = write_quiz(self.writer, tasks, self.domain, self.settings.seed)
            notes.append(note)
        if self.settings.knowledge.topic:
            questions = with_topics(questions, passages)
        selection, held_out = split_quiz(questions, self.settings.seed, self.settings.split_from)
        if not held_out:
            notes.append(
                f"With {len(selection)} question{'s' * (len(selection) != 1)} (fewer than "
                f"{self.settings.split_from}), candidates are chosen and reported by the same ones."
            )
        return Material(documents, passages, selection, held_out, tuple(notes))

    def _prompts(self, queries: Sequence[Query]) -> list[Prompt]:
        return [self.domain.question(query) for query in queries]

    def _grade(self, queries: Sequence[Query], answers: Sequence[str]) -> Score:
        return self.domain.score(Task("", "", "", tuple(queries)), answers)

    def _ask_base(self, queries: Sequence[Query]) -> tuple[GradedAnswer, ...]:
        """Closed-book answers of the bare model, asked once for each question."""
        answers = self.writer.answer(self._prompts(queries), "asking the model as it is")
        return self._grade(queries, answers).answers

    # -- candidates ------------------------------------------------------------------------------

    def _choose(self, tasks: Sequence[Task], baseline: dict[Query, GradedAnswer]) -> tuple[Choice, ...]:
        edits = self.writer.propose(self.domain, tasks, self.settings)
        pairs = [(task, edit) for task, own in zip(tasks, edits, strict=True) for edit in own]
        trials = run_trials(
            self.model,
            self.domain,
            pairs,
            self.settings,
            known=self.store.trials,
            sink=lambda done: self.store.put_trials(self.run_id, done),
            progress=self.progress,
        )
        trials = [with_plan(self.domain, task, t) for (task, _), t in _by_pair(pairs, trials)]
        per_task, per_edit = self.settings.candidates * self.settings.seeds, self.settings.seeds
        choices = []
        for i, task in enumerate(tasks):
            own = trials[i * per_task : (i + 1) * per_task]
            groups = [tuple(own[j : j + per_edit]) for j in range(0, per_task, per_edit)]
            known = tuple(baseline[query] for query in task.queries)
            choices.append(choose(task, Score(known).value if known else None, groups))
        return tuple(choices)

    # -- the final adapter -----------------------------------------------------------------------

    def _final_plan(
        self, material: Material, choices: Sequence[Choice], parent: AdapterRecord | None
    ) -> tuple[TrainingPlan | None, list[dict[str, Any]]]:
        """Everything kept, new and replayed, and the records of the documents; None if no edit was."""
        records = document_records(material, {choice.task.id: choice.plan for choice in choices})
        if not any(record["sequences"] for record in records):
            return None, records
        records = older_documents(parent, records) + records
        texts = dict.fromkeys(text for record in records for text in record["sequences"])
        return TrainingPlan(tuple(TrainingSequence(text) for text in texts)), records

    def _final(self, plan: TrainingPlan) -> tuple[Adapters, tuple[float, ...]]:
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
        return adapters, tuple(record.losses)

    def _measure(
        self,
        material: Material,
        parent: AdapterRecord | None,
        records: Sequence[dict[str, Any]],
        new: Adapters | None,
    ) -> Outcome:
        """New and older questions, asked of the version before and of the new adapter."""
        new_sources = {str(Path(d.source).resolve()) for d in material.documents}
        older = [
            query_of(entry)
            for record in records
            if record["source"] not in new_sources
            for entry in record["held_out"] or record["selection"]
        ]
        asked = [*material.reported, *older]
        if parent is None:
            before = list(self._ask_base(asked))
        else:
            before = self._ask(self.model.load_adapter(Path(parent.path)), asked, "version before")
        after = self._ask(new, asked, "new adapter") if new is not None else before
        count = len(material.reported)
        return Outcome(before[:count], after[:count], before[count:], after[count:])

    def _ask(self, adapters: Adapters, queries: Sequence[Query], whom: str) -> list[GradedAnswer]:
        self.progress.start(f"asking the {whom}", len(queries))
        answers = self.model.generate(
            self._prompts(queries),
            ANSWER_SAMPLING,
            [0] * len(queries),
            adapters=adapters,
            owners=[0] * len(queries),
            on_done=self.progress.advance,
        )
        return list(self._grade(queries, answers).answers)

    # -- the result ------------------------------------------------------------------------------

    def _commit(
        self,
        result: LearnResult,
        new: Adapters,
        records: list[dict[str, Any]],
        parent: AdapterRecord | None,
    ) -> LearnResult:
        """Save the adapter and, if it is better, make it the current version, in one transaction."""
        verdict = judged(result, self.settings.max_forgetting)
        version = self.store.reserve_version()
        folder = self.folder / "adapters" / f"v{version:04d}"
        self.model.save_adapter(new, 0, folder)
        record = version_record(
            result, verdict, version, folder, self.model, records, parent, self.run_id
        )
        self.store.add_adapter(record, make_current=verdict.committed)
        return replace(
            result,
            version=version,
            committed=verdict.committed,
            reason=verdict.reason,
            adapter_path=str(folder),
        )

    def _report(self, result: LearnResult) -> LearnResult:
        path = self.folder / "reports" / f"run-{self.run_id:04d}.html"
        result = replace(result, report_path=str(path))
        try:
            write_report(result, path)
        except StoreError as error:
            # What was learned is committed; a report that cannot be written must not hide that.
            note = f"The report could not be written: {error}"
            return replace(result, report_path=None, notes=(*result.notes, note))
        return result


def _by_pair(
    pairs: Sequence[tuple[Task, SelfEdit]], trials: Sequence[Trial]
) -> list[tuple[tuple[Task, SelfEdit], Trial]]:
    """Each trial beside its pair (`run_trials` gives every pair's seeds in a row)."""
    seeds = len(trials) // len(pairs) if pairs else 0
    return [(pairs[i // seeds], trial) for i, trial in enumerate(trials)]
