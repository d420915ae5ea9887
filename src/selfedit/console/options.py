"""Options that several commands share: each is declared once, and reads the same everywhere.

They come in groups, which `console.groups.grouped` spreads over a command:

    @app.command()
    @grouped
    def ask(question: str, loading: options.Loading, going: options.Going) -> None:
        model = loading.load()

A group's `given()` is what the user gave, laid out as the settings are (`console.settings`); what was
not given is None there, and left to the preset. What one domain alone needs is in its own
`domains/<name>/options.py`; what one command alone has stands in that command.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from selfedit import home
from selfedit.console.common import set_quiet

if TYPE_CHECKING:
    from selfedit import seams
    from selfedit.config import JudgeSettings
    from selfedit.grading import Grader
    from selfedit.model.fake import Skill
    from selfedit.store import Store

DEFAULT_MODEL = home.DEFAULT_MODEL

# The model, and where what it learns is kept.
Model = Annotated[
    str,
    typer.Option("--model", "-m", help="smollm2-135m, a Hugging Face id, or a model folder."),
]
Library = Annotated[
    Path | None,
    typer.Option("--library", help="Folder of versions and reports (default: your data folder)."),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:N or mps.")]
Dtype = Annotated[
    str,
    typer.Option("--dtype", help="auto (bfloat16 on CUDA, else float32), float32, mixed, bfloat16 …"),
]
Format = Annotated[
    str,
    typer.Option("--prompt-format", help="auto, chat (the model's template) or plain (base models)."),
]
Trust = Annotated[bool, typer.Option("--trust-remote-code", help="Run code that comes with the model.")]

# What is worked on, and with which policy.
Data = Annotated[
    str,
    typer.Option("--data", help="Contexts with questions: SQuAD, JSON, CSV, or a dataset id[:split]."),
]
Policy = Annotated[
    Path | None,
    typer.Option("--policy", help="Trained model for the condition `seal`: it writes and it learns."),
]

# Self-edits and their training. What is not given is left to the preset or to `config.py`.
Strategy = Annotated[
    str | None,
    typer.Option(
        "--strategy",
        help="How self-edits are written: as in `selfedit learn`, or directed (the edit chooses its "
        "form, learning rate and epochs).",
    ),
]
Temperature = Annotated[
    float | None, typer.Option("--temperature", help="Sampling temperature for self-edits.")
]
MaxNewTokens = Annotated[
    int | None, typer.Option("--max-new-tokens", min=1, help="Tokens of one reply, at most.")
]
Candidates = Annotated[
    int | None, typer.Option("--candidates", help="Self-edits written for each context or task.")
]
EditSeeds = Annotated[
    int | None, typer.Option("--seeds", help="Trainings of each self-edit; its reward is their mean.")
]
Seed = Annotated[int | None, typer.Option("--seed", help="Seed of every random draw.")]
LearningRate = Annotated[
    float | None, typer.Option("--learning-rate", help="Learning rate at the start of a training.")
]
Epochs = Annotated[
    int | None, typer.Option("--epochs", help="Passes over a self-edit's training sequences.")
]
BatchSize = Annotated[
    int | None, typer.Option("--batch-size", help="Training sequences in one optimizer step.")
]
AnchorWeight = Annotated[
    float | None,
    typer.Option(
        "--anchor", help="Weight of the KL divergence that holds an adapter to the bare model; 0: none."
    ),
]
Rank = Annotated[
    int | None, typer.Option("--rank", help="LoRA rank; without --alpha, alpha changes with it.")
]
Alpha = Annotated[
    float | None, typer.Option("--alpha", help="An adapter's update is scaled by alpha / rank.")
]
Layers = Annotated[
    str | None,
    typer.Option("--layers", help='Layers that get adapters: "all", "upper-half" or e.g. "15-29".'),
]
TargetModules = Annotated[
    str | None,
    typer.Option("--target-modules", help="Linear modules to adapt, such as q_proj,v_proj."),
]

# The outer loop.
Rounds = Annotated[int | None, typer.Option("--rounds", help="Rounds of the outer loop.")]
Until = Annotated[
    int | None,
    typer.Option(
        "--until", min=1, help="End after this round; the same command with a later one goes on."
    ),
]
Contexts = Annotated[int | None, typer.Option("--contexts", help="Contexts or tasks in each round.")]
Rule = Annotated[
    str | None,
    typer.Option(
        "--rule",
        help="Self-edits that teach the policy: best (of each context, always), positive (the best, if "
        "it beats the baseline), all-correct (all with reward 1) or distinct-correct (of equal ones "
        "the first).",
    ),
]
Margin = Annotated[
    float | None,
    typer.Option("--margin", help="Required gain over the baseline for `positive`, from 0 to 1."),
]
Algorithm = Annotated[
    str | None,
    typer.Option(
        "--algorithm", help="How the policy learns: rest-em (default), grpo, rloo, ppo or dpo."
    ),
]
Normalisation = Annotated[
    str | None,
    typer.Option("--normalisation", help="Variant of grpo: grpo, dr_grpo, bnpo or dapo."),
]
Scale = Annotated[
    str | None,
    typer.Option("--scale", help="What grpo divides advantages by: group, batch (std) or none."),
]
Clip = Annotated[
    float | None,
    typer.Option("--clip", help="Bound of the probability ratio in a policy gradient: 1 ± this."),
]
ClipHigh = Annotated[float | None, typer.Option("--clip-high", help="Its upper bound alone, 1 + this.")]
KlWeight = Annotated[
    float | None,
    typer.Option("--kl-weight", help="How strongly the policy is held to the first one; dpo: beta."),
]
KlStop = Annotated[
    float | None,
    typer.Option("--kl-stop", help="End an update at this KL (nats a token) from the round's policy."),
]
PolicyLearningRate = Annotated[
    float | None, typer.Option("--policy-learning-rate", help="Learning rate of the policy's update.")
]
PolicyEpochs = Annotated[
    int | None, typer.Option("--policy-epochs", help="Passes of the policy's update.")
]
PolicyBatchSize = Annotated[
    int | None,
    typer.Option("--policy-batch-size", help="Completions (dpo: pairs) in a step of that update."),
]
Tracker = Annotated[
    list[str] | None,
    typer.Option("--tracker", help="tensorboard, wandb, mlflow or trackio; repeatable."),
]

# Who writes texts.
Sampler = Annotated[
    str,
    typer.Option("--sampler", help="Who writes texts: own (this process) or vllm (a server)."),
]
VllmUrl = Annotated[
    str | None,
    typer.Option(
        "--vllm-url", help="Of a vLLM server with the same weights, such as http://127.0.0.1:8000."
    ),
]

# Who grades.
GraderName = Annotated[
    str | None,
    typer.Option(
        "--grader", help="Grader of the answers: offline, contains, exact, f1, or judge (an endpoint)."
    ),
]
JudgeModel = Annotated[str | None, typer.Option("--judge-model", help="Name of the judge's model.")]
JudgeUrl = Annotated[
    str | None,
    typer.Option(
        "--judge-url",
        help="OpenAI-compatible endpoint of the judge, up to /v1; its key: SELFEDIT_JUDGE_API_KEY.",
    ),
]

# How a command goes about it.
AllowUrls = Annotated[
    bool, typer.Option("--allow-urls", help="Fetch documents that are addresses (http, https).")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before long work.")]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", callback=set_quiet, help="No progress, only warnings and errors."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]


@dataclass
class Loading:
    """Which model, and how it is loaded."""

    model: Model = DEFAULT_MODEL
    device: Device = "auto"
    dtype: Dtype = "auto"
    prompt_format: Format = "auto"
    trust_remote_code: Trust = False

    @property
    def loader(self) -> Callable[[str], seams.Model]:
        """Loads a model, or a trained policy, by its name: each time in the same way."""
        return self.loader_with()

    def loader_with(self, skills: Sequence[Skill] = ()) -> Callable[[str], seams.Model]:
        """skills: what the fake model can do besides (`BaseDomain.skills`)."""
        from selfedit.console.common import model_loader

        return model_loader(self.device, self.dtype, self.prompt_format, self.trust_remote_code, skills)

    def load(self) -> seams.Model:
        """The model that --model names. Raises ModelError."""
        return self.loader(self.model)


@dataclass
class Sampling:
    """Who writes texts: this process, or a vLLM server."""

    sampler: Sampler = "own"
    vllm_url: VllmUrl = None

    @property
    def address(self) -> str | None:
        """Of the server; None: this process writes. Raises InputError if the two options do not fit."""
        from selfedit.console.common import one_of
        from selfedit.errors import InputError

        one_of("--sampler", self.sampler, ("own", "vllm"))
        if self.sampler == "vllm" and self.vllm_url is None:
            raise InputError("--sampler vllm: add --vllm-url, the address of the server.")
        if self.sampler == "own" and self.vllm_url is not None:
            raise InputError("--vllm-url: add --sampler vllm.")
        return self.vllm_url

    def through(self, load: Callable[[str], seams.Model]) -> Callable[[str], seams.Model]:
        """The loader; with a server, its models' texts are written there. Raises EndpointError."""
        if self.address is None:
            return load
        from selfedit.console.common import status
        from selfedit.endpoints.vllm import VllmServer
        from selfedit.model.vllm_load import through_vllm

        return through_vllm(load, VllmServer(self.address), status)


