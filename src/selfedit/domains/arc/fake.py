"""The fake model's skills on ARC, so that everything around a model can be tested without one."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from selfedit.domains.arc.augment import INVERTIBLE
from selfedit.domains.arc.grids import Grid, MalformedGrid
from selfedit.domains.arc.self_edit import ORACLE
from selfedit.domains.arc.text import GridFormat, grid_to_text, parse_grid
from selfedit.types import Prompt

_GRID = re.compile(r"[\d\s\[\],]+")
# The fake model learns with rates in this range; with others, training changes nothing.
LEARNS = (5e-5, 5e-3)


def on_arc(prompt: Prompt, seed: int, rate: float | None) -> str | None:
    """A `model.fake.Skill`: one of five self-edits; and turning and mirroring, once it has learned."""
    if asks_for_edit(prompt):
        return write_edit(seed)
    if asks_for_grid(prompt):
        return answer_grid(prompt, rate is not None and LEARNS[0] <= rate <= LEARNS[1])
    return None


def asks_for_edit(prompt: Prompt) -> bool:
    return "data_generation" in prompt.text


def asks_for_grid(prompt: Prompt) -> bool:
    return _GRID.fullmatch(prompt.text) is not None


def write_edit(seed: int) -> str:
    """By the seed: the oracle in two spellings, one that learns nothing, one over the limit, prose."""
    said = json.loads(ORACLE.text())
    match seed % 5:
        case 0:
            return json.dumps(said)
        case 1:
            return f"Here it is:\n```json\n{json.dumps(said, indent=2)}\n```"
        case 2:
            said["training"]["learning_rate"] = 1e-6
        case 3:
            said["training"]["num_train_epochs"] = 1000
        case _:
            return "I would train on everything, for as long as it takes."
    return json.dumps(said)


def answer_grid(prompt: Prompt, learned: bool) -> str:
    """Having learned: the query turned or mirrored as the demonstrations are; else the query itself."""
    form: GridFormat = "rows" if prompt.text.lstrip().startswith("[") else "compact"
    query = parse_grid(prompt.text, form)
    pairs = _pairs(prompt.turns, form) if learned else []
    for function in INVERTIBLE.values():
        if pairs and all(Grid(function(a.cells)) == b for a, b in pairs):
            return grid_to_text(Grid(function(query.cells)), form)
    return grid_to_text(query, form)


def _pairs(turns: Sequence[tuple[str, str]], form: GridFormat) -> list[tuple[Grid, Grid]]:
    try:
        return [(parse_grid(a, form), parse_grid(b, form)) for a, b in turns]
    except MalformedGrid:
        return []
