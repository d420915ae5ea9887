"""The fake model's skill on `directed` self-edits, so that they can be tested without a model."""

from __future__ import annotations

from selfedit.domains.knowledge.directed import FORMS, Head
from selfedit.types import Prompt


def on_directed(prompt: Prompt, seed: int, rate: float | None) -> str | None:
    """A `model.fake.Skill`: by the seed an edit in one of the three forms, each with a training of its
    own; one whose rate is out of bounds; one without a head. It says what the text says, line by line.
    """
    if prompt.kind != "instruction" or "strategy: implications" not in prompt.text:
        return None
    said = [line for line in prompt.text.split("\n\n")[1].splitlines()[1:] if line.strip()]
    kind = seed % 5
    if kind == 4:
        return "I would train on everything, for as long as it takes."
    head = Head(FORMS[kind % 3], 8, 1.0 if kind == 3 else (1 + kind) * 1e-3, 3 + kind)
    lines = [f"It is known that {line[:1].lower()}{line[1:]}" for line in said]
    pairs = [f"Question {n}: What is known?\nAnswer: {line}" for n, line in enumerate(lines, 1)]
    text = {"implications": "\n", "rewrite": "\n---\n", "self-qa": "\n"}[head.strategy]
    return f"{head.text()}\n{text.join(pairs if head.strategy == 'self-qa' else lines)}"
