"""Activation checkpointing over decoder layers (Chen et al., arXiv 1604.06174).

Only each layer's input is kept for the backward pass, where the rest is recomputed. The second forward
pass must see the same surroundings (hooks, contexts, random generators) as the first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


class Checkpointed(nn.Module):
    """Stands in for a layer. surroundings(): context manager around the second forward pass.

    generators: sources of the layer's random draws; the second pass draws the same numbers.
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
