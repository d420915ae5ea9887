"""What a question costs: tokens of its prompt, and milliseconds (`clock`) until it is answered."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from selfedit.config import ANSWER_SAMPLING, stable_hash
from selfedit.domains.conditions import Bench
from selfedit.memory.answering import Answering
from selfedit.memory.routed import Routed
from selfedit.seams import Model
from selfedit.types import Prompt, Task

# Questions that are timed, at most.
TIMED = 16


def clock(model: Model) -> Callable[[], float]:
    """Seconds of the processor on a CPU, of all threads together, which other work on the machine does
    not change; of the clock elsewhere."""
    return time.process_time if model.device == "cpu" else time.perf_counter


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
        now = clock(bench.model)
        start = now()
        answering.sample(bench.model, timed, ANSWER_SAMPLING)
        seconds = now() - start
        tokens = sum(bench.model.count_tokens(prompt.text) for prompt in prompts)
        return {
            "tokens": tokens / len(prompts),
            "milliseconds": 1000 * seconds / len(timed),
            "questions": len(prompts),
        }

    asked = [prompt.text for prompt in prompts]
    return bench.once(stable_hash(["question cost", bench.model.identity, name, key, asked]), measure)
