"""What a constrained policy may write: self-edits in one spelling, as a regular expression."""

from __future__ import annotations

from typing import get_args

from pydantic import BaseModel

from selfedit.domains.arc.self_edit import DataGeneration, Strategy, Training
from selfedit.domains.arc.settings import ArcBounds
from selfedit.domains.bounds import rates, whole_numbers

LONGEST_MATCH = 300  # in characters, which bounds the tokens of a reply


_UNBOUNDED = ArcBounds()


def pattern(bounds: ArcBounds = _UNBOUNDED) -> str:
    """A regular expression of self-edits as `ArcSelfEdit.text` spells them; what matches is valid.

    No match is longer than LONGEST_MATCH, so a constrained reply ends, whatever the model
    prefers. Learning rates are 1e-9 to 0.1, of one to three digits; within bounds, round numbers
    without an exponent.
    """
    choices = {
        **dict.fromkeys(DataGeneration.model_fields, "(true|false)"),
        "strategy": f'"({"|".join(get_args(Strategy))})"',
        "learning_rate": r"(0\.1|0\.0{1,6}[1-9][0-9]{0,2}|[1-9](\.[0-9]{1,2})?e-0?[2-9])",
        "num_train_epochs": "([1-9][0-9]{0,2}|1000)",
    }
    if bounds.rate_bounds is not None:
        choices["learning_rate"] = rates(*bounds.rate_bounds)
    if bounds.epoch_bounds is not None:
        choices["num_train_epochs"] = whole_numbers(*bounds.epoch_bounds)

    def spelled(members: dict[str, str]) -> str:
        said = ", ".join(f'"{name}": {value}' for name, value in members.items())
        return rf"\{{{said}\}}"

    parts: dict[str, type[BaseModel]] = {"data_generation": DataGeneration, "training": Training}
    return spelled(
        {
            name: spelled({key: choices[key] for key in part.model_fields})
            for name, part in parts.items()
        }
    )
