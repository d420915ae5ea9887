"""What of an adapted model's answers is the reward of its self-edit (`MeasureSettings`).

accuracy    graded greedy answers, the paper's reward (arXiv 2506.10943, section 3).
f1          their words in common with the gold: the same answers, more than right or wrong.
samples     graded answers at a temperature: the chance of a right answer, not only of the likeliest.
likelihood  the gold's probability, teacher-forced, without any generation (RLPR, arXiv 2506.18254;
            VeriFree, arXiv 2505.21493): one packed pass for all adapters of a wave.
mixed       the mean of accuracy and likelihood.

A reward must be reliable (another seed says the same) and valid (it says what accuracy says):
`benchmarks/reward_validity.py` measures both, and docs/rewards.md has what it found.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from weakref import WeakKeyDictionary

from selfedit.config import ANSWER_SAMPLING, MeasureSettings, SamplingSettings, stable_hash
from selfedit.errors import InputError
from selfedit.seams import Adapters, Asking, Domain, GoldReplies, Model
from selfedit.types import AnswerScore, GradedAnswer, Prompt, Score, Task

SHORT = "The answer is"  # the fixed beginning of an answer (`place="short"`)
_MOST_PLACES = 8  # of an own answer, at the beginnings of its words: each is a reading of its own
_WORD = re.compile(r"\S+")
# What each model wrote as openings, by the open-book prompt and its golds: the candidates of a context
# are read behind the same one, in whatever waves they come.
_openings: WeakKeyDictionary[Model, dict[str, str]] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Chance:
    """Of the gold: its probability (or its tokens' geometric mean), and whether it is the greedy
    reply. NaN where the model's own probabilities are."""

    value: float
    greedy: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """What one model, or one adapter, said to a task's questions.

    samples: [sample][question], graded later; a greedy answer is one sample. chances: for each
    question; None where no gold has a token. Each is empty where it is not part of the measure.
    """

    samples: tuple[tuple[str, ...], ...] = ()
    chances: tuple[Chance | None, ...] = ()


@dataclass(frozen=True, slots=True)
class _Reading:
    """A gold reply behind a prompt: of question `query` of the `n`-th task."""

    n: int
    query: int
    prompt: Prompt
    reply: str


_Place = tuple[str, int]  # a task's id, and the number of one of its questions


class Measure:
    """Asks and scores as the settings say."""

    def __init__(self, settings: MeasureSettings) -> None:
        self.settings = settings

    @property
    def is_read(self) -> bool:
        """Whether golds are read (teacher-forced)."""
        return self.settings.kind in ("likelihood", "mixed")

    @property
    def is_answered(self) -> bool:
        """Whether answers are generated."""
        own = self.settings
        return own.kind != "likelihood" or own.place == "own"

    def ask(
        self,
        model: Model,
        domain: Asking,
        tasks: Sequence[Task],
        bank: Adapters | None = None,
        owners: Sequence[int] | None = None,
    ) -> list[Asked]:
        """Each task, asked of adapter owners[i] of the bank, or of the bare model. Raises InputError
        for a domain whose golds cannot be read, OutOfMemory."""
        queries = [domain.queries(task) for task in tasks]
        samples = self._answers(model, queries, bank, owners) if self.is_answered else None
        asked = [Asked(own) for own in samples] if samples else [Asked() for _ in tasks]
        if not self.is_read:
            return asked
        found = self._chances(model, domain, tasks, queries, asked, bank, owners)
        return [replace(own, chances=found[n]) for n, own in enumerate(asked)]

    def score(self, domain: Domain, task: Task, asked: Asked) -> Score | None:
        """The graded answers, with what each gives to the reward; None if a probability is not a
        number."""
        kind = self.settings.kind
        if any(chance is not None and math.isnan(chance.value) for chance in asked.chances):
            return None
        if kind == "likelihood":
            pairs = zip(task.queries, asked.chances, strict=True)
            return Score(tuple(_read(q.question, q.gold, c) for q, c in pairs if c is not None))
        first, *others = (domain.score(task, own).answers for own in asked.samples)
        if kind == "accuracy":
            return Score(first)
        if kind == "f1":
            return Score(tuple(replace(one, credit=one.f1) for one in first))
        if kind == "samples":
            right = [[own[i].correct for own in (first, *others)] for i in range(len(first))]
            shares = [sum(own) / len(own) for own in right]
            return Score(tuple(replace(a, credit=s) for a, s in zip(first, shares, strict=True)))
        return Score(tuple(_mixed(a, c) for a, c in zip(first, asked.chances, strict=True)))

    # -- answers ---------------------------------------------------------------------------------

    def _answers(
        self,
        model: Model,
        queries: Sequence[Sequence[Prompt]],
        bank: Adapters | None,
        owners: Sequence[int] | None,
    ) -> list[tuple[tuple[str, ...], ...]]:
        """[task][sample][query]."""
        own = self.settings
        drawn = own.kind == "samples"
        sampling, count = ANSWER_SAMPLING, 1
        if drawn:
            sampling, count = sampling_of(own), own.samples
        asked = [prompt for _ in range(count) for qs in queries for prompt in qs]
        of = None
        if owners is not None:
            of = [k for _ in range(count) for k, qs in zip(owners, queries, strict=True) for _ in qs]
        seeds = [n for n in range(count) for qs in queries for _ in qs]
        replies = iter(model.sample(asked, sampling, seeds, adapters=bank, owners=of))
        texts = [[tuple(next(replies).text for _ in qs) for qs in queries] for _ in range(count)]
        return list(zip(*texts, strict=True)) if queries else []

    # -- probabilities ---------------------------------------------------------------------------

    def _chances(
        self,
        model: Model,
        domain: Asking,
        tasks: Sequence[Task],
        queries: Sequence[Sequence[Prompt]],
        asked: Sequence[Asked],
        bank: Adapters | None,
        owners: Sequence[int] | None,
    ) -> list[tuple[Chance | None, ...]]:
        """The best of a question's readings."""
        opened = self._open(model, domain, tasks) if self.settings.place == "opening" else {}
        readings = [
            reading
            for n, (task, own) in enumerate(zip(tasks, queries, strict=True))
            for reading in self._readings(n, domain, task, own, asked[n], opened)
        ]
        scores = model.answer_scores(
            [reading.prompt for reading in readings],
            [reading.reply for reading in readings],
            adapters=bank,
            owners=None if owners is None else [owners[reading.n] for reading in readings],
        )
        best: dict[tuple[int, int], Chance] = {}
        for reading, score in zip(readings, scores, strict=True):
            if score.tokens == 0:
                continue
            chance = self._chance(score)
            place = (reading.n, reading.query)
            best[place] = _better(best[place], chance) if place in best else chance
        return [
            tuple(best.get((n, query)) for query in range(len(own))) for n, own in enumerate(queries)
        ]

    def _chance(self, score: AnswerScore) -> Chance:
        logprob = score.logprob / score.tokens if self.settings.per_token else score.logprob
        return Chance(math.exp(logprob), score.greedy)

    def _readings(
        self,
        n: int,
        domain: Asking,
        task: Task,
        queries: Sequence[Prompt],
        asked: Asked,
        opened: Mapping[_Place, str],
    ) -> list[_Reading]:
        golds = (
            domain.gold_replies(task)
            if isinstance(domain, GoldReplies)
            else tuple(query.answers for query in task.queries)
        )
        if len(golds) != len(queries):
            raise InputError(
                "this reward reads the gold answer behind each question, and here questions and gold "
                "answers are not one to one (such as answers by a vote); use --reward true."
            )
        found = []
        for i, (prompt, own) in enumerate(zip(queries, golds, strict=True)):
            answer = asked.samples[0][i] if asked.samples else ""
            for begun in self._beginnings(prompt, answer, opened.get((task.id, i), SHORT)):
                for reply in replies_behind(begun, prompt, own):
                    place = replace(prompt, prefix=_joined(prompt.prefix, begun))
                    found.append(_Reading(n, i, place, reply))
        return found

    def _beginnings(self, prompt: Prompt, answer: str, opened: str) -> list[str]:
        """How the answer begins, before the gold. A prompt that begins the reply itself (a blank), or
        asks for more than a brief answer (a grid), is read as it is."""
        place = self.settings.place
        if place == "start" or prompt.prefix or prompt.kind != "question":
            return [""]
        if place == "short":
            return [SHORT]
        if place == "opening":
            return [opened]
        starts = [word.start() for word in _WORD.finditer(answer)][:_MOST_PLACES]
        return ["", *(answer[:start].rstrip() for start in starts if start)]

    def _open(self, model: Model, domain: Asking, tasks: Sequence[Task]) -> dict[_Place, str]:
        """Have the bare model answer with the passage at hand, once; how it begins a right answer is
        kept. One that is wrong has no such beginning, and neither has a domain without passages."""
        if not isinstance(domain, GoldReplies):
            return {}
        known = _openings.setdefault(model, {})
        places: dict[_Place, str] = {}
        missing: dict[str, tuple[Prompt, tuple[str, ...]]] = {}
        for task in tasks:
            both = zip(domain.open_book(task), domain.gold_replies(task), strict=True)
            for i, own in enumerate(both):
                key = places[task.id, i] = stable_hash([asdict(own[0]), own[1]])
                if key not in known:
                    missing[key] = own
        asked = [prompt for prompt, _ in missing.values()]
        replies = model.sample(asked, ANSWER_SAMPLING, [0] * len(asked)) if asked else []
        for (key, (_, golds)), reply in zip(missing.items(), replies, strict=True):
            known[key] = opening(reply.text, golds)
        return {place: known[key] for place, key in places.items()}


def sampling_of(settings: MeasureSettings) -> SamplingSettings:
    """How `samples` are drawn."""
    return ANSWER_SAMPLING.model_copy(update={"temperature": settings.answer_temperature})


def opening(answer: str, golds: Sequence[str]) -> str:
    """What stands in an answer before the first of the golds; SHORT where none is in it."""
    places = [
        match.start()
        for gold in golds
        if gold.strip()
        for match in re.finditer(rf"(?<!\w){re.escape(gold.strip())}(?!\w)", answer, re.IGNORECASE)
    ]
    return answer[: min(places)].rstrip() if places else SHORT


def replies_behind(begun: str, prompt: Prompt, golds: Sequence[str]) -> list[str]:
    """The golds as they would go on behind the beginning of an answer, each in a form with a capital,
    too, where it begins the answer itself. Golds without any text are none."""
    said = [gold for gold in dict.fromkeys(golds) if gold.strip()]
    if prompt.prefix or prompt.kind != "question":  # they bring their own space, or follow directly
        return said
    if begun:
        return [f" {gold.strip()}" for gold in said]
    return list(dict.fromkeys(form for g in map(str.strip, said) for form in (g, g[0].upper() + g[1:])))


def _joined(prefix: str, begun: str) -> str:
    return f"{prefix} {begun}" if prefix and begun else prefix or begun


def _better(a: Chance, b: Chance) -> Chance:
    """NaN beats everything: it must be seen."""
    return b if math.isnan(b.value) or b.value > a.value else a


def _read(question: str, gold: str, chance: Chance) -> GradedAnswer:
    said = f"(not asked; probability of the gold answer {chance.value:.3f})"
    return GradedAnswer(question, gold, said, chance.greedy, credit=chance.value)


def _mixed(answer: GradedAnswer, chance: Chance | None) -> GradedAnswer:
    return answer if chance is None else replace(answer, credit=(answer.correct + chance.value) / 2)
