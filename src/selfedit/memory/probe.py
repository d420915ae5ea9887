"""The probe: what an adapter broke, for any model and without labels.

- General knowledge: of the shipped questions that the bare model answers right and is surest of, those
  that are still answered right.
- Drift: KL(bare || adapted) on the bare model's own texts to prompts that no training sees.
- Leakage: questions about neighbours of what was learned, whose answers take a fact of the document.

What the bare model says is asked once and kept (`memory.bare`), so that a probe costs what the adapted
model takes to answer about 100 short questions.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from selfedit.config import SamplingSettings
from selfedit.domains.knowledge.degenerate import degeneracy
from selfedit.grading.statistics import Interval, mean_interval
from selfedit.memory.answering import Answering
from selfedit.memory.bare import Answer, BareAnswers
from selfedit.memory.general import ANSWER_TOKENS, are_right, known_questions, prompt_of
from selfedit.memory.guard import cannot_judge
from selfedit.memory.neighbours import (
    NAMING_TOKENS,
    NeighbourQuestion,
    Subject,
    naming_prompt,
    neighbour_questions,
    neighbours,
    read_names,
    shared_questions,
)
from selfedit.memory.questions import drift_prompts
from selfedit.progress import Progress, Silent
from selfedit.seams import Model
from selfedit.show.plots import wilson_interval
from selfedit.types import Bounds, ProbeExample, ProbeResult, Prompt, TrainingSequence

# General questions that count, and questions about neighbours. 100 answers give an interval of about
# 6 points at 90 %, and take half a minute of one core on the embedded model.
SAMPLE, NEIGHBOURS = 100, 24
# Tokens of a text whose drift is measured.
DRIFT_TOKENS = 48
# With fewer texts a mean drift says little.
_FEWEST_DRIFT = 8


def probe(
    bare: Model,
    adapted: Answering,
    subjects: Sequence[Subject] = (),
    *,
    progress: Progress | None = None,
    sample: int = SAMPLE,
    num_neighbours: int = NEIGHBOURS,
) -> ProbeResult:
    """What the adapted model lost of the bare one.

    subjects: the documents that were learned; without any, leakage is not measured. sample: how many
    of the general questions that count (`memory.general`) are asked, at most. Raises SelfEditError.
    """
    start = time.perf_counter()
    run = _Run(bare, adapted, progress or Silent())
    result = run.neighbours(run.drift(run.general(ProbeResult(), sample)), subjects, num_neighbours)
    if reason := cannot_judge(result):
        result = replace(result, notes=(reason, *result.notes))
    return replace(result, probe_seconds=time.perf_counter() - start)


class _Run:
    """One probe. Each part adds its fields to a result."""

    def __init__(self, bare: Model, adapted: Answering, progress: Progress) -> None:
        self.bare, self.adapted, self.progress = bare, adapted, progress
        self.known = BareAnswers(bare, progress)

    def general(self, result: ProbeResult, sample: int) -> ProbeResult:
        known = known_questions(self.known, self.progress)
        counted = known.sure[:sample]
        own = [question for question, _ in counted]
        before = [answer for _, answer in counted]
        after = self._ask([prompt_of(question) for question in own], before, "general questions")
        right = are_right(own, [answer.text for answer in after])
        lost = tuple(
            ProbeExample(q.query.question, q.query.gold, before.text, now.text)
            for (q, before), now, ok in zip(counted, after, right, strict=True)
            if not ok
        )
        kept, bounds = _share(sum(right), len(counted))
        return replace(
            result,
            num_general=known.num_asked,
            num_right=known.num_right,
            general_before=len(counted),
            general_after=sum(right),
            general_kept=kept,
            general_kept_bounds=bounds,
            ended=_ended(after),
            ended_before=_ended(before),
            lost=lost,
        )

    def drift(self, result: ProbeResult) -> ProbeResult:
        prompts = [Prompt(text) for text in drift_prompts()]
        self.progress.start("asking the bare model for texts", len(prompts))
        texts = [answer.text for answer in self.known.ask(prompts, DRIFT_TOKENS)]
        pairs = [(p, text) for p, text in zip(prompts, texts, strict=True) if not degeneracy(text)]
        mean = self._divergence(pairs, "measuring the drift")
        notes = result.notes
        if len(pairs) < _FEWEST_DRIFT:
            notes += (
                f"Drift rests on {len(pairs)} of {len(prompts)} texts: the bare model's others are "
                "empty or go round in circles.",
            )
        return replace(
            result,
            drift=mean.value if pairs else None,
            drift_bounds=_bounds(mean),
            num_drift=len(pairs),
            notes=notes,
        )

    def neighbours(self, result: ProbeResult, subjects: Sequence[Subject], count: int) -> ProbeResult:
        questions = self._neighbour_questions(subjects, count)
        if not questions:
            return result
        prompts = [Prompt(question.question, kind="question") for question in questions]
        self.progress.start("asking the bare model about neighbours", len(prompts))
        bare = self.known.ask(prompts, ANSWER_TOKENS)
        before = [answer.text for answer in bare]
        after = [answer.text for answer in self._ask(prompts, bare, "about neighbours")]
        taken = [q.taken(b, a) for q, b, a in zip(questions, before, after, strict=True)]
        leaks = tuple(
            ProbeExample(question.question, fact, b, a)
            for question, fact, b, a in zip(questions, taken, before, after, strict=True)
            if fact
        )
        pairs = [(p, text) for p, text in zip(prompts, before, strict=True) if text]
        mean = self._divergence(pairs, "measuring the drift about neighbours")
        leakage, bounds = _share(len(leaks), len(questions))
        return replace(
            result,
            leakage=leakage,
            leakage_bounds=bounds,
            num_neighbours=len(questions),
            neighbour_drift=mean.value if pairs else None,
            neighbour_drift_bounds=_bounds(mean),
            leaks=leaks,
        )

    def _neighbour_questions(self, subjects: Sequence[Subject], count: int) -> list[NeighbourQuestion]:
        """About neighbours of all subjects, as many of each; of more than `count`, of the last."""
        own = list(subjects)[-count:] if count else []
        if not own:
            return []
        self.progress.start("naming neighbours", len(own))
        replies = self.known.ask([naming_prompt(subject) for subject in own], NAMING_TOKENS)
        makes = [
            neighbour_questions(subject, neighbours(subject, read_names(subject, reply.text)), count)
            for subject, reply in zip(own, replies, strict=True)
        ]
        return shared_questions(own, makes, count)

    def _ask(self, prompts: Sequence[Prompt], before: Sequence[Answer], what: str) -> list[Answer]:
        """The adapted model's answers; before: the bare one's, which are its own where it cannot
        differ."""
        self.progress.start(f"asking the adapted model {what}", len(prompts))
        after = list(before)
        asked = [i for i, prompt in enumerate(prompts) if self.adapted.differs(prompt)]
        self.progress.found(len(prompts) - len(asked))
        if not asked:
            return after
        replies = self.adapted.sample(
            self.bare,
            [prompts[i] for i in asked],
            SamplingSettings(temperature=0.0, top_p=1.0, max_new_tokens=ANSWER_TOKENS),
            on_done=self.progress.advance,
        )
        for i, reply in zip(asked, replies, strict=True):
            after[i] = Answer(reply.text, reply.ended)
        return after

    def _divergence(self, pairs: Sequence[tuple[Prompt, str]], stage: str) -> Interval:
        self.progress.start(stage, len(pairs))
        if not pairs:
            return mean_interval([])
        values = self.adapted.divergence(
            self.bare,
            [TrainingSequence(text, prompt) for prompt, text in pairs],
            on_done=self.progress.advance,
        )
        return mean_interval(values)


def _ended(answers: Sequence[Answer]) -> float | None:
    """Share that ended by itself; None where the model cannot tell, or nothing was asked."""
    known = [answer.ended for answer in answers if answer.ended is not None]
    return sum(known) / len(known) if known else None


def _share(count: int, total: int) -> tuple[float | None, Bounds | None]:
    """A share with Wilson's interval: right also where all or none are."""
    if not total:
        return None, None
    return count / total, wilson_interval(count / total, total)


def _bounds(mean: Interval) -> Bounds | None:
    """None where there are too few values for an interval."""
    return (mean.low, mean.high) if mean.contexts > 1 else None
