"""Which tasks a model can solve by test-time training at all: the filter that the paper applied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from selfedit.evaluation.arc import ArcEvaluator
from selfedit.evaluation.arc_outcome import put_outcomes, solves
from selfedit.loops.runs import recorded_run
from selfedit.types import Task, Trial


@dataclass(frozen=True, slots=True)
class Tried:
    """A task under the oracle. solved: by every seed. in_context: without training."""

    id: str
    solved: bool
    in_context: bool
    status: str
    reason: str
    seconds: float
    answers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Solvable:
    """What was tried, and with what."""

    tried: tuple[Tried, ...]
    model: str
    how: str

    @property
    def ids(self) -> list[str]:
        return [one.id for one in self.tried if one.solved]

    def summary(self) -> dict[str, Any]:
        return {
            "solvable": self.ids,
            "in_context": [one.id for one in self.tried if one.in_context],
            "tried": [asdict(one) for one in self.tried],
            "model": self.model,
            "filter": self.how,
        }

    def ids_file(self) -> str:
        """The ids, a line each, behind comments that say what was filtered and how."""
        said = (
            f"Tasks were filtered: {len(self.ids)} of {len(self.tried)} tried were solved by "
            f"{self.how}.\n"
            "Results on these tasks hold for tasks that are known to be solvable, not for ARC."
        )
        return "\n".join([*(f"# {line}" for line in said.splitlines()), *self.ids]) + "\n"


def solvable(evaluator: ArcEvaluator) -> Solvable:
    """Every task of the evaluator, answered in context and after the oracle's training."""
    model, tasks, inner = evaluator.subjects.model, evaluator.tasks, evaluator.settings.inner
    inputs = {"contexts": len(tasks), "domain": "arc"}
    with recorded_run(evaluator.store, "arc-solvable", model, evaluator.settings, inputs) as run:
        evaluator.run_id = run.id
        outcomes = {name: evaluator.answer(name) for name in ("in-context", "oracle")}
        before, trials = outcomes["in-context"].scores, outcomes["oracle"].trials
        tried = [
            _tried(task, own, score.value == 1.0)
            for task, own, score in zip(tasks, trials, before, strict=True)
        ]
        oracle = evaluator.domain.oracle()
        how = (
            f"{model.name} (weights {model.revision[:16]}) under the oracle: {oracle.text()}, LoRA "
            f"r{inner.lora.rank} alpha {inner.lora.alpha:g} on layers {inner.lora.layers}, at most "
            f"{inner.arc.data.limit} examples, {inner.arc.prediction} answers, "
            f"seeds {inner.seed} to {inner.seed + inner.seeds - 1}"
        )
        put_outcomes(evaluator.store, run.id, tasks, outcomes)
        result = Solvable(tuple(tried), model.name, how)
        run.result = result.summary()
    return result


def _tried(task: Task, trials: Sequence[Trial], in_context: bool) -> Tried:
    first = trials[0]
    graded = first.score.answers if first.score is not None else ()
    reasons = [first.reason, *(answer.reason for answer in graded)]
    return Tried(
        id=task.id,
        solved=all(map(solves, trials)),
        in_context=in_context,
        status=first.status,
        reason="; ".join(filter(None, reasons)),
        seconds=sum(trial.seconds for trial in trials) / len(trials),
        answers=tuple(answer.answer for answer in graded),
    )
