"""An engine for each model: the bare one with all its adapters, and those that stacks are merged in."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

from selfedit.errors import InputError
from selfedit.seams import Model
from selfedit.serve.engine import Ask, Engine, Piece, Ticket
from selfedit.serve.one_by_one import OneByOne
from selfedit.serve.settings import ServeSettings

# Merged models besides the bare one, each with weights of its own.
_MOST_OTHERS = 2


class Engines:
    """Implements `engine.Engine`. model: the bare one, whose engine always stands ready."""

    def __init__(self, model: Model, settings: ServeSettings) -> None:
        self._model, self._settings = model, settings
        self._first = self._made(model)
        self._others: OrderedDict[str, tuple[Model, Engine]] = OrderedDict()
        self._lock = threading.Lock()

    def submit(self, ask: Ask, tell: Callable[[Piece], None]) -> Ticket:
        return self._engine(ask.speaker.model).submit(ask, tell)

    @property
    def load(self) -> tuple[int, int]:
        loads = [engine.load for engine in self._all()]
        return sum(own[0] for own in loads), sum(own[1] for own in loads)

    def close(self) -> None:
        for engine in self._all():
            engine.close()

    def _all(self) -> list[Engine]:
        with self._lock:
            return [self._first, *(engine for _, engine in self._others.values())]

    def _engine(self, model: Model) -> Engine:
        if model is self._model:
            return self._first
        with self._lock:
            known = self._others.get(model.revision)
            if known is None:
                self._make_room()
                known = self._others[model.revision] = (model, self._made(model))
            self._others.move_to_end(model.revision)
            return known[1]

    def _make_room(self) -> None:
        """Idle engines of models that were not asked for longest end."""
        for revision, (_, engine) in list(self._others.items()):
            if len(self._others) < _MOST_OTHERS:
                return
            if engine.load == (0, 0):
                engine.close()
                del self._others[revision]

    def _made(self, model: Model) -> Engine:
        from selfedit.model.language_model import LanguageModel

        own = self._settings
        if own.vllm_url is not None:
            if model is not self._model:
                raise InputError("vLLM has no model that a stack is merged into: use --engine own")
            from selfedit.serve.vllm_engine import VllmEngine

            return VllmEngine(own.vllm_url, rows=own.max_rows, most_waiting=own.max_waiting)
        if isinstance(model, LanguageModel):
            from selfedit.serve.batching import Batching

            if Batching.takes(model):
                return Batching(model, own.max_rows, own.max_waiting)
        return OneByOne(own.max_waiting)
