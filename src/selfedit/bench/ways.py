"""The ways to train self-edits that `selfedit bench inner` compares, all on the same tokens."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from torch import Tensor

from selfedit.bench.material import Work
from selfedit.bench.mixed import mixed_peft
from selfedit.bench.reference import PlainResult, peft_answers, peft_with_adapters, plain_peft
from selfedit.bench.trainer import trainer_way
from selfedit.config import ANSWER_SAMPLING, LoraSettings, TrainSettings
from selfedit.forward.packed import Decoder
from selfedit.lora.bank import AdapterBank
from selfedit.lora.load import Steps
from selfedit.lora.memory import Footprint
from selfedit.lora.sequences import num_steps
from selfedit.lora.train import BankTrainer
from selfedit.model.language_model import LanguageModel

Kind = Literal[
    "plain", "trainer", "mixed", "padded", "packed", "trunk", "threads", "refilled", "checkpointed"
]
KINDS: tuple[Kind, ...] = get_args(Kind)
# Compared by default: all but the last, which is about memory only.
DEFAULT_KINDS = KINDS[:-1]
# Result of a way: banks whose seeds are the edits' numbers, or plain weights by that number.
Trained = list[AdapterBank] | dict[int, PlainResult] | None


@dataclass(frozen=True, slots=True)
class Way:
    """One way to train the edits, `adapters` of them sharing each step.

    lane: edits that train one after the other in a slot, before any is asked.
    """

    kind: Kind
    adapters: int = 1
    lane: int = 1

    @property
    def name(self) -> str:
        return {
            "plain": "plain PEFT loop",
            "trainer": "Trainer, unpadded",
            "mixed": f"PEFT mixed batch, K={self.adapters}",
            "padded": f"bank, K={self.adapters}, padded",
            "packed": f"bank, K={self.adapters}",
            "trunk": f"bank, K={self.adapters}, frozen trunk",
            "threads": f"bank, K={self.adapters}, threads",
            "refilled": f"bank, K={self.adapters}, refilled",
            "checkpointed": f"bank, K={self.adapters}, checkpointed",
        }[self.kind]

    @property
    def is_bank(self) -> bool:
        return self.kind not in ("plain", "trainer", "mixed")

    @property
    def uses_trunk(self) -> bool:
        """Whether it starts at the first adapted layer, if the model can."""
        return self.kind in ("trunk", "threads", "refilled", "checkpointed")

    @property
    def uses_threads(self) -> bool:
        """Whether threads train side by side, if the model has several."""
        return self.kind in ("threads", "refilled")

    @property
    def wave(self) -> int:
        """Edits that are trained before any is asked."""
        return self.adapters * self.lane


class Bench:
    """The edits as tokens, and the settings that all ways share."""

    def __init__(
        self, model: LanguageModel, work: Sequence[Work], lora: LoraSettings, train: TrainSettings
    ) -> None:
        self.model, self.work, self.lora, self.train = model, work, lora, train
        self.data = [
            [model.encode(sequence, train.max_tokens) for sequence in each.plan.sequences]
            for each in work
        ]

    @property
    def tokens(self) -> int:
        """Tokens of all edits in all epochs."""
        return sum(len(s.ids) for sequences in self.data for s in sequences) * self.train.epochs

    @property
    def steps(self) -> int:
        """Steps of all edits, one after the other."""
        return sum(num_steps(len(sequences), self.train) for sequences in self.data)

    def first(self, edits: int) -> Bench:
        """The same for the first edits alone, with the same seeds."""
        return Bench(self.model, self.work[:edits], self.lora, self.train)

    def shorter(self, edits: int, epochs: int) -> Bench:
        train = self.train.model_copy(update={"epochs": min(epochs, self.train.epochs)})
        return Bench(self.model, self.work[:edits], self.lora, train)

    def run(self, way: Way) -> Trained:
        """Train all edits in this way."""
        model, lora, train = self.model, self.lora, self.train
        if way.kind == "plain":
            count = len(self.data)
            return dict(enumerate(plain_peft(model, lora, self.data, [train] * count, range(count))))
        if way.kind == "mixed":
            results: dict[int, PlainResult] = {}
            for wave in self.waves(way.adapters):
                trained = mixed_peft(model, lora, [self.data[k] for k in wave], train, wave)
                results.update(zip(wave, trained, strict=True))
            return results
        if way.kind == "trainer":
            for sequences in self.data:
                trainer_way(model, lora, sequences, train, pad_to=None)
            return None
        with padded_rows(model.decoder) if way.kind == "padded" else nullcontext():
            return [self._bank(wave, way) for wave in self.waves(way.wave)]

    def _bank(self, wave: list[int], way: Way) -> AdapterBank:
        bank = AdapterBank(self.model.hf, self.lora, wave, num_layers=self.model.num_layers)
        BankTrainer(
            self.model.decoder,
            bank,
            [self.data[k] for k in wave],
            [self.train] * len(wave),
            slots=way.adapters,
            beside=self.model.others if way.uses_threads else (),
            use_trunk=way.uses_trunk,
            checkpointing=way.kind == "checkpointed",
        ).run()
        return bank

    def planned_memory(self, way: Way) -> int:
        """Peak bytes of a packed bank's first wave, in addition to the model, as the planner predicts
        them."""
        footprint = Footprint.of(self.model.decoder, self.lora, use_trunk=way.uses_trunk)
        first = next(self.waves(way.wave))
        return footprint.training(
            [Steps.of(self.data[k], self.train, k) for k in first],
            slots=way.adapters,
            workers=self.model.num_workers if way.uses_threads else 1,
            checkpointing=way.kind == "checkpointed",
        )

    def waves(self, width: int) -> Iterator[list[int]]:
        """The edits, `width` to a wave; those of like step count and length together, as `plan_waves`
        has them."""

        def size(k: int) -> tuple[int, int]:
            return -len(self.data[k]), -sum(len(s.ids) for s in self.data[k])

        order = sorted(range(len(self.data)), key=size)
        for start in range(0, len(order), width):
            yield order[start : start + width]

    def answer(self, banks: Sequence[AdapterBank]) -> list[list[str]]:
        """Each adapter is asked its questions, a wave at a time as the inner loop asks them."""
        answers = []
        for bank in banks:
            asked = [(k, p) for k, seed in enumerate(bank.seeds) for p in self.work[seed].asked]
            replies = self.model.sample(
                [prompt for _, prompt in asked],
                ANSWER_SAMPLING,
                [0] * len(asked),
                adapters=bank,
                owners=[k for k, _ in asked],
            )
            answers.append([reply.text for reply in replies])
        return answers

    def answer_through_peft(
        self,
        banks: Sequence[AdapterBank],
        timed: Callable[[Callable[[], Any]], None],
        most: int,
    ) -> int:
        """The first `most` adapters are asked their questions by transformers' `generate`, one by one;
        `timed` is given the work without saving and loading. Returns how many were asked."""
        chosen = [(bank, k) for bank in banks for k in range(bank.num_adapters)][:most]
        asked = [
            (n, prompt)
            for n, (bank, k) in enumerate(chosen)
            for prompt in self.work[bank.seeds[k]].asked
        ]
        with tempfile.TemporaryDirectory() as name:
            folders = [Path(name) / str(n) for n in range(len(chosen))]
            for (bank, k), folder in zip(chosen, folders, strict=True):
                self.model.save_adapter(bank, k, folder)
            with peft_with_adapters(self.model, folders) as peft_model:
                timed(
                    lambda: peft_answers(self.model, peft_model, asked, ANSWER_SAMPLING.max_new_tokens)
                )
        return len(chosen)


def difference(plain: dict[int, PlainResult], other: Trained) -> float:
    """Largest difference of any adapter weight, over the edits that both trained (at least one)."""
    worst = 0.0
    both = [(seed, factors) for seed, factors in _by_edit(other) if seed in plain]
    assert both
    for seed, factors in both:
        for name, pair in factors.items():
            for ours, theirs in zip(pair, plain[seed].factors[name], strict=True):
                worst = max(worst, float((ours.cpu() - theirs.cpu()).abs().max()))
    return worst


def _by_edit(trained: Trained) -> Iterator[tuple[int, dict[str, tuple[Tensor, Tensor]]]]:
    if isinstance(trained, dict):
        yield from ((seed, result.factors) for seed, result in trained.items())
        return
    for bank in trained or []:
        for k, seed in enumerate(bank.seeds):
            yield seed, {name: (a[k], b[k]) for name, (a, b) in bank.factors.items()}


@contextmanager
def padded_rows(decoder: Decoder) -> Iterator[None]:
    """While open, the decoder pads rows on the right, as for architectures that cannot pack."""
    before = decoder.packs()
    decoder._packs = False
    try:
        yield
    finally:
        decoder._packs = before
