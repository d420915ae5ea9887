"""The base of every domain: what is asked of it besides `seams.Domain`, with defaults.

A domain of your own is a class in a file that derives from `BaseDomain` and has the methods `prompts`,
`parse`, `queries` and `score` (docs/tutorial-domain.md); `selfedit train custom FILE:NAME` runs it.
What evaluations and reports ask of a domain is in `evaluable.py`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from selfedit.config import InnerSettings, OuterSettings, stable_hash
from selfedit.domains.evaluable import Evaluable
from selfedit.errors import InputError
from selfedit.grading import Grader, contains, identity
from selfedit.seams import Domain
from selfedit.types import Prompt, QuestionKind, Score, SelfEdit, Task, TrainingPlan

if TYPE_CHECKING:
    from selfedit.model.fake import Skill

Said = Callable[[Sequence[Prompt], str], list[str]]

# Tokens of a self-edit for each token of its context (recorded runs and `sentences`: 3 to 5).
WRITTEN_RATIO = 4


class BaseDomain(Evaluable, Domain):
    """Base of every domain.

    presets: complete settings of an outer loop by name; the first is the default. use: the command that
    shows what a trained policy is good for, without the policy's folder. grader: of answers in words,
    for domains that use one. left_out: what `tasks` did not take of its source, and why.
    """

    presets: ClassVar[Mapping[str, Callable[[], OuterSettings]]] = {"default": OuterSettings}
    use: ClassVar[str] = "eval custom FILE:NAME --data DATA --conditions own,seal --policy"

    left_out: tuple[str, ...] = ()

    def __init__(self, grader: Grader = contains) -> None:
        self.grader = grader

    @classmethod
    def of(cls, settings: InnerSettings, grader: Grader | None = None) -> Self:
        """The domain as the settings say, with the grader, if one was chosen. Raises InputError for a
        class that cannot be made so."""
        given = () if grader is None else (grader,)
        try:
            inspect.signature(cls).bind(*given)
        except TypeError:
            if grader is None:
                said = "it is made without arguments, or by its classmethod `of`"
            else:
                said = (
                    "its __init__ takes no grader: leave --grader and the preset's out, or give it one"
                )
            raise InputError(f"the domain {cls.__name__} cannot be made: {said}") from None
        return cls(*given)

    # -- what the loops need ------------------------------------------------------------------

    def prompts(self, task: Task) -> tuple[Prompt, ...]:
        """See `seams.Domain`."""
        raise NotImplementedError

    def parse(self, task: Task, edit: SelfEdit) -> TrainingPlan:
        """See `seams.Domain`."""
        raise NotImplementedError

    def queries(self, task: Task) -> tuple[Prompt, ...]:
        """See `seams.Domain`."""
        raise NotImplementedError

    def score(self, task: Task, answers: Sequence[str]) -> Score:
        """See `seams.Domain`."""
        raise NotImplementedError

    def digest(self) -> str:
        """Hash of the file that the class is in, and of a grader that was chosen, so that a changed
        domain does not find the trials of the earlier one. Raises InputError for a class that is not in
        a file."""
        try:
            source = Path(inspect.getfile(type(self))).read_text(encoding="utf-8")
        except (OSError, TypeError):
            raise InputError(
                f"the domain {type(self).__name__} is not in a file; give it a method digest(), which "
                "returns a hash of everything that its other methods depend on"
            ) from None
        grader = getattr(self, "grader", contains)  # a class may not have called our __init__
        chosen = [] if grader is contains else [identity(grader)]
        return stable_hash([type(self).__qualname__, source, *chosen])

    def former_digests(self) -> tuple[str, ...]:
        """What `digest` was in versions that graded otherwise: runs that were begun with them start
        afresh, and say so."""
        return ()

    # -- where tasks come from ----------------------------------------------------------------

    def tasks(self, source: Path | str) -> list[Task]:
        """Tasks of a file, a folder or a dataset id: here, contexts with questions in any form that
        `selfedit train knowledge --data` reads. Raises InputError."""
        from selfedit.data import Skipped, read_tasks

        skipped = Skipped()
        tasks = read_tasks(source, skipped=skipped)
        self.left_out = skipped.notes(source)
        return tasks

    def own_questions(
        self, tasks: Sequence[Task], kind: QuestionKind, write: Said
    ) -> tuple[list[Task], tuple[str, ...]]:
        """The tasks with questions that nobody had to write, in place of their own; notes about them.

        kind: "own": the model writes them; "cloze": blanks in the context. write: the model's greedy
        replies to prompts, and a name for the progress. Raises InputError where there is no such way.
        """
        raise InputError(f"the domain {self.name} has no questions of its own making (--questions).")

    # -- plans ----------------------------------------------------------------------------------

    def expected_tokens(
        self, task: Task, inner: InnerSettings, count: Callable[[str], int]
    ) -> tuple[int, int | None]:
        """Tokens of a self-edit of the task, and of all answers to it (None: to be measured), for plans
        that are made before any is written. count: tokens of a text.

        Here an edit is longer than its context by WRITTEN_RATIO, within what the sampling allows.
        """
        most = inner.sampling.max_new_tokens * len(self.prompts(task))
        return min(WRITTEN_RATIO * count(task.context), most), None

    # -- tests without a model ------------------------------------------------------------------

    @classmethod
    def skills(cls) -> tuple[Skill, ...]:
        """What the fake model can do here, besides answering with sentences that it was trained on."""
        return ()
