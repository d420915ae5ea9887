"""Which tasks a model can solve by test-time training at all: the filter that the paper applied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from selfedit.domains.arc.domain import Arc
from selfedit.domains.conditions import Bench, solves
from selfedit.types import Score, Task, Trial


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

    def ids_file(self, only_learned: bool = False) -> str:
        """The ids, one per line, after comments that say what was filtered and how. only_learned:
        without those that are solved in context, which reward a self-edit that changes nothing."""
        ids = [one.id for one in self.tried if one.solved and not (only_learned and one.in_context)]
        said = (
            f"Tasks were filtered: {len(ids)} of {len(self.tried)} tried were solved by {self.how}"
            f"{', and not in context' if only_learned else ''}.\n"
            "Results on these tasks hold for tasks that are known to be solvable, not for ARC."
        )
        return "\n".join([*(f"# {line}" for line in said.splitlines()), *ids]) + "\n"


def solvable(bench: Bench) -> Solvable:
    """Every task of the bench, answered in context and after the oracle's training."""
    before = bench.outcome("in-context")
    after = bench.outcome("oracle")
    tried = [
        _tried(task, trials, score)
        for task, trials, (score,) in zip(bench.tasks, after.trials, before.scores, strict=True)
    ]
    inner, domain, model = bench.settings.inner, bench.domain, bench.model
    assert isinstance(domain, Arc)
    own = domain.settings
    how = (
        f"{model.name} (weights {model.revision[:16]}) under the oracle: {domain.oracle().text()}, "
        f"LoRA r{inner.lora.rank} alpha {inner.lora.alpha:g} on layers {inner.lora.layers}, at most "
        f"{own.data.limit} examples, {own.prediction} answers, "
        f"seeds {inner.seed} to {inner.seed + inner.seeds - 1}"
    )
    return Solvable(tuple(tried), model.name, how)


def _tried(task: Task, trials: Sequence[Trial], before: Score | None) -> Tried:
    first = trials[0]
    graded = first.score.answers if first.score is not None else ()
    reasons = [first.reason, *(answer.reason for answer in graded)]
    return Tried(
        id=task.id,
        solved=all(solves(trial.score) for trial in trials),
        in_context=solves(before),
        status=first.status,
        reason="; ".join(filter(None, reasons)),
        seconds=sum(trial.seconds for trial in trials) / len(trials),
        answers=tuple(answer.answer for answer in graded),
    )
