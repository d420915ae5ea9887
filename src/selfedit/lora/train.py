"""The inner loop's training: K adapters, each on its own sequences, in one forward and backward pass.

Each adapter has its own order, step count, learning-rate decay, gradient norm and end; the result is
that of training it alone (tests/lora/test_equality.py holds this against PEFT + torch AdamW).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from functools import partial
from threading import Event

from torch import Tensor

from selfedit.config import TrainSettings
from selfedit.forward.packed import Decoder
from selfedit.forward.threads import side_by_side
from selfedit.lora.bank import AdapterBank
from selfedit.lora.desk import Desk, Trainee
from selfedit.lora.sequences import NO_ANCHORS, Anchors, TokenSequence
from selfedit.seams import Objective
from selfedit.types import TrainingRecord

# Minimum lanes to justify another thread: one lane alone spends its time reading the weights
# (docs/performance.md).
FEWEST_APART = 2
# Tokens of one forward pass through the frozen trunk.
TRUNK_TOKENS = 4096


def lanes(steps: Sequence[int], slots: int) -> list[list[int]]:
    """Which adapters train one after the other in each slot: the next one takes the first free slot.

    steps: number for each adapter. Every lane holds at least one, so there may be fewer than `slots`.
    """
    free: list[tuple[int, int]] = [(0, lane) for lane in range(min(slots, len(steps)))]
    result: list[list[int]] = [[] for _ in free]
    for n, count in enumerate(steps):
        ends, lane = heapq.heappop(free)
        result[lane].append(n)
        heapq.heappush(free, (ends + count, lane))
    return result


def shares(tokens: Sequence[int], count: int) -> list[list[int]]:
    """Lanes for each of `count` threads, about equal in tokens; with few lanes, for fewer threads.

    tokens: number for each lane. The longest goes to the thread with the least.
    """
    result: list[list[int]] = [[] for _ in range(max(1, min(count, len(tokens) // FEWEST_APART)))]
    load = [0] * len(result)
    for lane in sorted(range(len(tokens)), key=lambda lane: -tokens[lane]):
        least = load.index(min(load))
        result[least].append(lane)
        load[least] += tokens[lane]
    return [sorted(share) for share in result]


class BankTrainer:
    """Trains a bank: `data[n]` under `settings[n]` for adapter n, held to `anchors[n]`.

    slots: how many train at the same time (None: all); a finished one's slot is filled with the next
    (`lanes`). beside: decoders over the same weights, each of which trains its share of the slots in
    its own thread. use_trunk: False is the reference that runs all layers in every step. beneath,
    objective: see `Desk`.
    """

    def __init__(
        self,
        decoder: Decoder,
        bank: AdapterBank,
        data: Sequence[Sequence[TokenSequence]],
        settings: Sequence[TrainSettings],
        *,
        anchors: Sequence[Anchors] | None = None,
        slots: int | None = None,
        beside: Sequence[Decoder] = (),
        beneath: AdapterBank | None = None,
        objective: Objective | None = None,
        use_trunk: bool = True,
        checkpointing: bool = False,
    ) -> None:
        assert len(data) == len(settings) == bank.num_adapters
        assert all(any(s.num_supervised > 0 for s in sequences) for sequences in data)
        self.decoders, self.bank, self.checkpointing = [decoder, *beside], bank, checkpointing
        self.beneath, self.objective = beneath, objective
        self.trainees = [
            Trainee(n, seed, [s for s in sequences if s.num_supervised > 0], own, held)
            for n, (seed, sequences, own, held) in enumerate(
                zip(bank.seeds, data, settings, anchors or [NO_ANCHORS] * len(data), strict=True)
            )
        ]
        abreast = lanes([trainee.steps for trainee in self.trainees], slots or bank.num_adapters)
        self.lanes = [[self.trainees[n] for n in lane] for lane in abreast]
        decoder.packs()  # probed now, before adapters are attached to the model
        longest = max(len(s.ids) - 1 for trainee in self.trainees for s in trainee.texts)
        # The states that enter the trained layers are the frozen model's alone.
        bare = beneath is None or beneath.first_layer >= bank.first_layer
        self.use_trunk = use_trunk and bare and decoder.has_trunk(bank.first_layer, longest)

    def run(self, on_step: Callable[[int, int], None] | None = None) -> list[TrainingRecord]:
        """Train to the end. on_step(finished steps, the longest lane's steps): of the first thread."""
        trunk = self._trunk() if self.use_trunk else None
        tokens = [sum(trainee.tokens for trainee in lane) for lane in self.lanes]
        desks = [
            Desk(
                decoder,
                self.bank,
                [self.lanes[lane] for lane in share],
                trunk,
                beneath=self.beneath,
                objective=self.objective,
                checkpointing=self.checkpointing,
            )
            for decoder, share in zip(self.decoders, shares(tokens, len(self.decoders)), strict=False)
        ]
        works: list[Callable[[Event], None]] = [desk.run for desk in desks]
        works[0] = partial(desks[0].run, on_step=on_step)
        side_by_side(works)
        return [trainee.record for trainee in self.trainees]

    def _trunk(self, max_tokens: int = TRUNK_TOKENS) -> dict[tuple[int, ...], Tensor]:
        """States entering the first adapted layer, once for each distinct sequence."""
        distinct = {s.ids[:-1] for trainee in self.trainees for s in trainee.texts}
        states: dict[tuple[int, ...], Tensor] = {}
        group: list[tuple[int, ...]] = []
        for ids in sorted(distinct, key=len):
            group.append(ids)
            if sum(map(len, group)) >= max_tokens:
                states |= self._run_trunk(group)
                group = []
        return states | self._run_trunk(group)

    def _run_trunk(self, group: list[tuple[int, ...]]) -> dict[tuple[int, ...], Tensor]:
        if not group:
            return {}
        states = self.decoders[0].trunk(group, self.bank.first_layer)
        return dict(zip(group, states, strict=True))
