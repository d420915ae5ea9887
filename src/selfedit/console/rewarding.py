"""The options of what a self-edit is worth (docs/rewards.md); see `console.options`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import typer

from selfedit.console.common import one_of
from selfedit.errors import InputError

Reward = Annotated[
    str | None,
    typer.Option(
        "--reward",
        help="true (accuracy after inner loops), f1, samples, likelihood or mixed (measured otherwise: "
        "docs/rewards.md), proxy (a judge's rubric) or cascade (the judge, then inner loops).",
    ),
]
Place = Annotated[
    str | None,
    typer.Option(
        "--reward-place",
        help="Where likelihood looks for the gold answer: start, short (behind `The answer is`), "
        "opening (the default: as the model begins it with the passage at hand) or own (in its own "
        "answer).",
    ),
]
Learner = Annotated[
    str | None,
    typer.Option(
        "--learner",
        help="Whose weights earn the rewards: policy (the round's), or always the first model's.",
    ),
]
Credit = Annotated[
    str | None,
    typer.Option(
        "--credit", help="Reward the whole edit, or each statement by the questions that it is about."
    ),
]
CommonOrder = Annotated[
    bool | None,
    typer.Option(
        "--common-order/--own-order",
        help="Train what the edits of a context share in the same order: less is left to chance.",
    ),
]


@dataclass
class Rewarding:
    """What a self-edit is worth."""

    reward: Reward = None
    reward_place: Place = None
    learner: Learner = None
    credit: Credit = None
    common_order: CommonOrder = None

    def given(self) -> dict[str, Any]:
        from selfedit.config import MEASURES, PLACES

        one_of("--reward", self.reward, ("true", *MEASURES[1:], "proxy", "cascade"))
        one_of("--reward-place", self.reward_place, PLACES)
        if self.reward_place is not None and self.reward not in ("likelihood", "mixed"):
            raise InputError(
                f"--reward-place {self.reward_place}: add --reward likelihood or mixed, which look for "
                "the gold answer."
            )
        by_judge = self.reward in (None, "true", "proxy", "cascade")
        order = {None: None, True: "common", False: "own"}[self.common_order]
        return {
            "reward": self.reward if by_judge else "true",
            "measure": {"kind": None if by_judge else self.reward, "place": self.reward_place},
            "learner": self.learner,
            "credit": self.credit,
            "train": {"order": order},
        }
