"""How a model's adapters are trained: texts to tokens, what teaches them, waves within memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from selfedit.config import AnchorSettings, LoraSettings, TrainSettings
from selfedit.errors import OutOfMemory
from selfedit.forward.memory import memory_free, within_memory
from selfedit.lora.bank import AdapterBank
from selfedit.lora.load import Steps
from selfedit.lora.memory import Footprint, WaveMemory
from selfedit.lora.sequences import NO_ANCHORS, Anchors, TokenSequence
from selfedit.lora.targets import left_out, takes_all
from selfedit.lora.teacher import blank, soften
from selfedit.lora.train import BankTrainer
from selfedit.model.anchors import AnchorWriter, generic_prompts
from selfedit.model.encoding import has_teacher, reading
from selfedit.types import TrainingPlan, TrainingRecord, TrainingSequence

if TYPE_CHECKING:
    from selfedit.model.language_model import LanguageModel

T = TypeVar("T")
Trained = tuple[AdapterBank, list[TrainingRecord]]

# A CPU's process takes more than its tensors: the C library keeps what is freed between others. A
# policy's update took 1.44 times as much (docs/log.md, 2026-11-28).
_KEPT = {"cpu": 1.5}


class Training:
    """Trains adapters of a model. teacher: the model that anchors hold them to: the bare one, also
    where adapters have been merged into the model since."""

    def __init__(self, model: LanguageModel, teacher: LanguageModel | None = None) -> None:
        self.model, self.teacher = model, teacher or model
        self._said = False
        self._at_hand: dict[AnchorSettings, tuple[TokenSequence, ...]] = {}

    def run(
        self,
        plans: Sequence[TrainingPlan],
        lora: LoraSettings,
        settings: TrainSettings,
        seeds: Sequence[int],
        slots: int | None,
        on_step: Callable[[int, int], None] | None,
    ) -> Trained:
        """See `seams.Model.train`; a single plan is trained with activation checkpointing before it is
        given up. Raises OutOfMemory."""
        needed = self.planned_memory(lora, settings)(plans, seeds, slots)
        run = partial(self._run, plans, lora, settings, seeds, slots, on_step)
        if len(plans) > 1:
            free = memory_free(self.model.decoder.device)
            if needed > free:
                raise OutOfMemory(f"{_what(plans)} {_too_much(needed, free)}")
            return within_memory(partial(run, self.model.engine.checkpointing), _what(plans))
        try:
            return keeping_less(self.model, run, _what(plans), needed)
        except OutOfMemory as error:
            raise OutOfMemory(
                f"{error}, not even with activation checkpointing. It is no fault of the self-edit: "
                "use a GPU or machine with more memory, a smaller model, fewer --layers, or shorter "
                "training sequences."
            ) from None

    def _run(
        self,
        plans: Sequence[TrainingPlan],
        lora: LoraSettings,
        settings: TrainSettings,
        seeds: Sequence[int],
        slots: int | None,
        on_step: Callable[[int, int], None] | None,
        checkpointing: bool,
    ) -> Trained:
        model = self.model
        bank = AdapterBank(model.hf, lora, seeds, num_layers=model.num_layers)
        self._say_left_out(bank)
        distinct = dict.fromkeys(plans)  # a plan is trained once for each seed
        data = {plan: self.taught(plan, settings) for plan in distinct}
        anchors = {plan: self.anchors(settings, plan.neighbours) for plan in distinct}
        trainer = BankTrainer(
            model.decoder,
            bank,
            [data[plan] for plan in plans],
            [directed(settings, plan) for plan in plans],
            anchors=[anchors[plan] for plan in plans],
            slots=slots,
            beside=model.others,
            checkpointing=checkpointing,
        )
        return bank, trainer.run(on_step)

    def _say_left_out(self, bank: AdapterBank) -> None:
        """Once, which of the layers' matrices get no adapter though all were asked for."""
        text = left_out(self.model.hf, bank.targets) if takes_all(bank.settings) else ""
        if text and not self._said:
            self.model.status(f"no adapter for {text}; the layers' other linear modules get one")
            self._said = True

    def planned_memory(self, lora: LoraSettings, settings: TrainSettings) -> WaveMemory:
        """Peak bytes of training (plans, seeds) together, beside the model (see `lora.memory`)."""
        return WaveMemory(
            Footprint.of(self.model.decoder, lora),
            lambda plan, seed: Steps.of(
                self.taught(plan, settings, shapes=True),
                directed(settings, plan),
                seed,
                self.anchors(settings, plan.neighbours, shapes=True),
            ),
            workers=self.model.num_workers,
            checkpointing=self.model.engine.checkpointing,
        )

    def encoded(self, plan: TrainingPlan, settings: TrainSettings) -> list[TokenSequence]:
        """The tokens of a plan's sequences."""
        return [self.model.encode(sequence, settings.max_tokens) for sequence in plan.sequences]

    def taught(
        self, plan: TrainingPlan, settings: TrainSettings, *, shapes: bool = False
    ) -> list[TokenSequence]:
        """The same with what a distillation expects there; shapes: without its numbers."""
        model, distill = self.model, settings.distill
        encoded = self.encoded(plan, settings)
        if distill.weight == 0:
            return encoded
        read = {
            i: reading(model.tokenizer, model.render, sequence, encoded[i])
            for i, sequence in enumerate(plan.sequences)
            if has_teacher(sequence) and encoded[i].num_supervised > 0
        }
        students = [
            replace(encoded[i], hard=distill.next_token, soft_weight=distill.weight) for i in read
        ]
        if shapes:
            taught = [blank(student, distill.top_k, self._vocabulary) for student in students]
        else:
            taught = soften(model.decoder, students, distill.top_k, list(read.values()))
        for i, student in zip(read, taught, strict=True):
            encoded[i] = student
        return encoded

    def anchors(
        self,
        settings: TrainSettings,
        neighbours: Sequence[TrainingSequence] = (),
        *,
        shapes: bool = False,
    ) -> Anchors:
        """What an adapter that trains so is held to: written on first use, else from the cache folder
        (`model.anchors`). neighbours: texts about things like those that it learns about; shapes: of
        them, without the numbers that say what is expected there."""
        own = settings.anchor
        if own.weight == 0:
            return NO_ANCHORS
        texts = [self.model.encode(sequence, settings.max_tokens) for sequence in neighbours]
        held = [
            replace(text, hard=0.0, soft_weight=own.weight) for text in texts if text.num_supervised > 0
        ]
        if shapes:
            near = [blank(text, own.top_k, self._vocabulary) for text in held]
        else:
            near = soften(self.teacher.decoder, held, own.top_k)
        # Generic texts that no step would draw are not written either.
        general = () if near and own.neighbour_share == 1 else self._general(own)
        return Anchors(general, tuple(near))

    def _general(self, own: AnchorSettings) -> tuple[TokenSequence, ...]:
        """Kept at hand: the planner and every wave ask for them."""
        if own not in self._at_hand:
            model, status = self.teacher, self.model.status
            replies = partial(model.writing.write, logprobs=True)  # and with them the drawn tokens
            write = AnchorWriter(model.decoder, model.tokenizer, model.identity, replies, status)
            asked = generic_prompts(model.form, own.num_prompts, model.render, model.tokenizer)
            self._at_hand[own] = write(asked, own)
        return self._at_hand[own]

    @property
    def _vocabulary(self) -> int:
        return self.model.decoder.head.vocabulary


