"""What a model writes and answers, each text once: from the store if it is there already."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from selfedit.config import ANSWER_SAMPLING, InnerSettings, SamplingSettings, stable_hash
from selfedit.progress import Progress, Silent
from selfedit.seams import Domain, Model
from selfedit.store import Store
from selfedit.types import Prompt, SelfEdit, Task

# Prompts written between two visits to the store: all that a kill can cost.
_WRITE_CHUNK = 128


class Writer:
    """The bare model's texts, stored under everything that determines them."""

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
        identity = [*self.model.identity, sampling.digest()]
        keys = [
            stable_hash([*identity, *asked_as(prompt), seed])
            for prompt, seed in zip(prompts, seeds, strict=True)
        ]
        self.progress.start(stage, len(keys))
        texts: dict[str, str] = {}
        for at in range(0, len(keys), _WRITE_CHUNK):
            chunk = range(at, min(at + _WRITE_CHUNK, len(keys)))
            texts.update(self.store.cached(keys[i] for i in chunk))
            missing = [i for i in chunk if keys[i] not in texts]
            self.progress.advance(len(chunk) - len(missing))
            if not missing:
                continue
            replies = self.model.sample(
                [prompts[i] for i in missing],
                sampling,
                [seeds[i] for i in missing],
                on_done=self.progress.advance,
            )
            written = {keys[i]: reply.text for i, reply in zip(missing, replies, strict=True)}
            self.store.put_cached("text", written)
            texts.update(written)
        return [texts[key] for key in keys]

    def propose(
        self, domain: Domain, tasks: Sequence[Task], settings: InnerSettings
    ) -> list[list[SelfEdit]]:
        """`settings.candidates` self-edits for each task, each prompt with its own seed."""
        prompts = [domain.prompts(task) for task in tasks]
        places = [
            (i, index, place)
            for i in range(len(tasks))
            for index in range(settings.candidates)
            for place in range(len(prompts[i]))
        ]
        texts = iter(
            self.write(
                [prompts[i][place] for i, _, place in places],
                settings.sampling,
                [_text_seed(settings.seed, tasks[i].id, *rest) for i, *rest in places],
                "writing self-edits",
            )
        )
        return [
            [
                SelfEdit(task.id, index, own, tuple(islice(texts, len(own))))
                for index in range(settings.candidates)
            ]
            for task, own in zip(tasks, prompts, strict=True)
        ]


def asked_as(prompt: Prompt) -> list[object]:
    """What determines a prompt's reply; fields with their default values are left out."""
    more = [prompt.turns, prompt.max_new_tokens] if prompt.turns or prompt.max_new_tokens else []
    pattern = [{"pattern": prompt.pattern}] if prompt.pattern else []
    return [prompt.text, prompt.kind, prompt.prefix, *more, *pattern]


def _text_seed(seed: int, *place: str | int) -> int:
    """A seed for one text: the same for the same place, whatever else is written."""
    return int(stable_hash([seed, *place])[:12], 16)
