"""What a model writes and answers, each text once: from the store if it is there already."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from selfedit.config import ANSWER_SAMPLING, InnerSettings, SamplingSettings, stable_hash
from selfedit.progress import Progress, Silent
from selfedit.seams import Domain, Model
from selfedit.store import Store
from selfedit.types import Completion, Prompt, SelfEdit, Task

Reply = TypeVar("Reply")


@dataclass(frozen=True, slots=True)
class EditPrompts:
    """The prompts of every self-edit of some tasks, end to end, each with its own seed: a text is the
    same whatever else is written. by_task: one self-edit's prompts, for each task."""

    tasks: tuple[Task, ...]
    by_task: tuple[tuple[Prompt, ...], ...]
    candidates: int
    prompts: tuple[Prompt, ...]
    seeds: tuple[int, ...]

    @classmethod
    def of(cls, domain: Domain, tasks: Sequence[Task], settings: InnerSettings) -> EditPrompts:
        """`settings.candidates` self-edits for each task."""
        by_task = tuple(domain.prompts(task) for task in tasks)
        places = [
            (i, index, place)
            for i in range(len(tasks))
            for index in range(settings.candidates)
            for place in range(len(by_task[i]))
        ]
        return cls(
            tuple(tasks),
            by_task,
            settings.candidates,
            tuple(by_task[i][place] for i, _, place in places),
            tuple(_text_seed(settings.seed, tasks[i].id, *rest) for i, *rest in places),
        )

    def edits(self, drawn: Sequence[Completion]) -> list[list[SelfEdit]]:
        """The self-edits of each task. drawn: a completion for each prompt."""
        left = iter(drawn)
        return [
            [
                _edit(task.id, index, own, tuple(islice(left, len(own))))
                for index in range(self.candidates)
            ]
            for task, own in zip(self.tasks, self.by_task, strict=True)
        ]


# Prompts written between two visits to the store: all that a kill can cost.
_WRITE_CHUNK = 128


