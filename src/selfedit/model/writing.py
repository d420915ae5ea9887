"""How a model writes: in batches that its device handles fastest, within its memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from selfedit.config import SamplingSettings
from selfedit.lora.bank import AdapterBank
from selfedit.lora.memory import Footprint
from selfedit.model.cuda_graph import CudaGraph
from selfedit.model.generate import generate
from selfedit.model.prompts import Rendered
from selfedit.types import Completion

if TYPE_CHECKING:
    from selfedit.model.language_model import LanguageModel

# Rows x tokens of one generation batch. A CPU gains nothing from more than a few thousand.
TOKEN_BUDGET = {"cpu": 12_288, "mps": 16_384, "cuda": 131_072}


class Writing:
    """Writes with a model and, if given, a bank of its adapters."""

    def __init__(self, model: LanguageModel) -> None:
        self.model = model

    def write(
        self,
        rendered: Sequence[Rendered],
        sampling: SamplingSettings,
        seeds: Sequence[int],
        *,
        bank: AdapterBank | None = None,
        owners: Sequence[int] | None = None,
        logprobs: bool = False,
        on_done: Callable[[int], None] | None = None,
    ) -> list[Completion]:
        """Completions in the order of the prompts (see `model.generate.generate`)."""
        model = self.model
        graphs = model.engine.cuda_graphs and model.device == "cuda"
        return generate(
            model.decoder,
            model.tokenizer,
            rendered,
            sampling,
            seeds,
            bank=bank,
            owners=owners,
            token_budget=self.token_budget(rendered, sampling, bank),
            beside=model.others,
            graph=partial(CudaGraph, model.decoder.device) if graphs else None,
            logprobs=logprobs,
            on_done=on_done,
            status=model.status,
        )

    def token_budget(
        self, prompts: Sequence[Rendered], sampling: SamplingSettings, bank: AdapterBank | None
    ) -> int:
        """Rows x tokens of a batch of texts; a bank that stands there is no room for them."""
        most = TOKEN_BUDGET.get(self.model.device, 16_384)
        longest = max((len(prompt.ids) for prompt in prompts), default=1)
        new = max((p.max_new_tokens or sampling.max_new_tokens for p in prompts), default=1)
        lora = bank.settings if bank is not None else None
        footprint = Footprint.of(self.model.decoder, lora)
        standing = footprint.standing(bank.num_adapters) if bank is not None else 0
        free = max(0, self.model.memory_budget - standing)
        return min(most, free // footprint.answer_row(longest, new) * (longest + new))