@dataclass
class Keeping:
    """Where versions, trials and reports are kept."""

    library: Library = None

    @property
    def folder(self) -> Path:
        from selfedit.console.common import folder_of

        return folder_of(self.library)

    def store(self) -> Store:
        """The library's store; it is made if there is none. Raises StoreError."""
        from selfedit.console.common import open_store

        return open_store(self.library)


@dataclass
class Writing:
    """How many self-edits are written, how they are sampled, and how often each is tried."""

    candidates: Candidates = None
    temperature: Temperature = None
    max_new_tokens: MaxNewTokens = None
    seeds: EditSeeds = None
    seed: Seed = None

    def given(self) -> dict[str, Any]:
        return {
            "candidates": self.candidates,
            "sampling": {
                "temperature": self.temperature,
                "max_new_tokens": self.max_new_tokens,
            },
            "seeds": self.seeds,
            "seed": self.seed,
        }


@dataclass
class Adapting:
    """The shape of the adapters."""

    rank: Rank = None
    alpha: Alpha = None
    layers: Layers = None
    target_modules: TargetModules = None

    def given(self) -> dict[str, Any]:
        from selfedit.console.common import parts

        modules = None if self.target_modules is None else parts(self.target_modules)
        return {
            "lora": {
                "rank": self.rank,
                "alpha": self.alpha,
                "layers": self.layers,
                "target_modules": modules,
            }
        }


