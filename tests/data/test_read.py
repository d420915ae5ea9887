"""Tasks out of files and datasets; splits and what must not overlap."""

from __future__ import annotations

import json
import sys
import tracemalloc
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from selfedit.config import stable_hash
from selfedit.data import Skipped, iter_tasks, merge_tasks, read_tasks, take
from selfedit.domains.knowledge import Knowledge
from selfedit.errors import InputError
from selfedit.evaluation import lineage
from selfedit.types import Query, Task

refuse_overlap = partial(lineage.refuse_overlap, Knowledge())


def task(name: str, context: str | None = None) -> Task:
    return Task(f"id-{name}", name, context or f"The {name} is here.", (Query("q", (name,), name),))


def item(name: str, *questions: str, **more) -> dict:
    asked = [{"question": q, "answer": f"a {q}"} for q in questions]
    return {"title": name, "context": f"About {name}.", "questions": asked, **more}


def write(path: Path, value: object) -> Path:
    lines = isinstance(value, list) and path.suffix == ".jsonl"
    text = "\n".join(map(json.dumps, value)) if lines else json.dumps(value)
    path.write_text(text, encoding="utf-8")
    return path


def squad(*articles: tuple[str, str, list[dict]]) -> dict:
    return {
        "version": "1.1",
        "data": [
            {"title": title, "paragraphs": [{"context": context, "qas": qas}]}
            for title, context, qas in articles
        ],
    }


def test_every_format_gives_the_same_tasks(tmp_path):
    items = [item("New York City", "who?", "when?"), item("Owls", "what?", completions=["x"])]
    rows = [
        {
            "title": i["title"],
            "context": i["context"],
            "question": q["question"],
            "answers": {"text": [q["answer"]], "answer_start": [0]},
        }
        for i in items
        for q in i["questions"]
    ]
    qas = [
        [
            {
                "id": "1",
                "question": q["question"],
                "answers": [{"text": q["answer"], "answer_start": 0}],
            }
            for q in i["questions"]
        ]
        for i in items
    ]
    whole = squad(("New_York_City", "About New York City.", qas[0]), ("Owls", "About Owls.", qas[1]))
    expected = [
        Task(
            stable_hash(["New York City", "About New York City."]),
            "New York City",
            "About New York City.",
            (
                Query("who?", ("a who?",), "New York City"),
                Query("when?", ("a when?",), "New York City"),
            ),
        ),
        Task(
            stable_hash(["Owls", "About Owls."]),
            "Owls",
            "About Owls.",
            (Query("what?", ("a what?",), "Owls"),),
        ),
    ]
    assert read_tasks(write(tmp_path / "items.json", items)) == expected
    assert read_tasks(str(write(tmp_path / "items.jsonl", items))) == expected
    assert list(iter_tasks(write(tmp_path / "rows.jsonl", rows))) == expected
    assert read_tasks(write(tmp_path / "squad.json", whole)) == expected


def test_a_context_without_questions_is_kept(tmp_path):
    none = item("none")
    del none["questions"]
    unanswerable = {"id": "1", "question": "q?", "answers": [], "is_impossible": True}
    path = write(tmp_path / "a.json", [item("a", "q1", "q2"), item("empty"), none])
    tasks = read_tasks(path)
    assert [len(t.queries) for t in tasks] == [2, 0, 0]
    path = write(tmp_path / "b.json", squad(("t", "c", [unanswerable])))
    assert [len(t.queries) for t in iter_tasks(path)] == [0]


def test_a_paragraph_that_is_no_object_is_named(tmp_path):
    for paragraph in (5, ["c"], "c", None):
        path = write(tmp_path / "a.json", {"data": [{"title": "t", "paragraphs": [paragraph]}]})
        with pytest.raises(InputError, match='article 1, paragraph 1: no list "qas"'):
            read_tasks(path)


