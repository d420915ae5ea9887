"""The conditions of the paper's few-shot table: which share of adapted models solves its task.

`seal` follows the paper: the trained policy writes the edits and its own weights are trained on them.
"""

from __future__ import annotations

from pydantic import Field

from selfedit.config import EvaluationSettings
from selfedit.domains.arc.domain import Arc
from selfedit.domains.arc.settings import ArcInnerSettings
from selfedit.domains.conditions import Bench, Condition, Outcome, adapted, base, own, seal
from selfedit.types import SelfEdit


class ArcEvaluation(EvaluationSettings):
    """Everything that determines an evaluation on ARC, apart from models and tasks."""

    conditions: tuple[str, ...] = Field(("in-context", "ttt", "oracle"), min_length=1)
    inner: ArcInnerSettings = Field(
        ArcInnerSettings(candidates=5), description="candidates: edits for each task (the paper: 5)."
    )


def oracle(bench: Bench) -> Outcome:
    """One edit for each task, always the same: the fixed best configuration."""
    domain = _domain(bench).of_oracle()
    said = domain.oracle().text()
    edits = [[SelfEdit(task.id, 0, (), (said,))] for task in bench.tasks]
    return adapted(bench, bench.model, domain, edits, bench.settings.inner)


def _domain(bench: Bench) -> Arc:
    assert isinstance(bench.domain, Arc)
    return bench.domain


# The demonstrations are in every prompt of the domain, so that `base` shows them.
CONDITIONS: dict[str, Condition] = {
    "in-context": Condition("the demonstrations in the prompt, nothing trained", base, trained=False),
    "ttt": Condition("test-time training as the model's own self-edits say, no RL", own),
    "seal": Condition(
        "as the self-edits of the RL-trained policy say, on the policy's own weights",
        seal,
        needs_policy=True,
    ),
    "oracle": Condition("test-time training with the fixed best configuration", oracle),
}
