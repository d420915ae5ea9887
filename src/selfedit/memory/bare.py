"""A bare model's answers, each prompt asked once, and how sure it is of them: kept in the cache folder,
for all libraries."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from selfedit.config import SamplingSettings, stable_hash
from selfedit.home import probes_folder
from selfedit.progress import Progress
from selfedit.seams import Model
from selfedit.types import Prompt

# Prompts between two visits to the disk: all that a kill can cost.
CHUNK = 96


@dataclass(frozen=True, slots=True)
class Answer:
    """ended: by itself, before the limit of tokens; None where the model cannot tell."""

    text: str
    ended: bool | None


class BareAnswers:
    """Greedy answers of a model without adapters, kept under its identity.

    A cache that is damaged is written anew; where none can be written, a warning is given once, and
    every run asks again.
    """

    def __init__(self, model: Model, progress: Progress) -> None:
        self.model, self.progress = model, progress
        self.path = probes_folder() / f"{stable_hash(model.identity)}.json"
        self._known, self._sure = _read(self.path)
        self._warned = False

    def ask(self, prompts: Sequence[Prompt], max_new_tokens: int) -> list[Answer]:
        """Answers in the order of the prompts; progress advances by one for each."""
        keys = [stable_hash([p.text, p.kind, p.prefix, max_new_tokens]) for p in prompts]
        missing = [i for i, key in enumerate(keys) if key not in self._known]
        self.progress.found(len(keys) - len(missing))
        sampling = SamplingSettings(temperature=0.0, top_p=1.0, max_new_tokens=max_new_tokens)
        for at in range(0, len(missing), CHUNK):
            chunk = missing[at : at + CHUNK]
            replies = self.model.sample(
                [prompts[i] for i in chunk],
                sampling,
                [0] * len(chunk),
                on_done=self.progress.advance,
            )
            for i, reply in zip(chunk, replies, strict=True):
                self._known[keys[i]] = Answer(reply.text, reply.ended)
            self._save()
        return [self._known[key] for key in keys]

    def sureness(self, prompts: Sequence[Prompt], beginnings: Sequence[str]) -> list[float]:
        """Log-probability, in nats, that the answer to each prompt begins so."""
        keys = [
            stable_hash([p.text, p.kind, p.prefix, text])
            for p, text in zip(prompts, beginnings, strict=True)
        ]
        missing = [i for i, key in enumerate(keys) if key not in self._sure]
        self.progress.found(len(keys) - len(missing))
        for at in range(0, len(missing), CHUNK):
            chunk = missing[at : at + CHUNK]
            scores = self.model.answer_scores(
                [prompts[i] for i in chunk], [beginnings[i] for i in chunk]
            )
            self._sure |= {keys[i]: own.logprob for i, own in zip(chunk, scores, strict=True)}
            self.progress.advance(len(chunk))
            self._save()
        return [self._sure[key] for key in keys]

    def _save(self) -> None:
        """Whole or not at all. Another process may have written meanwhile: what it added is kept."""
        known, sure = _read(self.path)
        self._known, self._sure = {**known, **self._known}, {**sure, **self._sure}
        answers = {key: [answer.text, answer.ended] for key, answer in self._known.items()}
        kept = {"model": self.model.identity, "answers": answers, "sureness": self._sure}
        text = json.dumps(kept)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(
                "w", encoding="utf-8", dir=self.path.parent, suffix=".tmp", delete=False
            ) as file:
                file.write(text)
            os.replace(file.name, self.path)
        except OSError as error:
            with suppress(OSError, UnboundLocalError):
                Path(file.name).unlink()
            if not self._warned:
                self.progress.warn(
                    f"the bare model's answers cannot be kept in {self.path.parent} "
                    f"({error.strerror or error}): every probe has to ask it again"
                )
            self._warned = True


def _read(path: Path) -> tuple[dict[str, Answer], dict[str, float]]:
    """Answers and sureness of a cache; none where it is missing or damaged."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        answers = kept["answers"].items()
        return (
            {str(key): Answer(str(text), ended) for key, (text, ended) in answers},
            {str(key): float(value) for key, value in kept.get("sureness", {}).items()},
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}, {}
