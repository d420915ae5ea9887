from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfedit.domains.knowledge import assign_queries, read_quiz, split_quiz
from selfedit.errors import InputError
from selfedit.types import Query, Task

GOOD = '{"question": "Who?", "answer": "Ada"}'


def quiz(folder: Path, content: str | bytes, name: str = "quiz.jsonl") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_json_lines(tmp_path: Path) -> None:
    lines = [
        '\ufeff{"question": " Who? ", "answer": ["Ada", "Ada Lovelace", "Ada"]}\r',
        "",
        '{"question": "When?", "answer": 1843, "topic": "Notes"}',
        '{"question": "What\u2028now?", "answer": "The"}',
    ]
    assert read_quiz(quiz(tmp_path, "\n".join(lines))) == (
        Query("Who?", ("Ada", "Ada Lovelace")),
        Query("When?", ("1843",), "Notes"),
        Query("What\u2028now?", ("The",)),
    )
    assert read_quiz(quiz(tmp_path, GOOD)) == (Query("Who?", ("Ada",)),)


def test_squad_and_items(tmp_path: Path) -> None:
    answers = [{"text": "Ada", "answer_start": 0}, {"text": "Ada", "answer_start": 0}]
    qas = [
        {"id": "1", "question": "Who?", "answers": answers},
        {"id": "2", "question": "Nobody?", "answers": [], "is_impossible": True},
    ]
    article = {"title": "Ada_Lovelace", "paragraphs": [{"context": "Ada.", "qas": qas}]}
    squad = json.dumps({"version": "1.1", "data": [article]})
    expected = (Query("Who?", ("Ada",), "Ada Lovelace"),)
    assert read_quiz(quiz(tmp_path, squad, "squad.json")) == expected
    items = [
        {
            "title": "Ada Lovelace",
            "context": "Ada.",
            "questions": [{"question": "Who?", "answer": "Ada"}],
        }
    ]
    assert read_quiz(quiz(tmp_path, json.dumps(items), "items.json")) == expected
    plain = quiz(tmp_path, f"[{GOOD}]", "list.json")
    assert read_quiz(plain) == (Query("Who?", ("Ada",)),)
    # Without a telling name, either form is found out.
    assert read_quiz(quiz(tmp_path, f"{GOOD}\n{GOOD}", "quiz.txt")) == read_quiz(plain) * 2


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ('{"question": "Who?", "answer": "Ada"', "invalid JSON"),
        ("Who? Ada", "invalid JSON"),
        ('["Who?", "Ada"]', "not an object"),
        ('"Who?"', "not an object"),
        ('{"answer": "Ada"}', '"question" is missing; found: "answer"'),
        ("{}", '"question" is missing'),
        ('{"question": "  ", "answer": "Ada"}', '"question" is empty'),
        ('{"question": 3, "answer": "Ada"}', '"question" must be a string'),
        ('{"question": "Who?"}', '"answer" is missing'),
        ('{"question": "Who?", "answer": null}', '"answer" must be a string'),
        ('{"question": "Who?", "answer": ""}', '"answer" is empty'),
        ('{"question": "Who?", "answer": []}', '"answer" is empty'),
        ('{"question": "Who?", "answer": ["Ada", " "]}', '"answer" is empty'),
        ('{"question": "Who?", "answer": true}', "must be a string or a list"),
        ('{"question": "Who?", "answer": [["Ada"]]}', "must be a string or a list"),
        ("[" * 100_000, "invalid JSON"),
    ],
)
def test_bad_line(tmp_path: Path, bad: str, said: str) -> None:
    path = quiz(tmp_path, "\n".join([GOOD] * 6 + [bad, GOOD]))
    with pytest.raises(InputError) as error:
        read_quiz(path)
    assert "quiz.jsonl, line 7: " in str(error.value)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("q.jsonl", b"", "holds no questions"),
        ("q.json", b"", "holds no questions"),
        ("q.json", b"[]", "holds no questions"),
        ("q.json", b'{"data": []}', "holds no questions"),
        ("q.json", b"[\n {]", "q.json, line 2: invalid JSON"),
        ("q.json", b'{"data": 3}', 'no list "data"'),
        ("q.json", b'{"data": [{"title": "x"}]}', 'article 1: no list "paragraphs"'),
        (
            "q.json",
            b'{"data": [{"paragraphs": [{"qas": [{"question": "Who?", "answers": []}]}]}]}',
            'article 1, paragraph 1, question 1: "answers" is empty',
        ),
        ("q.json", b'[{"questions": [{"question": "Who?"}]}]', "item 1, question 1"),
        ("q.json", b'"text"', "not an object"),
        ("q.jsonl", b'{"question": "\xe9"}', "not UTF-8: bad byte at offset 14"),
        ("q.jsonl", b"\x00\x01", "NUL byte"),
    ],
)
def test_bad_file(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    with pytest.raises(InputError) as error:
        read_quiz(quiz(tmp_path, content, name))
    assert said in str(error.value)


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
