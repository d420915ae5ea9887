"""Options that the commands about ARC share: which tasks, how they are learned, and what they mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer

from selfedit.config import merged
from selfedit.console import options
from selfedit.console.common import parts, status
from selfedit.console.settings import changed, given_by, given_only, preset_settings
from selfedit.domains.arc.settings import ArcGroup
from selfedit.domains.arc.submission import write_predictions
from selfedit.domains.options import Prepared, ToTrain, named_conditions
from selfedit.errors import InputError
from selfedit.home import expanded
from selfedit.show.files import check_writable

if TYPE_CHECKING:
    from selfedit.config import OuterSettings
    from selfedit.domains.arc import ArcTask, sources
    from selfedit.domains.arc.conditions import ArcEvaluation
    from selfedit.domains.arc.domain import Arc
    from selfedit.domains.arc.settings import ArcInnerSettings, ArcOuterSettings, ArcSettings
    from selfedit.domains.conditions import Outcome
    from selfedit.seams import Model
    from selfedit.store import Store
    from selfedit.types import Task

# Which tasks.
Tasks = Annotated[
    Path | None,
    typer.Option("--tasks", help="A JSON file or folder of ARC tasks, instead of a dataset."),
]
Solutions = Annotated[
    Path | None, typer.Option("--solutions", help="The test outputs that belong to a file.")
]
Dataset = Annotated[str, typer.Option("--dataset", help="arc-agi-1 or arc-agi-2.")]
Source = Annotated[
    str,
    typer.Option("--source", help="arc, or mini: small tasks, made by --sizes and --mini-seed."),
]
Sizes = Annotated[str, typer.Option("--sizes", help="mini: sides of the input grids.")]
MiniSeed = Annotated[int, typer.Option("--mini-seed", min=0, help="mini: seed of the tasks.")]
Split = Annotated[str, typer.Option("--split", help="training, evaluation or all.")]
Ids = Annotated[
    str | None,
    typer.Option(
        "--ids",
        help="paper-filtered, a file of ids (`selfedit arc solvable` writes one), or ids with commas.",
    ),
]
Filters = Annotated[
    list[str] | None,
    typer.Option("--filter", help="Limit on the prompt: max-tokens=N or max-cells=N."),
]
Limit = Annotated[
    int | None, typer.Option("--limit", min=1, help="Use the first N of these tasks only.")
]

# How a task is learned and answered.
Preset = Annotated[str, typer.Option("--preset", help="arc-paper or arc-small.")]
Examples = Annotated[
    int | None, typer.Option("--examples", help="Maximum number of training examples per task.")
]
OracleLearningRate = Annotated[float | None, typer.Option("--learning-rate", help="Of the oracle.")]
OracleEpochs = Annotated[int | None, typer.Option("--epochs", help="Of the oracle.")]
OracleGroups = Annotated[
    str | None,
    typer.Option(
        "--groups",
        help="Augmentations of the oracle: some of basic,size,chain,repeat, or none (default: all).",
    ),
]
Constrained = Annotated[
    bool, typer.Option("--constrained", help="Sample only self-edits of the right form.")
]
RateBounds = Annotated[
    str | None,
    typer.Option("--rate-bounds", help="LOWEST,HIGHEST learning rate of a self-edit."),
]
EpochBounds = Annotated[
    str | None, typer.Option("--epoch-bounds", help="FEWEST,MOST epochs of a self-edit.")
]
StepLimit = Annotated[
    int | None, typer.Option("--step-limit", help="What asks for more steps than this fails.")
]
Voting = Annotated[
    bool,
    typer.Option("--voting", help="Two attempts by a vote instead of one greedy answer."),
]

# Options that are not called as their settings are.
_NAMED = {
    "arc.data.limit": "examples",
    "arc.oracle_epochs": "epochs",
    "arc.oracle_learning_rate": "learning-rate",
}


@dataclass(kw_only=True)
class Choosing:
    """Which tasks."""

    tasks: Tasks = None
    solutions: Solutions = None
    dataset: Dataset = "arc-agi-1"
    split: Split = "training"
    ids: Ids = None
    filters: Filters = None
    limit: Limit = None
    source: Source = "arc"
    sizes: Sizes = "3-5"
    mini_seed: MiniSeed = 0

    def choose(self, model: Model, inner: ArcInnerSettings) -> Chosen:
        """The tasks that the options name, in the settings' form of grids. Raises InputError."""
        return choose_tasks(
            model, inner.arc, self.found(), self.split, self.ids, self.filters, self.limit
        )

    def found(self, file: str = "--tasks") -> list[ArcTask]:
        """All tasks of the source. file: how the command takes one. Raises InputError."""
        split = cast("sources.Split", self.split)
        if self.source == "mini":
            from selfedit.domains.arc.mini import mini_tasks, sizes_of

            if self.tasks is not None or self.solutions is not None:
                raise InputError(f"--source mini makes its tasks: leave out {file} and --solutions.")
            return mini_tasks(split, self.mini_seed, *sizes_of(self.sizes))
        if self.source != "arc":
            raise InputError(f"--source {self.source}: use arc or mini.")
        from selfedit.domains.arc.sources import load_dataset, read_tasks

        if self.tasks is not None:
            return read_tasks(self.tasks, self.solutions)
        if self.solutions is not None:
            raise InputError(f"--solutions belongs to a file of challenges: give {file}, too.")
        return load_dataset(cast("sources.Dataset", self.dataset), split)


