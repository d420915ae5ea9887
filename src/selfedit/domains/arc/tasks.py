"""A task of ARC, and the JSON form in which the field exchanges them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from selfedit.domains.arc.grids import Grid, MalformedGrid
from selfedit.errors import InputError

_FORM = '{"train": [{"input": [[0, 1]], "output": [[1, 0]]}], "test": [{"input": [[2, 3]]}]}'


@dataclass(frozen=True, slots=True)
class Example:
    """An input grid and the output that belongs to it."""

    input: Grid
    output: Grid


@dataclass(frozen=True, slots=True)
class ArcTask:
    """Demonstrations, and inputs whose outputs are asked for.

    train: at least one demonstration. test_inputs: each is a query of its own; there may be none.
    test_outputs: one for each test input; None where it is unknown.
    """

    id: str
    train: tuple[Example, ...]
    test_inputs: tuple[Grid, ...]
    test_outputs: tuple[Grid | None, ...]

    def __post_init__(self) -> None:
        assert self.train, "a task has a demonstration"
        assert len(self.test_inputs) == len(self.test_outputs), "an output, or None, for each input"

    @property
    def prompt_cells(self) -> int:
        """Cells of the demonstrations and the largest test input: of the longest prompt."""
        shown = sum(example.input.size + example.output.size for example in self.train)
        return shown + max((grid.size for grid in self.test_inputs), default=0)


def task_from_json(where: str, task_id: str, data: Any) -> ArcTask:
    """A task of parsed JSON; keys other than train and test do not count.

    where: names the place in messages. Raises InputError with the place and the form.
    """
    if not isinstance(data, dict):
        raise InputError(f"{where}: not a task; expected {_FORM}")
    train = tuple(
        Example(_grid(place, pair, "input"), _grid(place, pair, "output"))
        for place, pair in _pairs(where, data, "train")
    )
    if not train:
        raise InputError(f'{where}: "train" holds no demonstrations; a task needs at least one')
    tests = _pairs(where, data, "test")
    return ArcTask(
        task_id,
        train,
        tuple(_grid(place, pair, "input") for place, pair in tests),
        tuple(
            None if pair.get("output") is None else _grid(place, pair, "output")
            for place, pair in tests
        ),
    )


def grid_from_json(where: str, rows: Any) -> Grid:
    """Raises InputError with the place and the reason."""
    try:
        return Grid.of(rows)
    except MalformedGrid as error:
        raise InputError(f"{where}: {error}") from None


def example_to_json(example: Example) -> dict[str, list[list[int]]]:
    return {"input": example.input.rows(), "output": example.output.rows()}


def task_to_json(task: ArcTask) -> dict[str, Any]:
    """The form of ARC's own files; an unknown output is left out."""
    return {
        "train": [example_to_json(example) for example in task.train],
        "test": [
            {"input": given.rows()} | ({} if wanted is None else {"output": wanted.rows()})
            for given, wanted in zip(task.test_inputs, task.test_outputs, strict=True)
        ],
    }


def _pairs(where: str, data: dict[str, Any], key: str) -> list[tuple[str, dict[str, Any]]]:
    """(place, pair) of the pairs under a key."""
    pairs = data.get(key)
    if not isinstance(pairs, list):
        state = "must be a list" if key in data else "is missing"
        raise InputError(f'{where}: "{key}" {state}; expected {_FORM}')
    placed = [(f"{where}, {key} pair {number}", pair) for number, pair in enumerate(pairs, start=1)]
    for place, pair in placed:
        if not isinstance(pair, dict):
            raise InputError(f'{place}: not an object with "input" and "output"')
    return placed


def _grid(where: str, pair: dict[str, Any], key: str) -> Grid:
    if key not in pair:
        raise InputError(f'{where}: "{key}" is missing')
    return grid_from_json(f"{where}, {key}", pair[key])
