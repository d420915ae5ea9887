"""What an outer-loop run will do, and how long its trainings and its texts will take here."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from selfedit.config import ANSWER_SAMPLING, InnerSettings, OuterSettings, SamplingSettings
from selfedit.domains.base import BaseDomain
from selfedit.grading.reliability import Reliability
from selfedit.loops.estimate import Estimate, estimate
from selfedit.loops.measures import Measure
from selfedit.seams import Adapters, Domain, Model
from selfedit.types import Prompt, Task, TrainingPlan, TrainingSequence

# The sample that the speed of writing is measured by: prompts, words of them all, tokens of a reply.
_PROMPTS, _WORDS, _REPLY = 32, 4096, 24


@dataclass(frozen=True, slots=True)
class OuterPlan:
    """The rounds that are left, together. tokens: of all trainings; disk: bytes of the policies.

    tried: edits of a context that are trained on; the judge's ratings of all come on top where it is
    not all. training, writing, answering: seconds of the inner loops' trainings, of the self-edits, and
    of the answers before and after each training. The policy's own updates come on top; update: what
    they are, in words. finished: rounds that are done besides. trust: how reliable rewards like these
    have been; None: they are not trainings'.
    """

    rounds: int
    contexts: int
    edits: int
    tried: int
    seeds: int
    inner_loops: int
    tokens: int
    disk: int
    training: float
    writing: float
    answering: float
    finished: int = 0
    trust: Reliability | None = None
    update: str = ""

    @property
    def seconds(self) -> float:
        return self.training + self.writing + self.answering


@dataclass(frozen=True, slots=True)
class Texts:
    """Seconds that a round's texts take."""

    writing: float
    answering: float


@dataclass(frozen=True, slots=True)
class Speed:
    """Seconds of reading a prompt and of writing a token, many rows at a time.

    reply: tokens of a reply, in the mean of the sample; one that was cut off counts as its limit.
    """

    per_prompt: float
    per_token: float
    reply: float

    def seconds(self, prompts: int, tokens: float) -> float:
        return prompts * self.per_prompt + tokens * self.per_token


def plan_outer(
    model: Model,
    domain: BaseDomain,
    tasks: Sequence[Task],
    settings: OuterSettings,
    finished: int = 0,
) -> OuterPlan:
    """The plan of all rounds but those that are finished, each taking what the first one's tasks will,
    as the domain expects."""
    sample, inner = list(tasks)[: settings.contexts], settings.inner
    tried = num_tried(settings)
    expected = [domain.expected_tokens(task, inner, model.count_tokens) for task in sample]
    written = sum(edit for edit, _ in expected)
    answered = [answers for _, answers in expected if answers is not None]
    queries = sum(len(task.queries) for task in sample)
    each = sum(answered) / queries if queries and len(answered) == len(sample) else None
    each = each if Measure(inner.measure).is_answered else 0.0  # golds are read like prompts
    texts = estimate_texts(model, domain, sample, inner, written, each, tried)
    one = Estimate(len(sample), 0, 0, 0.0)
    if tried:
        one = estimate(model, domain, sample, inner, each=tried * inner.seeds)
        one = replace(one, trainings=len(sample) * tried * inner.seeds)
    return outer_plan(model, settings, len(sample), one, texts, finished)


def num_tried(settings: OuterSettings) -> int:
    """Edits of a context that its reward trains on (`loops.rewards`)."""
    candidates = settings.inner.candidates
    if settings.reward == "proxy":
        return 0
    return min(settings.cascade_keep, candidates) if settings.reward == "cascade" else candidates


def outer_plan(
    model: Model,
    settings: OuterSettings,
    contexts: int,
    one: Estimate,
    texts: Texts,
    finished: int = 0,
) -> OuterPlan:
    """The plan of the rounds that are left, each with so many contexts and taking what `one` and
    `texts` say."""
    inner, rounds = settings.inner, settings.rounds - finished
    return OuterPlan(
        rounds=rounds,
        contexts=contexts,
        edits=inner.candidates,
        tried=num_tried(settings),
        seeds=inner.seeds,
        inner_loops=rounds * one.trainings,
        tokens=rounds * one.tokens,
        disk=rounds * model.num_bytes,
        training=rounds * one.seconds,
        writing=rounds * texts.writing,
        answering=rounds * texts.answering,
        finished=finished,
        update=_update(settings),
    )