def test_a_context_that_recurs_is_merged(tmp_path):
    items = [item("a", "q1"), item("b", "q2"), item("a", "q1", "q3"), item("b", "q2")]
    path = write(tmp_path / "a.jsonl", items)
    tasks = read_tasks(path)
    assert [[q.question for q in t.queries] for t in tasks] == [["q1", "q3"], ["q2"]]
    assert len(list(iter_tasks(path))) == 4  # a stream joins neighbours only
    (both,) = [t for t in take(iter_tasks(path), 2, 0) if t.title == "a"]
    assert [q.question for q in both.queries] == ["q1", "q3"]
    other = {**item("a", "q1"), "title": "another title"}
    assert len(read_tasks(write(tmp_path / "b.jsonl", [item("a", "q1"), other]))) == 2
    # A question that is asked twice of one context counts twice, as in the paper.
    assert len(read_tasks(write(tmp_path / "c.json", [item("a", "q1", "q1")]))[0].queries) == 2


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "a.json",
            '[{"title": "t"}]',
            r'item 1: "question" is missing.*found: "title"',
        ),
        ("a.json", '[{"context": " "}]', r'item 1: "context" is empty'),
        ("a.json", '[{"context": "c", "title": [3]}]', r'item 1: "title" must be a string'),
        ("a.json", '[{"context": "c", "questions": 3}]', r'item 1: no list "questions"'),
        ("a.json", '[{"context": "c", "questions": [{"question": "q"}]}]', r"item 1, question 1: "),
        ("a.json", "{", r"a.json, line 1: invalid JSON"),
        (
            "a.json",
            '{"x": 1}',
            r'a.json, line 1: "question" is missing, and "con',
        ),
        ("a.json", "[]", r"holds no contexts"),
        ("a.jsonl", "", r"holds no contexts"),
        ("a.jsonl", '{"context": "c"}\n{"context": "c"', r"a.jsonl, line 2: invalid JSON"),
        ("a.jsonl", '{"context": "c"}\n\n[1]', r"a.jsonl, line 3: not an object"),
        ("a.json", '{"data": [{"paragraphs": [{"context": "c"}]}]}', r'paragraph 1: no list "qas"'),
        ("a.jsonl", b'{"context": "c"}\n\xff\xff', r"a.jsonl, line 2 is not UTF-8"),
        ("a.jsonl", b"\xff\xfe{", r"UTF-16"),
    ],
)
def test_errors_name_the_file_and_the_place(tmp_path, name, text, message):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=message):
        read_tasks(path)


def test_what_is_not_there(tmp_path):
    for name in ("missing.json", "missing.jsonl"):
        with pytest.raises(InputError, match="no such file"):
            read_tasks(tmp_path / name)
        with pytest.raises(InputError, match="no such file"):
            read_tasks(name)


