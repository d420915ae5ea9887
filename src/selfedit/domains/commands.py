"""Commands that are a domain's own: what they are handed of the rooms above."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import typer

from selfedit.domains import BUILT_IN

if TYPE_CHECKING:
    from selfedit.config import EvaluationSettings
    from selfedit.domains.base import BaseDomain
    from selfedit.domains.conditions import Bench
    from selfedit.progress import Progress
    from selfedit.seams import Model
    from selfedit.store import Store
    from selfedit.types import Task, Trial

Found = TypeVar("Found")


class AtBench(Protocol):
    """`experiments.at_bench`."""

    def __call__(
        self,
        kind: str,
        work: Callable[[Bench], Any],
        domain: BaseDomain,
        tasks: Sequence[Task],
        model: Model,
        settings: EvaluationSettings,
        store: Store,
        *,
        confirm: Callable[[Any], bool] | None = None,
        progress: Progress | None = None,
        on_trials: Callable[[Sequence[Trial]], None] = ...,
    ) -> Any: ...


def own_commands(at_bench: AtBench) -> Iterator[tuple[str, typer.Typer]]:
    """(name, commands) of each built-in domain that has some, in `domains/<name>/commands`."""
    for name in BUILT_IN:
        module = f"selfedit.domains.{name}.commands"
        if importlib.util.find_spec(module) is not None:
            yield name, importlib.import_module(module).commands(at_bench)