@dataclass
class Training:
    """How an adapter is trained."""

    learning_rate: LearningRate = None
    epochs: Epochs = None
    batch_size: BatchSize = None
    anchor: AnchorWeight = None

    def given(self) -> dict[str, Any]:
        return {
            "train": {
                "learning_rate": self.learning_rate,
                "epochs": self.epochs,
                # So many epochs, and no more; said here, too, for what is laid over whole settings.
                "min_steps": None if self.epochs is None else 0,
                "batch_size": self.batch_size,
                "anchor": {"weight": self.anchor},
            }
        }


@dataclass
class Grading:
    """Who grades the answers. None: what the preset says, else `offline`."""

    grader: GraderName = None
    judge_model: JudgeModel = None
    judge_url: JudgeUrl = None

    def chosen(self, store: Store, default: str = "offline", *, rated: bool = False) -> Grader:
        """The grader; a judge is checked (package, key) now. rated: a judge is asked for rewards, too.
        Raises InputError."""
        from selfedit.console.graders import named_grader

        name = self.grader or default
        self.check_judge(name == "judge" or rated)
        return named_grader(name, self.judge, store)

    def check_judge(self, asked: bool) -> None:
        """Raises InputError for options of a judge that is not asked."""
        from selfedit.errors import InputError

        own = {"--judge-model": self.judge_model, "--judge-url": self.judge_url}
        given = [name for name, value in own.items() if value is not None]
        if given and not asked:
            raise InputError(f"{', '.join(given)}: add --grader judge.")

    def judge(self) -> JudgeSettings:
        """Raises InputError for an address that cannot be used."""
        from selfedit.config import JudgeSettings
        from selfedit.console.graders import endpoint_settings

        return endpoint_settings(JudgeSettings, "judge", self.judge_model, self.judge_url)


@dataclass
class Outer:
    """The rounds of the outer loop."""

    rounds: Rounds = None
    until: Until = None
    contexts: Contexts = None
    rule: Rule = None
    margin: Margin = None
    tracker: Tracker = None

    def given(self) -> dict[str, Any]:
        names = ("rounds", "contexts", "rule", "margin")
        return {name: getattr(self, name) for name in names}


@dataclass
class Improving:
    """How the policy learns from its scored self-edits."""

    algorithm: Algorithm = None
    normalisation: Normalisation = None
    scale: Scale = None
    clip: Clip = None
    clip_high: ClipHigh = None
    kl_weight: KlWeight = None
    kl_stop: KlStop = None
    policy_learning_rate: PolicyLearningRate = None
    policy_epochs: PolicyEpochs = None
    policy_batch_size: PolicyBatchSize = None

    def given(self) -> dict[str, Any]:
        """With the algorithm's own training where nothing else is given. Raises InputError for options
        of another algorithm."""
        from selfedit.config import ALGORITHM_OPTIONS, POLICY_TRAINING, merged
        from selfedit.errors import InputError

        name = self.algorithm or "rest-em"
        own = {option: getattr(self, option) for option in ALGORITHM_OPTIONS["grpo"]}  # all there are
        fits = ALGORITHM_OPTIONS.get(name, own)
        others = [option for option, value in own.items() if value is not None and option not in fits]
        if others:
            given = ", ".join("--" + k.replace("_", "-") for k in others)
            having = [k for k, known in ALGORITHM_OPTIONS.items() if set(others) <= set(known)]
            raise InputError(f"{given}: not with {name}; it takes --algorithm {' or '.join(having)}.")
        train = {
            "learning_rate": self.policy_learning_rate,
            "epochs": self.policy_epochs,
            "batch_size": self.policy_batch_size,
        }
        chosen = {name: value for name, value in train.items() if value is not None}
        usual = POLICY_TRAINING.get(name, {})
        return {
            "algorithm": {"name": self.algorithm, **own},
            "policy": {"train": merged(usual, chosen)},
        }


@dataclass
class Going:
    """How a command goes about it."""

    yes: Yes = False
    quiet: Quiet = False
    as_json: Json = False
