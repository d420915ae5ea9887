"""Forward passes over packed sequences: no padding in any matrix product of the base model.

N sequences stand end to end in one row of T tokens. Only attention has to know where they end
(`attention.py`). `Decoder` probes whether an architecture supports that (and starting at a layer above
the first), and falls back to padded rows if it does not.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property, partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import (
    DynamicCache,
    PreTrainedModel,
)

from selfedit.errors import ModelError
from selfedit.forward.attention import Packing, attending, padded_left
from selfedit.forward.cache import growing_cache, select_rows
from selfedit.forward.checkpointing import Checkpointed
from selfedit.forward.head import Head, find_head
from selfedit.forward.linear import plain_linears, same_weights
from selfedit.forward.memory import is_out_of_memory
from selfedit.forward.transfer import send

_CACHE_NAMES = ("past_key_values", "cache_params")


class _TrunkReached(Exception):
    def __init__(self, hidden: Tensor) -> None:
        self.hidden = hidden


class _PassThrough(nn.Module):
    """Stands in for a layer below the first one that is to run."""

    def forward(self, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return hidden_states


def find_layers(model: PreTrainedModel) -> tuple[str, nn.ModuleList]:
    """The decoder stack's list of layers and its name there. Raises ModelError if it has none."""
    stack: Any = model.get_decoder()
    lists = [
        (name, child)
        for name, child in stack.named_children()
        if isinstance(child, nn.ModuleList) and len(child) > 0
    ]
    depth = getattr(model.config.get_text_config(), "num_hidden_layers", None)
    found = next((own for own in lists if len(own[1]) == depth), next(iter(lists), None))
    if found is None:
        raise ModelError(
            f"{type(stack).__name__} has no list of decoder layers: models of this kind are not "
            "supported."
        )
    return found


