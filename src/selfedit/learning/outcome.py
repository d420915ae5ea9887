"""What came of learning: graded answers before and after, the result, and whether it is committed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any

from selfedit.domains.knowledge import assign_queries
from selfedit.domains.knowledge.settings import LearnSettings
from selfedit.learning.material import Material
from selfedit.memory.guard import too_damaged
from selfedit.types import (
    GradedAnswer,
    Group,
    LearnResult,
    PassageResult,
    QuestionResult,
    Score,
    Trial,
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Graded answers to new and older questions, before and after.

    logprob_gain: of the new questions' blanks (`learning.recall`); None: there are none. ended: share
    of the new adapter's answers to the new questions that ended by themselves. notes: what to tell of
    documents that are left as they were, and of older questions that are left out
    (`learning.contradictions`).
    """

    before: Sequence[GradedAnswer]
    after: Sequence[GradedAnswer]
    older_before: Sequence[GradedAnswer]
    older_after: Sequence[GradedAnswer]
    logprob_gain: float | None = None
    ended: float | None = None
    notes: tuple[str, ...] = ()

    def questions(self, held_out: bool) -> tuple[QuestionResult, ...]:
        return tuple(
            QuestionResult(b.question, b.gold, b.answer, a.answer, b.correct, a.correct, held_out)
            for b, a in zip(self.before, self.after, strict=True)
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a new version becomes the current one, and why (not)."""

    committed: bool
    reason: str


def learn_result(
    model: str,
    settings: LearnSettings,
    material: Material,
    groups: Sequence[Group],
    tried: Iterable[Sequence[Sequence[Trial]]],
    outcome: Outcome,
    losses: tuple[float, ...],
) -> LearnResult:
    """What was tried and measured. Whether it is committed is not decided yet.

    tried: the trials of each group, as [candidate][seed].
    """
    statuses: list[str] = []
    trained: list[float] = []
    passages = []
    for group, candidates in zip(groups, tried, strict=True):
        trials = [trial for own in candidates for trial in own]
        statuses += [trial.status for trial in trials]
        trained += [trial.seconds for trial in trials if trial.status != "invalid"]
        seconds = tuple(sum(trial.seconds for trial in own) for own in candidates)
        first = tuple(own[0].losses for own in candidates)
        passages.append(PassageResult(group, seconds, first))
    asked = assign_queries(material.passages.tasks, material.selection or material.held_out)
    unmeasured = sum(not task.queries for task in asked)
    notes = [*material.notes, *outcome.notes]
    if unmeasured:
        notes.append(
            f"No question is about {unmeasured} of {len(groups)} passages: their "
            f"{'first valid ' * bool(material.selection)}self-edit was kept without being measured."
        )
    return LearnResult(
        accuracy_before=Score(tuple(outcome.before)).value,
        accuracy_after=Score(tuple(outcome.after)).value,
        num_questions=len(outcome.before),
        held_out=bool(material.held_out),
        version=None,
        committed=False,
        reason="",
        num_trials=len(statuses),
        num_invalid=statuses.count("invalid"),
        seconds_per_edit=sum(trained) / len(trained) if trained else 0.0,
        seconds=0.0,
        adapter_path=None,
        report_path=None,
        quiz=material.quiz,
        logprob_gain=outcome.logprob_gain,
        quiz_ended=outcome.ended,
        model=model,
        documents=tuple(document.title for document in material.documents),
        settings=settings.model_dump(mode="json"),
        questions=outcome.questions(bool(material.held_out)),
        passages=tuple(passages),
        final_losses=losses,
        num_older=len(outcome.older_before),
        older_before=_value(outcome.older_before),
        older_after=_value(outcome.older_after),
        notes=tuple(notes),
    )


def judged(result: LearnResult, max_forgetting: float, max_damage: float) -> Verdict:
    """Committed if it knows more than the version before, lost at most max_forgetting (in [0, 1]) of
    its accuracy on older questions, and is not `too_damaged`."""
    n = result.num_questions
    right_before, right_after = (round(a * n) for a in (result.accuracy_before, result.accuracy_after))
    told = f"{right_before} of {n} right before, {right_after} of {n} after"
    if right_after <= right_before:
        return Verdict(False, f"it does not know more than the version before it: {told}")
    lost = (result.older_before or 0.0) - (result.older_after or 0.0)
    if lost > max_forgetting + 1e-9:
        return Verdict(
            False,
            f"it lost {100 * lost:.0f} points on the {result.num_older} older questions, more "
            f"than the {100 * max_forgetting:.0f} allowed (--max-forgetting)",
        )
    if result.probe is not None and (damage := too_damaged(result.probe, max_damage)):
        return Verdict(False, damage)
    return Verdict(True, told)


def scores(result: LearnResult) -> dict[str, Any]:
    """What a version's record keeps of the measurements."""
    return {
        "accuracy_before": result.accuracy_before,
        "accuracy_after": result.accuracy_after,
        "num_questions": result.num_questions,
        "held_out": result.held_out,
        "quiz": result.quiz,
        "logprob_gain": result.logprob_gain,
        "quiz_ended": result.quiz_ended,
        "num_older": result.num_older,
        "older_before": result.older_before,
        "older_after": result.older_after,
        **(result.probe.measures() if result.probe is not None else {}),
    }


def _value(answers: Sequence[GradedAnswer]) -> float | None:
    value = Score(tuple(answers)).value
    return None if isnan(value) else value
