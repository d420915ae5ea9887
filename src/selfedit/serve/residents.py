"""The adapters that a running batch holds, side by side in one bank over its model."""

from __future__ import annotations

from collections.abc import Collection

import torch

from selfedit.lora.bank import AdapterBank
from selfedit.lora.combine import combined
from selfedit.model.language_model import LanguageModel


class Residents:
    """Adapters by name, each at its place in `bank`. most: places.

    An adapter of the same shape takes the place of one that is not used; one of another shape has the
    bank made anew.
    """

    def __init__(self, model: LanguageModel, most: int) -> None:
        self.model, self.most = model, most
        self.bank: AdapterBank | None = None
        self._one: dict[str, AdapterBank] = {}  # each by itself, a bank of one
        self._place: dict[str, int] = {}

    def place(self, name: str) -> int:
        """Which adapter of the bank that is; it may change when another one is added."""
        return self._place[name]

    def can_add(self, name: str, used: Collection[str]) -> bool:
        """Whether there is a place for it while those are used."""
        return name in self._place or len(set(used)) < self.most

    def add(self, name: str, one: AdapterBank, used: Collection[str]) -> None:
        """Hold an adapter, a bank of one, besides those that are used."""
        if name in self._place:
            return
        one = self.model.reading(one)
        with torch.inference_mode(False), torch.no_grad():
            free = [own for own in self._place if own not in used]
            if self.bank is not None and free and _same_shape(self.bank, one):
                place = self._place.pop(free[0])
                del self._one[free[0]]
                self.bank.weights_KP[place] = one.weights_KP[0]
            else:
                self._make(name, one, free)
                return
        self._one[name], self._place[name] = one, place

    def _make(self, name: str, one: AdapterBank, free: list[str]) -> None:
        """A bank of all that are held and the new one; the oldest of those that are not used leave."""
        spare = len(self._place) + 1 - self.most
        for own in free[: max(0, spare)]:
            del self._one[own]
        self._one[name] = one
        banks = list(self._one.values())
        mixes = [{place: 1.0} for place in range(len(banks))]
        self.bank = combined(banks, mixes, num_layers=self.model.num_layers).over(self.model.hf)
        self._place = {own: place for place, own in enumerate(self._one)}


def _same_shape(bank: AdapterBank, one: AdapterBank) -> bool:
    names = [[target.name for target in own.targets] for own in (bank, one)]
    return bank.settings.digest() == one.settings.digest() and names[0] == names[1]
