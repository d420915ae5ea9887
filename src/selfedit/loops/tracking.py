"""Sends rounds and their rewards to experiment trackers, through accelerate."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from selfedit.config import Settings
from selfedit.errors import InputError

TRACKERS = ("tensorboard", "wandb", "mlflow", "trackio")


class Trackers:
    """The chosen trackers; without any, nothing happens. Raises InputError for an unknown one."""

    def __init__(self, names: Sequence[str], folder: Path, settings: Settings) -> None:
        self._accelerator: Any = None
        for name in names:
            if name not in TRACKERS:
                raise InputError(f"--tracker {name}: use one of {', '.join(TRACKERS)}.")
            if find_spec(name) is None:
                raise InputError(f"--tracker {name}: the package is missing; pip install {name}.")
        if names:
            from accelerate import Accelerator

            self._accelerator = Accelerator(log_with=list(names), project_dir=str(folder))
            self._accelerator.init_trackers("selfedit", config=_flat(settings.model_dump(mode="json")))

    def log(self, values: dict[str, float], step: int) -> None:
        if self._accelerator is not None:
            self._accelerator.log(values, step=step)

    def close(self) -> None:
        if self._accelerator is not None:
            self._accelerator.end_training()


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Trackers take numbers and strings only."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value if isinstance(value, int | float | str) else str(value)
    return flat
