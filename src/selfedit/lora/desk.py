"""One thread's share of a bank's training: its slots, what trains in them, step by step."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from threading import Event

import torch
from torch import Tensor

from selfedit.config import TrainSettings
from selfedit.forward.packed import Decoder
from selfedit.lora.bank import AdapterBank
from selfedit.lora.objective import Followed, follow
from selfedit.lora.optimizer import Outcome, optimizer_of
from selfedit.lora.sequences import (
    NO_ANCHORS,
    Anchors,
    Step,
    TokenSequence,
    anchored,
    num_steps,
    units,
)
from selfedit.lora.supervision import Losses, Row, StepLoss, Supervision
from selfedit.seams import Objective
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
        return num_steps(len(units(self.sequences)), self.settings)

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

    def asks_after(self, step: int) -> bool:
        """Whether it depends on the losses up to this step if another follows."""
        return self.settings.stop_below > 0 and step % self._epoch == 0

    @property
    def is_stopped(self) -> bool:
        """Before its last step: it failed, its objective ended it, or the mean loss of the epoch that
        has just ended is low enough."""
        losses = self.record.losses
        if self.record.failure or self.record.stopped:
            return True
        if not losses or not self.asks_after(len(losses)):
            return False
        return sum(losses[-self._epoch :]) / self._epoch < self.settings.stop_below

    @property
    def _epoch(self) -> int:
        return self.steps // self.settings.epochs

    def batches(self) -> Iterator[Step]:
        return anchored(self.sequences, self.settings, self.seed, self.anchors)

    def took(self, batch: Sequence[TokenSequence], loss: StepLoss, ok: bool) -> None:
        """Record a step, taken or refused because something was not finite. Those launched after it,
        before that was known, have left the adapter as it was."""
        if self.record.failure:
            return
        self.record.losses.append(loss.own)
        if loss.drift is not None:
            self.record.drifts.append(loss.drift)
        self.record.tokens += sum(len(sequence.ids) for sequence in batch)
        if not ok:
            self.record.failure = (
                f"loss or gradient was not finite at step {len(self.record.losses)} of {self.steps} "
                f"(learning rate {self.settings.learning_rate:g})"
            )


@dataclass
class _Run:
    """A trainee in its slot. launched: its steps so far; what came of the last may not be known yet."""

    trainee: Trainee
    left: Iterator[Step]
    launched: int = 0

    @property
    def is_done(self) -> bool:
        return self.launched == self.trainee.steps or self.trainee.is_stopped

    @property
    def asks(self) -> bool:
        return self.trainee.asks_after(self.launched)


# Who has taken a step, by slots, and on which sequences.
_Trained = dict[int, tuple[Trainee, Sequence[TokenSequence]]]


class Desk:
    """Trains lanes of adapters, a slot for each lane. A step is launched before the outcome of the last
    one is read, where the optimizer allows it, so that a GPU never waits for the CPU to have read.

    bank: where the adapters come from and return to; they train in it if each has a slot in it.
    trunk: states that enter the first adapted layer, by token ids; None: all layers run in every step.
    beneath: frozen adapters that act as well, on each sequence the one that it names. objective: what
    one adapter alone is trained on, in place of the sequences' own losses.
    """

    def __init__(
        self,
        decoder: Decoder,
        bank: AdapterBank,
        lanes: Sequence[Sequence[Trainee]],
        trunk: Mapping[tuple[int, ...], Tensor] | None,
        *,
        beneath: AdapterBank | None = None,
        objective: Objective | None = None,
        checkpointing: bool = False,
    ) -> None:
        self.decoder, self.bank, self.lanes, self.trunk = decoder, bank, lanes, trunk
        self.beneath = None if beneath is None else beneath.over(decoder.model)
        self.objective = objective
        assert objective is None or bank.num_adapters == 1
        each_has_a_slot = len(lanes) == bank.num_adapters
        self.adapters = bank if each_has_a_slot else bank.like(len(lanes), decoder.model)
        self.adapters.require_gradients()
        if bank.settings.dropout > 0:
            device = decoder.device if decoder.device.type == "cuda" else "cpu"
            self.adapters.dropout = [torch.Generator(device) for _ in lanes]
        self.optimizer = optimizer_of(self.adapters)
        self._unread: deque[tuple[_Trained, Outcome]] = deque()
        generators = self.adapters.dropout or ()
        self._keeping_less = decoder.checkpointing(generators) if checkpointing else nullcontext()

    def run(self, stop: Event, on_step: Callable[[int, int], None] | None = None) -> None:
        """Train to the end, or until `stop` is set. on_step(finished steps, the longest lane's)."""
        longest = max(sum(trainee.steps for trainee in lane) for lane in self.lanes)
        waiting = [list(lane) for lane in self.lanes]
        running: dict[int, _Run] = {}
        below = self.beneath.attached() if self.beneath is not None else nullcontext()
        with below, self.adapters.attached(), self._keeping_less:
            for step in range(longest):
                for slot, queue in enumerate(waiting):
                    if slot not in running and queue:
                        running[slot] = self._begin(slot, queue.pop(0))
                if not running or stop.is_set():
                    break
                self._step(running)
                for slot in [slot for slot, run in running.items() if run.is_done]:
                    self._end(slot, running.pop(slot).trainee)
                if on_step is not None:
                    on_step(step + 1, longest)
            self._read(all_but=0)
        if on_step is not None and not stop.is_set():
            on_step(longest, longest)  # also if adapters failed before their last step
        self.adapters.dropout = None
        self.adapters.freeze()

    def _begin(self, slot: int, trainee: Trainee) -> _Run:
        """The adapter takes the slot, with its initial weights."""
        if self.adapters is not self.bank:
            self.adapters.weights_KP[slot] = self.bank.weights_KP[trainee.number]
        if self.adapters.dropout is not None:
            self.adapters.dropout[slot].manual_seed(trainee.seed)
        self.optimizer.begin(slot, trainee.settings, trainee.steps)
        return _Run(trainee, trainee.batches())

    def _end(self, slot: int, trainee: Trainee) -> None:
        if self.adapters is not self.bank:
            self.bank.weights_KP[trainee.number] = self.adapters.weights_KP[slot]

    def _step(self, running: Mapping[int, _Run]) -> None:
        """One optimizer step of every adapter that trains."""
        steps = {slot: next(run.left) for slot, run in running.items()}
        rows = [
            Row(slot, sequence, anchor=bool(kind))
            for slot, both in steps.items()
            for kind, sequences in enumerate(both)
            for sequence in sequences
        ]
        inputs = [row.sequence.ids[:-1] for row in rows]  # the last token predicts nothing
        lengths = [len(ids) for ids in inputs]
        width = None if self.trunk is not None else self.decoder.row_width(inputs)
        self.adapters.route([row.slot for row in rows], lengths, width)
        if self.beneath is not None:
            self.beneath.route([row.sequence.beneath for row in rows], lengths, width)
        if self.trunk is not None:
            hidden = self.decoder.resume([self.trunk[ids] for ids in inputs], self.bank.first_layer)
        else:
            hidden = self.decoder.hidden(inputs)
        losses = self._backward(rows, hidden)
        if isinstance(losses, Followed) and losses.stop:
            self._read(all_but=0)
            for run in running.values():
                run.trainee.record.stopped = losses.stop
            return
        outcome = self.optimizer.step(list(steps), losses)
        self._unread.append(({k: (run.trainee, steps[k][0]) for k, run in running.items()}, outcome))
        for run in running.values():
            run.launched += 1
        must_know = any(run.asks for run in running.values())
        self._read(all_but=0 if must_know else self.optimizer.late)

    def _read(self, all_but: int) -> None:
        """Record what came of the steps, all but the last so many."""
        while len(self._unread) > all_but:
            trained, outcome = self._unread.popleft()
            taken = outcome()
            for slot, (trainee, batch) in trained.items():
                trainee.took(batch, *taken[slot])

    def _backward(self, rows: Sequence[Row], hidden: Tensor) -> Losses:
        """The step's gradients, and its losses."""
        supervision = Supervision.of(rows, self.adapters.num_adapters)
        if self.objective is None:
            return supervision.backward(hidden, self.decoder.head)
        return follow(supervision, rows, hidden, self.decoder.head, self.objective)
