"""BM25 over passages (Robertson and Zaragoza, 2009) by the package bm25s: the `retrieval` condition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from selfedit.errors import InputError
from selfedit.types import Task


class PassageIndex:
    """Finds the passages that share a question's rare words. English stop words; no stemming.

    Raises InputError where bm25s is not installed.
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        bm25s = _bm25s()
        self.tasks = list(tasks)
        self._bm25s = bm25s
        tokens = self._tokens([f"{task.title}\n{task.context}" for task in tasks])
        self._words = {word for own in tokens for word in own}
        self._index = bm25s.BM25(backend="numpy")
        if self._words:
            self._index.index(tokens, show_progress=False)

    def find(self, question: str, k: int) -> list[Task]:
        """The k best passages, the best first, all if there are fewer; the earlier wins a tie."""
        known = [word for word in self._tokens([question])[0] if word in self._words]
        scores = self._index.get_scores(known) if known else [0.0] * len(self.tasks)
        order = sorted(range(len(self.tasks)), key=lambda i: (-float(scores[i]), i))
        return [self.tasks[i] for i in order[:k]]

    def _tokens(self, texts: Sequence[str]) -> list[list[str]]:
        return list(
            self._bm25s.tokenize(list(texts), stopwords="en", return_ids=False, show_progress=False)
        )


def _bm25s() -> Any:
    try:
        import bm25s
    except ImportError:
        raise InputError(
            'the condition `retrieval` needs a package: pip install "selfedit[eval]"'
        ) from None
    return bm25s
