"""Completions as their texts, for tests that ask for no more."""

from __future__ import annotations

from collections.abc import Iterable

from selfedit.types import Completion


def texts(completions: Iterable[Completion]) -> list[str]:
    return [completion.text for completion in completions]
