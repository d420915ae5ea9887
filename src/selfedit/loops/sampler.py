"""What a model writes and answers, each text once: from the store if it is there already."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
    def of(
        cls,
        domain: Domain,
        tasks: Sequence[Task],
        settings: InnerSettings,
        before: Mapping[str, int] | None = None,
    ) -> EditPrompts:
        """`settings.candidates` self-edits for each task. before: how many times, by task id,
        they were written already and others are wanted."""
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
            tuple(
                _text_seed(
                    settings.seed, tasks[i].id, *rest, *_time((before or {}).get(tasks[i].id, 0))
                )
                for i, *rest in places
            ),
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

Ask = tuple[Prompt, int]  # with its seed


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
        return list(self.answers(prompts, len(prompts), stage))

    def answers(self, prompts: Iterable[Prompt], count: int, stage: str) -> Iterator[str]:
        """The same of any number of prompts, which are read as they are needed."""
        return self._texts(((prompt, 0) for prompt in prompts), count, ANSWER_SAMPLING, stage)

    def write(
        self,
        prompts: Sequence[Prompt],
        sampling: SamplingSettings,
        seeds: Sequence[int],
        stage: str,
    ) -> list[str]:
        """The bare model's replies, from the store if they are there already."""
        return list(self._texts(zip(prompts, seeds, strict=True), len(prompts), sampling, stage))

    def _texts(
        self, asked: Iterable[Ask], count: int, sampling: SamplingSettings, stage: str
    ) -> Iterator[str]:
        def new(replies: Mapping[str, Completion]) -> Mapping[str, str]:
            texts = {key: reply.text for key, reply in replies.items()}
            self.store.put_cached("text", texts)
            return texts

        def known(keys: Sequence[str], chunk: Sequence[Ask]) -> Mapping[str, str]:
            return self.store.cached(keys)

        return self._chunks(asked, count, sampling, stage, known, new)

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
        asked = zip(prompts, seeds, strict=True)
        return list(self._drawn(asked, len(prompts), sampling, stage, needed=needed))

    def _drawn(
        self,
        asked: Iterable[Ask],
        count: int,
        sampling: SamplingSettings,
        stage: str,
        *,
        needed: bool,
    ) -> Iterator[Completion]:
        names: dict[str, str] = {}  # of what was drawn, by the texts' keys

        def known(keys: Sequence[str], chunk: Sequence[Ask]) -> Mapping[str, Completion]:
            own = {key: _drawn_key(key, prompt) for key, (prompt, _) in zip(keys, chunk, strict=True)}
            names.update(own)
            drawn = self.store.cached(own.values())
            pairs = [(key, drawn.get(name)) for key, name in own.items()]
            found = {key: _completion(values) for key, values in pairs if values is not None}
            if not needed:
                texts = self.store.cached(key for key in keys if key not in found)
                found |= {key: Completion(text) for key, text in texts.items()}
            return found

        def new(replies: Mapping[str, Completion]) -> Mapping[str, Completion]:
            kept = {key: _values(reply) for key, reply in replies.items()}
            self.store.put_cached("drawn", {names[key]: own for key, own in kept.items()})
            self.store.put_cached("text", {key: reply.text for key, reply in replies.items()})
            return {key: _completion(own) for key, own in kept.items()}

        return self._chunks(asked, count, sampling, stage, known, new, logprobs=True)

    def _keys(self, asked: Sequence[Ask], sampling: SamplingSettings) -> list[str]:
        identity = [*self.model.identity, sampling.digest()]
        return [stable_hash([*identity, *asked_as(prompt), seed]) for prompt, seed in asked]

    def _chunks(
        self,
        asked: Iterable[Ask],
        count: int,
        sampling: SamplingSettings,
        stage: str,
        known: Callable[[Sequence[str], Sequence[Ask]], Mapping[str, Reply]],
        new: Callable[[Mapping[str, Completion]], Mapping[str, Reply]],
        *,
        logprobs: bool = False,
    ) -> Iterator[Reply]:
        """All replies, some at a time: those that are known, and new ones, which are stored at once."""
        self.progress.start(stage, count)
        left = iter(asked)
        while chunk := list(islice(left, _WRITE_CHUNK)):
            keys = self._keys(chunk, sampling)
            found = dict(known(keys, chunk))
            missing = [i for i, key in enumerate(keys) if key not in found]
            self.progress.found(len(chunk) - len(missing))
            if missing:
                replies = self.model.sample(
                    [chunk[i][0] for i in missing],
                    sampling,
                    [chunk[i][1] for i in missing],
                    logprobs=logprobs,
                    on_done=self.progress.advance,
                )
                found |= new(dict(zip([keys[i] for i in missing], replies, strict=True)))
            yield from [found[key] for key in keys]

    def propose(
        self,
        domain: Domain,
        tasks: Sequence[Task],
        settings: InnerSettings,
        *,
        logprobs: bool = False,
        before: Mapping[str, int] | None = None,
    ) -> list[list[SelfEdit]]:
        """`settings.candidates` self-edits for each task, each prompt with its own seed.

        logprobs: whether their log-probabilities are needed; else they are there where they were kept.
        before: see `EditPrompts.of`.
        """
        return list(self.proposed(domain, tasks, settings, logprobs=logprobs, before=before))

    def proposed(
        self,
        domain: Domain,
        tasks: Sequence[Task],
        settings: InnerSettings,
        *,
        logprobs: bool = False,
        before: Mapping[str, int] | None = None,
    ) -> Iterator[list[SelfEdit]]:
        """The same task by task, with few of them in memory."""
        count = settings.candidates * sum(len(domain.prompts(task)) for task in tasks)
        one_by_one = (EditPrompts.of(domain, [task], settings, before) for task in tasks)
        asked = (ask for own in one_by_one for ask in zip(own.prompts, own.seeds, strict=True))
        stage = "writing self-edits"
        drawn = self._drawn(asked, count, settings.sampling, stage, needed=logprobs)
        for task in tasks:
            own = EditPrompts.of(domain, [task], settings, before)
            yield from own.edits(list(islice(drawn, len(own.prompts))))


def _drawn_key(key: str, prompt: Prompt) -> str:
    """One of its own where a pattern excludes tokens: log-probabilities used to ignore that."""
    return stable_hash([key, "drawn", *(["among the allowed"] if prompt.pattern else [])])


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


def _time(before: int) -> tuple[int, ...]:
    """Of a seed; the first time has none, as it always was."""
    return (before,) if before else ()


def _text_seed(seed: int, *place: str | int) -> int:
    """A seed for one text: the same for the same place, whatever else is written."""
    return int(stable_hash([seed, *place])[:12], 16)
