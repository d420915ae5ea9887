"""Settings of the knowledge domain, and of `learn`."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, cast, get_args

from pydantic import Field, field_validator, model_validator

from selfedit.config import (
    InnerSettings,
    OuterSettings,
    Settings,
    merged,
)
from selfedit.domains.bounds import EpochBounds

Strategy = Literal[
    "implications",
    "implications-long",
    "implications-very-long",
    "rewrite",
    "self-qa",
    "chain-of-thought",
    "none",
    "sentences",
    "directed",
]


# How what was learned is kept (docs/memory.md).
MemoryKind = Literal["single", "routed", "stack", "stack-anchored"]
MEMORY_KINDS: tuple[MemoryKind, ...] = get_args(MemoryKind)
# How a routed memory finds the passages that a question concerns.
RouterKind = Literal["bm25", "blended"]
ROUTER_KINDS: tuple[RouterKind, ...] = get_args(RouterKind)


class DirectiveSettings(Settings):
    """What the head of a `directed` self-edit may ask for."""

    rate_bounds: tuple[float, float] = Field(
        (1e-4, 5e-3), description="Lowest and highest learning rate."
    )
    epoch_bounds: EpochBounds = Field((1, 20), description="Fewest and most epochs.")
    most_statements: int = Field(30, ge=1, le=1000, description="Statements to be trained on.")

    @field_validator("rate_bounds")
    @classmethod
    def _rates_in_order(cls, bounds: tuple[float, float]) -> tuple[float, float]:
        if not 0 < bounds[0] <= bounds[1] <= 1:
            raise ValueError("two rates above 0, in order, 1 at most")
        return bounds


class KnowledgeSettings(Settings):
    """How documents become self-edits and self-edits become training sequences."""

    added: ClassVar[dict[str, Any]] = {
        "ends": False,
        "form": "text",
        "cue": "title",
        "neighbours": 0,
        "constrained": False,
        "directives": DirectiveSettings().identity(),
    }

    strategy: Strategy = "sentences"
    prompt_text: str | None = Field(
        None, description="Own instruction (--prompt-file); {title} and {context} are filled in."
    )
    restatements: int = Field(
        3, ge=1, le=1000, description="Restatements of each sentence (`sentences`)."
    )
    faithful: bool = Field(
        True, description="Drop restatements that lost a name or number, or invented a number."
    )
    title_line: bool = Field(True, description="Begin each training sequence with the title's line.")
    max_sequences: int = Field(30, ge=1, description="Statements kept of one edit, passage apart.")
    passage_words: int = Field(200, ge=20, description="Documents are split into such passages.")
    topic: bool = Field(False, description="Put the document's title before each question.")
    ends: bool = Field(
        False, description="Teach that a statement ends: the token that ends a reply follows it."
    )
    form: Literal["text", "turn", "mixed"] = Field(
        "text",
        description="Statements as plain texts, as the model's replies in a chat, or both in turn.",
    )
    cue: Literal["title", "words"] = Field(
        "title",
        description="What such a chat asks for: the title, or words of the statement, too (`cues`).",
    )
    neighbours: int = Field(
        0,
        ge=0,
        le=1024,
        description="Texts about neighbours for the anchor: statements under another name (`swaps`).",
    )

    constrained: bool = Field(
        False, description="`directed`: sample only heads that are valid (the extra `constrained`)."
    )
    directives: DirectiveSettings = Field(
        DirectiveSettings(), description="`directed`: what the head of an edit may ask for."
    )

    def identity(self) -> dict[str, Any]:
        """Without chats nothing asks for a statement."""
        own = super().identity()
        return own if self.form != "text" else {k: v for k, v in own.items() if k != "cue"}

    @model_validator(mode="after")
    def _heads_alone(self) -> KnowledgeSettings:
        if self.constrained and self.strategy != "directed":
            raise ValueError("constrained is for the strategy directed, whose edits have a head")
        return self

    @model_validator(mode="after")
    def _mixed_by_the_title(self) -> KnowledgeSettings:
        """Of stored texts, the title's line says which ones are plain."""
        if self.form == "mixed" and not self.title_line:
            raise ValueError('form "mixed" needs title_line, which plain statements are known by')
        return self


# How `learn` trains unless told otherwise: statements that end, half of them in chats that ask for them
# by their words, held to the bare model by an anchor of statements about others
# (docs/learning-damage.md has the experiments behind the numbers). `TrainSettings` and
# `KnowledgeSettings` themselves have neither, as the paper's experiments and ARC want them.
LEARNING: dict[str, dict[str, Any]] = {
    "lora": {"layers": "all"},
    "train": {
        "learning_rate": 1.2e-3,
        "epochs": 7,
        "min_steps": 140,  # a page's 20 statements seven times, a paragraph's 12 twelve times
        "anchor": {
            "weight": 3.0,
            "interval": 4,
            "num_prompts": 64,
            "reply_tokens": 32,
            "neighbour_share": 1.0,
        },
    },
    "knowledge": {"ends": True, "form": "mixed", "cue": "words", "neighbours": 32},
}
# What else it is where every question meets the adapter, and no router keeps general ones from it.
HELD: dict[str, dict[str, Any]] = {
    "lora": {"layers": "upper-half"},
    "train": {"anchor": {"interval": 2, "neighbour_share": 0.5}},
}
# Without the anchor and the ends: what was learned by until 2026-11-26.
PLAIN: dict[str, dict[str, Any]] = {
    "lora": {"layers": "upper-half"},
    "train": {"learning_rate": 1e-3, "epochs": 10, "min_steps": 0, "anchor": {"weight": 0.0}},
    "knowledge": {"ends": False, "form": "text", "cue": "title", "neighbours": 0},
}


