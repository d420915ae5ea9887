"""What `selfedit train` and `selfedit eval` need from a domain: its options, and what they mean.

A built-in domain has its own in `domains/<name>/options.py`, as the classes `OuterLoop` and
`Evaluating`; here are those for a domain of the user's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from selfedit.console import options
from selfedit.console.common import parts
from selfedit.console.rewarding import Rewarding
from selfedit.console.settings import changed, given_by, named_preset, preset_settings
from selfedit.errors import InputError

if TYPE_CHECKING:
    from selfedit.config import EvaluationSettings, JudgeSettings, OuterSettings
    from selfedit.domains.base import BaseDomain
    from selfedit.domains.conditions import Condition, Outcome
    from selfedit.grading import Grader
    from selfedit.seams import Model
    from selfedit.store import Store
    from selfedit.types import QuestionKind, Task

Target = Annotated[str, typer.Argument(metavar="FILE.py:NAME", help="The class of the domain.")]
Source = Annotated[
    str,
    typer.Option(
        "--data",
        help="Where the domain's method tasks finds them; by default contexts with questions.",
    ),
]
Limit = Annotated[
    int | None, typer.Option("--limit", min=1, help="Use the first N contexts or tasks only.")
]
Contexts = Annotated[
    int | None,
    typer.Option("--contexts", min=1, help="Evaluate a seeded sample of N contexts (default: all)."),
]


@dataclass(frozen=True, slots=True)
class Prepared:
    """An evaluation that was asked for. The fields are `experiments.evaluate`'s; then: called with the
    tasks and each condition's outcome, when all is done."""

    domain: BaseDomain
    tasks: Sequence[Task]
    settings: EvaluationSettings
    conditions: Mapping[str, Condition] | None = None
    grader: Grader | None = None
    sample: int | None = None
    keep_ungradable: bool = False
    notes: Sequence[str] = ()
    then: Callable[[Sequence[Task], Mapping[str, Outcome]], None] = lambda tasks, outcomes: None


class Evaluates(Protocol):
    """Options of `selfedit eval NAME`. The class is a dataclass whose fields are the options; its
    docstring is the command's help."""

    def domain_class(self) -> type[BaseDomain]: ...

    def check(self) -> None:
        """Raises SelfEditError for errors that can be found before a model is loaded."""
        ...

    def prepared(self, model: Model, store: Store) -> Prepared:
        """Raises SelfEditError."""
        ...


@dataclass(frozen=True, slots=True)
class ToTrain:
    """What a policy is to be trained on. judge: of the rewards proxy and cascade. notes: how the tasks
    were chosen. questions: whose questions reward an edit."""

    domain: BaseDomain
    tasks: Sequence[Task]
    judge: JudgeSettings | None = None
    notes: Sequence[str] = ()
    questions: QuestionKind = "given"


class Trains(Protocol):
    """Options of `selfedit train NAME`. The class is a dataclass whose fields are the options; its
    docstring is the command's help."""

    tracker: list[str] | None
    until: int | None

    def domain_class(self) -> type[BaseDomain]: ...

    def settings(self) -> OuterSettings:
        """A preset with what was given. Raises InputError."""
        ...

    def prepared(self, settings: OuterSettings, model: Model, store: Store) -> ToTrain:
        """Raises SelfEditError."""
        ...


@dataclass(kw_only=True)
class InWords(
    options.Outer,
    options.Improving,
    Rewarding,
    options.Writing,
    options.Training,
    options.Adapting,
    options.Grading,
):
    """An outer loop whose adapters are trained on texts, and whose answers are graded as words."""

    data: Source
    limit: Limit = None

    def given(self) -> dict[str, Any]:
        return {"grader": self.grader}

    def domain_class(self) -> type[BaseDomain]:
        raise NotImplementedError

    def prepared(self, settings: OuterSettings, model: Model, store: Store) -> ToTrain:
        domain = self.domain_class().of(settings.inner, self._grader(settings, store))
        tasks = domain.tasks(self.data)[: self.limit]
        return ToTrain(domain, tasks, self.judge(), domain.left_out)

    def _grader(self, settings: OuterSettings, store: Store) -> Grader | None:
        return self.chosen(store, settings.grader, rated=settings.reward != "true")


@dataclass(kw_only=True)
class OuterLoop(InWords):
    """A domain of your own: a class in a Python file, which is run (docs/tutorial-domain.md).

    Killed and started again, the run goes on where it was; a finished round is never repeated.
    """

    domain: Target
    preset: Annotated[
        str | None, typer.Option("--preset", help="One of the domain's presets (default: its first).")
    ] = None

    def domain_class(self) -> type[BaseDomain]:
        from selfedit.domains import load_domain

        return load_domain(self.domain)

    def settings(self) -> OuterSettings:
        return preset_settings(self.domain_class().presets, self.preset, given_by(self))

    def _grader(self, settings: OuterSettings, store: Store) -> Grader | None:
        name = self.grader or preset_grader(self.domain_class(), self.preset)
        if name is None:
            self.check_judge(settings.reward != "true")
            return None
        return self.chosen(store, name, rated=settings.reward != "true")


@dataclass(kw_only=True)
class Evaluating(options.Writing, options.Training, options.Adapting, options.Grading):
    """Evaluate a domain of your own: a class in a Python file, which is run.

    Each row has a 95% interval over tasks, and each pair of rows one for its difference. Killed and
    started again, it goes on where it was.
    """

    domain: Target
    data: Source
    conditions: Annotated[
        str | None,
        typer.Option(help="Conditions to compare, some of base,own,seal (default: base,own)."),
    ] = None
    contexts: Contexts = None

    def domain_class(self) -> type[BaseDomain]:
        from selfedit.domains import load_domain

        return load_domain(self.domain)

    def check(self) -> None:
        self.settings()
        self.check_judge(self._grader() == "judge")

    def _grader(self) -> str | None:
        return self.grader or preset_grader(self.domain_class())

    def settings(self) -> EvaluationSettings:
        from selfedit.config import EvaluationSettings, MeasureSettings

        first = next(iter(self.domain_class().presets.values()))()
        # Whatever the preset rewards: an evaluation reports accuracy.
        inner = first.inner.model_copy(update={"measure": MeasureSettings()})
        values: dict[str, Any] = {"inner": changed(inner, given_by(self))}
        if self.conditions is not None:
            values["conditions"] = named_conditions(self.conditions)
        return EvaluationSettings(**values)

    def prepared(self, model: Model, store: Store) -> Prepared:
        settings = self.settings()
        domain = self.domain_class().of(settings.inner)
        name = self._grader()
        grader = None if name is None else self.chosen(store, name)
        tasks = domain.tasks(self.data)
        return Prepared(
            domain, tasks, settings, grader=grader, sample=self.contexts, notes=domain.left_out
        )


def preset_grader(domain: type[BaseDomain], name: str | None = None) -> str | None:
    """The grader that a preset (None: the first) names; None where it leaves that to the domain. Raises
    InputError."""
    presets = domain.presets
    preset = named_preset(presets, next(iter(presets)) if name is None else name)()
    return preset.grader if "grader" in preset.model_fields_set else None


def named_conditions(text: str) -> tuple[str, ...]:
    """The values of --conditions. Raises InputError if there are none."""
    names = parts(text)
    if not names:
        raise InputError("--conditions names nothing to evaluate.")
    return names
