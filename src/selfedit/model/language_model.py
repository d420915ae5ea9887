"""A causal language model that writes, trains adapters and answers with them."""

from __future__ import annotations

import copy
import gc
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor
from transformers import PreTrainedModel

from selfedit.config import EngineSettings, LoraSettings, SamplingSettings, TrainSettings
from selfedit.errors import ModelError
from selfedit.forward.linear import layout_bytes, same_weights, use_onednn
from selfedit.forward.memory import memory_budget
from selfedit.forward.packed import Decoder
from selfedit.lora.bank import AdapterBank
from selfedit.lora.combine import add_to_weights, combined, over_each
from selfedit.lora.files import Base, load_adapter, save_adapter
from selfedit.lora.memory import WaveMemory
from selfedit.lora.sequences import TokenSequence
from selfedit.model.answer_scores import Reading, answer_scores
from selfedit.model.control_tokens import control_tokens
from selfedit.model.divergence import Reader, divergence
from selfedit.model.encoding import Encoder
from selfedit.model.generate import ending_tokens, window
from selfedit.model.gguf import find_converter, save_adapter_gguf, save_merged_gguf
from selfedit.model.identity import changes
from selfedit.model.prompts import Rendered, render
from selfedit.model.published import READER, Origin, save_merged, save_model
from selfedit.model.reader import train_reader
from selfedit.model.reinforce import prompt_states, reinforce, sample_logprobs
from selfedit.model.training import Training
from selfedit.model.writing import Writing
from selfedit.seams import Adapters, Model, Objective
from selfedit.types import (
    AnswerScore,
    Completion,
    Prompt,
    Sample,
    TrainingPlan,
    TrainingRecord,
    TrainingSequence,
)

# Default number of threads that work side by side; more were not measured (docs/performance.md).
_MOST_WORKERS = 4

# Tokens of a text whose divergence is measured; longer ones are cut.
_MOST_READ = 2048