def test_a_folder_is_read_as_a_dataset(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(InputError, match=r'is a folder; name a file in it.*"selfedit\[data\]"'):
        read_tasks(tmp_path)
    asked = []

    def load_dataset(name, *, split, streaming):
        asked.append(name)
        return iter([{"title": "T", "context": "c", "question": "q", "answers": {"text": ["a"]}}])

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    assert [task.context for task in read_tasks(tmp_path)] == ["c"]
    assert asked == [str(tmp_path)]


def test_a_parquet_folder_with_the_real_library(tmp_path):
    datasets = pytest.importorskip("datasets")
    rows = [
        {"title": "New_York", "context": "c1", "question": q, "answers": {"text": [a]}}
        for q, a in (("q1", "a"), ("q2", "b"))
    ]
    datasets.Dataset.from_list(rows).to_parquet(tmp_path / "train.parquet")
    (task,) = read_tasks(tmp_path)
    assert (task.title, [q.gold for q in task.queries]) == ("New York", ["a", "b"])
    with pytest.raises(InputError, match=r"\(validation\) cannot be read"):
        read_tasks(tmp_path, "validation")


def test_a_damaged_name_of_a_column_is_refused(tmp_path):
    """Drawn by the fuzzing: pyarrow fails with an error of its strings, not with its own."""
    datasets = pytest.importorskip("datasets")
    file = tmp_path / "rows.parquet"
    datasets.Dataset.from_list([{"context": "c", "question": "q", "answer": "a"}]).to_parquet(file)
    file.write_bytes(file.read_bytes().replace(b"question", b"\xf3uestion"))
    with pytest.raises(InputError, match="cannot be read after row 0"):
        read_tasks(file)


def test_a_byte_order_mark_and_odd_line_ends(tmp_path):
    line = json.dumps({"context": "a\u2028b"}, ensure_ascii=False)
    (tmp_path / "a.jsonl").write_bytes(b"\xef\xbb\xbf" + f"{line}\r\n\r\n".encode())
    assert [t.context for t in read_tasks(tmp_path / "a.jsonl")] == ["a\u2028b"]


def test_a_long_file_is_streamed(tmp_path):
    path = tmp_path / "long.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for i in range(10_000):
            entry = {"title": f"t{i}", "context": f"context {i} " * 30, "questions": []}
            file.write(json.dumps(entry) + "\n")
    assert path.stat().st_size > 4e6
    tracemalloc.start()
    try:
        assert sum(1 for _ in iter_tasks(path)) == 10_000
        streamed = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        sample = take(iter_tasks(path), 20, 3)
        sampled = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(sample) == 20
    assert streamed < 1e6
    assert sampled < 1e6


# -- samples ---------------------------------------------------------------------------------------


def test_a_sample_is_seeded_and_begins_a_larger_one():
    tasks = [task(f"t{i}") for i in range(40)]
    sample = take(iter(tasks), 10, 7)
    assert len({t.id for t in sample}) == 10
    assert take(tasks[::-1], 10, 7) == sample  # the order of the file does not matter
    assert take(tasks, 10, 8) != sample != tasks[:10]
    assert take(tasks, 25, 7)[:10] == sample
    assert take(tasks, 0, 7) == []
    with pytest.raises(InputError, match=r"40 contexts, and 41"):
        take(tasks, 41, 7)


def test_overlap_is_refused():
    train = [task("a"), task("b", "The  Owl, of the NORTH.")]
    refuse_overlap(train, [task("c")])
    with pytest.raises(InputError, match=r"d: an owl of the north") as caught:
        refuse_overlap(train, [task("c"), task("d", "an owl of the north"), task("a")])
    assert "2 of these 3 contexts" in str(caught.value)


def test_merging_keeps_the_order():
    a, b = task("a"), task("b")
    assert merge_tasks([b, a, b]) == [b, a]


# -- datasets --------------------------------------------------------------------------------------


def test_without_the_library_the_error_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    monkeypatch.chdir(tmp_path)
    for name in ("squad", "rajpurkar/squad"):
        with pytest.raises(InputError, match=r'pip install "selfedit\[data\]"'):
            read_tasks(name)


def test_rows_of_a_dataset_are_gathered_by_context(tmp_path, monkeypatch):
    asked = []
    rows = [
        {"title": "New_York", "context": c, "question": q, "answers": {"text": a, "answer_start": [0]}}
        for c, q, a in [
            ("c1", "q1", ["a", "b"]),
            ("c1", "q2", ["a"]),
            ("c2", "q3", []),
            ("c1", "q4", ["d"]),
        ]
    ]

    def load_dataset(name, *, split, streaming):
        asked.append((name, split, streaming))
        if split != "train":
            raise ValueError("Unknown split\nwith much more to say")
        return iter(rows)

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    monkeypatch.chdir(tmp_path)
    tasks = read_tasks("org/squad")
    assert asked == [("org/squad", "train", True)]
    assert [t.title for t in tasks] == ["New York", "New York"]
    assert [[q.question for q in t.queries] for t in tasks] == [["q1", "q2", "q4"], []]
    assert tasks[0].queries[0].answers == ("a", "b")
    with pytest.raises(InputError, match=r"org/squad \(test\) cannot be read: Unknown split$"):
        read_tasks("org/squad", "test")
    rows[1]["context"] = None
    skipped = Skipped()
    read_tasks("org/squad", skipped=skipped)
    assert "1 without a context" in skipped.notes("org/squad")[0]
    rows[1]["answers"] = {"text": [None]}
    with pytest.raises(InputError, match=r'org/squad \(train\), row 2: "answers" is empty'):
        read_tasks("org/squad")


def test_a_dataset_that_breaks_off(tmp_path, monkeypatch):
    """Rows are streamed, so the network can fail between two of them."""

    def rows():
        yield {"title": "T", "context": "c1", "question": "q", "answers": {"text": ["a"]}}
        raise ConnectionError("the connection was closed")

    loader = SimpleNamespace(load_dataset=lambda name, split, streaming: rows())
    monkeypatch.setitem(sys.modules, "datasets", loader)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"org/squad \(train\) cannot be read after row 1: the conn"):
        read_tasks("org/squad")


def test_the_papers_contexts(shared_data):
    evaluation = read_tasks(shared_data("squad/eval200.json"))
    sizes = [len(t.queries) for t in evaluation]
    assert (len(sizes), sum(sizes), sizes.count(0)) == (200, 974, 0)
    train = read_tasks(shared_data("squad/train_round1.json"))
    refuse_overlap(train, evaluation)
    with pytest.raises(InputError, match="200 of these 200 contexts"):
        refuse_overlap(read_tasks(shared_data("squad/validation.json")), evaluation)
