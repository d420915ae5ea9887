"""Settings of everything but the domains, whose own are in `domains/<name>/settings.py`: each with its
default and its meaning, in exactly one place."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

LARGEST_SEED = 2**62  # so that a few can be added and the store's 64 bits still hold it
MOST_PASSES = 3  # times the epochs that few sequences are gone over, for `min_steps`
ALL_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class Settings(BaseModel):
    """Base of all settings: frozen, and a misspelled name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # Settings added since results were stored, each with the identity at which it changes nothing:
    # there the digest is what it was without it, so that stored results are still found.
    added: ClassVar[dict[str, Any]] = {}

    def digest(self) -> str:
        """Hash of the values; part of the key of every result that these settings determine."""
        return stable_hash(self.identity())

    def identity(self) -> dict[str, Any]:
        """What the digest is computed from: the values as JSON, without added ones that are off."""
        values = self.model_dump(mode="json")
        for name in type(self).model_fields:
            own = getattr(self, name)
            if isinstance(own, Settings):
                values[name] = own.identity()
            if name in self.added and values[name] == self.added[name]:
                del values[name]
        return values


class LoraSettings(Settings):
    """Shape of an adapter (Hu et al., arXiv 2106.09685). Defaults: docs/log.md."""

    rank: int = Field(32, ge=1, le=65_536, description="Rank r of the update.")
    alpha: float = Field(64.0, gt=0, description="The update is scaled by alpha / rank.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout on the adapter's input.")
    target_modules: tuple[str, ...] = Field(
        ALL_LINEAR, min_length=1, description="Last names of the linear modules to adapt."
    )
    layers: str = Field(
        "upper-half", description='"all", "upper-half", or a range such as "15-29" (inclusive).'
    )


class AnchorSettings(Settings):
    """Holds an adapter to the bare model, away from what it learns: at every `interval`-th step a few
    of the bare model's own texts join the batch, and the loss is mean cross-entropy + weight * mean
    KL(bare || adapted) over their tokens.
    """

    weight: float = Field(0.0, ge=0, description="Weight of the KL; 0: no anchor.")
    interval: int = Field(4, ge=1, description="Steps of an adapter from one anchor to the next.")
    sequences: int = Field(1, ge=1, description="Anchor texts in such a step.")
    num_prompts: int = Field(
        32, ge=1, le=1024, description="Generic prompts that the bare model answers, at most."
    )
    reply_tokens: int = Field(64, ge=1, description="Length of the bare model's answers, at most.")
    top_k: int = Field(
        64, ge=1, description="Tokens whose probability is kept; all others count as one event."
    )
    neighbour_share: float = Field(
        0.5, ge=0, le=1, description="Share of texts about a document's neighbours, if it has any."
    )
    prompts: Literal["generic-1"] = Field(
        "generic-1", description="The shipped set of prompts: model/anchor_prompts.json."
    )

    def identity(self) -> dict[str, Any]:
        """Without a weight nothing else matters."""
        return super().identity() if self.weight > 0 else {"weight": 0.0}


class DistillSettings(Settings):
    """Context distillation (Askell et al., arXiv 2112.00861; Snell et al., arXiv 2209.15189): the bare
    model that reads the passage teaches the adapted one that does not. The loss of a token is
    next_token * cross-entropy + weight * KL(bare with the passage || adapted). Sequences without a
    known passage have the next-token loss alone.
    """

    weight: float = Field(0.0, ge=0, description="Weight of the KL; 0: no distillation.")
    next_token: float = Field(1.0, ge=0, description="Weight of the cross-entropy, added to it.")
    top_k: int = Field(
        64, ge=1, description="Tokens whose probability is kept; all others count as one event."
    )

    def identity(self) -> dict[str, Any]:
        """Without a weight nothing else matters."""
        return super().identity() if self.weight > 0 else {"weight": 0.0}