@dataclass(kw_only=True)
class Learning:
    """How a task is learned: by a preset, with what differs from it."""

    preset: Preset = "arc-small"
    examples: Examples = None
    constrained: Constrained = False
    rate_bounds: RateBounds = None
    epoch_bounds: EpochBounds = None
    step_limit: StepLimit = None
    voting: Voting = False

    def given(self) -> dict[str, Any]:
        bounds = {
            "rate_bounds": self.rate_bounds and parts(self.rate_bounds),
            "epoch_bounds": self.epoch_bounds and parts(self.epoch_bounds),
        }
        return {
            "arc": {
                "data": {"limit": self.examples},
                "bounds": bounds,
                "step_limit": self.step_limit,
                "constrained": self.constrained or None,
                "prediction": "voting" if self.voting else None,
            }
        }


@dataclass(kw_only=True)
class Oracle:
    """The fixed best configuration."""

    learning_rate: OracleLearningRate = None
    epochs: OracleEpochs = None
    groups: OracleGroups = None

    def given(self) -> dict[str, Any]:
        groups = None if self.groups is None else parse_groups(self.groups)
        return {
            "arc": {
                "data": {"groups": groups},
                "oracle_learning_rate": self.learning_rate,
                "oracle_epochs": self.epochs,
            }
        }


@dataclass(kw_only=True)
class OuterLoop(
    Choosing, Learning, options.Outer, options.Improving, options.Writing, options.Adapting
):
    """Few-shot learning on ARC, as in the paper: self-edits configure test-time training.

    They choose its augmentations and settings, and those whose adapter solves the task teach the
    policy.

    Killed and started again, the run goes on where it was; a finished round is never repeated.
    """

    voting: Annotated[
        bool, typer.Option("--voting", help="Reward two attempts by a vote, not one greedy answer.")
    ] = False

    def given(self) -> dict[str, Any]:
        return {"arc": {"seed": self.seed}}

    def domain_class(self) -> type[Arc]:
        from selfedit.domains.arc.domain import Arc

        return Arc

    def settings(self) -> ArcOuterSettings:
        from selfedit.domains.arc.presets import PRESETS

        return preset_settings(PRESETS, self.preset, given_by(self), _NAMED)

    def prepared(self, settings: OuterSettings, model: Model, store: Store) -> ToTrain:
        from selfedit.domains.arc.settings import ArcInnerSettings

        inner = settings.inner
        assert isinstance(inner, ArcInnerSettings), "self.settings()"
        chosen = self.choose(model, inner)
        return ToTrain(self.domain_class().of(inner), chosen.tasks, notes=chosen.notes)


# Edits of a held-out task in the paper's table (arXiv 2506.10943, section 4.2).
_CANDIDATES = 5


