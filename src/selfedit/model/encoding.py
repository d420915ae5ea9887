"""Training sequences as tokens, and as the teacher of a context distillation reads them."""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any

from selfedit.lora.sequences import TokenSequence
from selfedit.model.control_tokens import control_tokens
from selfedit.model.prompts import Rendered
from selfedit.model.tokens import opened, opening
from selfedit.types import Prompt, TrainingSequence

# Tokens that are kept at hand, four bytes each: of a round of 200 contexts about half are.
_AT_HAND = 4_000_000


@dataclass(frozen=True, slots=True)
class _Whole:
    """All tokens of a training sequence. start: where its text begins; replies: see `Rendered`."""

    ids: array[int]
    start: int = 0
    replies: tuple[tuple[int, int], ...] = ()


class Encoder:
    """Training sequences as tokens. A text is tokenised once on its way into an adapter: its length,
    the plan of its wave's memory and its training ask one after the other.

    end: the token that ends a reply, by default the tokenizer's; without any, replies just stop.
    tokenised: sequences that had to be, so far. at_hand: tokens that are kept; the latest stay.
    """

    def __init__(
        self,
        tokenizer: Any,
        render: Callable[[Prompt], Rendered],
        at_hand: int = _AT_HAND,
        *,
        end: int | None = None,
    ) -> None:
        self._tokenizer, self._render, self._at_hand = tokenizer, render, at_hand
        self._end = tokenizer.eos_token_id if end is None else end
        self._controls = control_tokens(tokenizer)
        self._known: OrderedDict[Hashable, _Whole] = OrderedDict()
        self._kept = self.tokenised = 0
        self._lock = Lock()

    def encode(self, sequence: TrainingSequence, max_tokens: int) -> TokenSequence:
        """Cut to max_tokens from the right."""
        whole = self._whole(sequence)
        ids = tuple(whole.ids[:max_tokens])
        if sequence.prompt is None or sequence.supervise == "all":
            return TokenSequence(ids)
        earlier = whole.replies if sequence.supervise == "replies" else ()
        return TokenSequence(ids, (*earlier, (whole.start, len(ids))))

    def length(self, sequence: TrainingSequence) -> int:
        """Tokens of the whole sequence, without what the tokenizer itself puts around a plain text."""
        own = len(opening(self._tokenizer)) if sequence.prompt is None else 0
        return len(self._whole(sequence).ids) - int(own)

    def _whole(self, sequence: TrainingSequence) -> _Whole:
        key = (sequence.text, sequence.prompt, sequence.ends)
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        whole = self._tokenise(sequence)
        with self._lock:
            self.tokenised += 1
            if key not in self._known:
                self._known[key] = whole
                self._kept += len(whole.ids)
            while self._kept > self._at_hand and len(self._known) > 1:
                self._kept -= len(self._known.popitem(last=False)[1].ids)
        return whole

    def _tokenise(self, sequence: TrainingSequence) -> _Whole:
        end = [] if self._end is None else [self._end]
        if sequence.prompt is None:
            text = self._controls.ids_of_text(sequence.text)
            whole = opened(self._tokenizer, text)
            return _Whole(array("I", [*whole, *end] if sequence.ends else whole))
        prompt = self._render(sequence.prompt)
        reply = self._reply(sequence.prompt, prompt.ids, sequence.text)
        return _Whole(array("I", [*prompt.ids, *reply, *end]), len(prompt.ids), prompt.replies)

    def _reply(self, prompt: Prompt, before: tuple[int, ...], text: str) -> Sequence[int]:
        """Tokens of a reply. Behind a prefix, such as "Question 1:", it was sampled with a space before
        it, which texts are kept without."""
        if prompt.prefix and text and not prompt.prefix[-1].isspace():
            whole = self._render(replace(prompt, prefix=f"{prompt.prefix} {text}")).ids
            if whole[: len(before)] == before:
                return whole[len(before) :]
        return self._controls.ids_of_text(text)


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
        source = control_tokens(tokenizer).ids_of_text(f"{sequence.source}\n\n")
        before = tuple(opened(tokenizer, source))
        own = len(opening(tokenizer))  # the beginning stands at the start only
    else:
        text = f"{sequence.source}\n\n{sequence.prompt.text}"
        before = render(replace(sequence.prompt, text=text)).ids
        own = len(render(sequence.prompt).ids)
    shift = len(before) - own
    spans = tuple((max(start, 1) + shift, end + shift) for start, end in encoded.spans)
    return TokenSequence((*before, *encoded.ids[own:]), spans)
