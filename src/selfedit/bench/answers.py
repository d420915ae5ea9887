"""`selfedit bench answers`: questions x adapters per second, against PEFT, adapter by adapter.

The adapters of several self-edits of one article are asked the same questions, as a round of the outer
loop asks them. Both ways hold all adapters in memory, decode greedily and stop at the same tokens.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from selfedit.bench.material import articles
from selfedit.bench.reference import peft_answers, peft_with_adapters
from selfedit.config import ANSWER_SAMPLING, LoraSettings, TrainSettings
from selfedit.model.language_model import LanguageModel
from selfedit.types import Prompt

Say = Callable[[str], None]


def run_answers(
    model: LanguageModel,
    *,
    num_articles: int = 2,
    edits: int = 4,
    repeats: int = 3,
    epochs: int = 1,
    layers: str = "upper-half",
    say: Say = lambda text: None,
) -> dict[str, Any]:
    """Timings under stable keys.

    `answers_ratio`: seconds of PEFT over ours; `same_answers`: share of answers that are equal word
    for word (in float32 rounding can break a tie differently); `ways`: answers per second of each way.
    """
    found, source = articles()
    chosen = [article for article in found if len(article.edits) >= edits][:num_articles]
    pairs = [(article, index) for article in chosen for index in range(edits)]
    say(f"training {len(pairs)} adapters")
    bank, _ = model.train(
        [article.plan(index) for article, index in pairs],
        LoraSettings(layers=layers),
        TrainSettings(epochs=epochs),
        range(len(pairs)),
    )
    asked = [(k, prompt) for k, (article, _) in enumerate(pairs) for prompt in article.asked()]
    with tempfile.TemporaryDirectory() as name:
        folders = [Path(name) / str(k) for k in range(len(pairs))]
        for k, folder in enumerate(folders):
            model.save_adapter(bank, k, folder)
        ours: list[float] = []
        theirs: list[float] = []
        own = _ours(model, bank, asked)
        with peft_with_adapters(model, folders) as peft_model:
            other = peft_answers(model, peft_model, asked, ANSWER_SAMPLING.max_new_tokens)
        for repeat in range(repeats):
            # PEFT changes the model's modules, so each way gets the model as it would be without the
            # other.
            with peft_with_adapters(model, folders) as peft_model:
                start = time.perf_counter()
                peft_answers(model, peft_model, asked, ANSWER_SAMPLING.max_new_tokens)
                theirs.append(time.perf_counter() - start)
            start = time.perf_counter()
            _ours(model, bank, asked)
            ours.append(time.perf_counter() - start)
            say(f"repeat {repeat + 1}: PEFT {theirs[-1]:.1f} s, bank {ours[-1]:.1f} s")
    seconds = {"PEFT, one adapter after the other": median(theirs), "bank": median(ours)}
    return {
        "model": model.name,
        "device": model.device,
        "layers": layers,
        "adapters": len(pairs),
        "answers": len(asked),
        "edits_from": source,
        "repeats": repeats,
        "answers_ratio": median(theirs) / median(ours),
        "same_answers": sum(a == b for a, b in zip(own, other, strict=True)) / len(asked),
        "ways": {
            way: {"seconds": spent, "answers_per_second": len(asked) / spent}
            for way, spent in seconds.items()
        },
    }


def _ours(model: LanguageModel, bank: Any, asked: Sequence[tuple[int, Prompt]]) -> list[str]:
    replies = model.sample(
        [prompt for _, prompt in asked],
        ANSWER_SAMPLING,
        [0] * len(asked),
        adapters=bank,
        owners=[k for k, _ in asked],
    )
    return [reply.text for reply in replies]