class TrainSettings(Settings):
    """How an adapter is trained: AdamW, its learning rate falling to zero over its own steps."""

    added = {
        "anchor": {"weight": 0.0},
        "distill": {"weight": 0.0},
        "stop_below": 0.0,
        "order": "own",
        "min_steps": 0,
    }

    learning_rate: float = Field(1e-3, gt=0, le=1)
    epochs: int = Field(10, ge=1, le=1000)
    min_steps: int = Field(
        0,
        ge=0,
        description="Steps of an adapter, at least: one of few sequences goes over them more often, up "
        "to three times as often as `epochs` says.",
    )
    batch_size: int = Field(1, ge=1, description="Sequences of one adapter in one step.")
    order: Literal["own", "common"] = Field(
        "own",
        description="Order of an epoch: a permutation of the edit's own, or one in which the sequences "
        "that edits share come in the same order (common random numbers).",
    )
    clip: float = Field(1.0, gt=0, description="Gradient norm of an adapter above this is scaled.")
    weight_decay: float = Field(0.0, ge=0)
    schedule: Literal["linear", "cosine"] = Field(
        "linear", description="How the learning rate falls from its full value to zero."
    )
    warmup_steps: int = Field(0, ge=0, description="Steps in which it first rises from zero.")
    max_tokens: int = Field(1024, ge=8, description="Longer training sequences are cut to this.")
    stop_below: float = Field(
        0.0,
        ge=0,
        description="Stop after an epoch whose mean loss (nats a token) is below this; 0: never. The "
        "learning rate falls as if all epochs came.",
    )
    anchor: AnchorSettings = AnchorSettings()
    distill: DistillSettings = DistillSettings()

    @model_validator(mode="after")
    def _one_width(self) -> TrainSettings:
        """Both kinds of teacher share the head's pass over a step."""
        both = self.anchor.weight > 0 and self.distill.weight > 0
        if both and self.anchor.top_k != self.distill.top_k:
            raise ValueError("anchor and distill must have the same top_k")
        return self

    def passes(self, num_sequences: int, own: int | None = None) -> int:
        """Epochs of a plan of so many sequences. own: what the plan says itself."""
        if own is not None:
            return own
        wanted = -(-self.min_steps // max(1, self._an_epoch(num_sequences)))
        return max(self.epochs, min(wanted, MOST_PASSES * self.epochs))

    def steps(self, num_sequences: int, own: int | None = None) -> int:
        """Of a plan of so many sequences. own: its epochs, if it says so itself."""
        return self.passes(num_sequences, own) * self._an_epoch(num_sequences)

    def _an_epoch(self, num_sequences: int) -> int:
        return -(-num_sequences // self.batch_size)

    def untaught(self) -> TrainSettings:
        """Without teachers: next-token loss on the own sequences, and nothing else."""
        off = {"anchor": AnchorSettings(), "distill": DistillSettings(), "stop_below": 0.0}
        return self.model_copy(update=off)


class EngineSettings(Settings):
    """How a model uses this machine. Nothing here changes a result beyond rounding, so none of it is
    part of a trial's or a run's key (`forward.memory.engine_from_environment`)."""

    memory_gb: float | None = Field(
        None,
        gt=0,
        description="Memory for a wave, in addition to the model's; None: a share of the machine's.",
    )
    checkpointing: bool = Field(
        False,
        description="Keep only each layer's input, and recompute the rest in the backward pass: the "
        "same result with a fraction of the activations, for one more forward pass per step.",
    )
    workers: int | None = Field(
        None,
        ge=1,
        description="CPU threads that train or write side by side, each its share of the adapters or "
        "texts; None: as many as torch uses, 4 at most.",
    )
    cuda_graphs: bool = Field(
        True,
        description="On CUDA, repeat the step that writes a token from a graph (model.cuda_graph).",
    )


class SamplingSettings(Settings):
    """How text is drawn. Temperature 0 is greedy."""

    temperature: float = Field(1.0, ge=0)
    top_p: float = Field(0.95, gt=0, le=1)
    max_new_tokens: int = Field(256, ge=1, le=1_000_000)


ANSWER_SAMPLING = SamplingSettings(temperature=0.0, top_p=1.0, max_new_tokens=64)


Measured = Literal["accuracy", "f1", "samples", "likelihood", "mixed"]
GoldPlace = Literal["start", "short", "opening", "own"]
MEASURES: tuple[Measured, ...] = get_args(Measured)
PLACES: tuple[GoldPlace, ...] = get_args(GoldPlace)


class MeasureSettings(Settings):
    """What of an adapted model's answers is the reward (`loops.measures`; docs/rewards.md)."""

    kind: Measured = Field(
        "accuracy",
        description="accuracy: graded greedy answers (the paper); f1: their words in common with the "
        "gold; samples: graded answers at a temperature; likelihood: probability of the gold; mixed: "
        "mean of accuracy and likelihood.",
    )
    place: GoldPlace = Field(
        "opening",
        description="Where the gold is looked for: right behind the question; behind the words `The "
        "answer is`; behind the bare model's own beginning of an answer with the passage at hand (`The "
        "answer is` where that answer is wrong, or there is no passage); at the best place of the "
        "adapted model's own answer.",
    )
    per_token: bool = Field(
        True, description="Geometric mean of the gold's tokens, and not the probability of them all."
    )
    samples: int = Field(4, ge=1, le=64, description="Answers to a question (`samples`).")
    answer_temperature: float = Field(0.7, gt=0, description="At which they are drawn.")

    def identity(self) -> dict[str, Any]:
        """Only what the kind depends on."""
        own = {
            "samples": ("samples", "answer_temperature"),
            "likelihood": ("place", "per_token"),
            "mixed": ("place", "per_token"),
        }
        values = super().identity()
        return {name: values[name] for name in ("kind", *own.get(self.kind, ()))}


class InnerSettings(Settings):
    """The inner loop of any domain."""

    added: ClassVar[dict[str, Any]] = {"measure": {"kind": "accuracy"}}

    lora: LoraSettings = LoraSettings()
    train: TrainSettings = TrainSettings()
    sampling: SamplingSettings = Field(
        SamplingSettings(),
        description="How self-edits are sampled; defaults depend on the strategy.",
    )
    candidates: int = Field(4, ge=1, le=1000, description="Self-edits written for each task.")
    seeds: int = Field(
        1, ge=1, le=1000, description="Trainings of each candidate; its reward is their mean."
    )
    seed: int = Field(0, ge=0, le=LARGEST_SEED)
    measure: MeasureSettings = Field(
        MeasureSettings(),
        description="What of the answers is the reward of an edit; `learn` and `eval` take accuracy.",
    )


OPENAI_HOST = "api.openai.com"
OPENAI_URL = f"https://{OPENAI_HOST}/v1"


class EndpointSettings(Settings):
    """A model behind an OpenAI-compatible API: an LLM judge, or a writer of self-edits.

    The key is not a setting: it is read from an environment variable, and never stored. OpenAI's goes
    to OpenAI alone: `OPENAI_API_KEY` is read for its address, `SELFEDIT_WRITER_API_KEY` (a judge's:
    `SELFEDIT_JUDGE_API_KEY`) for any other, unless `api_key_env` names another variable.
    """

    model_config = ConfigDict(hide_input_in_errors=True)  # it may be a key, put in the wrong place
    own_key_variable: ClassVar[str] = "SELFEDIT_WRITER_API_KEY"

    base_url: str = Field(OPENAI_URL, description="Address of the API, up to and with /v1.")
    model: str = Field("gpt-4.1", min_length=1, description="Name of the model at the endpoint.")
    api_key_env: str | None = Field(
        None,
        pattern="^[A-Z_][A-Z0-9_]*$",
        description="Environment variable with the key (None: OPENAI_API_KEY for OpenAI's address, and "
        "a variable of the role's own for others); it may be unset for a server without keys.",
    )
    concurrency: int = Field(16, ge=1, le=256, description="Concurrent requests.")
    timeout: float = Field(60.0, gt=0, description="Seconds without a byte until a request fails.")
    deadline: float = Field(
        600.0, gt=0, le=86400, description="Seconds until a request fails, whatever has arrived."
    )
    max_retries: int = Field(6, ge=0, le=100, description="Further attempts after a transient failure.")
    limit_parameter: Literal["max_tokens", "max_completion_tokens"] = Field(
        "max_tokens",
        description="The endpoint's name for the token limit; newer OpenAI models: the second.",
    )
    omit: tuple[str, ...] = Field(
        (), description="Request parameters that the endpoint refuses, such as temperature or seed."
    )

    @field_validator("base_url")
    @classmethod
    def _plain_address(cls, value: str) -> str:
        """It is shown in messages and stored, so it must hold nothing secret."""
        parts = urlsplit(value.strip())
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("base_url must be an address such as http://localhost:8000/v1")
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise ValueError("base_url must hold no user, password or ?query: see api_key_env")
        try:
            parts.port  # noqa: B018 (it is checked when it is read)
        except ValueError:
            raise ValueError("base_url must have a port of 0 to 65535, or none") from None
        return value.strip().rstrip("/")

    @property
    def is_openai(self) -> bool:
        """Whether the address is one of OpenAI's, which need a key."""
        parts = urlsplit(self.base_url)
        host = (parts.hostname or "").lower()
        return parts.scheme == "https" and (host == OPENAI_HOST or host.endswith(f".{OPENAI_HOST}"))

    @property
    def key_variable(self) -> str:
        """Environment variable that the key is read from."""
        if self.api_key_env is not None:
            return self.api_key_env
        return "OPENAI_API_KEY" if self.is_openai else self.own_key_variable


class JudgeSettings(EndpointSettings):
    """An LLM judge. It decodes greedily."""

    own_key_variable: ClassVar[str] = "SELFEDIT_JUDGE_API_KEY"

    max_tokens: int = Field(
        1024, ge=1, description="Length of a reply: one word is enough, unless the judge reasons first."
    )


class PolicySettings(Settings):
    """The update of the policy: SFT on prompt -> edit, loss on the edit only (the paper: r64, 3e-4)."""

    lora: LoraSettings = LoraSettings(rank=64, alpha=128, layers="all")
    train: TrainSettings = TrainSettings(learning_rate=3e-4, epochs=2, batch_size=10, max_tokens=2048)


# Which self-edits ReST-EM learns from (`algorithms/rest_em.py`).
Rule = Literal["best", "positive", "all-correct", "distinct-correct"]

# The algorithm that the policy learns by (`algorithms/`), and how its update is trained where nothing
# else is asked for. A gradient on what was drawn needs smaller steps than the imitation of ReST-EM:
# a LoRA takes about ten times the rate of a full finetuning (Schulman et al., "LoRA Without Regret").
AlgorithmName = Literal["rest-em", "grpo", "rloo", "ppo", "dpo"]
POLICY_TRAINING: dict[str, dict[str, Any]] = {
    "rest-em": {},
    "grpo": {"learning_rate": 1e-4, "epochs": 2, "batch_size": 16},
    "ppo": {"learning_rate": 1e-4, "epochs": 2, "batch_size": 16},
    "rloo": {"learning_rate": 1e-4, "epochs": 2, "batch_size": 16},
    "dpo": {"learning_rate": 5e-5, "epochs": 2, "batch_size": 8},
}


# The options of `Improving` that each algorithm reads.
_STEPS = ("clip", "clip_high", "kl_weight", "kl_stop")
ALGORITHM_OPTIONS: dict[str, tuple[str, ...]] = {
    "rest-em": (),
    "grpo": ("normalisation", "scale", *_STEPS),
    "ppo": _STEPS,
    "rloo": _STEPS,
    "dpo": ("kl_weight",),
}


class AlgorithmSettings(Settings):
    """How a policy learns from its scored self-edits (docs/algorithms.md)."""

    name: AlgorithmName = "rest-em"
    normalisation: Literal["grpo", "dr_grpo", "bnpo", "dapo"] = Field(
        "grpo",
        description="grpo: mean over a completion's tokens, then over completions; dr_grpo: sum over "
        "tokens by a constant length, advantages not scaled; bnpo: mean over all tokens of a step; "
        "dapo: the same, with a higher upper clip and no KL.",
    )
    scale: Literal["group", "batch", "none"] | None = Field(
        None,
        description="Advantages are divided by the standard deviation of the context's rewards, of "
        "the round's, or by nothing; None: as the normalisation has it.",
    )
    clip: float = Field(
        0.2, gt=0, lt=1, description="The ratio of probabilities counts up to 1 ± this."
    )
    clip_high: float | None = Field(
        None, gt=0, description="The upper bound alone, as 1 + this; None: as the normalisation has it."
    )
    kl_weight: float | None = Field(
        None,
        ge=0,
        description="How strongly the policy is held to the first one (dpo: its beta, to the round's); "
        "None: as the algorithm has it.",
    )
    kl_stop: float | None = Field(
        0.1,
        gt=0,
        description="An update ends when the policy is so far from the one that drew the self-edits "
        "(KL, nats per token); None: never.",
    )
    invalid_reward: float | None = Field(
        0.0,
        description="What an invalid or failed self-edit has earned, or what the worst other of its "
        "context has, if that is less; None: it is left out.",
    )

    def identity(self) -> dict[str, Any]:
        """ReST-EM uses none of the others."""
        return super().identity() if self.name != "rest-em" else {"name": "rest-em"}


class OuterSettings(Settings):
    """Everything that determines an outer-loop run of any domain, apart from model and tasks."""

    added: ClassVar[dict[str, Any]] = {
        "learner": "policy",
        "credit": "edit",
        "algorithm": {"name": "rest-em"},
    }

    inner: InnerSettings = Field(
        InnerSettings(), description="Candidates, seeds and the inner loop of each round."
    )
    policy: PolicySettings = PolicySettings()
    algorithm: AlgorithmSettings = Field(
        AlgorithmSettings(), description="How the policy learns from scored self-edits."
    )
    rounds: int = Field(2, ge=1, le=10_000)
    contexts: int = Field(50, ge=1, description="Contexts of each round.")
    rule: Rule = Field(
        "positive",
        description="best: one edit for each context, always (the paper); positive: only if it beat "
        "the baseline by more than the margin; all-correct: every edit with reward 1 (few-shot tasks); "
        "distinct-correct: the same, equal edits of a context once.",
    )
    margin: float = Field(0.0, ge=0, le=1)
    reward: Literal["true", "proxy", "cascade"] = Field(
        "true",
        description="true: inner loops (the paper), by what inner.measure says; proxy: a judge's "
        "rubric; cascade: the judge, then inner loops for the best-rated.",
    )
    learner: Literal["policy", "first"] = Field(
        "policy",
        description="Whose weights learn from an edit for its reward: the round's policy (the paper), "
        "or always the first model, so that rewards do not go stale.",
    )
    credit: Literal["edit", "statement"] = Field(
        "edit",
        description="What a reward goes to: the whole edit, or each of its completions the gain in the "
        "questions that it is about (`sentences`).",
    )
    grader: Literal["offline", "contains", "exact", "f1", "judge"] = Field(
        "offline",
        description="Grader of the answers in the inner loops: docs/graders.md, docs/judge.md.",
    )
    cascade_keep: int = Field(2, ge=1, description="Edits of each context that cascade trains on.")
    seed: int = Field(
        0, ge=0, le=LARGEST_SEED, description="Seed of the order of contexts and of the policy update."
    )

    @model_validator(mode="after")
    def _credits(self) -> OuterSettings:
        """An edit that is made of the best statements of several was never rewarded as a whole."""
        if self.credit == "statement" and (
            self.rule not in ("best", "positive") or self.reward == "proxy"
        ):
            raise ValueError('credit "statement" needs inner loops and the rule best or positive')
        return self


class EvaluationSettings(Settings):
    """Everything that determines an evaluation of any domain, apart from models, tasks and grader."""

    conditions: tuple[str, ...] = Field(("base", "own"), min_length=1)
    regime: str = Field("single", description="single: an adapter for each self-edit and seed.")
    inner: InnerSettings = Field(
        InnerSettings(candidates=1),
        description="candidates: edits for each task; seeds: trainings of each.",
    )
    resamples: int = Field(10_000, ge=100, description="Resamples of the bootstrap.")

    @model_validator(mode="after")
    def _accuracy(self) -> EvaluationSettings:
        if self.inner.measure.kind != "accuracy":
            raise ValueError("an evaluation reports accuracy; measure is for rewards of an outer loop")
        return self


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The values with the changes, which may be nested."""
    result = dict(base)
    for name, value in changes.items():
        part = base.get(name)
        own = part if isinstance(part, dict) else {}
        result[name] = merged(own, value) if isinstance(value, dict) else value
    return result


def stable_hash(value: Any) -> str:
    """Hex digest (128 bits) of a JSON value; equal values have equal hashes on every machine."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=_jsonable)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _jsonable(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"cannot hash a {type(value).__name__}")
