"""The policy that is loaded: one at a time, since each is a whole model."""

from __future__ import annotations

from collections.abc import Callable

from selfedit.errors import ModelError
from selfedit.seams import Model, PolicyRef


def ref_of(model: Model) -> PolicyRef:
    return PolicyRef(model.name, model.revision)


class Policies:
    """Gives the model of a reference: the one that is loaded, or another in its place.

    load: loads a model by its name; None: there is only the one that was given.
    """

    def __init__(self, model: Model, load: Callable[[str], Model] | None = None) -> None:
        self._model, self._load = model, load

    @property
    def model(self) -> Model:
        """The one that is loaded."""
        return self._model

    def load(self, name: str) -> Model:
        """Load a model in place of the one before. Raises ModelError."""
        if self._load is None:
            raise ModelError(f"the model {name} was not given a way to be loaded")
        self._model = self._load(name)
        return self._model

    def get(self, ref: PolicyRef) -> Model:
        """Raises ModelError, also where other weights lie under the name by now."""
        if self._model.revision != ref.revision:
            self.load(ref.name)
        if self._model.revision != ref.revision:
            raise ModelError(
                f"the model {ref.name} has changed: its weights are {self._model.revision}, and "
                f"{ref.revision} was asked for. Put it back, or start a new run."
            )
        return self._model
