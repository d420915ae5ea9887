"""What the teacher of a context distillation reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from selfedit.lora.sequences import TokenSequence
from selfedit.model.prompts import Rendered
from selfedit.types import Prompt, TrainingSequence


def has_teacher(sequence: TrainingSequence) -> bool:
    """Whether a distillation can teach it: it has a passage, and what is learned stands behind it."""
    return bool(sequence.source) and (sequence.prompt is None or sequence.supervise == "reply")


def reading(
    tokenizer: Any,
    render: Callable[[Prompt], Rendered],
    sequence: TrainingSequence,
    encoded: TokenSequence,
) -> TokenSequence:
    """The passage, then the very tokens that the adapted model is trained on without it.

    Before a plain text it is a paragraph; before a reply the user says it, above what he asks. encoded:
    the sequence as it is trained on; the same places are supervised.
    """
    if sequence.prompt is None:
        before = tokenizer(f"{sequence.source}\n\n")["input_ids"]
        # A beginning of the tokenizer's own stands at the beginning alone.
        own = int(tokenizer.bos_token_id is not None and encoded.ids[0] == tokenizer.bos_token_id)
    else:
        text = f"{sequence.source}\n\n{sequence.prompt.text}"
        before = render(replace(sequence.prompt, text=text)).ids
        own = len(render(sequence.prompt).ids)
    shift = len(before) - own
    spans = tuple((max(start, 1) + shift, end + shift) for start, end in encoded.spans)
    return TokenSequence((*before, *encoded.ids[own:]), spans)
