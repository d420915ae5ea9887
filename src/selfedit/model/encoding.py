"""Training sequences as tokens, and as the teacher of a context distillation reads them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from selfedit.lora.sequences import TokenSequence
from selfedit.model.prompts import Rendered
from selfedit.types import Prompt, TrainingSequence


def encode(
    tokenizer: Any,
    render: Callable[[Prompt], Rendered],
    sequence: TrainingSequence,
    max_tokens: int,
) -> TokenSequence:
    """Tokens of a training sequence, cut to max_tokens from the right."""
    if sequence.prompt is None:
        plain = tokenizer(sequence.text)["input_ids"]
        end = [tokenizer.eos_token_id] if sequence.ends else []
        return TokenSequence((*plain, *end)[:max_tokens])
    prompt = render(sequence.prompt)
    text = tokenizer(sequence.text, add_special_tokens=False)["input_ids"]
    ids = (*prompt.ids, *text, tokenizer.eos_token_id)[:max_tokens]
    if sequence.supervise == "all":
        return TokenSequence(ids)
    earlier = prompt.replies if sequence.supervise == "replies" else ()
    return TokenSequence(ids, (*earlier, (len(prompt.ids), len(ids))))


def has_teacher(sequence: TrainingSequence) -> bool:
    """Whether it can be distilled: it has a passage, and what is learned follows it."""
    return bool(sequence.source) and (sequence.prompt is None or sequence.supervise == "reply")


def reading(
    tokenizer: Any,
    render: Callable[[Prompt], Rendered],
    sequence: TrainingSequence,
    encoded: TokenSequence,
) -> TokenSequence:
    """The passage, then the very tokens that the adapted model is trained on without it.

    Before a plain text it is a paragraph; before a reply the user says it, above the question. encoded:
    the sequence as it is trained on; the same places are supervised.
    """
    if sequence.prompt is None:
        before = tokenizer(f"{sequence.source}\n\n")["input_ids"]
        # The tokenizer's own beginning stands at the start only.
        own = int(tokenizer.bos_token_id is not None and encoded.ids[0] == tokenizer.bos_token_id)
    else:
        text = f"{sequence.source}\n\n{sequence.prompt.text}"
        before = render(replace(sequence.prompt, text=text)).ids
        own = len(render(sequence.prompt).ids)
    shift = len(before) - own
    spans = tuple((max(start, 1) + shift, end + shift) for start, end in encoded.spans)
    return TokenSequence((*before, *encoded.ids[own:]), spans)
