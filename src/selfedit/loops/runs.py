"""A run in the store from its first moment to its end, however it ends."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from selfedit.config import Settings
from selfedit.errors import SelfEditError, StoreError
from selfedit.loops.pulse import Pulse, Watched, whereabouts
from selfedit.seams import Model, PolicyRef
from selfedit.store import Store


@dataclass
class Run:
    """A run that is going on; `result` is stored when it finishes."""

    id: int
    result: dict[str, Any] = field(default_factory=dict)


@contextlib.contextmanager
def recorded_run(
    store: Store,
    kind: str,
    model: Model | PolicyRef,
    settings: Settings,
    inputs: dict[str, Any],
    watched: Watched | None = None,
) -> Iterator[Run]:
    """Start a run; at the end it is "finished", or "interrupted" or "failed" by what was raised.

    watched: its progress, which the store is told of meanwhile (`selfedit report --follow`).
    """
    values = settings.model_dump(mode="json")
    run = Run(store.start_run(kind, model.name, model.revision, values, inputs, whereabouts()))
    try:
        with Pulse(store, run.id, watched):
            yield run
    except KeyboardInterrupt:
        store.finish_run(run.id, "interrupted")
        raise
    except Exception as error:
        # An internal error is named by its class, too: its message alone may say little.
        said = str(error) if isinstance(error, SelfEditError) else f"{type(error).__name__}: {error}"
        # If it is the store that failed, the first error is the one to show.
        with contextlib.suppress(StoreError):
            store.finish_run(run.id, "failed", error=said)
        raise
    store.finish_run(run.id, "finished", run.result)
