"""Adapters in memory: loaded when a question concerns them, a bounded number at a time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

from selfedit.seams import Adapters, Model

# Adapters that are held at a time. One of the embedded model's (rank 32, all linear modules of the
# upper half, float32) takes 20 MB, and questions with more of them are asked in several batches.
MOST = 8

Mix = tuple[tuple[str, float], ...]  # names of adapters, each with its weight


class Loaded:
    """The last used adapters, by name. load: reads one; a bank of one."""

    def __init__(self, model: Model, load: Callable[[str], Adapters], most: int = MOST) -> None:
        self.model, self.most = model, most
        self._load = load
        self._held: OrderedDict[str, Adapters] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def bank(self, mixes: Sequence[Mix]) -> Adapters:
        """A bank with an adapter for each mix. They name `most` adapters at most, or are one mix."""
        names = list(dict.fromkeys(name for mix in mixes for name, _ in mix))
        held = [self._get(name) for name in names]
        if len(mixes) == 1 and mixes[0] == ((names[0], 1.0),):
            return held[0]
        place = {name: i for i, name in enumerate(names)}
        return self.model.combine(held, [{place[name]: w for name, w in mix} for mix in mixes])

    def batches(self, mixes: Sequence[Mix]) -> list[list[Mix]]:
        """The mixes, each once, in groups that name at most `most` adapters together."""
        groups: list[list[Mix]] = []
        names: set[str] = set()
        for mix in dict.fromkeys(mixes):
            own = {name for name, _ in mix}
            if not groups or len(names | own) > self.most:
                groups.append([])
                names = set()
            groups[-1].append(mix)
            names |= own
        return groups

    def _get(self, name: str) -> Adapters:
        if name in self._held:
            self._held.move_to_end(name)
            return self._held[name]
        adapters = self._load(name)
        self._held[name] = adapters
        while len(self._held) > self.most:
            self._held.popitem(last=False)
        return adapters


def by_owner(mixes: Mapping[int, Mix], group: Sequence[Mix]) -> tuple[list[int], list[int]]:
    """Places of the questions whose mix is in the group, and each one's adapter in the group's bank."""
    owner = {mix: k for k, mix in enumerate(group)}
    places = [place for place, mix in mixes.items() if mix in owner]
    return places, [owner[mixes[place]] for place in places]
