"""BM25 finds the passage that a question is about."""

from __future__ import annotations

import pytest

from selfedit.domains.knowledge.retrieval import PassageIndex
from selfedit.types import Query, Task

pytest.importorskip("bm25s")


def passage(i: int, title: str, text: str) -> Task:
    return Task(f"id{i}", title, text, (Query("?", ("x",)),))


TASKS = [
    passage(0, "Lakes", "The lake of Tarn is ninety metres deep and lies below a glacier."),
    passage(1, "Towers", "The tower of Orm was built of basalt by two brothers."),
    passage(2, "Ships", "The ship Halcyon carried basalt and salt across the sea."),
    passage(3, "Birds", "Herons nest in the reeds near the old mill."),
]


@pytest.mark.parametrize(
    ("question", "title"),
    [
        ("How deep is the lake of Tarn?", "Lakes"),
        ("Who built the tower of Orm?", "Towers"),
        ("What did the Halcyon carry?", "Ships"),
        ("Where do herons nest?", "Birds"),
        ("Which ships are meant?", "Ships"),  # titles count
    ],
)
def test_the_right_passage_comes_first(question, title):
    assert PassageIndex(TASKS).find(question, 3)[0].title == title


def test_questions_that_match_nothing_get_the_first_ones():
    index = PassageIndex(TASKS)
    for question in ("", "the of", "zzz", "Ωmega 日本"):
        assert index.find(question, 2) == TASKS[:2]
    assert len(index.find("basalt", 99)) == len(TASKS)
    assert {t.title for t in index.find("basalt", 2)} == {"Towers", "Ships"}


def test_passages_without_words():
    index = PassageIndex([passage(0, "", "The"), passage(1, "", "of")])
    assert [t.id for t in index.find("the", 1)] == ["id0"]
