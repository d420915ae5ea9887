"""What a question costs: tokens of its prompt, and milliseconds until it is answered."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from selfedit.config import ANSWER_SAMPLING, stable_hash
from selfedit.domains.conditions import Bench
from selfedit.memory.answering import Answering
from selfedit.memory.routed import Routed
from selfedit.types import Prompt, Task

# Questions that are timed, at most.
TIMED = 48


def with_passages(tasks: Sequence[Task], prompt: Prompt) -> Prompt:
    """A question under passages."""
    texts = [f"{task.title}\n{task.context}" for task in tasks]
    return Prompt("\n\n".join([*texts, prompt.text]), kind="question")


def question_cost(
    bench: Bench, name: str, prompts: Sequence[Prompt], answering: Answering, key: str
) -> dict[str, float]:
    """Of a question, with as many as are timed asked in one batch; measured once for a store. name: of
    the way of answering; key: what its answers depend on."""
    timed = list(prompts[:TIMED])

    def measure() -> dict[str, Any]:
        if isinstance(answering, Routed):
            answering.sample(bench.model, timed[:1], ANSWER_SAMPLING)
        start = time.perf_counter()
        answering.sample(bench.model, timed, ANSWER_SAMPLING)
        seconds = time.perf_counter() - start
        tokens = sum(bench.model.count_tokens(prompt.text) for prompt in prompts)
        return {
            "tokens": tokens / len(prompts),
            "milliseconds": 1000 * seconds / len(timed),
            "questions": len(prompts),
        }

    asked = [prompt.text for prompt in prompts]
    return bench.once(stable_hash(["continual cost", bench.model.identity, name, key, asked]), measure)
