"""The seams: what may be replaced without another file being touched.

- `Sampler`: who writes text. `LanguageModel`, `FakeModel`; `model.vllm`: a vLLM server.
- `Model`: a sampler that also trains adapters.
- `Domain`: what to write, how to read it, what to ask, how to grade.
- `TrialRunner`: where self-edits are trained and tested. `runners.local.LocalRunner`: this process;
  `runners.ray.RayRunner`: a cluster.
- `Algorithm`: from scored self-edits to a better policy. `algorithms.rest_em.ReSTEM`.

Two small ones are defined where they are used: `progress.Progress` and `grading.Grader`.
Each is looked up in a plain dict, or as `file.py:Name` for the user's own (`domains.load_domain`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from selfedit.types import (
    AnswerScore,
    Completion,
    Group,
    Prompt,
    Proposal,
    Sample,
    Score,
    SelfEdit,
    Task,
    TrainingPlan,
    TrainingRecord,
    TrainingSequence,
)

if TYPE_CHECKING:
    from torch import Tensor

    from selfedit.config import InnerSettings, LoraSettings, SamplingSettings, TrainSettings
    from selfedit.progress import Progress


@runtime_checkable
class Adapters(Protocol):
    """A bank of adapters of one model, which alone knows what it is made of."""

    @property
    def num_adapters(self) -> int: ...


class Sampler(Protocol):
    """The policy as a writer. `identity` is everything that determines its texts, apart from the
    arguments of `sample`: texts are stored under it, so that none is written twice."""

    name: str

    @property
    def identity(self) -> list[str]: ...

    def sample(
        self,
        prompts: Sequence[Prompt],
        sampling: SamplingSettings,
        seeds: Sequence[int],
        *,
        adapters: Adapters | None = None,
        owners: Sequence[int] | None = None,
        logprobs: bool = False,
        on_done: Callable[[int], None] | None = None,
    ) -> list[Completion]:
        """One completion for each prompt, in their order; prompt i by adapter owners[i], if given.

        A completion depends on its own prompt and seed alone, whatever else is in the call.
        logprobs: also the log-probability, in nats, of each token as it was drawn. on_done(n): n
        more are finished. Raises SelfEditError; a sampler that fails never returns an empty text.
        """
        ...


class Model(Sampler, Protocol):
    """What the two loops ask of a model: a sampler that also trains adapters.

    revision: identity of the weights; adapters and trials carry it. device: "cpu", "cuda" or "mps".
    """

    revision: str

    @property
    def device(self) -> str: ...

    @property
    def num_workers(self) -> int:
        """Threads that train and write side by side."""
        ...

    @property
    def num_bytes(self) -> int:
        """Size of the weights when saved to a model folder."""
        ...

    def count_tokens(self, text: str) -> int: ...

    def sequence_tokens(self, sequence: TrainingSequence) -> int:
        """Tokens of a whole training sequence, its prompt included."""
        ...

    def answer_scores(
        self,
        prompts: Sequence[Prompt],
        replies: Sequence[str],
        *,
        adapters: Adapters | None = None,
        owners: Sequence[int] | None = None,
    ) -> list[AnswerScore]:
        """How likely each prompt's reply is, teacher-forced; prompt i by adapter owners[i], if given.

        A reply continues the prompt, its prefix included, and so begins with a space unless it follows
        directly.
        """
        ...

    def train(
        self,
        plans: Sequence[TrainingPlan],
        lora: LoraSettings,
        settings: TrainSettings,
        seeds: Sequence[int],
        *,
        slots: int | None = None,
        on_step: Callable[[int, int], None] | None = None,
    ) -> tuple[Adapters, list[TrainingRecord]]:
        """One adapter for each plan, trained together with the result of training each alone.

        slots: how many at a time (None: all); a finished one's slot is filled with the next.
        on_step(finished steps, all steps). Raises OutOfMemory.
        """
        ...

    def planned_memory(
        self, lora: LoraSettings, settings: TrainSettings
    ) -> Callable[[Sequence[TrainingPlan], Sequence[int], int | None], int]:
        """A function of plans, seeds and slots: peak bytes of training them, in addition to the
        model."""
        ...

    @property
    def memory_budget(self) -> int:
        """Bytes that such a training may take; the same in every run on one machine."""
        ...

    def divergence(
        self,
        sequences: Sequence[TrainingSequence],
        adapters: Adapters | None = None,
        k: int = 0,
        *,
        other: Model | None = None,
        on_done: Callable[[int], None] | None = None,
    ) -> list[float]:
        """How far adapter k has moved from this model: for each sequence the mean over its supervised
        tokens of KL(this model || adapted), in nats, over the whole vocabulary, teacher-forced.

        other: the model that the adapters belong to, or that is compared without adapters (a merged
        policy).
        on_done(n): n more are finished. Raises ModelError if the two cannot be compared.
        """
        ...

    def save_adapter(self, adapters: Adapters, k: int, folder: Path) -> None: ...

    def load_adapter(self, folder: Path) -> Adapters:
        """A bank of one. Raises AdapterError if it is damaged or belongs to other weights."""
        ...

    def combine(self, adapters: Sequence[Adapters], mixes: Sequence[Mapping[int, float]]) -> Adapters:
        """A bank with an adapter for each mix: the sum, with weights, of the first adapters of the
        banks that it names. One that is alone in its mix, with weight 1, is as it was."""
        ...

    def merged(self, adapters: Adapters, k: int, revision: str) -> Model:
        """Another model in memory, with adapter k added to the weights; this one stays as it is.

        revision: the new identity of the weights.
        """
        ...

    def save_merged(self, folder: Path, adapter: Path) -> None: ...


@runtime_checkable
class FullFinetuning(Protocol):
    """What a model may offer besides `Model`: training that changes every weight of a copy."""

    def finetune(
        self,
        plan: TrainingPlan,
        settings: TrainSettings,
        seed: int,
        on_step: Callable[[int, int], None] | None = None,
    ) -> tuple[Model, TrainingRecord]:
        """A new model, trained on the plan; this one stays as it is."""
        ...


@dataclass(frozen=True, eq=False)
class Drawn:
    """A sequence whose supervised tokens a policy drew, for a policy gradient.

    old_M, reference_M: log-probabilities of these M tokens, in nats, when they were drawn, and by the
    model that the policy is held to (None: by none); float64, on the CPU. advantage: how much better
    they were than expected. unit: sequences of one unit are in one step; None: by itself.
    """

    old_M: Tensor
    advantage: float
    unit: int | None = None
    reference_M: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Signal:
    """What an objective says of a step. loss: scalar, differentiable. stop: why training must end
    before this step is taken, or ""."""

    loss: Tensor
    stop: str = ""


class Objective(Protocol):
    """A loss of log-probabilities. temperature: of the distribution that the tokens were drawn from,
    by which the logits are divided."""

    @property
    def temperature(self) -> float: ...

    def begin(self) -> None:
        """A training begins: what was noted of one that did not fit into memory is forgotten."""
        ...

    def __call__(self, logprobs: Sequence[Tensor], drawn: Sequence[Drawn]) -> Signal:
        """logprobs: for each sequence of the step those of its M drawn tokens, in nats, float64 on the
        CPU; they carry gradients. drawn: what else is known of the sequences, in the same order."""
        ...


@runtime_checkable
class PolicyGradients(Protocol):
    """What a model may offer besides `Model`: learning from what it drew, by log-probabilities."""

    def sample_logprobs(self, samples: Sequence[Sample], temperature: float) -> list[tuple[float, ...]]:
        """Of each sample, the log-probabilities of its tokens by this model, teacher-forced, in nats;
        logits are divided by the temperature."""
        ...

    def prompt_states(self, prompts: Sequence[Prompt]) -> Tensor:
        """The final state [N, D] of each prompt's last token, float64 on the CPU."""
        ...

    def reinforce(
        self,
        samples: Sequence[Sample],
        objective: Objective,
        lora: LoraSettings,
        settings: TrainSettings,
        seed: int,
        on_step: Callable[[int, int], None] | None = None,
    ) -> tuple[Adapters, TrainingRecord]:
        """One adapter, trained by the objective on the samples' drawn tokens. Raises OutOfMemory."""
        ...


