"""The small values that travel through the two loops.

task -> prompt -> self-edit (text) -> training plan -> adapter -> answers -> score -> trial, and the
trials of a task's self-edits -> group -> improved policy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

TrialStatus = Literal["scored", "invalid", "failed"]

# Where a quiz is from: a person; the model; blanks in sentences of the document; the last two mixed.
QuizKind = Literal["given", "own", "cloze", "mixed"]
# Whose questions reward a self-edit: those that came with the context, the model's own, or blanks.
QuestionKind = Literal["given", "own", "cloze"]
CandidateStatus = Literal["scored", "invalid", "failed", "unscored"]


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model is asked; `model/prompts.py` alone decides how a chat or a base model sees it.

    text: the user's words.
    kind: "question" is answered briefly; "instruction" asks for a text.
    prefix: forced first words of the reply (never part of what is returned).
    turns: earlier (user, assistant) turns of the conversation.
    max_new_tokens: limit for this reply, instead of the sampling's own.
    pattern: a regular expression that the whole reply must match; only matching tokens are sampled.
    """

    text: str
    kind: Literal["question", "instruction"] = "instruction"
    prefix: str = ""
    turns: tuple[tuple[str, str], ...] = ()
    max_new_tokens: int | None = None
    pattern: str = ""


@dataclass(frozen=True, slots=True)
class Completion:
    """What a sampler wrote for one prompt.

    logprobs: for each sampled token, in nats, the one that ended the text included, by the model at the
    sampling temperature (1 if greedy), among the tokens that the prompt's pattern allows, but before
    top_p excludes anything. tokens: their ids.
    Both are empty unless they were asked for; the text is stripped, so the tokens may hold more than it
    does. ended: whether the text ended by itself, before the limit of tokens; None if the sampler
    cannot tell.
    """

    text: str
    logprobs: tuple[float, ...] = ()
    tokens: tuple[int, ...] = ()
    ended: bool | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """A question with its gold answers (the first is shown).

    form: "cloze" is a sentence with a blank, which the model is to fill (`domains/knowledge/cloze.py`).
    """

    question: str
    answers: tuple[str, ...]
    topic: str = ""
    form: Literal["question", "cloze"] = "question"

    @property
    def gold(self) -> str:
        return self.answers[0]


@dataclass(frozen=True, slots=True)
class Task:
    """(C, tau): a context to learn from and the queries asked without it.

    id: stable over runs (a hash of title and context, see `domains/knowledge/documents.py`).
    """

    id: str
    title: str
    context: str
    queries: tuple[Query, ...] = ()


@dataclass(frozen=True, slots=True)
class SelfEdit:
    """What the policy wrote for one task: one completion for each prompt of the strategy.

    drawn: the same completions with their tokens and log-probabilities, where they were kept (see
    `loops.sampler.Writer`); no part of what an edit is.
    """

    task_id: str
    index: int
    prompts: tuple[Prompt, ...]
    completions: tuple[str, ...]
    drawn: tuple[Completion, ...] = field(default=(), compare=False, repr=False)

    @property
    def text(self) -> str:
        return "\n".join(completion.strip() for completion in self.completions)


@dataclass(frozen=True, slots=True)
class TrainingSequence:
    """A text to train on. Without a prompt, the loss is on every token; with one it is on

    "reply": `text` alone; "replies": the assistant's turns of the prompt too; "all": every token.
    ends: that the text ends is learned, too: the token that ends a reply follows it (behind a prompt it
    always does). source: the passage that it is about, which the teacher of a distillation reads.
    """

    text: str
    prompt: Prompt | None = None
    supervise: Literal["reply", "replies", "all"] = "reply"
    ends: bool = False
    source: str = ""


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """What a self-edit asks for: sequences and, where the edit says so, its own directives.

    neighbours: texts about things like those that the edit is about, whether true or not. Where
    training has an anchor (`AnchorSettings`), the adapter is held to what the bare model expects there.
    """

    sequences: tuple[TrainingSequence, ...]
    learning_rate: float | None = None
    epochs: int | None = None
    neighbours: tuple[TrainingSequence, ...] = ()


@dataclass
class TrainingRecord:
    """What training one adapter leaves behind, besides its weights.

    losses: nats per token of its own sequences, one per step (of a policy gradient: its loss); tokens:
    number of those. drifts: KL(bare || adapted), nats per token, for each step with anchors. failure:
    empty, or why it was stopped (its weights are those before the bad step). stopped: empty, or why it
    ended before its last step, as it should.
    """

    losses: list[float] = field(default_factory=list)
    drifts: list[float] = field(default_factory=list)
    failure: str = ""
    tokens: int = 0
    stopped: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """A completion that a policy learns from by what it earned.

    advantage: how much better it was than expected. unit: samples of one unit are in one step (the two
    edits of a pair, say); None: by itself. reference: log-probabilities of its tokens by the model that
    the policy is held to, in nats; empty: it is held to none.
    """

    prompt: Prompt
    completion: Completion
    advantage: float
    unit: int | None = None
    reference: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class AnswerScore:
    """How likely a model finds a reply that it is given, token by token.

    logprob: of the whole reply, in nats. tokens: their number. greedy: whether every token is the
    likeliest, so that the model itself, decoding greedily, would write exactly this.
    """

    logprob: float
    tokens: int
    greedy: bool


