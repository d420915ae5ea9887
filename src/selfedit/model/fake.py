"""A fake model, for tests (ours and users') that need no weights to be fetched.

`FakeModel` trains in no time and then knows, word for word, what it was trained on: everything around
the model can be tested with it. `selfedit learn --model fake` works too.
"""

from __future__ import annotations

import json
import math
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from selfedit.config import LoraSettings, SamplingSettings, TrainSettings, stable_hash
from selfedit.errors import AdapterError
from selfedit.seams import Adapters, Drawn, Model, Objective
from selfedit.types import (
    AnswerScore,
    Completion,
    Prompt,
    Sample,
    TrainingPlan,
    TrainingRecord,
    TrainingSequence,
)
from selfedit.words import is_unspaced
from selfedit.words import words as split_words

if TYPE_CHECKING:
    from torch import Tensor

_STOP_WORDS = frozenset(
    [
        "a",
        "an",
        "and",
        "are",
        "at",
        "by",
        "for",
        "from",
        "in",
        "is",
        "of",
        "on",
        "or",
        "the",
        "to",
        "was",
        "what",
        "which",
        "who",
    ]
)
_OPENINGS = ("It is known that", "One can say that", "People report that", "As we know,")


# What else the fake model can do: of a prompt, its seed and the learning rate that the answering
# adapter's edit asked for (None: no edit did), a reply; None for a prompt of another kind.
Skill = Callable[[Prompt, int, float | None], str | None]


@dataclass
class FakeAdapters:
    """What each adapter was trained on, and the learning rate that its self-edit asked for, if any."""

    texts: list[list[str]]
    rates: list[float | None] = field(default_factory=list)

    @property
    def num_adapters(self) -> int:
        return len(self.texts)