class LearnSettings(InnerSettings):
    """Everything that determines what `learn` does, apart from model, documents and quiz.

    Of `lora`, `train` and `knowledge`, what is not given is as `LEARNING` says, and where the memory is
    not routed as `HELD` does (`for_memory`); given as settings, not as a dict, they stand as they are.
    """

    # What an outer loop stores does not depend on the last two: they decide about versions.
    added: ClassVar[dict[str, Any]] = {
        **InnerSettings.added,
        "heat_epochs": None,
        "finalists": 1,
        "max_damage": 0.2,
        "probe_questions": 100,
        "memory": None,
        "adapters_per_question": 1,
        "router": None,
    }

    knowledge: KnowledgeSettings = KnowledgeSettings()
    candidates: int = Field(1, ge=1, le=1000, description="Self-edits written for each passage.")
    max_forgetting: float = Field(
        0.1, ge=0, le=1, description="Accuracy on older questions that a new version may lose."
    )
    max_damage: float = Field(
        0.2,
        ge=0,
        le=1,
        description="Share of the general questions that the bare model answers right which a new "
        "version may lose (`memory.guard` says why so many).",
    )
    probe_questions: int = Field(
        100,
        ge=0,
        description="General questions that a new version is probed with, at most; 0: no probe.",
    )
    split_from: int = Field(
        8, ge=2, description="With at least this many questions, half are held out for the report."
    )
    heat_epochs: int | None = Field(
        None,
        ge=1,
        le=1000,
        description="Epochs by which candidates are compared first; None: all are trained in full.",
    )
    finalists: int = Field(
        1, ge=1, description="Candidates of a passage that are trained in full after the heat."
    )
    memory: MemoryKind | None = Field(
        None,
        description="How what was learned is kept; None: as the library's current version is, routed "
        "in a new one.",
    )
    adapters_per_question: int = Field(
        1, ge=1, le=8, description="routed: adapters that are summed for a question, at most."
    )
    router: RouterKind | None = Field(
        None,
        description="routed: what finds a question's passages: bm25, or blended with a small embedding "
        "model; None: as the library's current version has it, bm25 in a new one.",
    )

    @model_validator(mode="wrap")
    @classmethod
    def _filled_in_is_not_set(cls, values: Any, handler: Any) -> Any:
        """So that `for_memory` can tell."""
        settings = handler(values)
        if isinstance(values, dict):
            _unset(settings, HELD, values)
        return settings

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, values: Any) -> Any:
        """What is not given. The paper samples at T=1.0, top-p 0.95; a model so small that it needs
        `sentences` writes nonsense there, and one sentence is short (docs/log.md)."""
        if not isinstance(values, dict):
            return values
        values = dict(values)
        for part, own in LEARNING.items():
            if isinstance(given := values.get(part, {}), dict | None):  # anything else is refused
                off = {"min_steps": 0} if "epochs" in (given or {}) else {}  # so many, and no more
                values[part] = merged({**own, **off}, given or {})
        sampling, knowledge = values.get("sampling"), values.get("knowledge")
        if not isinstance(sampling, dict | None):
            return values
        given = knowledge.model_dump() if isinstance(knowledge, Settings) else knowledge
        given = given if isinstance(given, dict) else {}
        short = given.get("strategy", "sentences") == "sentences"
        default = {"temperature": 0.6, "max_new_tokens": 80} if short else {"max_new_tokens": 512}
        return {**values, "sampling": {**default, **(sampling or {})}}


def _unset(settings: Settings, names: dict[str, Any], given: dict[str, Any]) -> None:
    """Fields that were not given count as not set, whatever filled them in."""
    for name, inner in names.items():
        if not isinstance(inner, dict):
            settings.model_fields_set.difference_update({name} - given.keys())
        elif isinstance(part := given.get(name) or {}, dict):
            _unset(getattr(settings, name), inner, part)


def _held(settings: Settings, defaults: dict[str, Any]) -> Settings:
    """The settings with the defaults in place of what is not set."""
    changes = {
        name: _held(getattr(settings, name), value) if isinstance(value, dict) else value
        for name, value in defaults.items()
        if isinstance(value, dict) or name not in settings.model_fields_set
    }
    return settings.model_copy(update=changes)


def for_memory(settings: LearnSettings, kind: MemoryKind) -> LearnSettings:
    """The settings for a kind of memory: in all but `routed` what is not set is as `HELD` says, and a
    stack has no anchor at all, as in the paper: nothing holds it."""
    if kind == "routed":
        return settings.model_copy(update={"memory": kind})
    held = cast(LearnSettings, _held(settings, HELD))
    if kind != "stack":
        return held.model_copy(update={"memory": kind})
    free = held.train.anchor.model_copy(update={"weight": 0.0})
    train = held.train.model_copy(update={"anchor": free})
    knowledge = held.knowledge.model_copy(update={"neighbours": 0})
    return held.model_copy(update={"memory": kind, "train": train, "knowledge": knowledge})


class KnowledgeOuterSettings(OuterSettings):
    """The outer loop of knowledge incorporation."""

    inner: LearnSettings = LearnSettings(candidates=4)