class Decoder:
    """The decoder stack of a causal LM: token ids, or states entering a layer -> final states.

    window: tokens that the narrowest sliding window of its layers holds, None without one; longer
    sequences are not packed. status: told if the architecture cannot be packed.
    """

    def __init__(
        self, model: PreTrainedModel, status: Callable[[str], None] = lambda text: None
    ) -> None:
        self.model, self.status = model, status
        self.stack: Any = model.get_decoder()
        self.layers_name, self.layers = find_layers(model)
        self.window = _narrowest_window(model)
        self._head: Head | None = None
        self._packs: bool | None = None
        self._trunk_ok: dict[int, bool] = {}
        self._shares: dict[int, bool] = {}
        self._checkpointing: Sequence[torch.Generator] | None = None

    @property
    def head(self) -> Head:
        """From final states to logits; found out once. Raises ModelError for heads of another kind."""
        if self._head is None:
            self._head = find_head(self.model, self.stack)
        return self._head

    @cached_property
    def cache_name(self) -> str:
        """The argument by which the model takes a cache; Mamba has a name of its own for it."""
        known = inspect.signature(self.model.forward).parameters
        return next((name for name in _CACHE_NAMES if name in known), _CACHE_NAMES[0])

    def beside(self) -> Decoder:
        """The same weights behind other modules, to be run by another thread at the same time."""
        other = Decoder(cast(PreTrainedModel, same_weights(self.model)), self.status)
        # What one of them finds out holds for all, and is probed once.
        other._packs, other._head = self.packs(), self.head
        other._trunk_ok, other._shares = self._trunk_ok, self._shares
        return other

    @property
    def device(self) -> torch.device:
        return torch.device(self.model.device)

    def packs(self, longest: int = 1) -> bool:
        """Whether packed sequences of up to this many tokens give what padded rows give: for short ones
        probed once."""
        if self._packs is None:
            self._packs = self._try_packing()
        return self._packs and (self.window is None or longest <= self.window)

    def _try_packing(self) -> bool:
        ids = self._probe_ids()
        try:
            with self.probing():
                apart = distance(self._packed(ids), self._padded(ids))
        except Exception as error:
            _reraise_if_out_of_memory(error)
            # An architecture may refuse in any way it likes; padded rows are always right.
            # What a layer stumbles over (an argument, a size it has not) tells a user nothing.
            refused = isinstance(error, NotImplementedError) and str(error).strip()
            self._say(refused or "its layers do not take packed ones")
            return False
        if not apart <= rounding(self.model.dtype):
            self._say(f"packed states differ from padded ones by {apart:.1%}")
            return False
        return True

    @contextmanager
    def probing(self) -> Iterator[None]:
        """While open, products are the model's own: mixed ones round too much for `close`."""
        with torch.no_grad(), plain_linears(self.model):
            yield

    def _say(self, reason: str) -> None:
        self.status(f"sequences of this architecture are padded, which is slower: {reason}")

    def _tried(self, probe: Callable[[int], bool], first_layer: int, without: str) -> bool:
        """Whether the probe succeeds; what is done `without` it is said."""
        works = probe(first_layer)
        if not works:
            self.status(f"{without}, which is slower: this architecture gives other states otherwise")
        return works

    def has_trunk(self, first_layer: int, longest: int = 1) -> bool:
        """Whether layers below `first_layer` can be run once and skipped afterwards, for sequences of
        up to this many tokens."""
        if first_layer not in self._trunk_ok:
            without = "all layers run in every step of training"
            self._trunk_ok[first_layer] = (
                first_layer > 0 and self.packs() and self._tried(self._try, first_layer, without)
            )
        return self._trunk_ok[first_layer] and self.packs(longest)

    def _try(self, first_layer: int) -> bool:
        ids = self._probe_ids()
        try:
            with self.probing():
                states = self.trunk(ids, first_layer)
                return close(self.resume(states, first_layer), self._packed(ids))
        except Exception as error:
            _reraise_if_out_of_memory(error)
            return False

    def shares_prompts(self, first_layer: int) -> bool:
        """Whether `prefill` gives what each row would give by itself; probed once per layer."""
        if first_layer not in self._shares:
            without = "each adapter reads its prompts by itself"
            self._shares[first_layer] = self.has_trunk(first_layer) and self._tried(
                self._try_prefill, first_layer, without
            )
        return self._shares[first_layer]

    def _try_prefill(self, first_layer: int) -> bool:
        ids = torch.tensor([[0, 3, 5, 7], [2, 4, 6, 8]], device=self.device)
        mask = torch.ones_like(ids)
        mask[0, 0] = 0
        layout = {"attention_mask": mask, "position_ids": (mask.cumsum(1) - 1).clamp(min=0)}
        row = torch.tensor([1, 0, 1], device=self.device)
        both = [growing_cache(self.model.config) for _ in range(2)]
        try:
            with self.probing(), padded_left(self.model):
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
        packs = self.packs(max(map(len, sequences)))
        return self._packed(sequences) if packs else self._padded(sequences)

    def row_width(self, sequences: Sequence[Sequence[int]]) -> int | None:
        """Width of the padded rows that `hidden` makes of the sequences; None if it packs them."""
        longest = max(map(len, sequences))
        return None if self.packs(longest) else longest

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

    def _checkpointed(self, layers: Sequence[nn.Module], packing: Packing | None) -> list[nn.Module]:
        """The layers, checkpointed where that is asked for and gradients are kept."""
        if self._checkpointing is None or not torch.is_grad_enabled():
            return list(layers)
        around = partial(self._attending, packing)
        return [Checkpointed(layer, around, self._checkpointing) for layer in layers]

    def _attending(self, packing: Packing | None) -> AbstractContextManager[None]:
        """While open, attention sees sequences that are packed like this; None: padded rows."""
        return nullcontext() if packing is None else attending(self.model, packing)

    def trunk(self, sequences: Sequence[Sequence[int]], first_layer: int) -> list[Tensor]:
        """States entering `first_layer`, [S_i, D] for each sequence."""
        with torch.no_grad():
            hidden = self._entering(first_layer, lambda: self._packed(sequences))
        # clone: the pieces must not keep the whole batch alive
        return [piece.clone() for piece in hidden[0].split([len(ids) for ids in sequences])]

    def resume(self, states: Sequence[Tensor], first_layer: int) -> Tensor:
        """Final states [T, D] from the states that enter `first_layer`."""
        packed = torch.cat(list(states))[None]
        packing = Packing.of([len(state) for state in states], self.model)
        with self._starting_at(first_layer, packed, packing):
            return self._run(packing, inputs_embeds=packed)

    def prefill(
        self, ids_NS: Tensor, row_M: Tensor, first_layer: int, cache: DynamicCache, **layout_N: Tensor
    ) -> Tensor:
        """Final states [M, S, D] of N padded prompts, prompt row_M[m] by the m-th adapter's row.

        Layers below `first_layer` see each prompt once, the others see it in every row; the cache,
        empty before, then holds all M rows. layout_N: attention_mask and position_ids of the N rows.
        """
        with padded_left(self.model):
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
        with self._starting_at(first_layer, hidden_MSD), padded_left(self.model):
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
        self, first_layer: int, hidden: Tensor, packing: Packing | None = None
    ) -> Iterator[None]:
        """While open, the stack skips the layers below, and `hidden` enters this one."""

        def enter(
            module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
        ) -> tuple[tuple[Any, ...], dict[str, Any]]:
            # Some decoders scale their input embeddings, so the layer's input is replaced here.
            if args:
                return (hidden, *args[1:]), kwargs
            return args, {**kwargs, "hidden_states": hidden}

        lower = [_PassThrough() for _ in range(first_layer)]
        upper = self._checkpointed(list(self.layers[first_layer:]), packing)
        handle = upper[0].register_forward_pre_hook(enter, with_kwargs=True)
        try:
            with self._layers([*lower, *upper]):
                yield
        finally:
            handle.remove()

    def _packed(self, sequences: Sequence[Sequence[int]]) -> Tensor:
        flat = [token for sequence in sequences for token in sequence]
        ids = send(torch.tensor([flat]), self.device)
        packing = Packing.of([len(sequence) for sequence in sequences], self.model)
        with self._layers(self._checkpointed(list(self.layers), packing)):
            return self._run(packing, input_ids=ids)

    def _run(self, packing: Packing, **inputs: Tensor) -> Tensor:
        positions = torch.cat([torch.arange(length) for length in packing.lengths])[None]
        with attending(self.model, packing):
            output = self.stack(position_ids=send(positions, self.device), use_cache=False, **inputs)
        return output.last_hidden_state[0]

    def _padded(self, sequences: Sequence[Sequence[int]]) -> Tensor:
        """The reference: right-padded rows and an attention mask; the real tokens' states [T, D]."""
        width = max(len(sequence) for sequence in sequences)
        ids = torch.zeros(len(sequences), width, dtype=torch.int64)
        mask = torch.zeros_like(ids)
        for row, sequence in enumerate(sequences):
            ids[row, : len(sequence)] = torch.tensor(list(sequence))
            mask[row, : len(sequence)] = 1
        real = mask.flatten().nonzero()[:, 0]  # found here: on a device that would be a wait
        with self._layers(self._checkpointed(list(self.layers), None)):
            states_NSD = self.stack(
                input_ids=send(ids, self.device),
                attention_mask=send(mask, self.device),
                use_cache=False,
            ).last_hidden_state
        return states_NSD.flatten(0, 1).index_select(0, send(real, self.device))


def _reraise_if_out_of_memory(error: Exception) -> None:
    """A probe that ran out of memory says nothing about the architecture."""
    if is_out_of_memory(error):
        raise error


def _narrowest_window(model: PreTrainedModel) -> int | None:
    try:
        layers = DynamicCache(config=model.config).layers
    except Exception:
        return None  # a cache of another kind, or none; packing is probed
    windows = [getattr(layer, "sliding_window", None) for layer in layers]
    return min((int(window) for window in windows if window), default=None)


def close(a: Tensor, b: Tensor) -> bool:
    """Equal up to rounding, by the states' precision."""
    return bool((a - b).norm() <= rounding(a.dtype) * b.norm())


def distance(a: Tensor, b: Tensor) -> float:
    """Norm of the difference, relative to that of b."""
    return float((a - b).norm() / b.norm())


def rounding(dtype: torch.dtype) -> float:
    """The largest `distance` of states that differ in the order of their sums alone.

    float64 models round to float32 inside (transformers' norms do), hence one bound for both. In half
    precision another order moves the states of a deep model by 5 %, a forgotten border of a sequence by
    half of their norm (tests/forward/test_probe.py).
    """
    return 1e-4 if dtype in (torch.float32, torch.float64) else 0.2
