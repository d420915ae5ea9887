"""The reader: not the one who writes self-edits is trained, but the one who answers from them.

One adapter, shared by all documents, learns to answer questions while the adapter of the question's
document is attached and frozen: how to get out what such adapters hold, not what they hold, so that it
helps with documents that it has never seen. After the knowledge extractor of Caccia et al., "Training
Plug-n-Play Knowledge Modules with Deep Context Distillation", arXiv 2503.08727.

A round: each context's self-edits are trained into adapters as in the inner loop; the reader learns
from the contexts' questions with the gold answers (loss on the answer alone), or with the model's own
right answers, given the context, which say more; and it is held to the bare model where no document is
attached. Then it lies beside the policy's weights, and is attached wherever a document is: what is
written, and what is asked where nothing was learned, stays the bare model's. Or it is merged into the
weights, so that the next round's adapters grow on a model that reads. Some contexts are held out, in
every round that samples them: what their adapters answer with and without the round's reader is
measured, and never trained on.

Left out: reinforcement of the reader (it imitates answers); other tasks than questions.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from selfedit.algorithms.policy import need_space, write_policy, write_whole
from selfedit.config import ANSWER_SAMPLING, InnerSettings, PolicySettings, stable_hash
from selfedit.domains.base import BaseDomain
from selfedit.errors import AdapterError, InvalidSelfEdit, ModelError, SelfEditError
from selfedit.loops.inner import train
from selfedit.loops.jobs import asked_trials, plan_jobs
from selfedit.loops.waves import WaveBudget, plan_waves
from selfedit.progress import Progress, Tracked, by_steps
from selfedit.seams import (
    Adapters,
    Domain,
    GoldReplies,
    Model,
    PolicyRef,
    TrainsReaders,
    TrialRunner,
    Update,
)
from selfedit.types import Candidate, Group, Proposal, SelfEdit, Task, TrainingSequence

Pair = tuple[Task, SelfEdit]


@dataclass(frozen=True, slots=True)
class Held:
    """A self-edit with the adapter that was trained on it, alone in its bank."""

    task: Task
    edit: SelfEdit
    adapter: Adapters


class Untried:
    """The reward of edits that are not compared: none. Implements `loops.rewards.Reward`, and the
    `TrialRunner` that it gives."""

    def over(self, runner: TrialRunner) -> TrialRunner:
        return self

    def digest(self) -> str:
        return "untried"

    def run(
        self,
        policy: PolicyRef,
        domain: Domain,
        proposals: Sequence[Proposal],
        settings: InnerSettings,
        progress: Progress,
    ) -> Iterator[Group]:
        for own in proposals:
            yield Group(own.task, own.baseline, tuple(_untried(domain, own.task, e) for e in own.edits))


def _untried(domain: Domain, task: Task, edit: SelfEdit) -> Candidate:
    try:
        domain.parse(task, edit)
    except InvalidSelfEdit as error:
        return Candidate(edit, (None,), "invalid", str(error))
    said = "trained for the reader, and not tested by itself"
    return Candidate(edit, (None,), "unscored", said)


def held_out(tasks: Sequence[Task], share: float) -> frozenset[str]:
    """Ids of that share of the tasks, evenly spread, so that each round has about its share."""
    counted = [math.floor(n * share) for n in range(len(tasks) + 1)]
    return frozenset(task.id for n, task in enumerate(tasks) if counted[n + 1] > counted[n])


class Reader:
    """Implements `seams.Algorithm`. inner: how the documents' adapters are trained, one seed each;
    settings: the reader; measuring: ids of the contexts that only measure; merge: whether it becomes
    part of the weights, instead of being attached where a document is; own_words: whether the lessons
    are the model's own right answers with the context at hand, instead of the gold ones."""

    def __init__(
        self,
        domain: BaseDomain,
        inner: InnerSettings,
        settings: PolicySettings,
        seed: int,
        measuring: Collection[str] = (),
        merge: bool = False,
        own_words: bool = False,
    ) -> None:
        self.merge, self.own_words = merge, own_words
        self.domain, self.inner, self.settings = domain, inner, settings
        self.seed, self.measuring = seed, frozenset(measuring)

    @property
    def identity(self) -> str:
        parts = [self.domain.digest(), self.inner.digest(), self.settings.digest()]
        kind = "reader" if self.merge else "reader, attached"
        kind += ", own words" if self.own_words else ""
        return f"{kind} {stable_hash([*parts, self.seed, sorted(self.measuring)])}"

    def improve(self, policy: Model, groups: Sequence[Group], out: Path, progress: Progress) -> Update:
        """See `seams.Algorithm`. Adapters are kept beside `out` until the round is whole, so that a
        killed one goes on."""
        if not isinstance(policy, TrainsReaders):
            raise ModelError(f"{policy.name} cannot train a reader: it gives no access to its weights")
        need_space(out.parent, 2 * policy.num_bytes)
        pairs = [
            (group.task, one.edit)
            for group in groups
            for one in group.candidates
            if one.status != "invalid"
        ]
        folder = out.with_name(f"{out.name}.adapters")
        held = self.adapters(policy, pairs, folder, progress)
        taught = [own for own in held if own.task.id not in self.measuring]
        tasks = {own.task.id: own.task for own in taught}
        answers = self.answers(policy, list(tasks.values()), progress)
        lessons = [
            (k, lesson)
            for k, own in enumerate(taught)
            for lesson in self.lessons(own.task, answers[own.task.id])
        ]
        if not lessons:
            note = "no context has both a self-edit that could be trained and a question"
            note += " that the model answers right with the context at hand" if self.own_words else ""
            return Update(None, note=f"{note}, so the policy stays as it was")
        progress.start("training the reader", 100)
        reader, record = policy.train_reader(
            [own.adapter for own in taught],
            [k for k, _ in lessons],
            [lesson for _, lesson in lessons],
            self.settings.lora,
            self.settings.train,
            self.seed,
            by_steps(progress, 100),
        )
        if record.failure:
            raise SelfEditError(
                f"the reader's training failed: {record.failure}. The documents' adapters are kept; "
                "start again with a lower --policy-learning-rate."
            )
        numbers = {"documents": float(len(taught)), "questions": float(len(lessons))}
        measuring = [own for own in held if own.task.id in self.measuring]
        numbers |= self.measured(policy, measuring, reader, progress)
        if record.drifts:
            numbers["reader_drift"] = math.fsum(record.drifts) / len(record.drifts)
        if self.merge:
            write_policy(policy, reader, out)
        else:
            write_whole(out, partial(policy.save_reader, reader))
        shutil.rmtree(folder, ignore_errors=True)
        learned = tuple(own.edit for own in taught)
        return Update(out, learned, tuple(record.losses), numbers)

    def answers(self, policy: Model, tasks: Sequence[Task], progress: Progress) -> dict[str, list[str]]:
        """What the reader is to say to each question of each task; "" where there is no lesson."""
        if not self.own_words:
            return {task.id: [query.gold.strip() for query in task.queries] for task in tasks}
        assert isinstance(self.domain, GoldReplies)
        asked = [
            [
                (prompt, query.form == "question")
                for query, prompt in zip(task.queries, self.domain.open_book(task), strict=True)
            ]
            for task in tasks
        ]
        prompts = [prompt for own in asked for prompt, has_lesson in own if has_lesson]
        progress.start("answering with the contexts at hand", len(prompts))
        replies = policy.sample(prompts, ANSWER_SAMPLING, [0] * len(prompts), on_done=progress.advance)
        texts = iter([reply.text.strip() for reply in replies])
        said = {
            task.id: [next(texts) if has_lesson else "" for _, has_lesson in own]
            for task, own in zip(tasks, asked, strict=True)
        }
        graded = {task.id: self.domain.score(task, said[task.id]).answers for task in tasks}
        return {
            name: [one.answer.strip() if one.correct else "" for one in own]
            for name, own in graded.items()
        }

    def lessons(self, task: Task, answers: Sequence[str]) -> Iterator[TrainingSequence]:
        """A context's questions as they are asked, with these answers; blanks are none."""
        for query, prompt, answer in zip(task.queries, self.domain.queries(task), answers, strict=True):
            if query.form == "question" and answer:
                yield TrainingSequence(answer, prompt)

    def adapters(
        self, policy: Model, pairs: Sequence[Pair], folder: Path, progress: Progress
    ) -> list[Held]:
        """An adapter for each edit that can be trained, wave by wave; those that are in the folder are
        read. Invalid ones, and those whose training fails, are left out."""
        asked = asked_trials(policy, self.domain, pairs, self.inner)
        jobs, _ = plan_jobs(policy, self.domain, asked, self.inner)
        progress.start("training the documents' adapters", len(jobs))
        failed: set[str] = set()
        for wave in plan_waves(jobs, WaveBudget.of(policy, self.inner)):
            missing = [job for job in wave.jobs if not (folder / job.key).is_dir()]
            progress.found(len(wave.jobs) - len(missing))
            if not missing:
                continue
            tracked = Tracked(progress)
            bank, records = train(policy, wave.part(missing), self.inner, tracked)
            for k, (job, record) in enumerate(zip(missing, records, strict=True)):
                if record.failure:
                    failed.add(job.key)
                else:
                    _save(policy, bank, k, folder / job.key)
            tracked.take_back()
            progress.advance(len(missing))
        kept = {job.key for job in jobs} - failed
        found = {key: policy.load_adapter(folder / key) for key in sorted(kept)}
        return [Held(own.task, own.edit, found[own.key]) for own in asked if own.key in kept]

    def measured(
        self, policy: Model, held: Sequence[Held], reader: Adapters, progress: Progress
    ) -> dict[str, float]:
        """Share of the held-out contexts' questions that their adapters answer right, as the policy
        reads them (with the reader of the round before, if there is one), and with the new reader."""
        if not any(own.task.queries for own in held):
            return {}
        banks = [own.adapter for own in held]
        mixes = {
            "read_before": policy.combine(banks, [{k: 1.0} for k in range(len(held))]),
            "read_after": policy.combine(
                [*banks, reader], [{k: 1.0, len(held): 1.0} for k in range(len(held))]
            ),
        }
        asked = [(k, prompt) for k, own in enumerate(held) for prompt in self.domain.queries(own.task)]
        progress.start("measuring the reader on held-out contexts", len(mixes) * len(asked))
        found = {}
        for name, adapters in mixes.items():
            replies = policy.sample(
                [prompt for _, prompt in asked],
                ANSWER_SAMPLING,
                [0] * len(asked),
                adapters=adapters,
                owners=[k for k, _ in asked],
                on_done=progress.advance,
            )
            answers = iter([reply.text for reply in replies])
            scores = [
                self.domain.score(own.task, [next(answers) for _ in own.task.queries]) for own in held
            ]
            right = [one.correct for score in scores for one in score.answers]
            found[name] = sum(right) / len(right)
        return found | {"held_out_questions": float(len(asked))}


def _save(policy: Model, bank: Adapters, k: int, folder: Path) -> None:
    """Whole or not at all."""
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        policy.save_adapter(bank, k, part)
        part.rename(folder)
    except OSError as error:
        raise AdapterError(f"an adapter cannot be written to {folder}: {error}") from error