@runtime_checkable
class TrainsReaders(Protocol):
    """What a model may offer besides `Model`: an adapter that learns over others, which are frozen."""

    def train_reader(
        self,
        documents: Sequence[Adapters],
        owners: Sequence[int],
        sequences: Sequence[TrainingSequence],
        lora: LoraSettings,
        settings: TrainSettings,
        seed: int,
        on_step: Callable[[int, int], None] | None = None,
    ) -> tuple[Adapters, TrainingRecord]:
        """One adapter, trained on all sequences: sequence i with the first adapter of
        documents[owners[i]] attached, too, and anchors with none. Raises OutOfMemory."""
        ...

    @property
    def has_reader(self) -> bool: ...

    def reading(self, adapters: Adapters) -> Adapters:
        """The adapters as they answer: each with this model's reader over it, if it has one."""
        ...

    def save_reader(self, adapters: Adapters, folder: Path) -> None:
        """Write a model folder with these weights and a reader, the first of the adapters: the model
        that is loaded from it attaches the reader wherever an adapter is attached, and never else. A
        reader that this model has stays part of it. Raises ModelError, AdapterError."""
        ...

    def keep_reader(self, folder: Path) -> None:
        """Write this model's reader, if it has one, to the folder of another model that grew from it.
        Raises AdapterError."""
        ...


@runtime_checkable
class GgufFiles(Protocol):
    """What a model may offer besides `Model`: files for llama.cpp."""

    def save_gguf(
        self, folder: Path, adapter: Path, *, merged: bool = False, llama_cpp: Path | None = None
    ) -> Path:
        """Write the adapter, or the model with it merged in, into the folder; returns the file.
        llama_cpp: folder of llama.cpp's sources. Raises ModelError."""
        ...


