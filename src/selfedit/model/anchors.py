"""Anchors: what the bare model says to prompts that have nothing to do with what is learned.

An adapter is held to these texts, with the bare model's own distributions (`AnchorSettings`), so that
it changes what it is taught and little else. They are written once for each model and prompt set, and
kept in the cache folder. As in learning without forgetting (Li & Hoiem, arXiv 1606.09282), with the
model's own text in place of data.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import torch
from filelock import FileLock
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from selfedit.config import AnchorSettings, SamplingSettings, stable_hash
from selfedit.forward.packed import Decoder
from selfedit.home import anchors_folder
from selfedit.lora.sequences import WHOLE, SoftTargets, TokenSequence
from selfedit.lora.teacher import soften
from selfedit.model.prompts import Rendered
from selfedit.model.tokens import opened, plain
from selfedit.types import Completion, Prompt

# With fewer usable texts the anchor is weak, and the user is told.
FEWEST = 8
# Openings are drawn, since a base model's greedy text soon goes round in circles.
DRAWN = SamplingSettings(temperature=0.8, top_p=0.95)
GREEDY = SamplingSettings(temperature=0.0, top_p=1.0)
# A text is a loop if less than this share of its 4-grams of tokens are distinct.
_FRESH = 0.5
_WORD = 4

Write = Callable[[Sequence[Rendered], SamplingSettings, Sequence[int]], list[Completion]]


@dataclass(frozen=True, slots=True)
class Asked:
    """A prompt as the model sees it. opening: a text that it continues, sampled, and learned whole.
    as_drawn: what follows is the tokens that were drawn, since a base model's begin with a space."""

    rendered: Rendered
    opening: bool = False
    as_drawn: bool = False


@cache
def shipped() -> dict[str, list[str]]:
    """The shipped prompts: "short" questions of fact, other "questions", "instructions", and "openings"
    for base models. None asks for what the probes measure by (`memory/`)."""
    path = Path(__file__).with_name("anchor_prompts.json")
    prompts: dict[str, list[str]] = json.loads(path.read_text(encoding="utf-8"))
    return prompts


def generic_prompts(
    form: Literal["chat", "plain"], count: int, render: Callable[[Prompt], Rendered], tokenizer: Any
) -> list[Asked]:
    """The first `count` prompts, half of them short questions of fact. The others: for a chat model
    questions and instructions in turn, for a base model openings."""
    own = shipped()
    drawn = form == "plain"
    short = [Asked(render(Prompt(text, kind="question")), as_drawn=drawn) for text in own["short"]]
    if form == "chat":
        turns = zip(own["questions"], own["instructions"], strict=True)
        long = [Asked(render(Prompt(text))) for pair in turns for text in pair]
    else:
        openings = [tuple(opened(tokenizer, plain(tokenizer, text))) for text in own["openings"]]
        long = [Asked(Rendered(ids), opening=True, as_drawn=drawn) for ids in openings]
    both = min(len(short), len(long))
    turns_of_both = [asked for pair in zip(short, long, strict=False) for asked in pair]
    return [*turns_of_both, *short[both:], *long[both:]][:count]


