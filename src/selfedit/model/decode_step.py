"""One step of the decoding loop: logits after each row's newest token, for the rows that continue.

`GrowingSteps` lets a row leave the batch at once and reads the keys and values that are there: best
where a step's time is its arithmetic. `FixedSteps` keeps shapes and addresses from step to step, so
that a CUDA graph can repeat it: best where launching kernels takes longer than running them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol
from weakref import WeakKeyDictionary, WeakSet

import torch
from torch import Tensor
from transformers import DynamicCache

from selfedit.forward.attention import padded_left
from selfedit.forward.cache import FixedLayer, GrowingLayer, growing_cache, select_rows
from selfedit.forward.memory import is_out_of_memory
from selfedit.forward.packed import Decoder, close
from selfedit.forward.transfer import send
from selfedit.lora.bank import AdapterBank
from selfedit.model.cuda_graph import CaptureFailed, Graph, GraphedStep
from selfedit.model.prefill import route_rows
from selfedit.model.recompute import takes_cache

# A graphed step of up to this many rows takes about as long as reading the weights (an H100 does 230
# products of bfloat16 in the time in which it reads one): fewer rows gain less than a new graph costs.
FEW_ROWS = 128
# The room is a multiple of this: PyTorch's attention copies masks of other widths, in every layer.
_ALIGNED = 8


class Steps(Protocol):
    """The steps of one batch, whose prompts the cache holds."""

    def __call__(self, keep: Sequence[int], tokens: Sequence[int]) -> Tensor:
        """Logits [N', V], good until the next call.

        keep: which of the last call's rows (at first: of the batch) continue, ascending. tokens: the
        newest token of each of them.
        """


class GrowingSteps:
    """Steps over the true length, without rows that have ended.

    mask_NS: int64, 1 where the cache holds a token of the row, 0 at pads. owners: each row's adapter.
    """

    def __init__(
        self,
        decoder: Decoder,
        cache: DynamicCache,
        mask_NS: Tensor,
        bank: AdapterBank | None,
        owners: Sequence[int],
    ) -> None:
        self._decoder, self._cache, self._bank = decoder, cache, bank
        self._mask, self._position = mask_NS, mask_NS.sum(1, keepdim=True) - 1
        self._owners = list(owners)

    def __call__(self, keep: Sequence[int], tokens: Sequence[int]) -> Tensor:
        device = self._decoder.device
        if len(keep) < len(self._owners):
            index = send(torch.tensor(keep), device)
            select_rows(self._cache.layers, index)
            self._mask, self._position = self._mask[index], self._position[index]
            self._owners = [self._owners[n] for n in keep]
        self._mask = torch.cat([self._mask, self._mask.new_ones(len(keep), 1)], dim=1)
        self._position = self._position + 1
        if self._bank is not None:
            route_rows(self._bank, self._owners, 1)
        output = self._decoder.model(
            input_ids=send(torch.tensor(tokens), device)[:, None],
            attention_mask=self._mask,
            position_ids=self._position,
            use_cache=True,
            **{self._decoder.cache_name: self._cache},
        )
        return output.logits[:, -1]


class FixedSteps:
    """Steps over the whole room, with buffers of fixed shape and address, from a graph if one can be
    made.

    Rows that have ended idle in the batch until at most half of it is live; then it is compacted, and
    a new graph is made: few graphs, since small batches are left as they are (`FEW_ROWS`).

    mask_NS, owners: as in `GrowingSteps`. new: most tokens that a row will get. graph: makes a graph;
    None: run eagerly. status: told if no graph could be made; `takes_fixed_steps` then says no.
    """

    def __init__(
        self,
        decoder: Decoder,
        cache: DynamicCache,
        mask_NS: Tensor,
        bank: AdapterBank | None,
        owners: Sequence[int],
        *,
        new: int,
        graph: Callable[[], Graph] | None,
        status: Callable[[str], None],
    ) -> None:
        self._decoder, self._cache, self._bank = decoder, cache, bank
        self._make_graph, self._status = graph, status
        rows, self._end = mask_NS.shape
        room = -(-(self._end + new) // _ALIGNED) * _ALIGNED
        self._place = torch.zeros(1, dtype=torch.int64, device=mask_NS.device)
        for i, layer in enumerate(cache.layers):
            assert isinstance(layer, GrowingLayer)
            cache.layers[i] = FixedLayer(layer, room, self._place)
        # Added to the scores, which both of transformers' own kinds of attention take; one of flags is
        # converted in every layer.
        dtype = decoder.model.dtype
        self._seen, self._hidden = 0.0, torch.finfo(dtype).min
        self._mask = torch.full((rows, 1, 1, room), self._hidden, dtype=dtype, device=mask_NS.device)
        self._mask[:, 0, 0, : self._end].masked_fill_(mask_NS.bool(), self._seen)
        self._positions = mask_NS.sum(1).tolist()
        self._owners = list(owners)
        self._live = list(range(rows))
        self._begin()

    def __call__(self, keep: Sequence[int], tokens: Sequence[int]) -> Tensor:
        self._live = [self._live[n] for n in keep]
        worth_it = self._graphed is None or len(self._owners) > FEW_ROWS
        if worth_it and 2 * len(self._live) <= len(self._owners):
            self._compact()
        # Idle rows get token 0 at position 0, which every model has.
        given = [[0] * len(self._owners), [0] * len(self._owners)]
        for n, token in zip(self._live, tokens, strict=True):
            given[0][n], given[1][n] = token, self._positions[n]
            self._positions[n] += 1
        self._inputs.copy_(send(torch.tensor(given)[:, :, None], self._inputs.device))
        self._place.fill_(self._end)
        self._mask.select(3, self._end).fill_(self._seen)
        self._end += 1
        logits_NV = self._run()
        if len(self._live) == len(self._owners):
            return logits_NV
        return logits_NV.index_select(0, send(torch.tensor(self._live), logits_NV.device))

    def _begin(self) -> None:
        """Everything that stays the same while the batch has these rows, except the cache and the
        mask."""
        device = self._mask.device
        self._inputs = torch.zeros(2, len(self._owners), 1, dtype=torch.int64, device=device)
        if self._bank is not None:
            route_rows(self._bank, self._owners, 1)
            self._routing = self._bank.routing  # held: a graph reads its tensors by their addresses
        self._graphed: GraphedStep | None = None
        if self._make_graph is not None:
            self._graphed = GraphedStep(self._make_graph(), known=self._decoder in _graphs_are_right)

    def _compact(self) -> None:
        self._graphed = None  # frees its memory before the next graph is made
        index = send(torch.tensor(self._live), self._mask.device)
        select_rows(self._cache.layers, index)
        self._mask = self._mask.index_select(0, index)
        self._positions = [self._positions[n] for n in self._live]
        self._owners = [self._owners[n] for n in self._live]
        self._live = list(range(len(self._live)))
        self._begin()

    def _run(self) -> Tensor:
        if self._graphed is None:
            return self._forward()
        try:
            logits_NV = self._graphed(self._forward)
            if self._graphed.is_captured:
                _graphs_are_right.add(self._decoder)
            return logits_NV
        except CaptureFailed as failure:
            self._status(f"writing without CUDA graphs, which is slower: {failure}")
            _takes_fixed_steps[self._decoder] = False
            self._graphed = self._make_graph = None
        return self._forward()  # again: a graph that failed may have written wrong keys

    def _forward(self) -> Tensor:
        """Logits [N, V]. Nothing here depends on the step but what the buffers hold, and nothing waits
        for the device: this is what is captured."""
        if self._bank is not None:
            self._bank.routing = self._routing
        return self._decoder.model(
            input_ids=self._inputs[0],
            attention_mask=self._mask,
            position_ids=self._inputs[1],
            past_key_values=self._cache,
            use_cache=True,
        ).logits[:, -1]


# What was found out about each model; its weights do not change.
_takes_fixed_steps: WeakKeyDictionary[Decoder, bool] = WeakKeyDictionary()
_graphs_are_right: WeakSet[Decoder] = WeakSet()


def takes_fixed_steps(decoder: Decoder) -> bool:
    """Whether `FixedSteps` give what `GrowingSteps` give: probed once, while no adapter is attached to
    the model. False for caches with sliding windows and the like, and once a graph has failed."""
    if decoder not in _takes_fixed_steps:
        plain = all(type(x) is GrowingLayer for x in growing_cache(decoder.model.config).layers)
        _takes_fixed_steps[decoder] = plain and takes_cache(decoder) and _try_fixed_steps(decoder)
    return _takes_fixed_steps[decoder]


def _try_fixed_steps(decoder: Decoder) -> bool:
    ids = torch.tensor([[0, 3, 5, 7], [2, 4, 6, 8]], device=decoder.device)
    mask = torch.ones_like(ids)
    mask[0, 0] = 0
    position = (mask.cumsum(1) - 1).clamp(min=0)
    outputs: list[list[Tensor]] = []
    try:
        with decoder.probing():
            for fixed in (False, True):
                cache = growing_cache(decoder.model.config)
                with padded_left(decoder.model):
                    decoder.stack(
                        input_ids=ids,
                        attention_mask=mask,
                        position_ids=position,
                        past_key_values=cache,
                        use_cache=True,
                    )
                steps: Steps = GrowingSteps(decoder, cache, mask, None, [0, 0])
                if fixed:
                    steps = FixedSteps(
                        decoder, cache, mask, None, [0, 0], new=3, graph=None, status=lambda text: None
                    )
                outputs.append([steps([0, 1], [1, 2]), steps([0, 1], [3, 4]), steps([0], [5])])
        return all(close(a, b) for a, b in zip(*outputs, strict=True))
    except Exception as error:
        if is_out_of_memory(error):
            raise
        # An architecture may refuse in any way it likes; growing steps are always right.
        return False