class LanguageModel:
    """A frozen transformers model with its tokenizer.

    name: what the user called it. revision: identity of the weights; adapters and trials carry it.
    origin: where the weights are from. engine: how it uses this machine. status: told what
    a user should know while it works. mixed: products of a float32 model's frozen weights are of
    bfloat16 numbers. reader: a bank of one, which is attached wherever an adapter is, and never in a
    training (`algorithms.reader`); the revision tells it, too.
    """

    def __init__(
        self,
        hf: PreTrainedModel,
        tokenizer: Any,
        *,
        name: str,
        revision: str,
        form: Literal["chat", "plain"],
        origin: Origin | None = None,
        engine: EngineSettings | None = None,
        status: Callable[[str], None] = lambda text: None,
        mixed: bool = False,
        reader: AdapterBank | None = None,
    ) -> None:
        self.reader = reader
        self.hf, self.tokenizer = hf.eval().requires_grad_(False), tokenizer
        self.mixed = mixed
        use_onednn(self.hf, mixed=mixed)
        if self.hf.device.type == "cuda":
            # It builds a plan for each new shape of a batch, 23-37 ms each (transformers issue 48163),
            # and hardly two steps have one shape; other kernels need none.
            torch.backends.cuda.enable_cudnn_sdp(False)
        self.name, self.revision, self.form = name, revision, form
        self.origin = origin or Origin()
        self.engine, self.status = engine or EngineSettings(), status
        self.decoder = Decoder(hf, self.status)
        self.num_layers = len(self.decoder.layers)
        assert self.decoder.head  # a model whose loss cannot be computed is refused before any work

    @property
    def identity(self) -> list[str]:
        return [self.revision, self.form, f"torch.{self.precision}", *self._changes]

    def twin(self) -> LanguageModel:
        """This model again: the same weights behind modules of its own, and a tokenizer of its own, so
        that another thread may use it at the same time."""
        weights = cast(PreTrainedModel, same_weights(self.hf))
        again = self._other(weights, self.revision, copy.deepcopy(self.tokenizer))
        again.origin = self.origin
        return again

    @cached_property
    def _changes(self) -> list[str]:
        return changes(self)

    @property
    def device(self) -> str:
        return self.decoder.device.type

    @property
    def precision(self) -> str:
        """As `load_model` takes it."""
        return "mixed" if self.mixed else str(self.hf.dtype).removeprefix("torch.")

    @property
    def loaded_as(self) -> dict[str, Any]:
        """Device, with its number, precision, form of prompts and use of the machine, as `load_model`
        takes them: for a policy that grew from this model."""
        return {
            "device": str(self.decoder.device),
            "dtype": self.precision,
            "prompt_format": self.form,
            "engine": self.engine,
        }

    @cached_property
    def others(self) -> list[Decoder]:
        """Decoders over the same weights for the threads that work beside the first."""
        return [self.decoder.beside() for _ in range(self.num_workers - 1)]

    @cached_property
    def num_workers(self) -> int:
        """Threads that work side by side; one on a GPU, which it keeps busy."""
        if self.device != "cpu":
            return 1
        return self.engine.workers or min(_MOST_WORKERS, torch.get_num_threads())

    @property
    def num_bytes(self) -> int:
        return sum(p.numel() * p.element_size() for p in self.hf.parameters())

    @cached_property
    def encoder(self) -> Encoder:
        ends = sorted(ending_tokens(self.hf, self.tokenizer))
        own = self.tokenizer.eos_token_id
        return Encoder(self.tokenizer, self.render, end=ends[0] if own is None and ends else own)

    @cached_property
    def training(self) -> Training:
        return Training(self)

    @cached_property
    def writing(self) -> Writing:
        return Writing(self)

    @property
    def has_reader(self) -> bool:
        return self.reader is not None

    def reading(self, adapters: Adapters) -> AdapterBank:
        """The adapters as they answer: each with the reader over it, if there is one. Raises ModelError
        for adapters of another kind of model."""
        bank = _own(adapters)
        if self.reader is None:
            return bank
        return over_each(bank, self.reader, num_layers=self.num_layers)

    def render(self, prompt: Prompt) -> Rendered:
        return render(self.tokenizer, prompt, self.form)

    def encode(self, sequence: TrainingSequence, max_tokens: int) -> TokenSequence:
        """Tokens of a training sequence, cut to max_tokens and the model's window from the right."""
        return self.encoder.encode(sequence, min(max_tokens, window(self.hf)))

    def count_tokens(self, text: str) -> int:
        return len(control_tokens(self.tokenizer).ids_of_text(text))

    def sequence_tokens(self, sequence: TrainingSequence) -> int:
        return self.encoder.length(sequence)

    def sample(
        self,
        prompts: Sequence[Prompt],
        sampling: SamplingSettings,
        seeds: Sequence[int],
        *,
        adapters: Adapters | None = None,
        owners: Sequence[int] | None = None,
        logprobs: bool = False,
        on_done: Callable[[int], None] | None = None,
    ) -> list[Completion]:
        """Completions in the order of the prompts (see `model.generate.generate`)."""
        bank = None if adapters is None else self.reading(adapters)
        rendered = [self.render(prompt) for prompt in prompts]
        return self.writing.write(
            rendered, sampling, seeds, bank=bank, owners=owners, logprobs=logprobs, on_done=on_done
        )

    def answer_scores(
        self,
        prompts: Sequence[Prompt],
        replies: Sequence[str],
        *,
        adapters: Adapters | None = None,
        owners: Sequence[int] | None = None,
    ) -> list[AnswerScore]:
        """How likely each prompt's reply is, teacher-forced; prompt i by adapter owners[i], if given.

        A reply continues the prompt, its prefix included, and so begins with a space unless it follows
        directly. Raises OutOfMemory.
        """
        bank = None if adapters is None else self.reading(adapters)
        readings = Reading.of_all(self.render, prompts, replies, owners)
        return answer_scores(self.decoder, readings, bank)

    def train(
        self,
        plans: Sequence[TrainingPlan],
        lora: LoraSettings,
        settings: TrainSettings,
        seeds: Sequence[int],
        *,
        slots: int | None = None,
        on_step: Callable[[int, int], None] | None = None,
    ) -> tuple[AdapterBank, list[TrainingRecord]]:
        """One adapter per plan, trained together; a plan's own directives override the settings.

        slots: how many at a time (None: all); a finished one's slot is filled with the next.
        Raises OutOfMemory; a single plan is tried with activation checkpointing before that.
        """
        return self.training.run(plans, lora, settings, seeds, slots, on_step)

    def finetune(
        self,
        plan: TrainingPlan,
        settings: TrainSettings,
        seed: int,
        on_step: Callable[[int, int], None] | None = None,
    ) -> tuple[LanguageModel, TrainingRecord]:
        """A new model with every weight trained on the plan (see `model.finetune`)."""
        from selfedit.model.finetune import finetune

        data = [own for own in self.training.encoded(plan, settings) if own.num_supervised > 0]
        tuned, record = finetune(self.hf, data, settings, seed, on_step)
        return self._other(tuned, f"{self.revision}, finetuned"), record

    def sample_logprobs(self, samples: Sequence[Sample], temperature: float) -> list[tuple[float, ...]]:
        """Log-probabilities of the samples' tokens (see `seams.PolicyGradients`)."""
        return sample_logprobs(self, samples, temperature)

    def prompt_states(self, prompts: Sequence[Prompt]) -> Tensor:
        """The state [N, D] of each prompt's last token (see `seams.PolicyGradients`)."""
        return prompt_states(self, prompts)

    def reinforce(
        self,
        samples: Sequence[Sample],
        objective: Objective,
        lora: LoraSettings,
        settings: TrainSettings,
        seed: int,
        on_step: Callable[[int, int], None] | None = None,
    ) -> tuple[AdapterBank, TrainingRecord]:
        """One adapter, trained on what was drawn (see `seams.PolicyGradients`)."""
        return reinforce(self, samples, objective, lora, settings, seed, on_step)

    def train_reader(
        self,
        documents: Sequence[Adapters],
        owners: Sequence[int],
        sequences: Sequence[TrainingSequence],
        lora: LoraSettings,
        settings: TrainSettings,
        seed: int,
        on_step: Callable[[int, int], None] | None = None,
    ) -> tuple[AdapterBank, TrainingRecord]:
        """One adapter over others, which are frozen (see `seams.TrainsReaders`)."""
        banks = [self.reading(bank) for bank in documents]
        return train_reader(self, banks, owners, sequences, lora, settings, seed, on_step)

    def _other(self, hf: PreTrainedModel, revision: str, tokenizer: Any = None) -> LanguageModel:
        """A model like this one with other weights."""
        return LanguageModel(
            hf,
            tokenizer or self.tokenizer,
            name=self.name,
            revision=revision,
            form=self.form,
            engine=self.engine,
            status=self.status,
            mixed=self.mixed,
            reader=None if self.reader is None else self.reader.over(hf),
        )

    def planned_memory(self, lora: LoraSettings, settings: TrainSettings) -> WaveMemory:
        """Peak bytes of training (plans, seeds) together, in addition to the model (see
        `lora.memory`)."""
        return self.training.planned_memory(lora, settings)

    @property
    def memory_budget(self) -> int:
        """Bytes that a wave may take in addition to the model; the same in every run on this
        machine."""
        standing = self.num_bytes + layout_bytes(self.hf)
        return memory_budget(self.decoder.device, standing, self.engine)

    def divergence(
        self,
        sequences: Sequence[TrainingSequence],
        adapters: Adapters | None = None,
        k: int = 0,
        *,
        other: Model | None = None,
        on_done: Callable[[int], None] | None = None,
    ) -> list[float]:
        """Mean KL(this model || adapter k, or the other model), as `seams.Model` has it."""
        adapted = self if other is None else other
        if not isinstance(adapted, LanguageModel) or not _speak_alike(self, adapted):
            raise ModelError(f"{adapted.name} and {self.name} have different tokenizers")
        bank = None if adapters is None else adapted.reading(adapters)
        data = [self.encode(sequence, _MOST_READ) for sequence in sequences]
        return divergence(Reader(self.decoder), Reader(adapted.decoder, bank, k), data, on_done=on_done)

    def save_adapter(self, adapters: Adapters, k: int, folder: Path) -> None:
        base = Base(self.name, self.revision, self.origin.hub_id, self.origin.folder)
        save_adapter(_own(adapters), k, folder, base)

    def load_adapter(self, folder: Path) -> AdapterBank:
        return load_adapter(self.hf, folder, num_layers=self.num_layers, base_revision=self.revision)

    def combine(
        self, adapters: Sequence[Adapters], mixes: Sequence[Mapping[int, float]]
    ) -> AdapterBank:
        return combined([_own(bank) for bank in adapters], mixes, num_layers=self.num_layers)

    def merged(self, adapters: Adapters, k: int, revision: str) -> LanguageModel:
        # A model that nobody uses any more refers to itself, and waits for the collector, which counts
        # objects and not gigabytes: eight documents stacked held eight models.
        gc.collect()
        hf = copy.deepcopy(self.hf)
        add_to_weights(_own(adapters).over(hf), k)
        changed = self._other(hf, revision)
        changed.training = Training(changed, self.training.teacher)
        return changed

    def save_merged(self, folder: Path, adapter: Path) -> None:
        """A model folder with the adapter's update added to the weights, in their stored dtype."""
        self.load_adapter(adapter)  # refuses an adapter of other weights
        save_merged(self.hf, self.tokenizer, adapter, folder, self.origin.dtype)

    def save_reader(self, adapters: Adapters, folder: Path) -> None:
        """A model folder with these weights and, beside them, a reader (see `seams.TrainsReaders`)."""
        bank = _own(adapters)
        if self.reader is not None:
            bank = combined([self.reader, bank], [{0: 1.0, 1: 1.0}], num_layers=self.num_layers)
        save_model(self.hf, self.tokenizer, folder, self.origin.dtype)
        self.save_adapter(bank, 0, folder / READER)

    def keep_reader(self, folder: Path) -> None:
        """This model's reader, if it has one, for a model that grew from it."""
        if self.reader is not None:
            self.save_adapter(self.reader, 0, folder / READER)

    def save_gguf(
        self, folder: Path, adapter: Path, *, merged: bool = False, llama_cpp: Path | None = None
    ) -> Path:
        """`folder`/adapter.gguf or, merged, `folder`/model.gguf. Raises ModelError."""
        converter = find_converter(llama_cpp)
        self.load_adapter(adapter)  # refuses an adapter of other weights
        if not merged:
            return save_adapter_gguf(self.hf, adapter, folder, converter)
        dtype = self.origin.dtype or self.hf.dtype
        return save_merged_gguf(self.hf, self.tokenizer, adapter, folder, dtype, converter)


def _own(adapters: Adapters) -> AdapterBank:
    """The adapters as this kind of model's bank. Raises ModelError for those of another kind."""
    if not isinstance(adapters, AdapterBank):
        raise ModelError(f"{type(adapters).__name__} are not adapters of a transformers model")
    return adapters


def _speak_alike(a: LanguageModel, b: LanguageModel) -> bool:
    """Whether their predictions can be compared token by token."""
    same_tokens = a is b or a.tokenizer.get_vocab() == b.tokenizer.get_vocab()
    return same_tokens and a.decoder.head.vocabulary == b.decoder.head.vocabulary
