"""A bank of K LoRA adapters over one frozen model (Hu et al., arXiv 2106.09685).

All weights are in one tensor [K, P]; each linear module's A [K, in, r] and B [K, r, out] are views
of it. One forward pass serves all adapters: the base model multiplies every token once, each
adapter adds its own `x A B * alpha / r` to its own tokens (`Routing`).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from selfedit.config import LoraSettings
from selfedit.lora.groups import LowRankGroups, takes_groups
from selfedit.lora.initial import draw_adapters
from selfedit.lora.low_rank import LowRank, LowRankRuns
from selfedit.lora.routing import Routing
from selfedit.lora.targets import Target, find_targets, first_layer


class AdapterBank:
    """K adapters of one shape over `model`, initialised as PEFT does: A uniform, B zero.

    weights_KP, gradient_KP: dtype `dtype` (float32 on half-precision models), on the model's device.
    targets: modules to adapt, if others than the settings name. The base model is never changed:
    `attached()` adds hooks to its linear modules and removes them.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        settings: LoraSettings,
        seeds: Sequence[int],
        *,
        num_layers: int,
        dtype: torch.dtype | None = None,
        targets: Sequence[Target] | None = None,
    ) -> None:
        self.model, self.settings = model, settings
        self.seeds = list(seeds)
        self.targets = list(targets or find_targets(model, settings, num_layers))
        self.first_layer = first_layer(self.targets)
        reference = self.targets[0].weight
        if dtype is None:
            dtype = torch.float64 if reference.dtype == torch.float64 else torch.float32
        last = self.targets[-1]
        size = last.offset + last.size(settings.rank)
        weights_KP = torch.zeros(len(self.seeds), size, dtype=dtype, device=reference.device)
        self._hold(weights_KP)
        parts = [(target.offset, target.fan_in, settings.rank) for target in self.targets]
        draw_adapters(weights_KP, self.seeds, parts)

    def _hold(self, weights_KP: Tensor) -> None:
        self.weights_KP = weights_KP
        self.gradient_KP: Tensor | None = None
        self.routing: Routing | None = None
        self.dropout: list[torch.Generator] | None = None
        self._gathered: tuple[Tensor, Tensor] | None = None
        self._places: dict[str, tuple[Tensor, Tensor]] = {}
        self._copied: tuple[int, dict[str, tuple[Tensor, Tensor]]] | None = None
        dtype = self.targets[0].weight.dtype
        self.takes_groups = takes_groups(weights_KP.device, dtype, self.settings, self.targets)
        self.factors = {target.name: self._views(self.weights_KP, target) for target in self.targets}

    def like(self, num_adapters: int, model: nn.Module) -> AdapterBank:
        """A bank of this shape with all-zero adapters, over a model with the same modules."""
        other = self.over(model)
        other.seeds = [0] * num_adapters
        other._hold(self.weights_KP.new_zeros(num_adapters, self.weights_KP.shape[1]))
        return other

    def over(self, model: nn.Module) -> AdapterBank:
        """The same adapters (shared memory) over a model with the same modules."""
        other = copy.copy(self)
        other.model = cast(PreTrainedModel, model)
        modules = dict(model.named_modules())
        other.targets = [
            Target(target.name, modules[target.name], target.offset) for target in self.targets
        ]
        other._hold(self.weights_KP)
        return other

    @property
    def num_adapters(self) -> int:
        return len(self.seeds)

    @property
    def scaling(self) -> float:
        return self.settings.alpha / self.settings.rank

    def _views(self, rows_KP: Tensor, target: Target) -> tuple[Tensor, Tensor]:
        """Views A [K, in, r] and B [K, r, out] of a target's part of rows [K, P]."""
        rank, fan_in = self.settings.rank, target.fan_in
        middle = target.offset + fan_in * rank
        end = target.offset + target.size(rank)
        down = rows_KP[:, target.offset : middle].view(-1, fan_in, rank)
        up = rows_KP[:, middle:end].view(-1, rank, target.fan_out)
        return down, up

    def route(
        self, owners: Sequence[int], lengths: Sequence[int], row_width: int | None = None
    ) -> None:
        """The model's next input is made of these runs of tokens (see `Routing.of_lengths`)."""
        self.routing = Routing.of_lengths(
            owners,
            lengths,
            self.num_adapters,
            self.weights_KP.device,
            row_width,
            # Grouped products have no gradient for what passes through frozen adapters.
            groups=self.takes_groups and not (torch.is_grad_enabled() and self.gradient_KP is None),
        )

    def require_gradients(self) -> None:
        """From now on a backward pass writes each factor's gradient into `gradient_KP`.

        Written, not added: there is one backward pass per step. Rows of adapters that do not take part
        keep their values.
        """
        self.gradient_KP = torch.zeros_like(self.weights_KP)
        for target in self.targets:
            self._places[target.name] = self._views(self.gradient_KP, target)
            for factor in self.factors[target.name]:
                factor.requires_grad_()

    def freeze(self) -> None:
        """Drop the gradients: the bank is trained."""
        self.gradient_KP, self._places = None, {}
        self.factors = {target.name: self._views(self.weights_KP, target) for target in self.targets}

    @contextmanager
    def attached(self) -> Iterator[None]:
        """While open, the model's forward pass adds each token's adapter, by `self.routing`."""
        handles = [
            target.linear.register_forward_hook(self._hook(target.name)) for target in self.targets
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
            self.routing = self._gathered = self._copied = None

    def _hook(self, name: str) -> Any:
        def add_update(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
            assert self.routing is not None, "set bank.routing before the forward pass"
            update_TD = self._update(name, args[0], self.routing)
            return output + update_TD.view(output.shape).to(output.dtype)

        return add_update

    def _update(self, name: str, x: Tensor, routing: Routing) -> Tensor:
        if not self._places and x.requires_grad and torch.is_grad_enabled():
            return self._passed(name, x, routing)
        drops = self.dropout is not None and self.settings.dropout > 0
        if routing.ends_K is not None:
            return LowRankGroups.apply(
                x.reshape(-1, x.shape[-1]),
                *self.factors[name],
                *self._in(x.dtype, name),
                self.scaling,
                routing.ends_K,
                self._places.get(name),
            )
        if routing.runs is not None and not drops:
            x_TI = x.reshape(-1, x.shape[-1])
            return LowRankRuns.apply(
                x_TI, *self.factors[name], self.scaling, routing.runs, self._places.get(name)
            )
        x_KSI = self._gather(x, routing)
        if drops:
            x_KSI = x_KSI * self._dropout_mask(x_KSI, routing)
        y_KSO = LowRank.apply(
            x_KSI,
            *self.factors[name],
            *self._in(x.dtype, name),
            self.scaling,
            routing.slots,
            self._places.get(name),
        )
        return routing.scatter(y_KSO, x[..., 0].numel())

    def _passed(self, name: str, x: Tensor, routing: Routing) -> Tensor:
        """The update of frozen adapters, through which gradients of x pass to what is trained below."""
        x_KSI = self._gather(x, routing)
        down, up = (_chosen(factor, routing) for factor in self._in(x.dtype, name))
        y_KSO = torch.bmm(torch.bmm(x_KSI, down) * self.scaling, up)
        return routing.scatter(y_KSO, x[..., 0].numel())

    def _in(self, dtype: torch.dtype, name: str) -> tuple[Tensor, Tensor]:
        """A and B of a module in the activations' precision: the whole bank is converted at once, and
        again after it has learned."""
        if dtype == self.weights_KP.dtype:
            down, up = self.factors[name]
            return down.detach(), up.detach()
        version = self.weights_KP._version
        if self._copied is None or self._copied[0] != version:
            rows_KP = self.weights_KP.detach().to(dtype)
            views = {target.name: self._views(rows_KP, target) for target in self.targets}
            self._copied = (version, views)
        return self._copied[1][name]

    def _gather(self, x: Tensor, routing: Routing) -> Tensor:
        """The grid of x; q, k and v (and gate and up) read one input, gathered once."""
        if self._gathered is not None and self._gathered[0] is x:
            return self._gathered[1]
        grid = routing.gather(x.reshape(-1, x.shape[-1]))
        self._gathered = (x, grid)
        return grid

    def _dropout_mask(self, x_KSI: Tensor, routing: Routing) -> Tensor:
        """Each adapter draws from its own generator, so that its neighbours do not matter.

        It draws per token, in the adapter's own order; gaps of the grid come after the tokens. Drawn
        where the generators are: on the model's device, of which nothing is asked.
        """
        assert self.dropout is not None
        keep = 1 - self.settings.dropout
        device = self.dropout[0].device
        mask = torch.zeros(x_KSI.shape, device=device)
        for slot, (owner, count) in enumerate(zip(routing.owners, routing.filled, strict=True)):
            shape = (count, x_KSI.shape[-1])
            draw = torch.rand(shape, generator=self.dropout[owner], device=device)
            mask[slot, :count] = (draw < keep).float() / keep
        return mask.to(x_KSI)


def _chosen(factor_KIR: Tensor, routing: Routing) -> Tensor:
    """The factors of the adapters that take part."""
    return factor_KIR if routing.slots is None else factor_KIR.index_select(0, routing.slots)
