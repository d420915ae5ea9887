"""Decoding without a cache: each step reads the whole text again.

Slow, but right for every causal model; it serves those whose cache or whose handling of pads on the
left gives something else (RWKV keeps a state of its own kind, and knows no pads).
"""

from __future__ import annotations

from collections.abc import Sequence
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from selfedit.forward.cache import GrowingLayer, growing_cache
from selfedit.forward.memory import is_out_of_memory
from selfedit.forward.packed import Decoder, close
from selfedit.lora.bank import AdapterBank


class RecomputedSteps:
    """Steps over the texts themselves (see `decode_step.Steps`). owners: each text's adapter."""

    def __init__(
        self,
        decoder: Decoder,
        texts: Sequence[Sequence[int]],
        bank: AdapterBank | None,
        owners: Sequence[int],
    ) -> None:
        self._decoder, self._bank = decoder, bank
        self._texts, self._owners = [list(text) for text in texts], list(owners)

    def first(self) -> Tensor:
        """Logits [N, V] after each text."""
        lengths = [len(text) for text in self._texts]
        if self._bank is not None:
            width = self._decoder.row_width(self._texts)
            self._bank.route(self._owners, lengths, row_width=width)
        hidden_TD = self._decoder.hidden(self._texts)
        ends = torch.tensor(lengths, device=hidden_TD.device).cumsum(0) - 1
        return self._decoder.head.logits(hidden_TD[ends])

    def __call__(self, keep: Sequence[int], tokens: Sequence[int]) -> Tensor:
        self._texts = [[*self._texts[n], token] for n, token in zip(keep, tokens, strict=True)]
        self._owners = [self._owners[n] for n in keep]
        return self.first()


# What was found out about each model; its weights do not change.
_takes_cache: WeakKeyDictionary[Decoder, bool] = WeakKeyDictionary()


def takes_cache(decoder: Decoder) -> bool:
    """Whether decoding with a cache and pads on the left gives what recomputing gives: probed once,
    while no adapter is attached to the model.

    Not probed where attention alone joins the tokens of a text and is known to be ours to arrange.
    """
    if decoder not in _takes_cache:
        _takes_cache[decoder] = _is_plain(decoder) or _try_cache(decoder)
    return _takes_cache[decoder]


def _is_plain(decoder: Decoder) -> bool:
    layers = growing_cache(decoder.model.config).layers
    return decoder.packs() and all(type(layer) is GrowingLayer for layer in layers)


def _try_cache(decoder: Decoder) -> bool:
    from selfedit.model.decode_step import GrowingSteps
    from selfedit.model.prefill import prefill

    texts = [(3, 5, 7), (2, 4, 6, 8)]
    new = [([0, 1], [1, 2]), ([0, 1], [3, 4]), ([0], [5])]  # the second text leaves at the third step
    try:
        with decoder.probing():
            cache = growing_cache(decoder.model.config)
            logits, mask = prefill(decoder, texts, cache)
            steps = GrowingSteps(decoder, cache, mask, None, [0, 0])
            again = RecomputedSteps(decoder, texts, None, [0, 0])
            return close(logits, again.first()) and all(
                close(steps(*step), again(*step)) for step in new
            )
    except Exception as error:
        if is_out_of_memory(error):
            raise
        # An architecture may refuse in any way it likes; recomputing is always right.
        return False
