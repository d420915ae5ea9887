"""Settings of a reader, and the options of `selfedit train reader`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import Field

from selfedit.config import AnchorSettings, LoraSettings, PolicySettings, TrainSettings
from selfedit.console import options
from selfedit.console.settings import given_by
from selfedit.domains.knowledge.options import Statements, strategy_settings
from selfedit.domains.knowledge.settings import KnowledgeOuterSettings, LearnSettings
from selfedit.domains.options import Limit

if TYPE_CHECKING:
    from selfedit.domains.knowledge.domain import Knowledge

# How a reader is trained: on answers of a few tokens, and at every step held to the bare model where no
# document is attached.
READING = PolicySettings(
    lora=LoraSettings(rank=32, alpha=64, layers="upper-half"),
    train=TrainSettings(
        learning_rate=3e-4,
        epochs=3,
        batch_size=8,
        anchor=AnchorSettings(weight=1.0, interval=1, num_prompts=64, reply_tokens=32),
    ),
)


class ReaderSettings(KnowledgeOuterSettings):
    """Everything that determines a reader, apart from model and contexts. inner: how the documents'
    adapters are trained, as `learn` does; policy: how the reader is."""

    inner: LearnSettings = LearnSettings.model_validate({"candidates": 1, "knowledge": {"topic": True}})
    policy: PolicySettings = READING
    contexts: int = Field(24, ge=2, description="Contexts of each round.")
    held_out: float = Field(
        0.25, ge=0, lt=1, description="Share of the contexts that measure, and never train."
    )
    own_words: bool = Field(
        False,
        description="It learns the model's own right answers, given the context, not the gold ones.",
    )
    merge: bool = Field(
        False,
        description="Merge it into the weights, instead of attaching it where a document is.",
    )


def reader() -> ReaderSettings:
    """2 rounds x 24 contexts, documents learned as `learn` does."""
    return ReaderSettings()


def smoke() -> ReaderSettings:
    """Minutes at most: shows whether everything works, not whether it helps."""
    inner = {"candidates": 1, "knowledge": {"restatements": 1}, "train": {"epochs": 2}}
    return ReaderSettings(inner=LearnSettings.model_validate(inner), rounds=1, contexts=4)


PRESETS: dict[str, Callable[[], ReaderSettings]] = {"reader": reader, "smoke": smoke}

# Options that are not called as their settings are: what is trained here is the reader.
_NAMED = {
    "policy.train.anchor.weight": "reader-anchor",
    "policy.train.epochs": "reader-epochs",
    "policy.train.learning_rate": "reader-learning-rate",
}


@dataclass(kw_only=True)
class ReaderLoop(Statements, options.Writing, options.Training, options.Adapting):
    """Train a reader: an adapter that answers better from what `learn` puts into a model.

    On the contexts of --data, each with its self-edit's adapter attached and frozen, one adapter learns
    to answer their questions. It is put into a model folder that --model accepts, where it is attached
    whenever a document is; `learn` probes each document with it. With --merge it becomes part of the
    weights, and is probed at the end. Killed and started again, the run goes on where it was.
    docs/algorithms.md says more.

    \b
    selfedit train reader --data squad.json
    selfedit train reader --data squad.json --rounds 1 --contexts 40 --library runs/
    selfedit learn notes.md --model runs/policies/KEY/round-1
    """

    data: options.Data
    limit: Limit = None
    preset: Annotated[str, typer.Option("--preset", help="reader or smoke.")] = "reader"
    strategy: options.Strategy = None
    rounds: options.Rounds = None
    contexts: options.Contexts = None
    policy_learning_rate: Annotated[
        float | None, typer.Option("--reader-learning-rate", help="Learning rate of the reader.")
    ] = None
    policy_epochs: Annotated[
        int | None, typer.Option("--reader-epochs", help="Passes over the questions.")
    ] = None
    reader_anchor: Annotated[
        float | None,
        typer.Option(
            "--reader-anchor", help="Weight of the KL that holds the reader to the bare model; 0: none."
        ),
    ] = None
    own_words: Annotated[
        bool,
        typer.Option(
            "--own-words",
            help="Teach it the model's own right answers, given the context, which say more than the "
            "given ones.",
        ),
    ] = False
    merge: Annotated[
        bool,
        typer.Option(
            "--merge",
            help="Make the reader part of the weights: it then writes, too, and answers where nothing "
            "was learned.",
        ),
    ] = False
    max_damage: Annotated[
        float,
        typer.Option(
            "--max-damage",
            min=0,
            max=1,
            help="Share of general answers that a merged reader may lose.",
        ),
    ] = 0.2
    probe_questions: Annotated[
        int,
        typer.Option(
            "--probe", min=0, help="General questions that a merged one is probed with; 0: none."
        ),
    ] = 100
    tracker: options.Tracker = None

    def given(self) -> dict[str, Any]:
        return {
            "knowledge": {"strategy": self.strategy},
            "rounds": self.rounds,
            "contexts": self.contexts,
            "own_words": self.own_words or None,
            "merge": self.merge or None,
            "policy": {
                "train": {
                    "learning_rate": self.policy_learning_rate,
                    "epochs": self.policy_epochs,
                    "anchor": {"weight": self.reader_anchor},
                }
            },
        }

    def domain_class(self) -> type[Knowledge]:
        from selfedit.domains.knowledge.domain import Knowledge

        return Knowledge

    def settings(self) -> ReaderSettings:
        return strategy_settings(PRESETS, self.preset, given_by(self), _NAMED)