class Writer:
    """The bare model's texts, stored under everything that determines them.

    Self-edits are stored with the tokens that they were drawn by and their log-probabilities, too (see
    `Completion`), under a key of their own, so that texts are found as they always were.
    """

    def __init__(self, model: Model, store: Store, progress: Progress | None = None) -> None:
        self.model, self.store = model, store
        self.progress = progress or Silent()

    def answer(self, prompts: Sequence[Prompt], stage: str) -> list[str]:
        """Greedy answers of the bare model."""
        return self.write(prompts, ANSWER_SAMPLING, [0] * len(prompts), stage)

    def write(
        self,
        prompts: Sequence[Prompt],
        sampling: SamplingSettings,
        seeds: Sequence[int],
        stage: str,
    ) -> list[str]:
        """The bare model's replies, from the store if they are there already."""
        keys = self._keys(prompts, sampling, seeds)

        def known(chunk: Sequence[int]) -> Mapping[int, str]:
            texts = self.store.cached(keys[i] for i in chunk)
            return {i: texts[keys[i]] for i in chunk if keys[i] in texts}

        def new(missing: Sequence[int]) -> Mapping[int, str]:
            replies = self._sample(prompts, sampling, seeds, missing, logprobs=False)
            texts = {i: reply.text for i, reply in replies.items()}
            self.store.put_cached("text", {keys[i]: text for i, text in texts.items()})
            return texts

        return self._chunks(len(keys), stage, known, new)

    def draw(
        self,
        prompts: Sequence[Prompt],
        sampling: SamplingSettings,
        seeds: Sequence[int],
        stage: str,
        *,
        needed: bool = False,
    ) -> list[Completion]:
        """The same with the log-probabilities of what was drawn.

        needed: whether a text that was stored without them is drawn again; it comes out the same.
        """
        keys = self._keys(prompts, sampling, seeds)
        drawn_keys = [stable_hash([key, "drawn"]) for key in keys]

        def known(chunk: Sequence[int]) -> Mapping[int, Completion]:
            drawn = self.store.cached(drawn_keys[i] for i in chunk)
            found = {i: _completion(drawn[drawn_keys[i]]) for i in chunk if drawn_keys[i] in drawn}
            if not needed:
                texts = self.store.cached(keys[i] for i in chunk if i not in found)
                found |= {i: Completion(texts[keys[i]]) for i in chunk if keys[i] in texts}
            return found

        def new(missing: Sequence[int]) -> Mapping[int, Completion]:
            replies = self._sample(prompts, sampling, seeds, missing, logprobs=True)
            kept = {drawn_keys[i]: _values(reply) for i, reply in replies.items()}
            self.store.put_cached("drawn", kept)
            self.store.put_cached("text", {keys[i]: reply.text for i, reply in replies.items()})
            return {i: _completion(kept[drawn_keys[i]]) for i in replies}

        return self._chunks(len(keys), stage, known, new)

    def _keys(
        self, prompts: Sequence[Prompt], sampling: SamplingSettings, seeds: Sequence[int]
    ) -> list[str]:
        identity = [*self.model.identity, sampling.digest()]
        return [
            stable_hash([*identity, *asked_as(prompt), seed])
            for prompt, seed in zip(prompts, seeds, strict=True)
        ]

    def _sample(
        self,
        prompts: Sequence[Prompt],
        sampling: SamplingSettings,
        seeds: Sequence[int],
        places: Sequence[int],
        *,
        logprobs: bool,
    ) -> dict[int, Completion]:
        replies = self.model.sample(
            [prompts[i] for i in places],
            sampling,
            [seeds[i] for i in places],
            logprobs=logprobs,
            on_done=self.progress.advance,
        )
        return dict(zip(places, replies, strict=True))

    def _chunks(
        self,
        count: int,
        stage: str,
        known: Callable[[Sequence[int]], Mapping[int, Reply]],
        new: Callable[[Sequence[int]], Mapping[int, Reply]],
    ) -> list[Reply]:
        """All replies, some at a time: those that are known, and new ones, which are stored at once."""
        self.progress.start(stage, count)
        found: dict[int, Reply] = {}
        for at in range(0, count, _WRITE_CHUNK):
            chunk = range(at, min(at + _WRITE_CHUNK, count))
            found |= known(chunk)
            missing = [i for i in chunk if i not in found]
            self.progress.advance(len(chunk) - len(missing))
            if missing:
                found |= new(missing)
        return [found[i] for i in range(count)]

    def propose(
        self,
        domain: Domain,
        tasks: Sequence[Task],
        settings: InnerSettings,
        *,
        logprobs: bool = False,
    ) -> list[list[SelfEdit]]:
        """`settings.candidates` self-edits for each task, each prompt with its own seed.

        logprobs: whether their log-probabilities are needed; else they are there where they were kept.
        """
        asked = EditPrompts.of(domain, tasks, settings)
        return asked.edits(
            self.draw(
                asked.prompts, settings.sampling, asked.seeds, "writing self-edits", needed=logprobs
            )
        )


def _edit(
    task_id: str, index: int, prompts: tuple[Prompt, ...], drawn: tuple[Completion, ...]
) -> SelfEdit:
    return SelfEdit(task_id, index, prompts, tuple(own.text for own in drawn), drawn)


def _values(reply: Completion) -> dict[str, Any]:
    """As JSON. Log-probabilities that are not finite are left out, all of the text's: who needs them
    computes them again."""
    finite = all(map(math.isfinite, reply.logprobs))
    logprobs = [float(f"{value:.8g}") for value in reply.logprobs] if finite else []
    return {
        "text": reply.text, "tokens": list(reply.tokens), "logprobs": logprobs, "ended": reply.ended
    }  # fmt: skip


def _completion(values: Mapping[str, Any]) -> Completion:
    """See `_values`."""
    return Completion(
        values["text"], tuple(values["logprobs"]), tuple(values["tokens"]), values["ended"]
    )


def asked_as(prompt: Prompt) -> list[object]:
    """What determines a prompt's reply; fields with their default values are left out."""
    more = [prompt.turns, prompt.max_new_tokens] if prompt.turns or prompt.max_new_tokens else []
    pattern = [{"pattern": prompt.pattern}] if prompt.pattern else []
    return [prompt.text, prompt.kind, prompt.prefix, *more, *pattern]


def _text_seed(seed: int, *place: str | int) -> int:
    """A seed for one text: the same for the same place, whatever else is written."""
    return int(stable_hash([seed, *place])[:12], 16)
