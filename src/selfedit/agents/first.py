"""Test-time training: a model learns documents for a few questions, and forgets them afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from selfedit.domains.knowledge import Document
from selfedit.domains.knowledge.settings import LearnSettings
from selfedit.grading import Grader, offline
from selfedit.learning.library import Library
from selfedit.progress import Progress
from selfedit.seams import Model
from selfedit.types import LearnResult


def ask_after_learning(
    model: Model,
    questions: str | Sequence[str],
    documents: str | Path | Document | Sequence[str | Path | Document],
    settings: LearnSettings | None = None,
    *,
    grader: Grader = offline,
    allow_urls: bool = False,
    progress: Progress | None = None,
) -> tuple[list[str], LearnResult]:
    """Answers of the model after it has learned the documents, and what that came to.

    Nothing is kept: the bare model learns in a temporary library, with the quiz that it makes of the
    documents, and without the probe of what was broken, for nothing else will be asked. Where what it
    wrote taught it nothing (`LearnResult.committed` is false), the bare model answers. Raises
    SelfEditError.
    """
    settings = (settings or LearnSettings()).model_copy(update={"probe_questions": 0})
    with TemporaryDirectory(prefix="selfedit-") as folder:
        library = Library(model, folder, progress=progress)
        try:
            result = library.learn(documents, None, settings, grader=grader, allow_urls=allow_urls)
            return library.ask(questions), result
        finally:
            library.close()
