"""The few-shot domain: a task's demonstrations are the context, its test inputs the questions.

A self-edit says how the model is to be trained on the demonstrations (arXiv 2506.10943, section 4.2).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from selfedit.config import InnerSettings, stable_hash
from selfedit.domains.arc import report, table
from selfedit.domains.arc.as_task import is_known, of_task, puzzle, to_task, with_outputs
from selfedit.domains.arc.choices import choosing
from selfedit.domains.arc.edit_pattern import LONGEST_MATCH, pattern
from selfedit.domains.arc.grids import Grid, MalformedGrid
from selfedit.domains.arc.predict import Attempts, VotingQuery, vote, voting_queries
from selfedit.domains.arc.presets import PRESETS
from selfedit.domains.arc.self_edit import (
    MAX_EPOCHS,
    ORACLE,
    ArcSelfEdit,
    Training,
    instruction,
    parse_self_edit,
)
from selfedit.domains.arc.settings import ArcBounds, ArcInnerSettings, ArcSettings
from selfedit.domains.arc.sources import read_tasks
from selfedit.domains.arc.submission import read_attempts, submission_to_json
from selfedit.domains.arc.tasks import ArcTask, Example
from selfedit.domains.arc.text import grid_to_text, parse_grid
from selfedit.domains.arc.training_set import TrainingTask, training_set
from selfedit.domains.base import BaseDomain
from selfedit.domains.choices import compared
from selfedit.domains.conditions import Bench, Condition, Expected, TaskOutcome, solves
from selfedit.domains.evaluable import OwnRun
from selfedit.domains.rows import Column, Evaluation
from selfedit.errors import OverLimit
from selfedit.grading import Grader
from selfedit.show.page import Block, Section
from selfedit.types import (
    GradedAnswer,
    Prompt,
    Score,
    SelfEdit,
    Task,
    TrainingPlan,
    TrainingSequence,
)

if TYPE_CHECKING:
    from selfedit.model.fake import Skill

_MAX_CELLS = 900


class Arc(BaseDomain):
    """Few-shot learning (arXiv 2506.10943, section 4.2). Implements `seams.Canonical`, too.

    batch_size: sequences of a training step, by which steps are counted.
    """

    name = "arc"
    noun = "task"
    query_noun = "test input"
    gold = "known test outputs"
    measure = (
        "share of adapted models that solve their task; without edits: the model as it is, with the "
        "demonstrations in its prompt"
    )
    compared = "Few-shot learning, by condition"
    by_itself = ("ttt", "seal")
    presets = PRESETS
    use = "eval arc --conditions ttt,seal --policy"
    unchanged_counts = False  # an invalid edit solves nothing, as in the paper
    draws = True

    def __init__(self, settings: ArcSettings | None = None, batch_size: int = 2) -> None:
        super().__init__()  # grids are compared: no grader of words is used
        self.settings, self.batch_size = settings or ArcSettings(), batch_size

    @classmethod
    def of(cls, settings: InnerSettings, grader: Grader | None = None) -> Self:
        assert isinstance(settings, ArcInnerSettings), "settings of another domain"
        return cls(settings.arc, settings.train.batch_size)

    def prompts(self, task: Task) -> tuple[Prompt, ...]:
        """One: the demonstrations, and what a self-edit is."""
        own = self.settings
        text = instruction(
            of_task(task).train, own.grid, own.short_prompt, not own.constrained, own.bounds
        )
        if not own.constrained:
            return (Prompt(text),)
        # A character takes at most one token, so no sampling setting cuts off a constrained edit.
        return (Prompt(text, max_new_tokens=LONGEST_MATCH, pattern=pattern(own.bounds)),)

    def parse(self, task: Task, edit: SelfEdit) -> TrainingPlan:
        """The training set that the edit asks for, with its learning rate and epochs.

        Raises InvalidSelfEdit, and OverLimit for more steps than are allowed.
        """
        return self.plan(of_task(task), parse_self_edit(edit.text, self.settings.bounds))

    def canonical(self, task: Task, edit: SelfEdit) -> str:
        return parse_self_edit(edit.text).text()

    def plan(self, task: ArcTask, edit: ArcSelfEdit) -> TrainingPlan:
        """Raises OverLimit."""
        made = self._planned(task, edit)
        count = len(made.sequences)
        steps = self._steps(made) * edit.num_train_epochs
        if steps > self.settings.step_limit:
            raise OverLimit(
                f"{steps:,} steps ({count} examples, batch {self.batch_size}, "
                f"{edit.num_train_epochs} epochs) are more than the {self.settings.step_limit} allowed"
            )
        return made

    def oracle(self) -> ArcSelfEdit:
        """The fixed best configuration: all groups, loss on outputs."""
        own = self.settings
        data = ORACLE.data_generation.model_copy(
            update={
                f"use_{g}_augmentations": g in own.data.groups
                for g in ("basic", "size", "chain", "repeat")
            }
        )
        training = Training(
            strategy=ORACLE.training.strategy,
            learning_rate=own.oracle_learning_rate,
            num_train_epochs=own.oracle_epochs,
        )
        return ArcSelfEdit(data_generation=data, training=training)

    def of_oracle(self) -> Arc:
        """The domain in which the oracle's edit is tried: no policy writes it, so it has no bounds, and
        its trials are the same ones however a policy writes its own."""
        free = {"bounds": ArcBounds(), "constrained": False}
        return Arc(self.settings.model_copy(update=free), self.batch_size)

    def queries(self, task: Task) -> tuple[Prompt, ...]:
        """The test inputs behind the demonstrations, or every view of them that votes."""
        arc = of_task(task)
        if self.settings.prediction == "voting":
            return tuple(self._asked(arc, v.examples, v.query) for v in self._views(arc))
        return tuple(self._asked(arc, arc.train, grid) for grid in arc.test_inputs)

    def score(self, task: Task, answers: Sequence[str]) -> Score:
        """`exact` grades each test input; `correct`, all of them: a task is solved or it is not."""
        graded = tuple(self._graded(task, answers))
        solved = all(answer.exact for answer in graded)
        return Score(
            tuple(
                GradedAnswer(g.question, g.gold, g.answer, solved, g.exact, float(g.exact), g.reason)
                for g in graded
            )
        )

    def attempts(self, score: Score) -> tuple[Attempts, ...]:
        """The attempts at each test input for which this domain gave a score; one that was not a grid
        is None. Raises InputError for a score of another domain."""
        return tuple(map(self._attempts, score.answers))

    def _attempts(self, graded: GradedAnswer) -> Attempts:
        reasons = (graded.reason,) if graded.reason else ()
        if self.settings.prediction == "voting":
            made = read_attempts(graded.question, json.loads(graded.answer))
            return Attempts(made.first, made.second, (), reasons)
        first = None if reasons else parse_grid(graded.answer, self.settings.grid)
        return Attempts(first, None, (), reasons)

    def digest(self) -> str:
        return stable_hash(["arc", self.settings.digest(), self.batch_size])

    def tasks(self, source: Path | str) -> list[Task]:
        """Tasks of a JSON file or folder of ARC."""
        return [to_task(task, self.settings.grid) for task in read_tasks(Path(source))]

    def expected_tokens(
        self, task: Task, inner: InnerSettings, count: Callable[[str], int]
    ) -> tuple[int, int | None]:
        """As if the edit were as long as the oracle, and every answer as the right one."""
        return count(self.oracle().text()), sum(count(query.gold) for query in task.queries)

    @classmethod
    def skills(cls) -> tuple[Skill, ...]:
        from selfedit.domains.arc.fake import on_arc

        return (on_arc,)

    # -- evaluations and reports --

    @classmethod
    def of_settings(cls, inner: Mapping[str, Any]) -> Self:
        return cls(ArcSettings.model_validate(inner["arc"]), inner["train"]["batch_size"])

    def conditions(self) -> dict[str, Condition]:
        from selfedit.domains.arc.conditions import CONDITIONS

        return CONDITIONS

    def expected_plan(self, task: Task) -> TrainingPlan:
        """The oracle's, within the bounds of epochs and the step limit: as if every edit asked for as
        much."""
        oracle = self.oracle()
        made = self._planned(of_task(task), oracle)
        fewest, most = self.settings.bounds.epoch_bounds or (1, MAX_EPOCHS)
        allowed = max(1, self.settings.step_limit // self._steps(made))
        return replace(made, epochs=min(max(oracle.num_train_epochs, fewest), most, allowed))

    def expected(self, bench: Bench, condition: str) -> Expected:
        found = super().expected(bench, condition)
        return replace(found, repeats=bench.settings.inner.seeds) if condition == "oracle" else found

    def is_gradable(self, task: Task) -> bool:
        return is_known(task)

    def marks(self, task: Task, scores: Sequence[Score | None]) -> list[float]:
        """One: a model solves the task or not."""
        return [sum(map(solves, scores)) / len(scores)]

    def is_right(self, answer: GradedAnswer) -> bool:
        """A test input counts as right by itself, even if the task is not solved."""
        return answer.exact

    def grading(self) -> str:
        return self.settings.prediction

    def identity(self, task: Task) -> str:
        return puzzle(task)

    def columns(self) -> tuple[Column, ...]:
        return table.COLUMNS

    def caption(self, found: Evaluation) -> str:
        return table.caption(found)

    def notes(self, found: Evaluation) -> list[str]:
        return [*self.meanings(found), *table.notes(found)]

    def picture(self, task: Task) -> list[Block]:
        return [report.picture(with_outputs(task, self.settings.grid))]

    def drawn(
        self, outcomes: Iterable[TaskOutcome], conditions: Sequence[str], total: int
    ) -> list[Section]:
        return report.drawn(self, outcomes, conditions, total)

    @property
    def chooses(self) -> bool:
        return True

    def choices(self, outcomes: Iterable[TaskOutcome], found: Evaluation) -> list[Section]:
        return compared(choosing(self.settings.bounds), outcomes, found.seeds, found.seed)

    def own_runs(self) -> Mapping[str, OwnRun]:
        return {"arc-solvable": report.SOLVABLE}

    def _views(self, task: ArcTask) -> tuple[VotingQuery, ...]:
        return voting_queries(task, self.settings.seed)

    def _planned(self, task: ArcTask, edit: ArcSelfEdit) -> TrainingPlan:
        """What the edit asks for, whatever the limit."""
        made = training_set(task, edit.groups, self.settings.seed, self.settings.data.limit)
        return TrainingPlan(
            tuple(self._sequence(one, edit) for one in made),
            learning_rate=edit.learning_rate,
            epochs=edit.num_train_epochs,
        )

    def _steps(self, plan: TrainingPlan) -> int:
        """Of an epoch."""
        return -(-len(plan.sequences) // self.batch_size)

    def _sequence(self, one: TrainingTask, edit: ArcSelfEdit) -> TrainingSequence:
        return TrainingSequence(
            grid_to_text(one.test.output, self.settings.grid),
            self._conversation(one.train, one.test.input),
            edit.supervise,
        )

    def _conversation(
        self, examples: Sequence[Example], query: Grid, max_new_tokens: int | None = None
    ) -> Prompt:
        form = self.settings.grid
        said = tuple(
            (grid_to_text(example.input, form), grid_to_text(example.output, form))
            for example in examples
        )
        return Prompt(grid_to_text(query, form), turns=said, max_new_tokens=max_new_tokens)

    def _asked(self, task: ArcTask, examples: Sequence[Example], query: Grid) -> Prompt:
        return self._conversation(examples, query, self._answer_tokens(task, query))

    def _answer_tokens(self, task: ArcTask, query: Grid) -> int:
        """Tokens that an answer may take: twice the cells that the demonstrations suggest.

        A character of a grid is at most one token.
        """
        growth = max(example.output.size / example.input.size for example in task.train)
        largest = max(example.output.size for example in task.train)
        cells = min(_MAX_CELLS, 2 * round(max(largest, growth * query.size)))
        # A row of one cell takes most: "[1], " as a list, "1" and a line break in compact form.
        return 8 + cells * (5 if self.settings.grid == "rows" else 2)

    def _graded(self, task: Task, answers: Sequence[str]) -> Iterator[GradedAnswer]:
        if self.settings.prediction == "voting":
            yield from self._graded_votes(task, answers)
            return
        for query, answer in zip(task.queries, answers, strict=True):
            try:
                text, reason = (
                    grid_to_text(parse_grid(answer, self.settings.grid), self.settings.grid),
                    "",
                )
            except MalformedGrid as error:
                text, reason = answer, f"no grid: {error}"
            yield GradedAnswer(
                query.question, query.gold, text, False, not reason and text == query.gold, 0.0, reason
            )

    def _graded_votes(self, task: Task, answers: Sequence[str]) -> Iterator[GradedAnswer]:
        """The answer is the pair of attempts, as in a submission; one of the two has to be right."""
        form = self.settings.grid
        attempts = vote(of_task(task), self._views(of_task(task)), answers, form)
        pairs: list[dict[str, Any]] = submission_to_json({task.id: attempts})[task.id]
        for query, own, pair in zip(task.queries, attempts, pairs, strict=True):
            grids = [grid_to_text(grid, form) for grid in (own.first, own.second) if grid is not None]
            reason = "" if grids else f"no grid: {own.malformed[0]}"
            yield GradedAnswer(
                query.question, query.gold, json.dumps(pair), False, query.gold in grids, 0.0, reason
            )
