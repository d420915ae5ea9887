"""A router that knows other words for a thing, too: what BM25 finds, and how near a question and a
passage lie to each other in meaning (`model.text_embedding`)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Protocol

import torch

from selfedit.config import stable_hash
from selfedit.memory.routed import passage_text
from selfedit.memory.router import Router
from selfedit.store import LearnedPassage, Store

# A passage's score is the cosine, and this much of what `Router` gives it. Weight and threshold, START
# + GROWTH * log(number of passages), were chosen on the 150 contexts of train_round1 and train_round2,
# as `memory.router` says (docs/memory.md has what they do elsewhere).
WORDS = 0.04
START, GROWTH = 0.4, 0.04
# By how much less than the best passage a later one that covers the same words may score and still
# take precedence (`router.LATER_FROM`): one that means something else does not contradict it.
LATER_WITHIN = 0.1


class Embedder(Protocol):
    """Vectors of texts, of length 1. identity: of the model behind it."""

    @property
    def identity(self) -> str: ...

    def embed(self, texts: Sequence[str]) -> list[list[float]]: ...


def blended(passages: Sequence[LearnedPassage], embedder: Embedder, store: Store) -> BlendedRouter:
    """A router over passages, whose vectors are those of their titles and texts alone: what was written
    about them says the same once more."""
    texts = [f"{own.title}\n{own.context or ' '.join(own.sequences)}" for own in passages]
    vectors = passage_vectors(texts, embedder, store)
    return BlendedRouter(map(passage_text, passages), vectors, embedder)


def passage_vectors(texts: Sequence[str], embedder: Embedder, store: Store) -> list[list[float]]:
    """The vector of each passage, computed once for a store."""
    keys = [stable_hash(["embedding", embedder.identity, text]) for text in texts]
    known = store.cached(keys)
    missing = dict.fromkeys(i for i, key in enumerate(keys) if key not in known)
    if missing:
        new = embedder.embed([texts[i] for i in missing])
        store.put_cached("embedding", {keys[i]: own for i, own in zip(missing, new, strict=True)})
        known |= {keys[i]: own for i, own in zip(missing, new, strict=True)}
    return [known[key] for key in keys]


class BlendedRouter(Router):
    """texts: as `Router` has them. vectors: of the passages, one for each text."""

    _margin = LATER_WITHIN

    def __init__(
        self, texts: Iterable[str], vectors: Sequence[Sequence[float]], embedder: Embedder
    ) -> None:
        super().__init__(texts)
        self._embedder = embedder
        self._vectors_ND = torch.tensor(list(vectors))

    @property
    def threshold(self) -> float:
        return START + GROWTH * math.log(max(1, len(self)))

    def _scores(self, question: str, words: dict[int, float]) -> dict[int, float]:
        if not len(self) or not question.strip():
            return {}
        (asked,) = self._embedder.embed([question])
        cosines = (self._vectors_ND @ torch.tensor(asked)).tolist()
        return {place: own + WORDS * words.get(place, 0.0) for place, own in enumerate(cosines)}
