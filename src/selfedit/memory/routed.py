"""A memory of many adapters: each question is answered by those of the passages that it concerns, and
by the bare model, untouched, if it concerns none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from selfedit.config import SamplingSettings
from selfedit.memory.answering import OnDone
from selfedit.memory.loaded import Loaded, Mix, by_owner
from selfedit.memory.router import Hit, Router
from selfedit.seams import Adapters, Model
from selfedit.store import LearnedDocument, LearnedPassage
from selfedit.types import AnswerScore, Completion, Prompt, TrainingSequence

Result = TypeVar("Result")
MakeRouter = Callable[[Sequence[LearnedPassage]], Router]


@dataclass(frozen=True, slots=True)
class Source:
    """A passage that a question concerns.

    adapter: the name of the one that holds it. score: the router's. weight: of its adapter in the
    answer. covered: share of the question's weight that its words cover.
    """

    document: LearnedDocument
    passage: LearnedPassage
    adapter: str
    score: float
    weight: float
    covered: float


def passage_text(passage: LearnedPassage) -> str:
    """What the router knows of a passage: its title, its text, and what was written about it."""
    return "\n".join(dict.fromkeys((passage.title, passage.context, *passage.sequences)))


def by_words(passages: Sequence[LearnedPassage]) -> Router:
    """The router that needs nothing but the passages."""
    return Router(map(passage_text, passages))


class Routed:
    """Implements `memory.answering.Answering`.

    documents: what was learned, the latest last. own: name of the adapter of passages that name none.
    loaded: where adapters come from. most: adapters that are summed for one question; their weights are
    their scores' shares. router: made of the passages that have an adapter.
    """

    def __init__(
        self,
        documents: Sequence[LearnedDocument],
        loaded: Loaded,
        *,
        own: str = "",
        most: int = 1,
        router: MakeRouter = by_words,
    ) -> None:
        self.loaded, self.most = loaded, most
        self._passages = [
            (document, passage, passage.adapter or own)
            for document in documents
            for passage in document.passages
            if passage.sequences
        ]
        self.router = router([passage for _, passage, _ in self._passages])

    def sources(self, prompt: Prompt, *, everything: bool = False) -> list[Source]:
        """The passages that a prompt concerns, the first one first: those whose adapters answer.
        everything: the others, too, with weight 0."""
        hits = self.router.find(f"{prompt.text}\n{prompt.prefix}", most=len(self._passages))
        best: dict[str, Hit] = {}
        for hit in hits:
            adapter = self._passages[hit.place][2]
            if adapter in best or len(best) < self.most:
                best.setdefault(adapter, hit)
        whole = sum(hit.score for hit in best.values())
        return [
            Source(
                *self._passages[hit.place],
                hit.score,
                best[adapter].score / whole if adapter in best else 0.0,
                hit.covered,
            )
            for hit in hits
            if (adapter := self._passages[hit.place][2]) in best or everything
        ]

    def mix(self, prompt: Prompt) -> Mix:
        """The adapters that answer it, with their weights; none for the bare model."""
        weights = {source.adapter: source.weight for source in self.sources(prompt)}
        return tuple(weights.items())

    def differs(self, prompt: Prompt) -> bool:
        return bool(self.mix(prompt))

    def sample(
        self,
        bare: Model,
        prompts: Sequence[Prompt],
        sampling: SamplingSettings,
        *,
        on_done: OnDone = None,
    ) -> list[Completion]:
        def ask(places: Sequence[int], bank: Adapters | None, owners: list[int]) -> list[Completion]:
            return bare.sample(
                [prompts[i] for i in places],
                sampling,
                [0] * len(places),
                adapters=bank,
                owners=owners if bank is not None else None,
                on_done=on_done,
            )

        return self._each(prompts, ask)

    def answer_scores(
        self, bare: Model, prompts: Sequence[Prompt], replies: Sequence[str]
    ) -> list[AnswerScore]:
        def read(places: Sequence[int], bank: Adapters | None, owners: list[int]) -> list[AnswerScore]:
            return bare.answer_scores(
                [prompts[i] for i in places],
                [replies[i] for i in places],
                adapters=bank,
                owners=owners if bank is not None else None,
            )

        return self._each(prompts, read)

    def divergence(
        self, bare: Model, sequences: Sequence[TrainingSequence], *, on_done: OnDone = None
    ) -> list[float]:
        """0 where nothing but the bare model would answer."""

        def measure(places: Sequence[int], bank: Adapters | None, owners: list[int]) -> list[float]:
            if bank is None:
                if on_done is not None:
                    on_done(len(places))
                return [0.0] * len(places)
            found: dict[int, float] = {}
            for k in dict.fromkeys(owners):
                own = [place for place, owner in zip(places, owners, strict=True) if owner == k]
                values = bare.divergence([sequences[i] for i in own], bank, k, on_done=on_done)
                found |= zip(own, values, strict=True)
            return [found[place] for place in places]

        return self._each([sequence.prompt or Prompt(sequence.text) for sequence in sequences], measure)

    def _each(
        self,
        prompts: Sequence[Prompt],
        work: Callable[[Sequence[int], Adapters | None, list[int]], list[Result]],
    ) -> list[Result]:
        """The work's results in the order of the prompts, done for those together whose adapters fit
        into memory together. work(places of prompts, a bank, which of its adapters is each one's)."""
        mixes = {place: self.mix(prompt) for place, prompt in enumerate(prompts)}
        results: dict[int, Result] = {}
        bare = [place for place, mix in mixes.items() if not mix]
        if bare:
            results |= zip(bare, work(bare, None, []), strict=True)
        adapted = {place: mix for place, mix in sorted(mixes.items(), key=lambda own: own[1]) if mix}
        for group in self.loaded.batches(list(adapted.values())):
            places, owners = by_owner(adapted, group)
            found = work(places, self.loaded.bank(group), owners)
            results |= zip(places, found, strict=True)
        return [results[place] for place in range(len(prompts))]