class Asking(Protocol):
    """What is asked of a task: the part of a domain that adapted models are tested with."""

    def queries(self, task: Task) -> tuple[Prompt, ...]:
        """What the adapted model is asked, without the context: any number of prompts."""
        ...


class Domain(Asking, Protocol):
    """A kind of task: what to write, how to read it, what to ask, how to grade.

    These five are all that the loops need. `domains.base.BaseDomain` adds defaults for the rest: the
    words of reports, how a task is drawn, settings, presets, and where tasks come from.
    """

    def prompts(self, task: Task) -> tuple[Prompt, ...]:
        """The prompts whose completions together are one self-edit."""
        ...

    def parse(self, task: Task, edit: SelfEdit) -> TrainingPlan:
        """Training sequences of an edit, and its directives. Raises InvalidSelfEdit with the reason:
        such an edit is a recorded trial without a reward, and is never sampled again."""
        ...

    def score(self, task: Task, answers: Sequence[str]) -> Score:
        """Grades for the answers, in the order of `queries`."""
        ...

    def digest(self) -> str:
        """Hash of all settings that change what the other methods return: part of a trial's key."""
        ...


@runtime_checkable
class Canonical(Protocol):
    """What a domain may offer besides `Domain`, if edits of different wording can mean the same."""

    def canonical(self, task: Task, edit: SelfEdit) -> str:
        """What the edit says; edits of a task that say the same share one trial. Raises
        InvalidSelfEdit."""
        ...


@runtime_checkable
class GoldReplies(Protocol):
    """What a domain may offer besides `Domain`, for rewards that read how likely a right answer is."""

    def gold_replies(self, task: Task) -> tuple[tuple[str, ...], ...]:
        """For each prompt of `queries`, the replies that would be right. Behind a prompt that begins
        the reply (`Prompt.prefix`) they bring their own space."""
        ...

    def open_book(self, task: Task) -> tuple[Prompt, ...]:
        """The same questions with the context at hand."""
        ...


@runtime_checkable
class Statements(Protocol):
    """What a domain may offer besides `Domain`, if the completions of an edit are about parts of it."""

    def about(self, task: Task, edit: SelfEdit) -> tuple[tuple[int, ...], ...]:
        """For each completion, the numbers of the task's queries that it is about."""
        ...


@dataclass(frozen=True, slots=True)
class PolicyRef:
    """A policy that another process can load. name: hub id or folder; revision: identity of its
    weights."""

    name: str
    revision: str


@runtime_checkable
class Staffed(Protocol):
    """What a runner of trials may have besides `TrialRunner`, if others work for it: how many do, for
    whoever watches."""

    @property
    def workers(self) -> int: ...


class TrialRunner(Protocol):
    """Where trials run: trains every proposed edit with every seed and tests it closed-book.

    It looks up finished trials, saves new ones, and groups an edit's seeds; a trial that is in the
    store is never run again.
    """

    def run(
        self,
        policy: PolicyRef,
        domain: Domain,
        proposals: Sequence[Proposal],
        settings: InnerSettings,
        progress: Progress,
    ) -> Iterable[Group]:
        """A group for each proposal, in their order, with its candidates in theirs: all at once, or as
        they are finished, so that a large round takes little memory. Raises SelfEditError; a failure of
        the machinery is never a reward of zero.

        proposals: may be read from the store, some at a time, as often as they are asked for."""
        ...


@dataclass(frozen=True, slots=True)
class Update:
    """The result of an algorithm's round. policy: the next policy's folder, None: it stays as it was.

    learned: the edits that it learned from. losses: of its training, nats per token (of a policy
    gradient: its loss). metrics: its own numbers, for reports and trackers. note: why the policy stays
    as it was, or ended early, if there is something to say.
    """

    policy: Path | None
    learned: tuple[SelfEdit, ...] = ()
    losses: tuple[float, ...] = ()
    metrics: dict[str, float] = field(default_factory=dict)
    note: str = ""


@runtime_checkable
class ReadsLogprobs(Protocol):
    """What an algorithm may have besides `Algorithm`, if it needs the log-probabilities of what was
    drawn (`SelfEdit.drawn`): that it says so. Others find them where they happen to be stored."""

    reads_logprobs: bool


class Algorithm(Protocol):
    """From scored groups to an improved policy."""

    @property
    def identity(self) -> str:
        """Name and settings, as a hash or in words: part of the key of an outer-loop run."""
        ...

    def improve(self, policy: Model, groups: Sequence[Group], out: Path, progress: Progress) -> Update:
        """Write the next policy to the folder `out`, whole or not at all, unless no edit deserves it.
        Raises SelfEditError; the round's trials are kept.

        groups: of a large round, read from the store some at a time; whoever keeps what he learns from
        alone takes little memory."""
        ...