@dataclass(frozen=True, slots=True)
class GradedAnswer:
    """One answer with its grades: `correct` is what accuracies count; f1 is in [0, 1].

    reason: why an answer is wrong, if there is more to say. credit: what the question gives to the
    reward, in [0, 1]; None: 1 if the answer is correct, else 0 (`loops.measures`).
    """

    question: str
    gold: str
    answer: str
    correct: bool
    exact: bool = False
    f1: float = 0.0
    reason: str = ""
    credit: float | None = None

    @property
    def worth(self) -> float:
        return float(self.correct) if self.credit is None else self.credit


@dataclass(frozen=True, slots=True)
class Score:
    """The graded answers of one trial. `value` is their accuracy in [0, 1]; NaN if there are none."""

    answers: tuple[GradedAnswer, ...]

    @property
    def value(self) -> float:
        if not self.answers:
            return float("nan")
        return sum(answer.correct for answer in self.answers) / len(self.answers)

    @property
    def reward(self) -> float | None:
        """Mean worth of the answers: their accuracy, unless something else is measured. None if there
        are none."""
        if not self.answers:
            return None
        return sum(answer.worth for answer in self.answers) / len(self.answers)


@dataclass(frozen=True, slots=True)
class Trial:
    """One self-edit, trained with one seed and tested closed-book.

    key: hash of everything that determines the result (see `jobs.trial_key`).
    status: "scored"; "invalid" (the edit holds nothing to train on); "failed" (its loss was not
        finite, or it asked for more training than is allowed). The last two carry no score.
    reason: why there is no score; of a scored trial, what of the edit was not trained on.
    losses: mean training loss of each optimizer step, nats per token.
    seconds: this trial's share of its wave's wall time (training and answering).
    """

    key: str
    task_id: str
    edit: SelfEdit
    seed: int
    status: TrialStatus
    reason: str = ""
    score: Score | None = None
    losses: tuple[float, ...] = ()
    tokens: int = 0
    seconds: float = 0.0
    plan: TrainingPlan | None = field(default=None, compare=False)

    @property
    def reward(self) -> float | None:
        """What the run measures after training, by default accuracy; None if the trial was invalid,
        failed or had no queries."""
        return None if self.score is None else self.score.reward


