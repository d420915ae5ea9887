"""Forward passes over packed sequences: no padding in any matrix product of the base model.

N sequences stand end to end in one row of T tokens. Only attention has to know where they end
(`attention.py`). `Decoder` probes whether an architecture supports that (and starting at a layer above
the first), and falls back to padded rows if it does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import (
    DynamicCache,
    PreTrainedModel,
)

from selfedit.forward.attention import attending
from selfedit.forward.cache import growing_cache, select_rows
from selfedit.forward.checkpointing import Checkpointed
from selfedit.forward.linear import same_weights
from selfedit.forward.memory import is_out_of_memory


class _TrunkReached(Exception):
    def __init__(self, hidden: Tensor) -> None:
        self.hidden = hidden


class _PassThrough(nn.Module):
    """Stands in for a layer below the first one that is to run."""

    def forward(self, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return hidden_states


class Decoder:
    """The decoder stack of a causal LM: token ids, or states entering a layer -> final states."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        self.stack: Any = model.get_decoder()
        self.layers_name, self.layers = self._find_layers()
        self._packs: bool | None = None
        self._trunk_ok: dict[int, bool] = {}
        self._shares: dict[int, bool] = {}
        self._checkpointing: Sequence[torch.Generator] | None = None

    def _find_layers(self) -> tuple[str, nn.ModuleList]:
        for name, child in self.stack.named_children():
            if isinstance(child, nn.ModuleList) and len(child) > 0:
                return name, child
        raise NotImplementedError(f"{type(self.stack).__name__} has no list of layers")

    def beside(self) -> Decoder:
        """The same weights behind other modules, to be run by another thread at the same time."""
        other = Decoder(cast(PreTrainedModel, same_weights(self.model)))
        # What one of them finds out holds for all, and is probed once.
        other._packs = self.packs()
        other._trunk_ok, other._shares = self._trunk_ok, self._shares
        return other

    @property
    def device(self) -> torch.device:
        return torch.device(self.model.device)

    def packs(self) -> bool:
        """Whether packed sequences give what padded rows give; probed once."""
        if self._packs is None:
            ids = self._probe_ids()
            try:
                with torch.no_grad():
                    self._packs = close(self._packed(ids), self._padded(ids))
            except Exception as error:
                _reraise_if_out_of_memory(error)
                # An architecture may refuse in any way it likes; padded rows are always right.
                self._packs = False
        return self._packs

    def has_trunk(self, first_layer: int) -> bool:
        """Whether layers below `first_layer` can be run once and skipped afterwards."""
        if first_layer not in self._trunk_ok:
            self._trunk_ok[first_layer] = first_layer > 0 and self.packs() and self._try(first_layer)
        return self._trunk_ok[first_layer]

    def _try(self, first_layer: int) -> bool:
        ids = self._probe_ids()
        try:
            with torch.no_grad():
                states = self.trunk(ids, first_layer)
                return close(self.resume(states, first_layer), self._packed(ids))
        except Exception as error:
            _reraise_if_out_of_memory(error)
            return False

    def shares_prompts(self, first_layer: int) -> bool:
        """Whether `prefill` gives what each row would give by itself; probed once per layer."""
        if first_layer not in self._shares:
            self._shares[first_layer] = self.has_trunk(first_layer) and self._try_prefill(first_layer)
        return self._shares[first_layer]

    def _try_prefill(self, first_layer: int) -> bool:
        ids = torch.tensor([[0, 3, 5, 7], [2, 4, 6, 8]], device=self.device)
        mask = torch.ones_like(ids)
        mask[0, 0] = 0
        layout = {"attention_mask": mask, "position_ids": (mask.cumsum(1) - 1).clamp(min=0)}
        row = torch.tensor([1, 0, 1], device=self.device)
        both = [growing_cache(self.model.config) for _ in range(2)]
        try:
            with torch.no_grad():
                shared = self.prefill(ids, row, first_layer, both[0], **layout)
                alone = self.stack(
                    input_ids=ids[row],
                    past_key_values=both[1],
                    use_cache=True,
                    **{name: value[row] for name, value in layout.items()},
                ).last_hidden_state
            lengths = [[cache.get_seq_length(i) for i in range(len(self.layers))] for cache in both]
            return close(shared[:, -1], alone[:, -1]) and lengths[0] == lengths[1]
        except Exception as error:
            _reraise_if_out_of_memory(error)
            return False

    def _probe_ids(self) -> list[list[int]]:
        vocabulary = int(self.model.config.get_text_config().vocab_size)
        return [[(7 * i + 3 * j + 1) % vocabulary for i in range(n)] for j, n in enumerate((5, 2, 3))]

    def hidden(self, sequences: Sequence[Sequence[int]]) -> Tensor:
        """Final states [T, D] of the sequences' tokens, end to end."""
        return self._packed(sequences) if self.packs() else self._padded(sequences)

    def row_width(self, sequences: Sequence[Sequence[int]]) -> int | None:
        """Width of the padded rows that `hidden` makes of the sequences; None if it packs them."""
        return None if self.packs() else max(len(sequence) for sequence in sequences)

    @contextmanager
    def checkpointing(self, generators: Sequence[torch.Generator] = ()) -> Iterator[None]:
        """While open, forward passes keep only what enters each layer (`checkpointing.py`).

        generators: what random draws inside the layers come from.
        """
        self._checkpointing = generators
        try:
            yield
        finally:
            self._checkpointing = None

    @contextmanager
    def _layers(self, layers: Sequence[nn.Module]) -> Iterator[None]:
        """While open, the stack runs these layers."""
        setattr(self.stack, self.layers_name, nn.ModuleList(layers))
        try:
            yield
        finally:
            setattr(self.stack, self.layers_name, self.layers)

    def _checkpointed(self, layers: Sequence[nn.Module], lengths: Sequence[int]) -> list[nn.Module]:
        """The layers, checkpointed where that is asked for and gradients are kept."""
        if self._checkpointing is None or not torch.is_grad_enabled():
            return list(layers)
        around = partial(self._packing, lengths)
        return [Checkpointed(layer, around, self._checkpointing) for layer in layers]

    @contextmanager
    def _packing(self, lengths: Sequence[int]) -> Iterator[None]:
        """While open, attention sees packed sequences of these lengths; none: padded rows."""
        if not lengths:
            yield
            return
        with attending(self.model, lengths):
            yield

    def trunk(self, sequences: Sequence[Sequence[int]], first_layer: int) -> list[Tensor]:
        """States entering `first_layer`, [S_i, D] for each sequence."""
        with torch.no_grad():
            hidden = self._entering(first_layer, lambda: self._packed(sequences))
        # clone: the pieces must not keep the whole batch alive
        return [piece.clone() for piece in hidden[0].split([len(ids) for ids in sequences])]

    def resume(self, states: Sequence[Tensor], first_layer: int) -> Tensor:
        """Final states [T, D] from the states that enter `first_layer`."""
        packed = torch.cat(list(states))[None]
        lengths = [len(state) for state in states]
        with self._starting_at(first_layer, packed, lengths):
            return self._run(lengths, inputs_embeds=packed)

    def prefill(
        self, ids_NS: Tensor, row_M: Tensor, first_layer: int, cache: DynamicCache, **layout_N: Tensor
    ) -> Tensor:
        """Final states [M, S, D] of N padded prompts, prompt row_M[m] by the m-th adapter's row.

        Layers below `first_layer` see each prompt once, the others see it in every row; the cache,
        empty before, then holds all M rows. layout_N: attention_mask and position_ids of the N rows.
        """
        hidden_NSD = self._entering(
            first_layer,
            lambda: self.stack(input_ids=ids_NS, past_key_values=cache, use_cache=True, **layout_N),
        )
        lower = cache.layers[:first_layer]
        select_rows(lower, row_M)
        # The mask is made for the cached length of layer 0, which must still be empty.
        cache.layers[:first_layer] = [type(layer)() for layer in lower]
        hidden_MSD = hidden_NSD.index_select(0, row_M)
        layout_M = {name: value.index_select(0, row_M) for name, value in layout_N.items()}
        with self._starting_at(first_layer, hidden_MSD):
            output = self.stack(
                inputs_embeds=hidden_MSD, past_key_values=cache, use_cache=True, **layout_M
            )
        cache.layers[:first_layer] = lower
        return output.last_hidden_state

    def _entering(self, first_layer: int, run: Callable[[], Any]) -> Tensor:
        """The layer's input when `run` runs the stack; neither it nor the layers above are run."""

        def stop(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            raise _TrunkReached(args[0] if args else kwargs["hidden_states"])

        handle = self.layers[first_layer].register_forward_pre_hook(stop, with_kwargs=True)
        try:
            run()
        except _TrunkReached as reached:
            return reached.hidden
        finally:
            handle.remove()
        raise AssertionError("the forward pass did not reach the layer")

    @contextmanager
    def _starting_at(
        self, first_layer: int, hidden: Tensor, lengths: Sequence[int] = ()
    ) -> Iterator[None]:
        """While open, the stack skips the layers below, and `hidden` enters this one.

        lengths: of the packed sequences, where they are packed.
        """

        def enter(
            module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
        ) -> tuple[tuple[Any, ...], dict[str, Any]]:
            # Some decoders scale their input embeddings, so the layer's input is replaced here.
            if args:
                return (hidden, *args[1:]), kwargs
            return args, {**kwargs, "hidden_states": hidden}

        lower = [_PassThrough() for _ in range(first_layer)]
        upper = self._checkpointed(list(self.layers[first_layer:]), lengths)
        handle = upper[0].register_forward_pre_hook(enter, with_kwargs=True)
        try:
            with self._layers([*lower, *upper]):
                yield
        finally:
            handle.remove()

    def _packed(self, sequences: Sequence[Sequence[int]]) -> Tensor:
        flat = [token for sequence in sequences for token in sequence]
        ids = torch.tensor([flat], device=self.device)
        lengths = [len(sequence) for sequence in sequences]
        with self._layers(self._checkpointed(list(self.layers), lengths)):
            return self._run(lengths, input_ids=ids)

    def _run(self, lengths: list[int], **inputs: Tensor) -> Tensor:
        positions = torch.cat([torch.arange(length) for length in lengths])[None].to(self.device)
        with self._packing(lengths):
            output = self.stack(position_ids=positions, use_cache=False, **inputs)
        return output.last_hidden_state[0]

    def _padded(self, sequences: Sequence[Sequence[int]]) -> Tensor:
        """The reference: right-padded rows and an attention mask; the real tokens' states [T, D]."""
        width = max(len(sequence) for sequence in sequences)
        ids = torch.zeros(len(sequences), width, dtype=torch.int64)
        mask = torch.zeros_like(ids)
        for row, sequence in enumerate(sequences):
            ids[row, : len(sequence)] = torch.tensor(list(sequence))
            mask[row, : len(sequence)] = 1
        with self._layers(self._checkpointed(list(self.layers), ())):
            output = self.stack(
                input_ids=ids.to(self.device), attention_mask=mask.to(self.device), use_cache=False
            )
        return output.last_hidden_state[mask.bool().to(self.device)]


def _reraise_if_out_of_memory(error: Exception) -> None:
    """A probe that ran out of memory says nothing about the architecture."""
    if is_out_of_memory(error):
        raise error


def close(a: Tensor, b: Tensor) -> bool:
    """Equal up to rounding: relative norm of the difference, by the states' precision.

    float64 models round to float32 inside (transformers' norms do), hence one bound for both.
    """
    bound = 1e-4 if a.dtype in (torch.float32, torch.float64) else 5e-2
    return bool((a - b).norm() <= bound * b.norm())
