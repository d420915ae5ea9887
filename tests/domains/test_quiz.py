from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from selfedit.domains.knowledge import assign_queries, split_quiz
from selfedit.types import Query, Task


@given(st.integers(0, 60), st.integers(0, 5), st.integers(2, 20))
def test_halves(count: int, seed: int, split_from: int) -> None:
    queries = [Query(f"Question {i}?", (str(i),)) for i in range(count)]
    selection, held_out = split_quiz(queries, seed, split_from)
    if count < split_from:
        assert (selection, held_out) == (tuple(queries), ())
        return
    assert len(selection) == count // 2
    assert len(held_out) == count - count // 2
    assert sorted([*selection, *held_out], key=queries.index) == queries
    assert list(selection) == sorted(selection, key=queries.index)
    assert split_quiz(queries, seed, split_from) == (selection, held_out)


def test_halves_depend_on_the_seed() -> None:
    queries = [Query(f"Question {i}?", (str(i),)) for i in range(20)]
    assert len({split_quiz(queries, seed)[0] for seed in range(5)}) == 5


def test_questions_go_where_they_are_answered() -> None:
    tasks = (
        Task("a", "Moon", "The Moon orbits the Earth in 27 days. It has no air."),
        Task("b", "Sun", "The Sun is a star. The Earth orbits it in 365 days."),
        Task("c", "Sun", "Light of the Sun takes 8 minutes.", (Query("Old?", ("Yes",)),)),
    )
    queries = [
        Query("How long does the Moon orbit the Earth?", ("27 days",)),
        Query("How long does the Earth take?", ("365 days",)),
        Query("How long is the light on its way?", ("8 minutes", "eight minutes")),
        Query("Wer war das?", ("Niemand",)),
        Query("How long?", ("28 days",)),
        Query("What has no air?", ("Moon",)),
    ]
    assigned = assign_queries(tasks, queries)
    assert [[query.gold for query in task.queries] for task in assigned] == [
        ["27 days", "Niemand", "28 days", "Moon"],
        ["365 days"],
        ["Yes", "8 minutes"],
    ]
    assert assign_queries((), queries) == ()
    assert assign_queries(tasks, ()) == tasks


def test_topic_tells_like_passages_apart() -> None:
    tasks = [Task(str(i), name, "It was founded in 1901.") for i, name in enumerate("XYZ")]
    assigned = assign_queries(tasks, [Query("When was it founded?", ("1901",), "Z")])
    assert [len(task.queries) for task in assigned] == [0, 0, 1]


def test_real_questions_find_their_passages(shared_json: Callable[[str], Any]) -> None:
    items = shared_json("squad/eval200.json")
    tasks = [Task(str(i), item["title"], item["context"]) for i, item in enumerate(items)]
    home = {
        (q["question"], q["answer"]): str(i) for i, item in enumerate(items) for q in item["questions"]
    }
    queries = [Query(question, (answer,)) for question, answer in home]
    right = sum(
        home[query.question, query.gold] == task.id
        for task in assign_queries(tasks, queries)
        for query in task.queries
    )
    assert right / len(queries) > 0.99
