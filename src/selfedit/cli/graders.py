"""--grader: who grades the answers of a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from selfedit.errors import InputError

if TYPE_CHECKING:
    from selfedit.config import JudgeSettings
    from selfedit.grading import Grader
    from selfedit.store import Store


def named_grader(name: str, judge: Callable[[], JudgeSettings], store: Store) -> Grader:
    """A grader by its name. A judge is checked (package, key) before any work, and its verdicts are
    kept in the store. Raises InputError for a name that there is not."""
    from selfedit.grading import GRADERS

    if name == "judge":
        from selfedit.grading.judge import Judge

        chosen = Judge(judge(), store)
        chosen.check()
        return chosen
    if name not in GRADERS:
        raise InputError(f"--grader {name}: use one of {', '.join(GRADERS)} or judge.")
    return GRADERS[name]
