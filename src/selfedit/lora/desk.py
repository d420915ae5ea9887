"""One thread's share of a bank's training: its slots, what trains in them, step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from threading import Event

import torch
from torch import Tensor

from selfedit.config import TrainSettings
from selfedit.forward.packed import Decoder
from selfedit.lora.bank import AdapterBank
from selfedit.lora.optimizer import optimizer_of
from selfedit.lora.sequences import NO_ANCHORS, Anchors, Step, TokenSequence, anchored, num_steps
from selfedit.lora.supervision import Row, StepLoss, Supervision
from selfedit.types import TrainingRecord


@dataclass(frozen=True)
class Trainee:
    """An adapter that is to be trained.

    number: its row of the bank. sequences: those with a supervised token. anchors: what it is held to
    (see `AnchorSettings`). record: of its training.
    """

    number: int
    seed: int
    sequences: Sequence[TokenSequence]
    settings: TrainSettings
    anchors: Anchors = NO_ANCHORS
    record: TrainingRecord = field(default_factory=TrainingRecord)

    @property
    def steps(self) -> int:
        return num_steps(len(self.sequences), self.settings)

    @property
    def tokens(self) -> int:
        """Tokens in all epochs, anchors included."""
        steps = self.batches()
        return sum(len(sequence.ids) for own, held in steps for sequence in (*own, *held))

    @property
    def texts(self) -> list[TokenSequence]:
        """All sequences that may be in a step."""
        held = self.anchors.all if self.settings.anchor.weight > 0 else ()
        return [*self.sequences, *held]

    @property
    def is_done(self) -> bool:
        all_taken = len(self.record.losses) == self.steps
        return all_taken or bool(self.record.failure) or self._learned_enough

    @property
    def _learned_enough(self) -> bool:
        """Whether an epoch has just ended whose mean loss is below `stop_below`."""
        losses, epoch = self.record.losses, self.steps // self.settings.epochs
        if self.settings.stop_below == 0 or not losses or len(losses) % epoch:
            return False
        return sum(losses[-epoch:]) / epoch < self.settings.stop_below

    def batches(self) -> Iterator[Step]:
        return anchored(self.sequences, self.settings, self.seed, self.anchors)

    def took(self, batch: Sequence[TokenSequence], loss: StepLoss, ok: bool) -> None:
        """Record a step, taken or refused because something was not finite."""
        self.record.losses.append(loss.own)
        if loss.drift is not None:
            self.record.drifts.append(loss.drift)
        self.record.tokens += sum(len(sequence.ids) for sequence in batch)
        if not ok:
            self.record.failure = (
                f"loss or gradient was not finite at step {len(self.record.losses)} of {self.steps} "
                f"(learning rate {self.settings.learning_rate:g})"
            )


Running = dict[int, tuple[Trainee, Iterator[Step]]]


class Desk:
    """Trains lanes of adapters, a slot for each lane.

    bank: where the adapters come from and return to; they train in it if each has a slot in it.
    trunk: states that enter the first adapted layer, by token ids; None: all layers run in every step.
    """

    def __init__(
        self,
        decoder: Decoder,
        bank: AdapterBank,
        lanes: Sequence[Sequence[Trainee]],
        trunk: Mapping[tuple[int, ...], Tensor] | None,
        *,
        checkpointing: bool = False,
    ) -> None:
        self.decoder, self.bank, self.lanes, self.trunk = decoder, bank, lanes, trunk
        each_has_a_slot = len(lanes) == bank.num_adapters
        self.adapters = bank if each_has_a_slot else bank.like(len(lanes), decoder.model)
        self.adapters.require_gradients()
        if bank.settings.dropout > 0:
            device = decoder.device if decoder.device.type == "cuda" else "cpu"
            self.adapters.dropout = [torch.Generator(device) for _ in lanes]
        self.optimizer = optimizer_of(self.adapters)
        generators = self.adapters.dropout or ()
        self._keeping_less = decoder.checkpointing(generators) if checkpointing else nullcontext()

    def run(self, stop: Event, on_step: Callable[[int, int], None] | None = None) -> None:
        """Train to the end, or until `stop` is set. on_step(finished steps, the longest lane's)."""
        longest = max(sum(trainee.steps for trainee in lane) for lane in self.lanes)
        waiting = [list(lane) for lane in self.lanes]
        running: Running = {}
        with self.adapters.attached(), self._keeping_less:
            for step in range(longest):
                for slot, queue in enumerate(waiting):
                    if slot not in running and queue:
                        running[slot] = self._begin(slot, queue.pop(0))
                if not running or stop.is_set():
                    break
                self._step(running)
                for slot in [slot for slot, (trainee, _) in running.items() if trainee.is_done]:
                    self._end(slot, running.pop(slot)[0])
                if on_step is not None:
                    on_step(step + 1, longest)
        if on_step is not None and not stop.is_set():
            on_step(longest, longest)  # also if adapters failed before their last step
        self.adapters.dropout = None
        self.adapters.freeze()

    def _begin(self, slot: int, trainee: Trainee) -> tuple[Trainee, Iterator[Step]]:
        """The adapter takes the slot, with its initial weights."""
        if self.adapters is not self.bank:
            self.adapters.weights_KP[slot] = self.bank.weights_KP[trainee.number]
        if self.adapters.dropout is not None:
            self.adapters.dropout[slot].manual_seed(trainee.seed)
        self.optimizer.begin(slot, trainee.settings, trainee.steps)
        return trainee, trainee.batches()

    def _end(self, slot: int, trainee: Trainee) -> None:
        if self.adapters is not self.bank:
            self.bank.weights_KP[trainee.number] = self.adapters.weights_KP[slot]

    def _step(self, running: Running) -> None:
        """One optimizer step of every adapter that trains."""
        steps = {slot: next(left) for slot, (_, left) in running.items()}
        rows = [
            Row(slot, sequence, anchor=bool(kind))
            for slot, both in steps.items()
            for kind, sequences in enumerate(both)
            for sequence in sequences
        ]
        inputs = [row.sequence.ids[:-1] for row in rows]  # the last token predicts nothing
        self.adapters.route(
            [row.slot for row in rows],
            [len(ids) for ids in inputs],
            None if self.trunk is not None else self.decoder.row_width(inputs),
        )
        if self.trunk is not None:
            hidden = self.decoder.resume([self.trunk[ids] for ids in inputs], self.bank.first_layer)
        else:
            hidden = self.decoder.hidden(inputs)
        losses = Supervision.of(rows, self.adapters.num_adapters).backward(hidden, self.decoder.head)
        taken = self.optimizer.step(list(steps), losses)
        for slot, (trainee, _) in running.items():
            trainee.took(steps[slot][0], *taken[slot])
