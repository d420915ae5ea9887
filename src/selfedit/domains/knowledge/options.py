"""Options of the commands about knowledge."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast, get_args

import typer

from selfedit.config import merged
from selfedit.console import options
from selfedit.console.common import parts
from selfedit.console.graders import endpoint_settings
from selfedit.console.settings import (
    changed,
    checked,
    given_by,
    given_only,
    named_preset,
    preset_settings,
    with_alpha,
)
from selfedit.domains.options import Contexts, InWords, Prepared, ToTrain, named_conditions
from selfedit.errors import InputError
from selfedit.home import expanded, whole_text
from selfedit.types import QuestionKind

if TYPE_CHECKING:
    from selfedit.config import OuterSettings
    from selfedit.domains.knowledge.conditions import Elsewhere
    from selfedit.domains.knowledge.domain import Knowledge
    from selfedit.domains.knowledge.evaluation import KnowledgeEvaluation
    from selfedit.domains.knowledge.settings import KnowledgeOuterSettings, LearnSettings
    from selfedit.seams import Model
    from selfedit.store import Store

_MOST_PROMPT = 1_000_000  # bytes of a prompt file


@dataclass
class Statements:
    """How statements are trained on."""

    ends: Annotated[
        bool | None,
        typer.Option("--ends/--no-ends", help="Teach that a statement ends, so that answers end, too."),
    ] = None
    form: Annotated[
        str | None,
        typer.Option(
            "--form", help="Statements as text, as replies in a chat (turn), or both in turn (mixed)."
        ),
    ] = None
    cue: Annotated[
        str | None,
        typer.Option(
            "--cue",
            help="What such a chat asks for: the title, or words of the statement, too (words).",
        ),
    ] = None
    neighbours: Annotated[
        int | None,
        typer.Option(
            "--neighbours",
            help="Statements under another name for the anchor, so that facts keep to their subject.",
        ),
    ] = None

    def given(self) -> dict[str, Any]:
        own = {"form": self.form, "cue": self.cue, "ends": self.ends, "neighbours": self.neighbours}
        return {"knowledge": own}


@dataclass
class Directed:
    """Edits that say themselves how they are trained."""

    constrained: Annotated[
        bool, typer.Option("--constrained", help="`directed`: sample only heads that are valid.")
    ] = False
    rate_bounds: Annotated[
        str | None,
        typer.Option("--rate-bounds", help="`directed`: LOWEST,HIGHEST learning rate of a head."),
    ] = None
    epoch_bounds: Annotated[
        str | None, typer.Option("--epoch-bounds", help="`directed`: FEWEST,MOST epochs of a head.")
    ] = None

    strategy: options.Strategy = None

    def given(self) -> dict[str, Any]:
        """Raises InputError for options of the strategy `directed` with another: only its edits have a
        head."""
        own = {
            "--constrained": self.constrained or None,
            "--rate-bounds": self.rate_bounds,
            "--epoch-bounds": self.epoch_bounds,
        }
        given = [name for name, value in own.items() if value is not None]
        if given and self.strategy != "directed":
            raise InputError(f"{', '.join(given)}: add --strategy directed.")
        bounds = {
            "rate_bounds": self.rate_bounds and parts(self.rate_bounds),
            "epoch_bounds": self.epoch_bounds and parts(self.epoch_bounds),
        }
        return {"knowledge": {"constrained": self.constrained or None, "directives": bounds}}


@dataclass(kw_only=True)
class OuterLoop(InWords, Statements, Directed):
    """Knowledge incorporation, as in the paper: rounds of self-edits, rewarded by what they taught.

    Each round's policy is a model folder that --model accepts. Killed and started again, the run goes
    on where it was; a finished round is never repeated.

    \b
    selfedit train knowledge --data squad.json
    selfedit train knowledge --data squad.json --algorithm grpo --candidates 8 --rounds 4
    selfedit train knowledge --data squad.json --algorithm grpo --normalisation dr_grpo --kl-weight 0.1
    selfedit train knowledge --data squad.json --algorithm dpo --policy-learning-rate 1e-5
    selfedit train knowledge --data squad.json --runner ray --ray-address auto --library /shared/run
    """

    data: options.Data
    preset: Annotated[str, typer.Option("--preset", help="squad-paper, squad-small or smoke.")] = (
        "squad-small"
    )
    strategy: options.Strategy = None
    questions: Annotated[
        str,
        typer.Option(
            "--questions",
            help="Whose questions reward an edit: given (the data's), own (the model writes them) or "
            "cloze (blanks in the context).",
        ),
    ] = "given"

    def given(self) -> dict[str, Any]:
        return {"knowledge": {"strategy": self.strategy}}

    def prepared(self, settings: OuterSettings, model: Model, store: Store) -> ToTrain:
        if self.questions not in get_args(QuestionKind):
            raise InputError(f"--questions {self.questions}: use given, own or cloze.")
        asked = cast(QuestionKind, self.questions)
        return replace(super().prepared(settings, model, store), questions=asked)

    def domain_class(self) -> type[Knowledge]:
        from selfedit.domains.knowledge.domain import Knowledge

        return Knowledge

    def settings(self) -> KnowledgeOuterSettings:
        from selfedit.domains.knowledge.presets import PRESETS

        return strategy_settings(PRESETS, self.preset, given_by(self))


@dataclass(kw_only=True)
class Evaluating(
    options.Writing, options.Training, options.Adapting, options.Grading, Statements, Directed
):
    """The paper's knowledge tables: each condition answers the same questions in its own way.

    Each row has a 95% interval over contexts, and each pair of rows one for its difference. Killed and
    started again, it goes on where it was.

    \b
    selfedit eval knowledge --data eval200.json
    selfedit eval knowledge --data eval200.json --policy policies/round-2 --conditions base,own,seal
    selfedit eval knowledge --data eval200.json --runner ray --ray-workers 4
    """

    data: options.Data
    conditions: Annotated[
        str,
        typer.Option(
            help="Conditions to compare, with commas: some of "
            "base,in-context,retrieval,passage,passage-matched,own,best,file,seal."
        ),
    ] = "base,in-context,passage,own"
    regime: Annotated[
        str,
        typer.Option(
            help="single (one adapter per passage), cpt (one for all) or cpt-full (all weights)."
        ),
    ] = "single"
    contexts: Contexts = None
    edits: Annotated[
        Path | None,
        typer.Option(help='Edits of the condition file: JSON lines {"title", "context", "edit"}.'),
    ] = None
    writer_model: Annotated[
        str | None,
        typer.Option(help="A model behind an endpoint that writes the edits of the condition file."),
    ] = None
    writer_url: Annotated[
        str | None,
        typer.Option(
            help="OpenAI-compatible endpoint of that writer; its key: SELFEDIT_WRITER_API_KEY."
        ),
    ] = None
    top_k: Annotated[int, typer.Option(min=1, help="Passages in the prompt of retrieval.")] = 3
    best_of: Annotated[int, typer.Option(min=2, help="Edits of a context that best chooses from.")] = 4
    strategy: options.Strategy = None
    topic: Annotated[
        bool, typer.Option("--topic/--no-topic", help="Put the title before each question.")
    ] = True

    def given(self) -> dict[str, Any]:
        return {"knowledge": {"strategy": self.strategy, "topic": self.topic}}

    def domain_class(self) -> type[Knowledge]:
        from selfedit.domains.knowledge.domain import Knowledge

        return Knowledge

    def check(self) -> None:
        self.settings()
        self.check_judge(self.grader == "judge")
        if self.writer_url is not None and self.writer_model is None:
            raise InputError("--writer-url: add --writer-model.")
        if self.edits is not None and not expanded(self.edits).is_file():
            raise InputError(f"--edits {self.edits}: there is no such file.")

    def settings(self) -> KnowledgeEvaluation:
        from selfedit.domains.knowledge.evaluation import (
            REGIMES,
            KnowledgeEvaluation,
            inner_values,
        )
        from selfedit.domains.knowledge.settings import LearnSettings

        chosen = next((name for name in REGIMES if name == self.regime), None)
        if chosen is None:
            raise InputError(f"--regime {self.regime}: use one of {', '.join(REGIMES)}.")
        # The strategy first: what is not given of the sampling follows it.
        base = checked(LearnSettings, inner_values(chosen, given_only(self.given())))
        inner = changed(base, given_by(self))
        if chosen == "single" and inner.candidates != 1:
            raise InputError("--candidates: `single` samples one edit a context; use --regime cpt.")
        values = {
            "conditions": named_conditions(self.conditions),
            "regime": chosen,
            "inner": inner,
            "top_k": self.top_k,
            "best_of": self.best_of,
        }
        return checked(KnowledgeEvaluation, values)

    def prepared(self, model: Model, store: Store) -> Prepared:
        from selfedit.domains.knowledge.conditions import conditions

        settings = self.settings()
        domain = self.domain_class()(settings.inner.knowledge)
        tasks = domain.tasks(self.data)
        return Prepared(
            domain,
            tasks,
            settings,
            conditions(self._elsewhere(store)),
            self.chosen(store),
            sample=self.contexts,
            notes=domain.left_out,
        )

    def _elsewhere(self, store: Store) -> Elsewhere:
        """Where the edits of `file` come from; a file takes precedence over an endpoint."""
        from selfedit.config import EndpointSettings
        from selfedit.endpoints.writer import EndpointWriter, read_edits

        if self.edits is not None:
            return read_edits(self.edits)
        if self.writer_model is None:
            return None
        own = endpoint_settings(EndpointSettings, "writer", self.writer_model, self.writer_url)
        return EndpointWriter(own, store)


Outer = TypeVar("Outer", bound="KnowledgeOuterSettings")


def strategy_settings(
    presets: Mapping[str, Callable[[], Outer]],
    name: str,
    given: dict[str, Any],
    named: Mapping[str, str] | None = None,
) -> Outer:
    """`preset_settings`, but with the strategy's own sampling where the preset's is for the other kind:
    `sentences` writes a sentence at a time, all others a whole edit. Raises InputError."""
    from selfedit.domains.knowledge.settings import LearnSettings

    chosen = preset_settings(presets, name, given, named or {})
    of_preset = named_preset(presets, name)().inner.knowledge.strategy
    strategy = chosen.inner.knowledge.strategy
    if (strategy == "sentences") == (of_preset == "sentences"):
        return chosen
    usual = LearnSettings.model_validate({"knowledge": {"strategy": strategy}}).sampling
    return preset_settings(
        presets, name, merged({"sampling": usual.model_dump(mode="json")}, given_only(given))
    )


def learn_settings(given: dict[str, Any], preset: str = "balanced") -> LearnSettings:
    """Settings of `selfedit learn`: a preset of the inner loop with what was given. Where the sampling
    was not given, it follows the strategy. Raises InputError."""
    from selfedit.domains.knowledge.presets import INNER_PRESETS
    from selfedit.domains.knowledge.settings import LearnSettings

    base = named_preset(INNER_PRESETS, preset)()
    defaults = checked(LearnSettings, base).model_dump(mode="json")
    return checked(LearnSettings, merged(base, with_alpha(defaults, given_only(given))))


def read_prompt(path: Path | None) -> str | None:
    """The text of --prompt-file. Raises InputError."""
    if path is None:
        return None
    try:
        text = whole_text(path, _MOST_PROMPT)
    except UnicodeDecodeError as error:
        raise InputError(f"the prompt file {path} cannot be read: {error}") from error
    if not text.strip():
        raise InputError(f"the prompt file {path} is empty")
    return text