@dataclass(kw_only=True)
class Evaluating(Choosing, options.Writing, options.Adapting, Learning, Oracle):
    """The paper's few-shot table: the share of adapted models that solve their task.

    Each row has a 95% interval over tasks, and each pair of rows one for its difference. Killed and
    started again, it goes on where it was.
    """

    conditions: Annotated[
        str,
        typer.Option(help="Conditions to compare, with commas: some of in-context,ttt,seal,oracle."),
    ] = "in-context,ttt,oracle"
    split: Split = "evaluation"
    submission: Annotated[
        Path | None,
        typer.Option(
            help="Write two attempts at each test input, by a vote, in ARC's format: by the last "
            "condition, from each task's first trained edit."
        ),
    ] = None

    def domain_class(self) -> type[Arc]:
        from selfedit.domains.arc.domain import Arc

        return Arc

    def check(self) -> None:
        self.settings()
        if self.submission is not None:
            check_writable(self.submission)

    def settings(self) -> ArcEvaluation:
        from selfedit.domains.arc.conditions import ArcEvaluation

        given = merged({"candidates": _CANDIDATES}, given_only(given_by(self)))
        if self.submission is not None:
            given = merged(given, {"arc": {"prediction": "voting"}})
        inner = inner_with(self.preset, given)
        return ArcEvaluation(conditions=named_conditions(self.conditions), inner=inner)

    def prepared(self, model: Model, store: Store) -> Prepared:
        settings = self.settings()
        domain = self.domain_class().of(settings.inner)
        chosen = self.choose(model, settings.inner)

        def write(tasks: Sequence[Task], outcomes: Mapping[str, Outcome]) -> None:
            if self.submission is not None:
                last = outcomes[settings.conditions[-1]]
                write_predictions(self.submission, domain, tasks, last)
                status(f"wrote {self.submission}")

        return Prepared(
            domain,
            chosen.tasks,
            settings,
            keep_ungradable=self.submission is not None,
            notes=chosen.notes,
            then=write,
        )


def inner_with(preset: str, given: dict[str, Any]) -> ArcInnerSettings:
    """A preset's inner loop with what was given; a seed is the domain's, too. Raises InputError."""
    from selfedit.domains.arc.presets import PRESETS

    if preset not in PRESETS:
        raise InputError(f"--preset {preset}: use one of {', '.join(PRESETS)}.")
    seeded = merged({"arc": {"seed": given.get("seed")}}, given)
    return changed(PRESETS[preset]().inner, seeded, _NAMED)


@dataclass(frozen=True, slots=True)
class Chosen:
    """Tasks, and what a reader must know about how they were chosen."""

    tasks: list[Task]
    notes: tuple[str, ...]


def choose_tasks(
    model: Model,
    settings: ArcSettings,
    found: Sequence[ArcTask],
    split: str,
    ids: str | None,
    filters: list[str] | None,
    limit: int | None,
) -> Chosen:
    """Those of the tasks that the options name, in the settings' form of grids. Raises InputError."""
    from selfedit.domains.arc import longest_prompt, parse_filter, parse_ids, select, sources
    from selfedit.domains.arc.as_task import to_task
    from selfedit.domains.arc.selection import PAPER_FILTERED

    form = settings.grid

    def count(task: ArcTask) -> int:
        return longest_prompt(task, model.count_tokens, form)

    chosen = parse_ids(ids, cast("sources.Split", split)) if ids is not None else None
    kept = select(found, chosen, [parse_filter(text) for text in filters or ()], count)[:limit]
    notes = [f"tasks were filtered: {text}" for text in filters or ()]
    if ids == PAPER_FILTERED:
        notes.append("tasks were filtered: those that the paper's own model solves under its oracle")
    elif ids is not None and sources.is_there(path := expanded(ids)) and path.is_file():
        notes += _comments(path)
    return Chosen([to_task(task, form) for task in kept], tuple(notes))


def parse_groups(text: str) -> tuple[ArcGroup, ...]:
    """The groups that --groups names. Raises InputError for one that there is not."""
    names = parts(text)
    known = get_args(ArcGroup)
    if names == ("none",) or not names:
        return ()
    for name in names:
        if name not in known:
            raise InputError(f"--groups {name}: there is {', '.join(known)}, and none.")
    return tuple(name for name in known if name in names)


def _comments(path: Path) -> list[str]:
    """What a file of ids says about itself, in the lines that begin with #."""
    from selfedit.domains.knowledge.documents import read_text

    lines = read_text(path)[1].splitlines()
    return [line.lstrip("# ").strip() for line in lines if line.startswith("#") and line.strip("# ")]
