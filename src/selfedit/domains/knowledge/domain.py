"""The knowledge domain: passages become self-edits, and questions are asked without the passage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from selfedit.config import InnerSettings, stable_hash
from selfedit.domains.base import BaseDomain, Said
from selfedit.domains.choices import compared
from selfedit.domains.conditions import Bench, Condition, Expected, TaskOutcome
from selfedit.domains.evaluable import OwnRun, row_notes
from selfedit.domains.knowledge.assign import questions_about
from selfedit.domains.knowledge.cloze import cloze_prompt, gold_reply, grade_with_blanks
from selfedit.domains.knowledge.expected import expected_sequences
from selfedit.domains.knowledge.presets import PRESETS
from selfedit.domains.knowledge.self_quiz import open_book
from selfedit.domains.knowledge.sequences import restatements, training_plan
from selfedit.domains.knowledge.settings import KnowledgeSettings, LearnSettings
from selfedit.domains.knowledge.strategies import edit_prompts
from selfedit.domains.rows import Evaluation
from selfedit.errors import InputError
from selfedit.grading import Grader, contains, former_identities, identity
from selfedit.show.page import Section
from selfedit.show.wording import plural
from selfedit.types import (
    Prompt,
    Query,
    QuestionKind,
    Score,
    SelfEdit,
    Task,
    TrainingPlan,
)

if TYPE_CHECKING:
    from selfedit.model.fake import Skill


class Knowledge(BaseDomain):
    """Knowledge incorporation (arXiv 2506.10943, section 4.1)."""

    name = "knowledge"
    noun = "context"
    measure = "accuracy of questions that are answered without the passage"
    compared = "Ways to know a text, compared"
    presets = PRESETS
    use = "learn FILE --model"

    def __init__(self, settings: KnowledgeSettings | None = None, grader: Grader = contains) -> None:
        super().__init__(grader)
        self.settings = settings or KnowledgeSettings()

    @classmethod
    def of(cls, settings: InnerSettings, grader: Grader | None = None) -> Self:
        assert isinstance(settings, LearnSettings), "settings of another domain"
        return cls(settings.knowledge, grader or contains)

    def prompts(self, task: Task) -> tuple[Prompt, ...]:
        """One prompt for the passage, or one for each sentence and restatement."""
        return edit_prompts(task, self.settings)

    def parse(self, task: Task, edit: SelfEdit) -> TrainingPlan:
        """Training sequences of an edit. Raises InvalidSelfEdit with the reason."""
        return training_plan(task, edit, self.settings)

    def queries(self, task: Task) -> tuple[Prompt, ...]:
        """The questions, closed-book."""
        return tuple(self.question(query, task.title) for query in task.queries)

    def question(self, query: Query, title: str = "") -> Prompt:
        """One question as it is asked; under its topic (or the title), if the settings say so."""
        if query.form == "cloze":
            return cloze_prompt(query)
        topic = query.topic or title
        if self.settings.topic and topic:
            return Prompt(f"Topic: {topic}\n{query.question}", kind="question")
        return Prompt(query.question, kind="question")

    def gold_replies(self, task: Task) -> tuple[tuple[str, ...], ...]:
        """See `seams.GoldReplies`."""
        return tuple(
            (gold_reply(query),) if query.form == "cloze" else query.answers for query in task.queries
        )

    def open_book(self, task: Task) -> tuple[Prompt, ...]:
        """See `seams.GoldReplies`. A blank is asked as it is."""
        return tuple(
            cloze_prompt(query) if query.form == "cloze" else open_book(task, query)
            for query in task.queries
        )

    def about(self, task: Task, edit: SelfEdit) -> tuple[tuple[int, ...], ...]:
        """See `seams.Statements`: of `sentences`. One that is not trained on, such as a restatement
        that invented a number, is about nothing. Raises InputError for other strategies."""
        if self.settings.strategy != "sentences":
            raise InputError(
                f"an edit of {self.settings.strategy} is one text: --credit statement is for the "
                "strategy sentences."
            )
        about = questions_about(task, len(edit.completions))
        trained, _ = restatements(task, edit, self.settings)
        return tuple(own if said else () for own, said in zip(about, trained, strict=True))

    def own_questions(
        self, tasks: Sequence[Task], kind: QuestionKind, write: Said
    ) -> tuple[list[Task], tuple[str, ...]]:
        """See `BaseDomain`. A context without a usable question has blanks in its own sentences."""
        from selfedit.domains.knowledge.own_questions import with_own_questions

        return with_own_questions(self, tasks, kind, write)

    def digest(self) -> str:
        return stable_hash([self.settings.digest(), identity(self.grader)])

    def former_digests(self) -> tuple[str, ...]:
        """With the identities that the grader had."""
        own = self.settings.digest()
        return tuple(stable_hash([own, name]) for name in former_identities(self.grader))

    def score(self, task: Task, answers: Sequence[str]) -> Score:
        """Grades for the answers, in the order of `queries`. Blanks have their own rule
        (`cloze.goes_on_with`); the grader grades answers to questions."""
        assert len(answers) == len(task.queries), "one answer for each question"
        return Score(grade_with_blanks(task.queries, answers, self.grader))

    @classmethod
    def skills(cls) -> tuple[Skill, ...]:
        from selfedit.domains.knowledge.fake import on_directed

        return (on_directed,)

    # -- evaluations and reports --

    @classmethod
    def of_settings(cls, inner: Mapping[str, Any]) -> Self:
        return cls(KnowledgeSettings.model_validate(inner["knowledge"]))

    @property
    def variant(self) -> str:
        return self.settings.strategy

    def conditions(self) -> dict[str, Condition]:
        from selfedit.domains.knowledge.conditions import conditions

        return conditions()

    def expected_plan(self, task: Task) -> TrainingPlan:
        return TrainingPlan(expected_sequences(task, self.settings))

    def expected(self, bench: Bench, condition: str) -> Expected:
        from selfedit.domains.knowledge.regimes import expected

        return expected(bench, condition)

    @property
    def chooses(self) -> bool:
        return self.settings.strategy == "directed"

    def choices(self, outcomes: Iterable[TaskOutcome], found: Evaluation) -> list[Section]:
        from selfedit.domains.knowledge.choices import choosing

        own = choosing(self.settings.directives)
        return compared(own, outcomes, found.seeds, found.seed)

    def own_runs(self) -> Mapping[str, OwnRun]:
        from selfedit.domains.knowledge.continual_report import CONTINUAL
        from selfedit.domains.knowledge.many_report import MANY

        return {"continual": CONTINUAL, "many": MANY}

    def label(self, task: Task) -> str:
        return f"{task.title}: {' '.join(task.context.split()[:12])} ..."

    def caption(self, found: Evaluation) -> str:
        trainings = plural(found.seeds, "seed")
        return f"{found.model}, {found.regime}, {trainings} from {found.seed}, graded by {found.grader}"

    def notes(self, found: Evaluation) -> list[str]:
        lines = self.meanings(found)
        lines.append(
            "accuracy is the mean over contexts, as in the paper's table; intervals are a bootstrap "
            "over contexts, each for itself: among many pairs, some differ by chance"
        )
        return lines + [note for row in found.rows for note in row_notes(row, found.seeds)]
