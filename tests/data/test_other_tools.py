"""Questions as other tools write them: spreadsheets, flash cards, benchmarks, chats, evaluations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from selfedit.data import Skipped, read_quiz, read_tasks
from selfedit.errors import InputError
from selfedit.types import Query

LAMP = Query("Who lit the lamp?", ("Orla",))


def written(folder: Path, content: Any) -> Path:
    path = folder / "quiz"
    if not isinstance(content, str | bytes):
        content = json.dumps(content)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    "content",
    [
        "sep=;\nquestion;answer\nWho lit the lamp?;Orla\n",
        "question\tanswer\r\nWho lit the lamp?\tOrla\r\n".encode("utf-16"),
        "Fråga,Svar\nWho lit the lamp?,Orla\n",
        "Kysym,Vast\nWho lit the lamp?,Orla\n",  # names that nobody knows over a column that asks
        "#separator:tab\n#html:true\nWho lit the lamp?\tOrla\t\n",
        '"How wide is 5" glass?"\tx\nWho lit the lamp?\tOrla\n'.partition("\n")[2],
        "| Question | Answer |\n| --- | :-: |\n| Who lit the lamp? | Orla |\n",
        "# Lamps\n\nQ: Who lit\nthe lamp?\nA: Orla\n",
        "**Question 1:** Who lit the lamp?\n\n**Answer:** Orla\n",
        {"Who lit the lamp?": "Orla"},
        [["Who lit the lamp?", "Orla"]],
        {"7": {"question": "Who lit the lamp?", "answer": "Orla"}},
        {"question": ["Who lit the lamp?"], "ground_truth": ["Orla"], "contexts": [["Lamps burn."]]},
        {"user_input": "Who lit the lamp?", "reference": "Orla", "response": "Ada"},
        {"input": "Who lit the lamp?", "expected_output": "Orla", "actual_output": "Ada"},
        {"inputs": {"question": "Who lit the lamp?"}, "outputs": {"answer": "Orla"}},
        {"contents": [{"role": "user", "parts": [{"text": "Who lit the lamp?"}]},
                      {"role": "model", "parts": [{"text": "Orla"}]}]},
        [{"mapping": {"a": {"message": None},
                      "b": {"message": {"author": {"role": "user"},
                                        "content": {"parts": ["Who lit the lamp?"]}}},
                      "c": {"message": {"author": {"role": "assistant"},
                                        "content": {"parts": ["<think>Ada?</think>\nOrla"]}}}}}],
        {"question": {"text": "Who lit the lamp?"}, "answers": [{"text": "Orla"}]},
        {"question": "Who lit the lamp?", "answer": "By the rope.\nIt was she.\n#### Orla"},
        "question,text,answer_start\nWho lit the lamp?,Orla,9\n",
    ],
)  # fmt: skip
def test_exports_of_other_tools(content: Any, tmp_path: Path) -> None:
    assert read_quiz(written(tmp_path, content)) == (LAMP,)


@pytest.mark.parametrize(
    "record",
    [
        "question,A,B,C,answer\nWho lit the lamp?,Ada,Orla,Ben,B\n",
        "Question,Answer 1,Answer 2,Time limit,Correct answer(s)\nWho lit the lamp?,Ada,Orla,20,2\n",
        {"question": "Who lit the lamp?", "option_a": "Ada", "option_b": "Orla", "answer": "(b)"},
        {"question": "Who lit the lamp?", "choices": ["Ada", "Orla"], "answerKey": "B"},
        {"question": {"stem": "Who lit the lamp?", "choices": [{"label": "1", "text": "Ada"},
                                                               {"label": "2", "text": "Orla"}]},
         "answerKey": "2"},
    ],
)  # fmt: skip
def test_the_letter_of_a_choice_is_never_a_gold(record: Any, tmp_path: Path) -> None:
    assert read_quiz(written(tmp_path, record)) == (LAMP,)


def test_an_answer_of_one_letter_without_choices_stays(tmp_path: Path) -> None:
    rows = "question,answer\nWhich vitamin?,B\n"
    assert read_quiz(written(tmp_path, rows))[0].answers == ("B",)


def test_what_is_no_answer(tmp_path: Path) -> None:
    for gold in ("CANNOTANSWER", "No Answer Present."):
        rows = [{"question": "Why?", "answers": [gold]}, {"question": "Who?", "answer": "Ada"}]
        skipped = Skipped()
        assert len(read_quiz(written(tmp_path, rows), skipped=skipped)) == 1
        assert "1 unanswerable" in skipped.notes("q")[0]
    with pytest.raises(InputError, match='line 3: "answer" is nan'):
        read_quiz(written(tmp_path, "question,answer\nWho?,Ada\nWhen?,nan\n"))
    with pytest.raises(InputError, match='"answer" is empty'):
        read_quiz(written(tmp_path, {"question": "Who?", "answer": None}))
    dated = read_quiz(written(tmp_path, "question,answer\nWhen?,1887-03-03 00:00:00\n"))
    assert dated[0].answers == ("1887-03-03",)


def test_a_question_that_is_asked_twice_counts_once(tmp_path: Path) -> None:
    skipped = Skipped()
    row = '{"question": "Who?", "answer": "Ada"}\n'
    assert len(read_quiz(written(tmp_path, row * 3), skipped=skipped)) == 1
    assert skipped.notes("quiz") == ("Skipped 2 of 3 questions in quiz: 2 repeated.",)


def test_contexts_in_parts_are_one_text(tmp_path: Path) -> None:
    asked = {"question": "Who lit it?", "answer": "Orla"}
    parts = [["Lamp", ["Orla lit it.", "It is blue."]], ["Rope", ["Hemp."]]]
    columns = {"title": ["Lamp", "Rope"], "sentences": [["Orla lit it.", "It is blue."], ["Hemp."]]}
    for context in (parts, columns):
        (task,) = read_tasks(written(tmp_path, {**asked, "context": context}))
        assert task.context == "Lamp: Orla lit it. It is blue.\nRope: Hemp."
    nine = {"number": "9", "date": {"day": ""}, "spans": []}
    pairs = [{"question": "How many?", "answer": nine}]
    (task,) = read_tasks(written(tmp_path, {"lamp_1": {"passage": "Nine lamps.", "qa_pairs": pairs}}))
    assert (task.context, task.queries[0].answers) == ("Nine lamps.", ("9",))


def test_a_quotation_mark_that_is_not_closed_swallows_nothing(tmp_path: Path) -> None:
    tabs = 'question\tanswer\nHow wide?\t"5 spans\nWho?\tAda\n'
    assert len(read_quiz(written(tmp_path, tabs))) == 2
    with pytest.raises(InputError, match="invalid CSV"):
        read_quiz(written(tmp_path, tabs.replace("\t", ",")))