@dataclass(frozen=True, slots=True)
class Proposal:
    """A task, what the learner scores on it without an edit (None: no questions), and its edits.

    bare: the answers behind the baseline, where they are known.
    """

    task: Task
    baseline: float | None
    edits: tuple[SelfEdit, ...]
    bare: Score | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A self-edit and its reward for each seed, None if a trial failed or was not scored.

    status, reason: of the first of its trials that was not scored, else of the first; "unscored": it
    was never trained on. trials: their keys, one per seed; none if nothing was trained. credits: what
    each completion of the edit earned (`loops.credit`); none where the whole edit is rewarded.
    """

    edit: SelfEdit
    rewards: tuple[float | None, ...]
    status: CandidateStatus = "scored"
    reason: str = ""
    trials: tuple[str, ...] = ()
    credits: tuple[float | None, ...] = ()

    @property
    def reward(self) -> float | None:
        """Mean over the seeds; None if one is missing."""
        return mean_of(self.rewards)


@dataclass(frozen=True, slots=True)
class Group:
    """A task, what the policy scores on it without any edit, and the candidates written for it.

    kept: indices of the chosen candidates, once they are chosen.
    """

    task: Task
    baseline: float | None
    candidates: tuple[Candidate, ...]
    kept: tuple[int, ...] = ()


def mean_of(rewards: Sequence[float | None]) -> float | None:
    """Mean of rewards; None if one is missing or there are none.

    Rounded to 12 digits, so that 0.6, 0.6 and 0.0 tie with three times 0.4. One reward stays as it is.
    """
    known = [reward for reward in rewards if reward is not None]
    if not known or len(known) != len(rewards):
        return None
    return known[0] if len(known) == 1 else round(math.fsum(known) / len(known), 12)


@dataclass(frozen=True, slots=True)
class QuestionResult:
    """A reported question with its answer before and after learning."""

    question: str
    gold: str
    before: str
    after: str
    correct_before: bool
    correct_after: bool
    held_out: bool


@dataclass(frozen=True, slots=True)
class PassageResult:
    """A passage with its candidates, and for each of them what its training was like.

    seconds: wall time of all seeds. losses: of the first seed's steps, nats per token.
    """

    group: Group
    seconds: tuple[float, ...]
    losses: tuple[tuple[float, ...], ...]


Bounds = tuple[float, float]


@dataclass(frozen=True, slots=True)
class ProbeExample:
    """A question with the bare model's answer and the adapted one's. fact: the gold answer that was
    lost, or what of a document the answer took."""

    question: str
    fact: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What learning did to a model besides what it was to learn (`memory.probe`). None: not measured.

    num_general: general questions that the bare model was asked; num_right: those that it answers
    right; general_before: those that count, at most the half of these that it is surest of;
    general_after: those that are still answered right; general_kept: their share. drift: mean
    KL(bare || adapted) on num_drift generic texts of the bare model's, in nats a token. leakage: share
    of num_neighbours questions about other things whose answer takes a fact of a document;
    neighbour_drift: drift on those questions. ended: share of answers to the general_before questions
    that end by themselves within the limit of tokens, ended_before: of the bare model's.
    Bounds are 95 % intervals. lost: general questions that are not answered right any more; leaks:
    those that took a fact. notes: what was not measured as it should be, and why.
    """

    num_general: int = 0
    num_right: int = 0
    general_before: int = 0
    general_after: int = 0
    general_kept: float | None = None
    general_kept_bounds: Bounds | None = None
    drift: float | None = None
    drift_bounds: Bounds | None = None
    num_drift: int = 0
    leakage: float | None = None
    leakage_bounds: Bounds | None = None
    num_neighbours: int = 0
    neighbour_drift: float | None = None
    neighbour_drift_bounds: Bounds | None = None
    ended: float | None = None
    ended_before: float | None = None
    probe_seconds: float = 0.0
    lost: tuple[ProbeExample, ...] = ()
    leaks: tuple[ProbeExample, ...] = ()
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """JSON values by the fields' names; `from_json` takes them back."""
        return asdict(self)

    def measures(self) -> dict[str, Any]:
        """The numbers alone, without examples and notes."""
        return {k: v for k, v in self.to_json().items() if k not in ("lost", "leaks", "notes")}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ProbeResult:
        """What `to_json` gave, after a way through JSON. Unknown keys are left out, so that a record
        of a later version can be read; TypeError for anything else than such a record."""
        kept = {k: _bounds(k, v) for k, v in value.items() if k in cls.__dataclass_fields__}
        for name in ("lost", "leaks"):
            kept[name] = tuple(ProbeExample(**example) for example in kept.get(name) or ())
        kept["notes"] = tuple(kept.get("notes") or ())
        return cls(**kept)


def _bounds(name: str, value: Any) -> Any:
    """An interval comes back from JSON as a list."""
    return tuple(value) if name.endswith("_bounds") and value is not None else value


@dataclass(frozen=True, slots=True)
class LearnResult:
    """What `learn` did. The first block is what `--json` prints (`LearnResult.summary`).

    logprob_gain: mean rise in the log-probability of a blank's words, in nats, over the reported
    blanks; None where the quiz has none. quiz_ended: share of the new adapter's answers to the reported
    questions that end by themselves, within the limit of tokens; None where there are only blanks, or
    no new adapter.
    """

    accuracy_before: float
    accuracy_after: float
    num_questions: int
    held_out: bool
    version: int | None
    committed: bool
    reason: str
    num_trials: int
    num_invalid: int
    seconds_per_edit: float
    seconds: float
    adapter_path: str | None
    report_path: str | None
    quiz: QuizKind = "given"
    logprob_gain: float | None = None
    quiz_ended: float | None = None

    model: str = ""
    documents: tuple[str, ...] = ()
    settings: dict[str, object] = field(default_factory=dict)
    questions: tuple[QuestionResult, ...] = ()
    passages: tuple[PassageResult, ...] = ()
    final_losses: tuple[float, ...] = ()
    num_older: int = 0
    older_before: float | None = None
    older_after: float | None = None
    notes: tuple[str, ...] = ()
    probe: ProbeResult | None = None

    def summary(self) -> dict[str, object]:
        """The stable keys of `selfedit learn --json`, those of the probe (`ProbeResult.measures`) among
        them: null where nothing was probed. notes: what a reader of the numbers must know."""
        names = list(type(self).__dataclass_fields__)
        own = {name: getattr(self, name) for name in names[: names.index("model")]}
        measures = (self.probe or ProbeResult()).measures()
        own["notes"] = list(self.notes)
        return own | (measures if self.probe is not None else dict.fromkeys(measures))