def keeping_less(model: LanguageModel, run: Callable[[bool], T], what: str, needed: int) -> T:
    """run(False) or, with activation checkpointing and the same result, run(True), where it does not
    fit into the memory that is free. A CPU's memory has to be asked before: Linux gives more than there
    is, and ends the process that uses it.

    needed: bytes. what: is named. Raises OutOfMemory.
    """
    if not model.engine.checkpointing:
        device = model.decoder.device
        needed, free = int(needed * _KEPT.get(device.type, 1)), memory_free(device)
        said = f"{what} {_too_much(needed, free)}"
        if needed <= free:
            try:
                return within_memory(partial(run, False), what)
            except OutOfMemory as error:
                said = str(error)
        model.status(f"{said}: it goes on with activation checkpointing, which is slower")
    return within_memory(partial(run, True), what)


def _too_much(needed: int, free: int) -> str:
    return f"needs about {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free"


def _what(plans: Sequence[TrainingPlan]) -> str:
    return "training one adapter" if len(plans) == 1 else f"training {len(plans)} adapters together"


def directed(settings: TrainSettings, plan: TrainingPlan) -> TrainSettings:
    """The settings with the plan's own learning rate and all of its epochs."""
    rate = settings.learning_rate if plan.learning_rate is None else plan.learning_rate
    epochs = settings.passes(len(plan.sequences), plan.epochs)
    return settings.model_copy(update={"learning_rate": rate, "epochs": epochs, "min_steps": 0})
