"""The knowledge domain: passages become self-edits, and questions are asked without the passage."""

from __future__ import annotations

from collections.abc import Sequence

from selfedit.config import stable_hash
from selfedit.domains.knowledge.sequences import training_plan
from selfedit.domains.knowledge.settings import KnowledgeSettings
from selfedit.domains.knowledge.strategies import edit_prompts
from selfedit.grading import Grader, contains, grade_all, identity
from selfedit.types import Prompt, Query, Score, SelfEdit, Task, TrainingPlan


class Knowledge:
    """Knowledge incorporation (arXiv 2506.10943, section 4.1). Implements `seams.Domain`."""

    def __init__(self, settings: KnowledgeSettings | None = None, grader: Grader = contains) -> None:
        self.settings = settings or KnowledgeSettings()
        self.grader = grader

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
        topic = query.topic or title
        if self.settings.topic and topic:
            return Prompt(f"Topic: {topic}\n{query.question}", kind="question")
        return Prompt(query.question, kind="question")

    def digest(self) -> str:
        return stable_hash([self.settings.digest(), identity(self.grader)])

    def score(self, task: Task, answers: Sequence[str]) -> Score:
        """Grades for the answers, in the order of `queries`."""
        assert len(answers) == len(task.queries), "one answer for each question"
        return Score(grade_all(task.queries, answers, self.grader))
