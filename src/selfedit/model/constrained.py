"""Replies that match a regular expression: which tokens may come next, by the package llguidance.

llguidance walks the expression along the bytes of every token of the vocabulary, so a reply may be cut
into tokens in any way that spells a match.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from selfedit.errors import InputError, ModelError


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
        bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        flags = np.unpackbits(bits, bitorder="little").astype(bool)[:vocabulary]
        assert flags.any(), self._matcher.get_error() or "a reply that can go on or end"
        return torch.from_numpy(flags)

    def restart(self) -> None:
        """Start over, as if no token had been taken."""
        self._matcher.reset()

    def take(self, token: int) -> bool:
        """Take an allowed token; False if the reply matches and nothing can be added to it."""
        taken = self._matcher.consume_token(token)
        assert taken, self._matcher.get_error()
        return not self._matcher.is_stopped()


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
