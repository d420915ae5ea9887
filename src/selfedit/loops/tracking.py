"""Sends rounds and their rewards, or a corpus's growth, to experiment trackers, through accelerate.

Where each keeps what it is told: tensorboard in the library's folder `tracking`; wandb in ./wandb
(WANDB_MODE=offline sends nothing), mlflow where MLFLOW_TRACKING_URI says (else in this folder), trackio
in its cache (`trackio show`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from selfedit.config import Settings
from selfedit.errors import InputError

TRACKERS = ("tensorboard", "wandb", "mlflow", "trackio")
_ADVICE = {
    "wandb": "log in (`wandb login`), or set WANDB_MODE=offline",
    "mlflow": "check MLFLOW_TRACKING_URI",
}


class Trackers:
    """The chosen trackers; without any, nothing happens. warn: told once if one fails while the work
    goes on, which it does. Raises InputError for one that is unknown, missing or cannot be started."""

    def __init__(
        self,
        names: Sequence[str],
        folder: Path,
        settings: Settings,
        warn: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._accelerator: Any = None
        self._warn = warn
        for name in names:
            if name not in TRACKERS:
                raise InputError(f"--tracker {name}: use one of {', '.join(TRACKERS)}.")
            if find_spec(name) is None:
                raise InputError(f"--tracker {name}: the package is missing; pip install {name}.")
        if names:
            self._start(names, folder, settings)

    def _start(self, names: Sequence[str], folder: Path, settings: Settings) -> None:
        from accelerate import Accelerator

        accelerator = Accelerator(log_with=list(names), project_dir=str(folder))
        try:
            accelerator.init_trackers("selfedit", config=_flat(settings.model_dump(mode="json")))
        except Exception as error:  # each tracker has errors of its own, of networks and of accounts
            said = (str(error).strip().splitlines() or [type(error).__name__])[0]
            advice = "; ".join(_ADVICE[name] for name in names if name in _ADVICE)
            raise InputError(
                f"--tracker {', '.join(names)} cannot be started: {said}"
                + (f" ({advice})" if advice else "")
            ) from error
        self._accelerator = accelerator

    def log(self, values: Mapping[str, float], step: int) -> None:
        if self._accelerator is not None:
            self._guarded(lambda: self._accelerator.log(dict(values), step=step))

    def close(self) -> None:
        if self._accelerator is not None:
            self._guarded(self._accelerator.end_training)

    def _guarded(self, work: Callable[[], object]) -> None:
        """A tracker that cannot be reached costs no run."""
        try:
            work()
        except Exception as error:
            self._accelerator = None
            self._warn(
                f"The tracker has failed and is told nothing more: {type(error).__name__}: {error}"
            )


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Trackers take numbers and strings only."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value if isinstance(value, int | float | str) else str(value)
    return flat