class AnchorWriter:
    """Writes a model's anchors, or reads them back where they have been written before.

    identity: of the model. write: its replies. status: told what a user should know.
    """

    def __init__(
        self,
        decoder: Decoder,
        tokenizer: Any,
        identity: Sequence[str],
        write: Write,
        status: Callable[[str], None],
    ) -> None:
        self.decoder, self.tokenizer, self.identity = decoder, tokenizer, list(identity)
        self.write, self.status = write, status

    def __call__(self, asked: Sequence[Asked], settings: AnchorSettings) -> tuple[TokenSequence, ...]:
        """The usable texts with their distributions; their weight is the settings'."""
        if not asked:
            return ()
        note = {
            "version": 1,
            "model": self.identity,
            "prompts": [[asked.rendered.ids, asked.opening] for asked in asked],
            "reply_tokens": settings.reply_tokens,
            "top_k": settings.top_k,
        }
        if any(one.as_drawn for one in asked):
            note["version"] = 2  # before, no space came between a base model's prompt and its reply
        found = self._kept(stable_hash(note), note, asked, settings)
        return tuple(replace(sequence, soft_weight=settings.weight) for sequence in found)

    def _kept(
        self, key: str, note: dict[str, Any], asked: Sequence[Asked], settings: AnchorSettings
    ) -> tuple[TokenSequence, ...]:
        """From the cache, else written and cached."""
        folder = anchors_folder() / key
        found = _read(folder, note)
        if found is not None:
            return found
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(folder.parent / f"{key}.lock"):
                found = _read(folder, note)  # another process may have been writing
                if found is None:
                    found = self._written(asked, settings)
                    _save(folder, note, found)
        except (OSError, SafetensorError) as error:
            self.status(
                f"the anchor's texts cannot be cached in {folder.parent} ({error}): every run has to "
                "write them anew"
            )
        return found if found is not None else self._written(asked, settings)

    def _written(self, asked: Sequence[Asked], settings: AnchorSettings) -> tuple[TokenSequence, ...]:
        self.status(f"writing {len(asked)} texts for the anchor, once for this model")
        replies: dict[int, Completion] = {}
        for opening, sampling in ((False, GREEDY), (True, DRAWN)):
            own = [i for i, one in enumerate(asked) if one.opening == opening]
            limit = sampling.model_copy(update={"max_new_tokens": settings.reply_tokens})
            prompts = [asked[i].rendered for i in own]
            replies |= zip(own, self.write(prompts, limit, own) if own else (), strict=True)
        sequences = [self._sequence(one, replies[i]) for i, one in enumerate(asked)]
        good = [sequence for sequence in sequences if sequence is not None]
        if len(good) < min(FEWEST, len(asked)):
            self.status(
                f"only {len(good)} of {len(asked)} texts for the anchor can be used; the others are "
                "empty or go round in circles, so that it holds less than it should"
            )
        return tuple(soften(self.decoder, good, settings.top_k)) if good else ()

    def _sequence(self, asked: Asked, reply: Completion) -> TokenSequence | None:
        """The text as a sequence; None if it is empty or a loop."""
        text = self._drawn(reply) if asked.as_drawn else plain(self.tokenizer, reply.text)
        if not reply.text.strip() or not text or loops(text):
            return None
        start = len(asked.rendered.ids)
        # The last place says how likely the text ends there; its token is a placeholder.
        ids = (*asked.rendered.ids, *text, self.tokenizer.eos_token_id or 0)
        return TokenSequence(ids, WHOLE if asked.opening else ((start, len(ids)),), hard=0.0)

    def _drawn(self, reply: Completion) -> list[int]:
        """The first drawn tokens that say all of the reply; none if it is not what was drawn."""
        drawn = list(reply.tokens)
        for end in range(1, len(drawn) + 1):
            if self.tokenizer.decode(drawn[:end], skip_special_tokens=True).strip() == reply.text:
                return drawn[:end]
        return []


def loops(ids: Sequence[int]) -> bool:
    """Whether a text goes round in circles."""
    runs = [tuple(ids[i : i + _WORD]) for i in range(len(ids) - _WORD + 1)]
    return len(runs) >= 2 * _WORD and len(set(runs)) < _FRESH * len(runs)


_WEIGHTS, _NOTE = "anchors.safetensors", "anchors.json"


def _save(folder: Path, note: dict[str, Any], sequences: Sequence[TokenSequence]) -> None:
    """Saved whole or not at all: the folder gets its name when both files are there."""
    soft = [sequence.soft for sequence in sequences if sequence.soft is not None]
    tensors: dict[str, Tensor] = {}
    if soft:
        tensors = {
            "ids": torch.cat([own.ids_Mk for own in soft]).to(torch.int32),
            "log": torch.cat([own.log_Mk for own in soft]),
            "rest": torch.cat([own.rest_M for own in soft]),
        }
    texts = [[sequence.ids, sequence.spans] for sequence in sequences]
    for stale in folder.parent.glob(f".making-{folder.name}-*"):  # of a killed run; we hold the lock
        shutil.rmtree(stale, ignore_errors=True)
    made = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".making-{folder.name}-"))
    try:
        save_file(tensors, made / _WEIGHTS)
        (made / _NOTE).write_text(json.dumps({**note, "texts": texts}), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)  # a damaged one
        os.replace(made, folder)
    finally:
        with suppress(OSError):
            shutil.rmtree(made)


def _read(folder: Path, note: dict[str, Any]) -> tuple[TokenSequence, ...] | None:
    """None if it is not there, damaged, or not what the note says."""
    try:
        found = json.loads((folder / _NOTE).read_text(encoding="utf-8"))
        tensors = load_file(folder / _WEIGHTS)
        texts = found.pop("texts")
        if stable_hash(found) != stable_hash(note):
            return None
        sequences = [
            TokenSequence(tuple(ids), tuple((start, end) for start, end in spans), hard=0.0)
            for ids, spans in texts
        ]
        if not sequences:
            return ()
        counts = [sequence.num_supervised for sequence in sequences]
        parts = [tensors["ids"].to(torch.int64), tensors["log"], tensors["rest"]]
        pieces = zip(*(part.split(counts) for part in parts), strict=True)
        return tuple(
            replace(sequence, soft=SoftTargets(*(piece.clone() for piece in own)))
            for sequence, own in zip(sequences, pieces, strict=True)
        )
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, RuntimeError):
        return None
