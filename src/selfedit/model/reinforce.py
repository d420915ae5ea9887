"""How a policy learns by gradients on what it drew itself: samples as tokens, and their training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from selfedit.config import LoraSettings, TrainSettings
from selfedit.lora.bank import AdapterBank
from selfedit.lora.load import Steps
from selfedit.lora.memory import Footprint
from selfedit.lora.objective import read_logprobs
from selfedit.lora.sequences import TokenSequence
from selfedit.lora.train import BankTrainer
from selfedit.model.constrained import Excluding
from selfedit.model.generate import ending_tokens
from selfedit.model.training import keeping_less
from selfedit.seams import Drawn, Objective
from selfedit.types import Prompt, Sample, TrainingRecord, TrainingSequence

if TYPE_CHECKING:
    from selfedit.model.language_model import LanguageModel


def sampled(model: LanguageModel, samples: Sequence[Sample]) -> list[TokenSequence]:
    """The samples as tokens, with what their prompts' patterns excluded."""
    excluding = Excluding(
        model.tokenizer, model.decoder.head.vocabulary, ending_tokens(model.hf, model.tokenizer)
    )
    sequences = []
    for sample in samples:
        sequence = _as_tokens(model, sample)
        if sample.prompt.pattern:
            reply = [sequence.ids[place] for place in sequence.supervised]
            sequence = replace(sequence, excluded=excluding.of(sample.prompt.pattern, reply))
        sequences.append(sequence)
    return sequences


def _as_tokens(model: LanguageModel, sample: Sample) -> TokenSequence:
    """The very tokens that were drawn, the one that ended the text among them. Where the sampler gave
    none, those of the text."""
    drawn = sample.completion.tokens
    if not drawn:
        text = TrainingSequence(sample.completion.text.strip(), sample.prompt)
        sequence = model.encoder.encode(text, model.encoder.length(text))
        return replace(sequence, spans=(sequence.spans[-1],))
    before = model.render(sample.prompt).ids
    return TokenSequence((*before, *drawn), ((len(before), len(before) + len(drawn)),))


def sample_logprobs(
    model: LanguageModel, samples: Sequence[Sample], temperature: float
) -> list[tuple[float, ...]]:
    """See `seams.PolicyGradients`."""
    sequences = sampled(model, samples)
    return [tuple(log_M.tolist()) for log_M in read_logprobs(model.decoder, sequences, temperature)]


@torch.no_grad()
def prompt_states(model: LanguageModel, prompts: Sequence[Prompt]) -> Tensor:
    """See `seams.PolicyGradients`."""
    rendered = [model.render(prompt).ids for prompt in prompts]
    return torch.stack([model.decoder.hidden([ids])[-1].cpu().double() for ids in rendered])


def reinforce(
    model: LanguageModel,
    samples: Sequence[Sample],
    objective: Objective,
    lora: LoraSettings,
    settings: TrainSettings,
    seed: int,
    on_step: Callable[[int, int], None] | None = None,
) -> tuple[AdapterBank, TrainingRecord]:
    """See `seams.PolicyGradients`. With activation checkpointing where it does not fit else."""
    data = drawn_sequences(model, samples, objective.temperature)

    def run(checkpointing: bool) -> tuple[AdapterBank, TrainingRecord]:
        objective.begin()
        bank = AdapterBank(model.hf, lora, [seed], num_layers=model.num_layers)
        trainer = BankTrainer(
            model.decoder,
            bank,
            [data],
            [settings],
            objective=objective,
            checkpointing=checkpointing,
        )
        (record,) = trainer.run(on_step)
        return bank, record

    needed = Footprint.of(model.decoder, lora).training([Steps.of(data, settings, seed)])
    return keeping_less(model, run, f"updating the policy on {len(data)} completions", needed)


def drawn_sequences(
    model: LanguageModel, samples: Sequence[Sample], temperature: float
) -> list[TokenSequence]:
    """The samples as tokens with what is known of them. Log-probabilities that the sampler did not give
    are those of this model, which then is the one that drew them."""
    sequences = sampled(model, samples)
    known = [
        len(sample.completion.logprobs) == sequence.num_supervised
        for sample, sequence in zip(samples, sequences, strict=True)
    ]
    missing = [sequence for sequence, is_known in zip(sequences, known, strict=True) if not is_known]
    read = iter(read_logprobs(model.decoder, missing, temperature) if missing else [])
    result = []
    for sample, sequence, is_known in zip(samples, sequences, known, strict=True):
        old = sample.completion.logprobs
        old_M = torch.tensor(old, dtype=torch.float64) if is_known else next(read)
        reference_M = torch.tensor(sample.reference, dtype=torch.float64) if sample.reference else None
        drawn = Drawn(old_M, sample.advantage, sample.unit, reference_M)
        result.append(replace(sequence, drawn=drawn))
    return result
