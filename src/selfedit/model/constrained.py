"""Replies that match a regular expression: which tokens may come next, by the package llguidance.

llguidance walks the expression along the bytes of every token of the vocabulary, so a reply may be cut
into tokens in any way that spells a match.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from selfedit.errors import InputError, ModelError
from selfedit.lora.excluded import Excluded


class Constraint:
    """How far one reply has come in its expression. Python's syntax of `re`, without look-around.

    vocabulary: number of scores of the model's head. Raises InputError if llguidance is not installed
    or does not accept the expression, ModelError for a tokenizer that it cannot read.
    """

    def __init__(self, pattern: str, tokenizer: Any, vocabulary: int, stop_ids: Sequence[int]) -> None:
        llguidance = _llguidance()
        known = _tokens(llguidance, tokenizer, vocabulary, tuple(sorted(stop_ids)))
        try:
            grammar = llguidance.LLMatcher.grammar_from_regex(pattern)
        except UnicodeEncodeError as error:
            raise InputError(f"replies cannot be made to match {pattern!r}: {error}") from None
        self._matcher = llguidance.LLMatcher(known, grammar)
        if self._matcher.is_error():
            raise InputError(
                f"replies cannot be made to match {pattern!r}: {self._matcher.get_error()}"
            )

    def allowed(self, vocabulary: int) -> Tensor:
        """Which tokens may come next: [vocabulary], bool. A token that ends the reply is one of them
        exactly where the reply matches."""
        flags = _flags(self.bits(), vocabulary)
        assert flags.any(), self._matcher.get_error() or "a reply that can go on or end"
        return torch.from_numpy(flags)

    def bits(self) -> bytes:
        """The same, a bit for each token, the lowest of a byte first."""
        return bytes(self._matcher.compute_bitmask())

    def restart(self) -> None:
        """Start over, as if no token had been taken."""
        self._matcher.reset()

    def take(self, token: int) -> bool:
        """Take an allowed token; False if the reply matches and nothing can be added to it."""
        taken = self._matcher.consume_token(token)
        assert taken, self._matcher.get_error()
        return not self._matcher.is_stopped()


class Excluding:
    """What patterns have excluded at each token of replies; equal sets are one tensor.

    Arguments and errors: see `Constraint`.
    """

    def __init__(self, tokenizer: Any, vocabulary: int, stop_ids: Iterable[int]) -> None:
        self._tokenizer, self._vocabulary = tokenizer, vocabulary
        self._stop_ids = sorted(stop_ids)
        self._constraints: dict[str, Constraint] = {}
        self._sets: dict[bytes, Tensor] = {}

    def of(self, pattern: str, tokens: Sequence[int]) -> tuple[Excluded, ...]:
        """Of one reply. From the first token on that the pattern does not allow, as in a text that was
        cut into other tokens, or that was not drawn by it, nothing is excluded."""
        own = self._constraints.get(pattern)
        if own is None:
            own = Constraint(pattern, self._tokenizer, self._vocabulary, self._stop_ids)
            self._constraints[pattern] = own
        own.restart()
        found: list[Excluded] = []
        for token in tokens:
            bits = own.bits()
            if not bits[token // 8] >> token % 8 & 1:
                break
            if bits not in self._sets:
                self._sets[bits] = torch.from_numpy(~_flags(bits, self._vocabulary))
            found.append(self._sets[bits])
            if token in self._stop_ids or not own.take(token):
                break
        return (*found, *[None] * (len(tokens) - len(found)))


def _flags(bits: bytes, vocabulary: int) -> NDArray[np.bool_]:
    packed = np.frombuffer(bits, dtype=np.uint8)
    return np.unpackbits(packed, bitorder="little").astype(bool)[:vocabulary]


# Reading a tokenizer takes about a second.
_known: WeakKeyDictionary[Any, dict[tuple[int, tuple[int, ...]], Any]] = WeakKeyDictionary()


def _tokens(llguidance: Any, tokenizer: Any, vocabulary: int, stop_ids: tuple[int, ...]) -> Any:
    from llguidance.hf import from_tokenizer

    own = _known.setdefault(tokenizer, {})
    key = (vocabulary, stop_ids)
    if key not in own:
        try:
            # A head may be wider than the tokenizer, for alignment, but never narrower.
            own[key] = from_tokenizer(tokenizer, n_vocab=vocabulary, eos_token=list(stop_ids))
        except ValueError as error:
            raise ModelError(f"this tokenizer does not support --constrained: {error}") from None
    return own[key]


def _llguidance() -> Any:
    try:
        import llguidance
    except ImportError:
        raise InputError(
            'constrained sampling needs a package: pip install "selfedit[constrained]"'
        ) from None
    return llguidance
