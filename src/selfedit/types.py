"""The small frozen values that travel through the two loops.

task -> prompt -> self-edit (text) -> training plan -> adapter -> answers -> score -> trial
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

TrialStatus = Literal["scored", "invalid", "failed"]


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model is asked; `model/prompts.py` alone decides how a chat or a base model sees it.

    text: the user's words.
    kind: "question" is answered briefly; "instruction" asks for a text.
    prefix: the first words of the reply, put into the model's mouth (never part of the reply).
    turns: earlier (user, assistant) turns of the conversation.
    max_new_tokens: bound of this reply, where it is not the sampling's own.
    pattern: a regular expression that the whole reply matches, by sampling only what fits.
    """

    text: str
    kind: Literal["question", "instruction"] = "instruction"
    prefix: str = ""
    turns: tuple[tuple[str, str], ...] = ()
    max_new_tokens: int | None = None
    pattern: str = ""


@dataclass(frozen=True, slots=True)
class Query:
    """A question with its gold answers (the first is the one that is shown)."""

    question: str
    answers: tuple[str, ...]
    topic: str = ""

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
    """What the policy wrote for one task: one completion for each prompt of the strategy."""

    task_id: str
    index: int
    prompts: tuple[Prompt, ...]
    completions: tuple[str, ...]

    @property
    def text(self) -> str:
        return "\n".join(completion.strip() for completion in self.completions)


@dataclass(frozen=True, slots=True)
class TrainingSequence:
    """A text to train on. Without a prompt, the loss is on every token; with one it is on

    "reply": `text` alone; "replies": the assistant's turns of the prompt too; "all": every token.
    """

    text: str
    prompt: Prompt | None = None
    supervise: Literal["reply", "replies", "all"] = "reply"


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """What a self-edit asks for: sequences and, where the edit says so, its own directives."""

    sequences: tuple[TrainingSequence, ...]
    learning_rate: float | None = None
    epochs: int | None = None


@dataclass(frozen=True, slots=True)
class GradedAnswer:
    """One answer with its grades: `correct` is what accuracies count; f1 is in [0, 1].

    reason: why an answer is wrong, where there is more to say than that.
    """

    question: str
    gold: str
    answer: str
    correct: bool
    exact: bool = False
    f1: float = 0.0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Score:
    """The graded answers of one trial. `value` is their accuracy in [0, 1]; NaN if there are none."""

    answers: tuple[GradedAnswer, ...]

    @property
    def value(self) -> float:
        if not self.answers:
            return float("nan")
        return sum(answer.correct for answer in self.answers) / len(self.answers)


@dataclass(frozen=True, slots=True)
class Trial:
    """One self-edit, trained with one seed and tested closed-book.

    key: hash of everything that determines the result (see `inner.trial_key`).
    status: "scored"; "invalid" (the edit holds nothing to train on); "failed" (its loss was not
        finite, or it asked for more training than is allowed). The last two carry no score.
    reason: why there is no score; of a scored trial, what of the edit was not trained on.
    losses: mean training loss of each optimizer step, nats a token.
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
        """Accuracy after training, or None where the trial was invalid, failed or had no queries."""
        return self.score.value if self.score is not None and self.score.answers else None


class Domain(Protocol):
    """What to write, how to read it, what to ask, how to grade. A new domain is one file."""

    def prompts(self, task: Task) -> tuple[Prompt, ...]:
        """The prompts whose completions, together, are one self-edit."""
        ...

    def parse(self, task: Task, edit: SelfEdit) -> TrainingPlan:
        """Training sequences of an edit. Raises InvalidSelfEdit with the reason."""
        ...

    def queries(self, task: Task) -> tuple[Prompt, ...]:
        """What the adapted model is asked, without the context: any number of prompts."""
        ...

    def score(self, task: Task, answers: Sequence[str]) -> Score:
        """Grades for the answers, in the order of `queries`."""
        ...

    def digest(self) -> str:
        """Hash of all settings that change what the other methods return."""
        ...


@runtime_checkable
class Canonical(Protocol):
    """What a domain may offer besides `Domain`, if edits of different wording can mean the same."""

    def canonical(self, task: Task, edit: SelfEdit) -> str:
        """What the edit says; edits of a task that say the same share one trial. Raises
        InvalidSelfEdit."""
        ...


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
class CandidateResult:
    """One candidate self-edit of a passage. reward: mean over seeds, None if it has none."""

    text: str
    status: TrialStatus
    reason: str
    reward: float | None
    kept: bool
    seconds: float
    losses: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class PassageResult:
    """A passage, what the base model scored on its selection questions, and its candidates."""

    title: str
    context: str
    baseline: float | None
    num_questions: int
    candidates: tuple[CandidateResult, ...]


@dataclass(frozen=True, slots=True)
class LearnResult:
    """What `learn` did. The first block is what `--json` prints (`LearnResult.summary`)."""

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

    def summary(self) -> dict[str, object]:
        """The stable keys of `selfedit learn --json`."""
        names = list(type(self).__dataclass_fields__)
        return {name: getattr(self, name) for name in names[: names.index("model")]}