class FakeModel:
    """Answers with the sentence, among those it has learned, that shares most words with the question.

    Without an adapter it says that it does not know. Asked to write, it repeats the last line of the
    prompt behind an opening chosen by the seed; asked for a question, it asks for the last word. skills
    come first, for prompts of their own kind (`BaseDomain.skills`).
    Texts with "NaN" in them make a training fail, as a diverging loss would. delay: seconds that each
    call takes ($SELFEDIT_FAKE_DELAY), for tests that kill it. texts: what it knows without an adapter.
    calls: how often each method was called.
    """

    device, num_workers = "cpu", 1

    def __init__(
        self,
        name: str = "fake",
        revision: str = "fake-1",
        delay: float | None = None,
        skills: Sequence[Skill] = (),
        texts: Sequence[str] = (),
    ) -> None:
        self.name, self.revision, self.skills = name, revision, tuple(skills)
        self.texts = tuple(texts)
        self.delay = float(os.environ.get("SELFEDIT_FAKE_DELAY", "0")) if delay is None else delay
        self.calls: Counter[str] = Counter()

    def _called(self, method: str) -> None:
        self.calls[method] += 1
        time.sleep(self.delay)

    @property
    def identity(self) -> list[str]:
        return [self.revision]

    @property
    def num_bytes(self) -> int:
        return 0

    def count_tokens(self, text: str) -> int:
        return len(text.split())

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
        """With logprobs: each word was certain, and has no id."""
        self._called("sample")
        bank = None if adapters is None else _own(adapters)
        replies = []
        for i, (prompt, seed) in enumerate(zip(prompts, seeds, strict=True)):
            rate = bank.rates[owners[i]] if bank is not None and bank.rates and owners else None
            own = (skill(prompt, seed, rate) for skill in self.skills)
            if (reply := next((text for text in own if text is not None), None)) is not None:
                replies.append(reply)
                continue
            known = bank.texts[owners[i]] if bank is not None and owners is not None else []
            replies.append(self._answer(prompt, known) if _asks(prompt) else _write(prompt, seed))
        if on_done is not None:
            on_done(len(prompts))
        return [
            Completion(text, (0.0,) * self.count_tokens(text) if logprobs else (), ended=True)
            for text in replies
        ]

    def _answer(self, prompt: Prompt, known: list[str]) -> str:
        *given, question = prompt.text.splitlines()
        wanted = _words(question)
        sentences = [
            s for text in [*known, *self.texts, *given] for s in re.split(r"(?<=[.!?])\s+|\n", text)
        ]
        best = max(sentences, key=lambda s: len(wanted & _words(s)), default="")
        if len(wanted & _words(best)) < 2:
            return "I do not know."
        if prompt.prefix and prompt.prefix in best:  # it goes on where it was made to begin
            return best.split(prompt.prefix, 1)[1].strip()
        return best

    def answer_scores(
        self,
        prompts: Sequence[Prompt],
        replies: Sequence[str],
        *,
        adapters: Adapters | None = None,
        owners: Sequence[int] | None = None,
    ) -> list[AnswerScore]:
        """The beginning of the fake's own answer has a probability of 1/2, all else one of e**-9."""
        self._called("answer_scores")
        bank = None if adapters is None else _own(adapters)
        scores = []
        for i, (prompt, reply) in enumerate(zip(prompts, replies, strict=True)):
            known = bank.texts[owners[i]] if bank is not None and owners is not None else []
            wanted = re.findall(r"\w+", reply)
            greedy = re.findall(r"\w+", self._answer(prompt, known))[: len(wanted)] == wanted
            scores.append(AnswerScore(math.log(0.5) if greedy else -9.0, len(wanted), greedy))
        return scores

    def sequence_tokens(self, sequence: TrainingSequence) -> int:
        said = [sequence.text]
        if sequence.prompt is not None:
            said += [sequence.prompt.text, *(text for turn in sequence.prompt.turns for text in turn)]
        return sum(map(self.count_tokens, said))

    def train(
        self,
        plans: Sequence[TrainingPlan],
        lora: LoraSettings,
        settings: TrainSettings,
        seeds: Sequence[int],
        *,
        slots: int | None = None,
        on_step: Callable[[int, int], None] | None = None,
    ) -> tuple[FakeAdapters, list[TrainingRecord]]:
        self._called("train")
        texts = [[sequence.text for sequence in plan.sequences] for plan in plans]
        records = [
            TrainingRecord(
                losses=[1.0 / (step + 1) for step in range(passes)],
                failure="loss was not finite at step 1" if "NaN" in " ".join(own) else "",
                tokens=sum(map(self.count_tokens, own)) * passes,
            )
            for plan, own in zip(plans, texts, strict=True)
            for passes in [settings.passes(len(own), plan.epochs)]
        ]
        if on_step is not None:
            on_step(1, 1)
        return FakeAdapters(texts, [plan.learning_rate for plan in plans]), records

    def sample_logprobs(self, samples: Sequence[Sample], temperature: float) -> list[tuple[float, ...]]:
        """Each word was certain."""
        return [(0.0,) * self.count_tokens(own.completion.text) for own in samples]

    def prompt_states(self, prompts: Sequence[Prompt]) -> Tensor:
        """Two numbers of a prompt: one, and its words."""
        import torch

        rows = [[1.0, float(self.count_tokens(prompt.text))] for prompt in prompts]
        return torch.tensor(rows, dtype=torch.float64)

    def reinforce(
        self,
        samples: Sequence[Sample],
        objective: Objective,
        lora: LoraSettings,
        settings: TrainSettings,
        seed: int,
        on_step: Callable[[int, int], None] | None = None,
    ) -> tuple[FakeAdapters, TrainingRecord]:
        """The objective is asked once, about words that are as certain as they were; what was better
        than expected is learned word for word."""
        import torch

        self._called("train")
        words = [max(1, self.count_tokens(sample.completion.text)) for sample in samples]
        old = [torch.zeros(count, dtype=torch.float64) for count in words]
        drawn = [Drawn(o, s.advantage, s.unit, o) for o, s in zip(old, samples, strict=True)]
        signal = objective([o.clone().requires_grad_() for o in old], drawn)
        texts = [s.completion.text for s in samples if s.advantage > 0]
        failure = "loss was not finite at step 1" if "NaN" in " ".join(texts) else ""
        record = TrainingRecord([float(signal.loss.detach())], failure=failure, stopped=signal.stop)
        if on_step is not None:
            on_step(1, 1)
        return FakeAdapters([texts], [None]), record

    def train_reader(
        self,
        documents: Sequence[Adapters],
        owners: Sequence[int],
        sequences: Sequence[TrainingSequence],
        lora: LoraSettings,
        settings: TrainSettings,
        seed: int,
        on_step: Callable[[int, int], None] | None = None,
    ) -> tuple[FakeAdapters, TrainingRecord]:
        """It learns the answers by heart, as the fake does with everything."""
        assert all(0 <= owner < len(documents) for owner in owners)
        adapters, (record,) = self.train(
            [TrainingPlan(tuple(sequences))], lora, settings, [seed], on_step=on_step
        )
        return adapters, record

    def divergence(
        self,
        sequences: Sequence[TrainingSequence],
        adapters: Adapters | None = None,
        k: int = 0,
        *,
        other: Model | None = None,
        on_done: Callable[[int], None] | None = None,
    ) -> list[float]:
        """ln 2 where what was learned changes the answer to the sequence's prompt, else nothing."""
        self._called("divergence")
        known = [] if adapters is None else _own(adapters).texts[k]
        prompts = [sequence.prompt or Prompt(sequence.text) for sequence in sequences]
        if on_done is not None:
            on_done(len(prompts))
        return [math.log(2) if self._answer(p, known) != self._answer(p, []) else 0.0 for p in prompts]

    def planned_memory(
        self, lora: LoraSettings, settings: TrainSettings
    ) -> Callable[[Sequence[TrainingPlan], Sequence[int], int | None], int]:
        return lambda plans, seeds, slots: 0

    @property
    def memory_budget(self) -> int:
        return 0

    def save_adapter(self, adapters: Adapters, k: int, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            note = {"base_revision": self.revision, "texts": _own(adapters).texts[k]}
            (folder / "fake_adapter.json").write_text(json.dumps(note), encoding="utf-8")
        except OSError as error:
            raise AdapterError(f"the adapter cannot be written to {folder}: {error}") from error

    def load_adapter(self, folder: Path) -> FakeAdapters:
        self.calls["load_adapter"] += 1
        try:
            note = json.loads((folder / "fake_adapter.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise AdapterError(f"the adapter in {folder} is damaged: {error}") from error
        if note["base_revision"] != self.revision:
            raise AdapterError(f"the adapter in {folder} belongs to {note['base_revision']}")
        return FakeAdapters([note["texts"]])

    def combine(
        self, adapters: Sequence[Adapters], mixes: Sequence[Mapping[int, float]]
    ) -> FakeAdapters:
        """What is summed knows the texts of all its parts, those of the greatest weight first."""
        self.calls["combine"] += 1
        banks = [_own(bank) for bank in adapters]
        orders = [sorted(mix, key=lambda i: -mix[i]) for mix in mixes]
        return FakeAdapters([[text for i in order for text in banks[i].texts[0]] for order in orders])

    def merged(self, adapters: Adapters, k: int, revision: str) -> FakeModel:
        texts = (*self.texts, *_own(adapters).texts[k])
        changed = FakeModel(self.name, revision, self.delay, self.skills, texts)
        changed.calls = self.calls
        return changed

    def save_merged(self, folder: Path, adapter: Path) -> None:
        self._save(folder, self.load_adapter(adapter))

    @property
    def has_reader(self) -> bool:
        return False

    def reading(self, adapters: Adapters) -> Adapters:
        return adapters

    def save_reader(self, adapters: Adapters, folder: Path) -> None:
        self._save(folder, adapters)

    def keep_reader(self, folder: Path) -> None:
        """What the fake has learned once it does not forget."""

    def _save(self, folder: Path, adapters: Adapters) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"from": self.revision, "texts": _own(adapters).texts})
        (folder / "fake_model.json").write_text(text, encoding="utf-8")


def load_fake(name: str, skills: Sequence[Skill] = ()) -> FakeModel | None:
    """The fake model by its name, or a policy that grew from it by its folder; None for others."""
    if name == "fake":
        return FakeModel(skills=skills)
    note = Path(name) / "fake_model.json"
    if not note.is_file():
        return None
    revision = f"fake-{stable_hash(note.read_text(encoding='utf-8'))[:12]}"
    return FakeModel(name, revision, skills=skills)


def _own(adapters: Adapters) -> FakeAdapters:
    assert isinstance(adapters, FakeAdapters), "adapters of another model"
    return adapters


def _asks(prompt: Prompt) -> bool:
    return prompt.kind == "question"


def _words(text: str) -> set[str]:
    found = re.findall(r"\w+", text.lower()) if text.isascii() else split_words(text.lower())
    return set(found) - _STOP_WORDS


def _write(prompt: Prompt, seed: int) -> str:
    line = prompt.text.strip().splitlines()[-1].removeprefix("Sentence: ").rstrip(".")
    if prompt.prefix.startswith("Question"):
        if is_unspaced(line):
            line = line.rstrip("\u3002")
            return f" {line[:-2]}? Answer: {line[-2:]}"
        *first, last = line.split()
        return f" What comes after {' '.join(first[:6])}? Answer: {last}"
    return f"{_OPENINGS[seed % len(_OPENINGS)]} {line}."
