"""Small tasks of our own making: what they hold, and that nothing but size and seed chose them."""

from __future__ import annotations

import numpy as np
import pytest

from selfedit.domains.arc import mini
from selfedit.domains.arc.as_task import puzzle, to_task
from selfedit.domains.arc.grids import Grid
from selfedit.domains.arc.mini import mini_task, mini_tasks, sizes_of
from selfedit.domains.arc.sources import find_task
from selfedit.domains.arc.tasks import Example
from selfedit.errors import InputError

RULES = {
    "rotate-90": np.rot90,
    "mirror-up-down": lambda cells: cells[::-1],
    "crop-inner": lambda cells: cells[1:-1, 1:-1],
    "repeat-right": lambda cells: np.concatenate((cells, cells), axis=1),
    "reflect-below": lambda cells: np.concatenate((cells, cells[::-1]), axis=0),
}


@pytest.fixture(scope="module")
def tasks():
    return mini_tasks("training")


def test_sizes_and_rules(tasks):
    seen = set()
    for task in tasks:
        name = task.id.split("-", 5)[5]
        assert 3 <= len(task.train) <= 4
        assert all(3 <= side <= 5 for e in task.train for side in e.input.cells.shape)
        assert all(side <= 10 for e in task.train for side in e.output.cells.shape)
        assert all(e.input != e.output for e in task.train), "a task says something"
        assert len({e.input for e in task.train} | set(task.test_inputs)) == len(task.train) + 1
        for own in set(RULES) & {name}:
            seen.add(own)
            for e in task.train:
                assert np.array_equal(RULES[own](e.input.cells), e.output.cells)
            (asked,), (wanted,) = task.test_inputs, task.test_outputs
            assert np.array_equal(RULES[own](asked.cells), wanted.cells)
    assert seen == set(RULES)
    assert any("+" in task.id for task in tasks), "combinations"
    assert any(task.id.endswith("recolour") for task in tasks)


def test_a_recolouring_is_shown_before_it_is_asked(tasks):
    for task in tasks:
        if task.id.endswith("-recolour"):
            shown = {int(c) for e in task.train for c in e.input.cells.flat}
            assert {int(c) for c in task.test_inputs[0].cells.flat} <= shown


def grid(*rows: str) -> Grid:
    return Grid.of([list(map(int, row)) for row in rows])


def test_demonstrations_that_leave_the_rule_open_are_drawn_again():
    """Symmetric grids do not tell turning by 180 from mirroring; the query does."""
    pair = Example(grid("121", "343"), grid("343", "121"))
    clear = Example(grid("123", "456"), grid("456", "123"))
    asked = Example(grid("122", "345"), grid("345", "122"))
    assert not mini._is_clear([pair], asked)
    assert mini._is_clear([pair, clear], asked)
    unseen = Example(grid("129", "345"), grid("345", "129"))
    assert not mini._is_clear([pair, clear], unseen), "what becomes of 9 was never shown"


def test_size_and_seed_alone_choose_them(tasks):
    assert mini_tasks("training") == tasks
    assert tasks[0].id == "mini-3to5-0-training-000-crop-bottom-row", "as on 2026-11-26"
    assert tasks[0].train[0].input.rows()[0] == [8, 3, 3, 9, 4]
    puzzles = [puzzle(to_task(task)) for task in (*tasks, *mini_tasks("evaluation"))]
    assert len(set(puzzles)) == len(puzzles), "no task is in both splits, or in one twice"
    other = mini_tasks("training", seed=1, smallest=4, largest=4)
    assert not {task.id for task in other} & {task.id for task in tasks}
    assert all(e.input.cells.shape == (4, 4) for task in other for e in task.train)


def test_a_task_is_found_by_its_id(tasks):
    assert mini_task(tasks[7].id) == find_task(tasks[7].id) == tasks[7]
    assert mini_task("mini-3to5-0-training-007-nothing") is None
    assert mini_task("007bbfb7") is None
    assert mini_task("mini-3to99-0-training-007-x") is None
    assert mini_task(f"mini-3to5-{'1' * 5000}-training-007-x") is None


@pytest.mark.parametrize("text", ["1-5", "5-3", "3-40", "three", "", "3-", "1" * 5000])
def test_sizes_that_there_are_not(text):
    with pytest.raises(InputError, match="sizes"):
        mini_tasks("training", 0, *sizes_of(text))
