"""Quizzes out of files of every usual shape."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest

from selfedit.data import Skipped, read_quiz, read_tasks
from selfedit.errors import InputError
from selfedit.types import Query

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
    other = GOOD.replace("Who", "Whose")
    both = read_quiz(quiz(tmp_path, f"{GOOD}\n{other}", "quiz.txt"))
    assert both == (*read_quiz(plain), Query("Whose?", ("Ada",)))


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ('{"question": "Who?", "answer": "Ada"', "invalid JSON"),
        ("Who? Ada", "invalid JSON"),
        ('["Who", "Ada"]', "not an object"),
        ('"Who?"', "not an object"),
        ('{"answer": "Ada"}', '"question" is missing; found: "answer"'),
        ("{}", '"question" is missing'),
        ('{"question": "  ", "answer": "Ada"}', '"question" is empty'),
        ('{"question": 3, "answer": "Ada"}', '"question" must be a string'),
        ('{"question": "Who?"}', '"answer" is missing'),
        ('{"question": "Who?", "answer": null}', '"answer" is empty'),
        ('{"question": "Who?", "answer": ""}', '"answer" is empty'),
        ('{"question": "Who?", "answer": ["Ada", " "]}', '"answer" is empty'),
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
        ("q.json", b'{"data": [{"title": "x"}]}', 'item 1: "question" is missing'),
        (
            "q.json",
            b'{"data": [{"paragraphs": [{"qas": [{"question": "Who?", "answers": [""]}]}]}]}',
            "holds no questions that can be used: 1 are unanswerable",
        ),
        ("q.json", b'[{"questions": [{"question": "Who?"}]}]', "item 1, question 1"),
        ("q.json", b'"text"', "neither JSON nor a table"),
        ("q.jsonl", b'{"question": "\xe9"}', "q.jsonl is not UTF-8: bad byte at offset 14"),
        ("q.jsonl", b"\x00\x01", "NUL byte"),
    ],
)
def test_bad_file(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    with pytest.raises(InputError) as error:
        read_quiz(quiz(tmp_path, content, name))
    assert said in str(error.value)


ADA = Query("Who wrote the notes?", ("Ada",))


def lines(*records: Any) -> str:
    return "\n".join(map(json.dumps, records))


def table(*rows: tuple[str, ...], delimiter: str = ",") -> str:
    file = io.StringIO()
    csv.writer(file, delimiter=delimiter).writerows(rows)
    return file.getvalue()


ASKED = {"question": ADA.question, "answer": "Ada"}
SHAPES = {
    "csv": table(("Question", "Answer"), (ADA.question, "Ada")),
    "tsv": table(("question", "answer"), (ADA.question, "Ada"), delimiter="\t"),
    "semicolons": table(("id", "question", "answer"), ("1", ADA.question, "Ada"), delimiter=";"),
    "csv without names": table((ADA.question, "Ada"), (ADA.question, "Ada")),
    "answers as numpy prints them": table(
        ("question", "answers"),
        (ADA.question, "{'text': array(['Ada'], dtype=object), 'answer_start': array([1])}"),
    ),
    "alpaca": json.dumps([{"instruction": ADA.question, "input": "", "output": "Ada"}]),
    "completions": lines({"prompt": ADA.question, "completion": "Ada"}),
    "messages": lines(
        {
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": [{"type": "text", "text": ADA.question}]},
                {"role": "assistant", "content": "Ada"},
            ]
        }
    ),
    "sharegpt": json.dumps(
        [
            {
                "conversations": [
                    {"from": "human", "value": ADA.question},
                    {"from": "gpt", "value": "Ada"},
                ]
            }
        ]
    ),
    "a bare conversation": json.dumps(
        [{"role": "user", "content": ADA.question}, {"role": "assistant", "content": "Ada"}]
    ),
    "turns on both sides": lines(
        {
            "prompt": [{"role": "user", "content": ADA.question}],
            "completion": [{"role": "assistant", "content": "Ada"}],
        }
    ),
    "flat squad": lines({"question": ADA.question, "answers": {"text": ["Ada"], "answer_start": [3]}}),
    "qas": lines({"header": {"dataset": "x"}}, {"context": "c", "qas": [ASKED]}),
    "answers apart": json.dumps({"story": "c", "questions": [ADA.question], "answers": ["Ada"]}),
    "columns of a list": lines(
        {"context": "c", "qas": {"question": [ADA.question], "answer": ["Ada"]}}
    ),
    "pandas by column": json.dumps({"question": {"0": ADA.question}, "answer": {"0": "Ada"}}),
    "pandas split": json.dumps({"columns": ["question", "answer"], "data": [[ADA.question, "Ada"]]}),
    "trivia": lines({"question": ADA.question, "answer": {"value": "Ada", "aliases": ["Ada"]}}),
    "choices": lines({"question": ADA.question, "choices": ["Bob", "Ada"], "answer": 1}),
    "labelled": lines(
        {
            "question": ADA.question,
            "choices": {"text": ["Bob", "Ada"], "label": ["A", "B"]},
            "answer": "B",
        }
    ),
    "objects behind each other": json.dumps(ASKED, indent=1) + "\n" + json.dumps(ASKED, indent=1),
    "one of several splits": json.dumps({"train": [ASKED], "test": []}),
    "the server's rows": json.dumps({"rows": [{"row_idx": 0, "row": ASKED}]}),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["quiz.json", "quiz.csv"])
def test_shapes_are_told_by_their_content(tmp_path: Path, shape: str, name: str) -> None:
    path = quiz(tmp_path, SHAPES[shape], name)
    assert set(read_quiz(path)) == {ADA}
    packed = tmp_path / "packed"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert read_quiz(packed) == read_quiz(path)


def test_a_table_of_nothing_is_refused(tmp_path: Path) -> None:
    for text in (",", ",\n,\n", ";;"):
        with pytest.raises(InputError, match="neither JSON nor"):
            read_quiz(quiz(tmp_path, text))


def test_numbers_and_booleans(tmp_path: Path) -> None:
    given = [1802.0, 2.5, -3, 1e20, True, False, [1, "one"], {"text": [4.0]}]
    path = quiz(tmp_path, lines(*({"question": "q", "answers": one} for one in given)))
    assert [query.answers for query in read_quiz(path)] == [
        ("1802",), ("2.5",), ("-3",), ("1e+20",), ("yes",), ("no",), ("1", "one"), ("4",)
    ]  # fmt: skip
    cells = table(("question", "answer"), ("a", "1802.0"), ("b", "True"), ("c", "2.5"), ("d", "2.0"))
    golds = [query.gold for query in read_quiz(quiz(tmp_path, cells, "a.csv"))]
    assert golds == ["1802", "yes", "2.5", "2.0"]  # a release may be 2.0
    for bad in ("NaN", "Infinity", "[NaN]"):
        path = quiz(tmp_path, GOOD + '\n{"question": "b", "answer": ' + bad + "}")
        with pytest.raises(InputError, match=r'line 2: "answer" is (nan|inf)'):
            read_quiz(path)
    empty = table(("question", "answer"), ("a", "1"), ("b", ""))
    with pytest.raises(InputError, match=r'e.csv, line 3: "answer" is empty'):
        read_quiz(quiz(tmp_path, empty, "e.csv"))
    # A title that is missing in some rows is none, and a number is one.
    rows = lines({**ASKED, "title": 1984}, {**ASKED, "title": float("nan")})
    assert [query.topic for query in read_quiz(quiz(tmp_path, rows))] == ["1984", ""]


def test_what_is_skipped_is_counted(tmp_path: Path) -> None:
    reply = {"role": "assistant", "content": "Ada"}
    user = {"role": "user", "content": ADA.question}
    picture = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}
    path = quiz(
        tmp_path,
        lines(
            {**ASKED, "context": "c"},
            {"question": "a", "answers": [], "context": "c"},
            {"question": "b", "answers": {"text": []}, "context": "c"},
            {"question": "c", "answer": "", "is_impossible": True, "context": "c"},
            {"messages": [{**user, "content": "Who?"}, reply, user]},
            {"messages": [picture, reply]},
        ),
    )
    skipped = Skipped()
    assert len(read_quiz(path, skipped=skipped)) == 2
    (note,) = skipped.notes("quiz.jsonl")
    assert note.startswith("Skipped 5 of 7 questions in quiz.jsonl: 3 unanswerable, ")
    assert "1 in conversations without a reply" in note
    assert "1 without text" in note
    skipped = Skipped()
    (task,) = read_tasks(path, skipped=skipped)
    assert [query.gold for query in task.queries] == ["Ada"]
    assert "3 without a context" in skipped.notes("f")[0]
    whole = Skipped()
    read_quiz(quiz(tmp_path, GOOD), skipped=whole)
    assert whole.notes("f") == ()


def test_tasks_need_contexts(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds 2 questions but no contexts"):
        read_tasks(quiz(tmp_path, f"{GOOD}\n{GOOD}"))
    row = {"instruction": "Who wrote them?", "input": "Ada wrote the notes.", "output": "Ada"}
    path = quiz(tmp_path, lines(row))
    (task,) = read_tasks(path)
    assert (task.context, task.queries) == (
        "Ada wrote the notes.",
        (Query("Who wrote them?", ("Ada",)),),
    )
    assert read_quiz(path)[0].question == "Who wrote them?\nAda wrote the notes."
    cells = table(("title", "context", "question", "answer"), ("T", "One,\ntwo.", "How many?", "2"))
    (task,) = read_tasks(quiz(tmp_path, cells))
    assert (task.title, task.context) == ("T", "One,\ntwo.")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("name,city\nAda,London\n", 'its first line has: "name", "city"'),
        ("question,answer\nWho?,Ada, Bob\n", "line 2: 3 cells where there are 2 columns"),
        ("PK\x03\x04", "save it as CSV"),
        ('{"question": "q", "choices": ["a"], "answer": 7}', "none of the choices"),
        ('{"columns": ["question", "answer"], "data": [["q"]]}', "one value for each"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path: Path, content: str, said: str) -> None:
    with pytest.raises(InputError) as error:
        read_quiz(quiz(tmp_path, content))
    assert said in str(error.value)


def test_tables_and_saved_data_sets(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    rows = [
        {"title": "New_York", "context": "c", "question": q, "answers": {"text": a, "answer_start": []}}
        for q, a in (("q1", ["a"]), ("q2", []))
    ]
    made = datasets.Dataset.from_list(rows)
    made.to_parquet(tmp_path / "rows.json")
    made.save_to_disk(tmp_path / "saved")
    datasets.DatasetDict({"train": made, "test": made.select([1])}).save_to_disk(tmp_path / "splits")
    for source in (tmp_path / "rows.json", tmp_path / "saved", str(tmp_path / "splits")):
        skipped = Skipped()
        assert read_quiz(source, skipped=skipped) == (Query("q1", ("a",), "New York"),)
        assert skipped.reasons == {"unanswerable": 1}
        assert len(read_tasks(source)[0].queries) == 1
    with pytest.raises(InputError, match="no split validation, but: train, test"):
        read_quiz(tmp_path / "splits", "validation")
    (tmp_path / "broken").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(InputError, match="cannot be read after row 0"):
        read_quiz(tmp_path / "broken")


def test_a_data_set_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    from types import SimpleNamespace

    asked = []

    def load_dataset(name: str, split: str, streaming: bool) -> list[Any]:
        asked.append((name, split))
        return [ASKED]

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    monkeypatch.chdir(tmp_path)
    assert read_quiz("org/notes:validation") == read_quiz("org/notes") == (ADA,)
    assert asked == [("org/notes", "validation"), ("org/notes", "train")]