def _update(settings: OuterSettings) -> str:
    """ "" for ReST-EM, which finetunes on what is selected."""
    own, train = settings.algorithm, settings.policy.train
    if own.name == "rest-em":
        return ""
    variant = f", {own.normalisation}" if own.name == "grpo" and own.normalisation != "grpo" else ""
    passes = f"{train.epochs} passes, {train.batch_size} to a step"
    return f"by {own.name}{variant}: {passes}, learning rate {train.learning_rate:g}"


def estimate_texts(
    model: Model,
    domain: Domain,
    tasks: Sequence[Task],
    inner: InnerSettings,
    edit_tokens: float,
    answer_tokens: float | None = None,
    tried: int | None = None,
) -> Texts:
    """The self-edits of a round and its answers: one without an edit, and one after each training.

    edit_tokens: of one self-edit of every task, together. answer_tokens: of an answer; None: as the
    sample shows. tried: edits of a task that are trained on; None: all. Answers are timed with one
    adapter, which all of them are taken to cost; where nothing is trained, without.
    """
    prompts = [prompt for task in tasks for prompt in domain.prompts(task)] * inner.candidates
    asked = [prompt for task in tasks for prompt in domain.queries(task)]
    writing = answering = 0.0
    if prompts:
        speed = measure(model, prompts, inner.sampling)
        writing = speed.seconds(len(prompts), edit_tokens * inner.candidates)
    if asked:
        times = inner.measure.samples if inner.measure.kind == "samples" else 1
        tried = inner.candidates if tried is None else tried
        answers = times * len(asked) * (1 + tried * inner.seeds)
        adapter = _an_adapter(model, tasks[0], inner) if tried else None
        speed = measure(model, asked, ANSWER_SAMPLING, adapter)
        each = speed.reply if answer_tokens is None else answer_tokens
        answering = speed.seconds(answers, answers * each)
    return Texts(writing, answering)


def measure(
    model: Model,
    prompts: Sequence[Prompt],
    sampling: SamplingSettings,
    adapters: Adapters | None = None,
) -> Speed:
    """By a few of the prompts, evenly spaced: once with a reply of one token, once with a short one."""
    rows = _sample(prompts)
    limits = [prompt.max_new_tokens or sampling.max_new_tokens for prompt in rows]

    def timed(limit: int) -> tuple[float, list[int]]:
        cut = [
            replace(row, max_new_tokens=min(limit, most))
            for row, most in zip(rows, limits, strict=True)
        ]
        owners = None if adapters is None else [0] * len(rows)
        start = time.perf_counter()
        replies = model.sample(cut, sampling, range(len(rows)), adapters=adapters, owners=owners)
        return time.perf_counter() - start, [model.count_tokens(reply.text) for reply in replies]

    timed(1)  # what only the first call costs
    read, _ = timed(1)
    whole, lengths = timed(_REPLY)
    tokens = sum(min(length, _REPLY) for length in lengths)
    likely = [
        most if length >= _REPLY else length for length, most in zip(lengths, limits, strict=True)
    ]
    per_token = max(0.0, whole - read) / max(1, tokens - len(rows))
    return Speed(
        per_prompt=read / len(rows),
        # Where hardly anything was written the difference is noise; no token is dearer than a prompt.
        per_token=min(per_token, read / len(rows)),
        reply=sum(likely) / len(rows),
    )


def _sample(prompts: Sequence[Prompt]) -> list[Prompt]:
    """At least one."""
    rows: list[Prompt] = []
    words = 0
    for prompt in prompts[:: -(-len(prompts) // _PROMPTS)]:
        words += len(" ".join([prompt.text, *(text for turn in prompt.turns for text in turn)]).split())
        if rows and words > _WORDS:
            break
        rows.append(prompt)
    return rows


def _an_adapter(model: Model, task: Task, inner: InnerSettings) -> Adapters:
    """Trained for a step: what it says does not matter."""
    plan = TrainingPlan((TrainingSequence(task.context),), epochs=1)
    adapters, _ = model.train([plan], inner.lora, inner.train.model_copy(update={"epochs": 1}), [0])
    return adapters
