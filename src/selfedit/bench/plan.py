"""What `bench inner` is asked to run: which ways, at which widths, on how many of the edits."""

from __future__ import annotations

from dataclasses import dataclass

from selfedit.bench.ways import DEFAULT_KINDS, Kind, Way

# Packed banks, as the product trains them; the last saves memory.
PRODUCTS: tuple[Kind, ...] = ("packed", "trunk", "threads", "refilled", "checkpointed")


@dataclass(frozen=True, slots=True)
class InnerBench:
    """What to run. widths: K, the adapters that share a step. repeats: timings of the plain loop and
    the widest bank; the other ways are timed once. peer_edits: all but the widest bank are timed on
    that many of the first edits, in whole waves, 0: on all; the mixed batch has no more of them in a
    step. released_edits: edits of the released way, 0: none; released_steps: steps of each that are
    taken, 0: all."""

    edits: int = 4
    widths: tuple[int, ...] = (1, 4)
    kinds: tuple[Kind, ...] = DEFAULT_KINDS
    repeats: int = 2
    peer_edits: int = 0
    released_edits: int = 2
    released_steps: int = 3
    questions: int = 5
    float64: bool = False

    def edits_of(self, way: Way, widest: int) -> int:
        """How many of the edits a way is timed on, always the first ones."""
        if not self.peer_edits or is_widest(way, widest):
            return self.edits
        waves = -(-self.peer_edits // way.wave)
        return min(self.edits, waves * way.wave)


def list_ways(what: InnerBench, trunk: bool, *, workers: int = 1, lane: int = 1) -> list[Way]:
    """The ways of each kind, the banks at each width up to the number of edits.

    trunk: whether there is one. workers: threads that can train side by side. lane: adapters per slot,
    where slots are refilled.
    """
    widths = sorted({min(width, what.edits) for width in what.widths})
    ways = []
    for kind in what.kinds:
        if kind in ("plain", "trainer"):
            ways.append(Way(kind))
        elif kind == "mixed":
            ways.append(Way(kind, min(widths[-1], what.peer_edits or what.edits)))
        elif kind == "checkpointed":
            ways.append(Way(kind, widths[-1]))
        else:
            # One adapter at a time has no padding, unless it trains in batches, and no neighbours; and
            # where each adapter has its own slot, none is refilled.
            least = 1 if kind in ("packed", "trunk") else 2
            most = what.edits - 1 if kind == "refilled" else what.edits
            own = lane if kind == "refilled" else 1
            ways += [Way(kind, width, own) for width in widths if least <= width <= most]
    left_out = {"trunk": not trunk, "threads": workers == 1, "refilled": lane == 1}
    return [way for way in ways if not left_out.get(way.kind)]


def is_widest(way: Way, widest: int) -> bool:
    """Whether it is the product's own way at the largest width."""
    return way.kind in PRODUCTS and way.adapters == widest
