"""Activation checkpointing over decoder layers (Chen et al., arXiv 1604.06174).

Only what enters a layer is kept for the backward pass; the rest is computed once more there. What a
forward pass finds around it (hooks, contexts, random generators) must be found by the second one too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


class Checkpointed(nn.Module):
    """Stands in for a layer. surroundings(): opened around the second forward pass.

    generators: what the layer's random draws come from; the second pass draws the same.
    """

    def __init__(
        self,
        layer: nn.Module,
        surroundings: Callable[[], AbstractContextManager[None]],
        generators: Sequence[torch.Generator],
    ) -> None:
        super().__init__()
        self.layer = layer
        self._surroundings, self._generators = surroundings, generators

    def __getattr__(self, name: str) -> Any:
        """Decoders read attributes of their layers, such as the kind of attention."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("layer"), name)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        states = [generator.get_state() for generator in self._generators]

        @contextmanager
        def again() -> Iterator[None]:
            after = [generator.get_state() for generator in self._generators]
            self._restore(states)
            try:
                with self._surroundings():
                    yield
            finally:
                self._restore(after)

        return checkpoint(
            self.layer,
            *args,
            use_reentrant=False,
            preserve_rng_state=False,
            context_fn=lambda: (_nothing(), again()),
            **kwargs,
        )

    def _restore(self, states: Sequence[torch.Tensor]) -> None:
        for generator, state in zip(self._generators, states, strict=True):
            generator.set_state(state)


@contextmanager
def _nothing() -> Iterator[None]:
    yield
