"""Where tasks come from, and which of them are chosen."""

from __future__ import annotations

import json

import pytest

from selfedit.domains.arc import (
    find_task,
    load_dataset,
    longest_prompt,
    parse_filter,
    parse_ids,
    select,
)
from selfedit.domains.arc.mini import mini_tasks
from selfedit.domains.arc.options import _comments, choose_tasks
from selfedit.domains.arc.selection import PAPER_IDS, LengthFilter
from selfedit.domains.arc.settings import ArcSettings
from selfedit.domains.arc.sources import known_tasks, read_tasks
from selfedit.domains.arc.tasks import task_from_json, task_to_json
from selfedit.errors import InputError
from selfedit.model.fake import FakeModel

PAIR = {"input": [[0, 1]], "output": [[1, 0]]}
TASK = {"train": [PAIR, PAIR], "test": [PAIR]}


def write(path, value):
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


def test_datasets():
    sizes = {
        (dataset, split): len(load_dataset(dataset, split))
        for dataset in ("arc-agi-1", "arc-agi-2")
        for split in ("training", "evaluation", "all")
    }
    assert list(sizes.values()) == [400, 400, 800, 1000, 120, 1120]
    tasks = load_dataset("arc-agi-1", "all")
    assert sum(len(task.test_inputs) for task in tasks) == 835  # several in some
    assert all(None not in task.test_outputs for task in tasks)


def test_unknown_names():
    with pytest.raises(InputError, match="arc-agi-1 and arc-agi-2"):
        load_dataset("arc-agi-3", "training")
    with pytest.raises(InputError, match="training, evaluation, all"):
        load_dataset("arc-agi-1", "test")


def test_the_papers_filter():
    """The ids are of the splits that they are listed under."""
    assert [len(PAPER_IDS[split]) for split in ("training", "evaluation")] == [12, 10]
    for split in ("training", "evaluation"):
        chosen = select(load_dataset("arc-agi-1", split), parse_ids("paper-filtered", split))
        assert tuple(task.id for task in chosen) == PAPER_IDS[split]
    assert len(select(load_dataset("arc-agi-1", "all"), parse_ids("paper-filtered", "all"))) == 22


def test_the_papers_ids_are_the_shared_ones(shared_json):
    assert {split: list(ids) for split, ids in PAPER_IDS.items()} == shared_json(
        "arc/filtered_task_ids.json"
    )


def test_json_there_and_back(all_tasks):
    for task in all_tasks[::50]:
        assert task_from_json("here", task.id, task_to_json(task)) == task
    unknown = {"train": [PAIR], "test": [{"input": [[2]]}, {"input": [[3]], "output": None}]}
    task = task_from_json("here", "x", unknown)
    assert task.test_outputs == (None, None)
    assert task_to_json(task)["test"] == [{"input": [[2]]}, {"input": [[3]]}]
    assert task.prompt_cells == 5


def test_one_task_a_file(tmp_path):
    path = write(tmp_path / "0a1b2c3d.json", {**TASK, "name": "ignored"})
    (task,) = read_tasks(path)
    assert (task.id, len(task.train), len(task.test_inputs)) == ("0a1b2c3d", 2, 1)
    assert find_task(str(path)) == task
    write(tmp_path / "1111.json", TASK)
    write(tmp_path / "notes.txt", "no task")
    assert [task.id for task in read_tasks(tmp_path)] == ["0a1b2c3d", "1111"]


def test_challenges_and_solutions(tmp_path):
    asked = {"train": [PAIR], "test": [{"input": [[1]]}, {"input": [[2]]}]}
    challenges = write(tmp_path / "x_challenges.json", {"b": asked, "a": asked})
    assert [task.test_outputs for task in read_tasks(challenges)] == [(None, None)] * 2
    elsewhere = write(tmp_path / "answers.txt", {"a": [[[5]], [[6]]]})
    known, unknown = read_tasks(challenges, elsewhere)
    assert [grid.rows() for grid in known.test_outputs] == [[[5]], [[6]]]
    assert unknown.test_outputs == (None, None)
    write(tmp_path / "x_solutions.json", {"a": [[[5]], [[6]]], "b": [[[7]], [[8]]]})
    assert [task.test_outputs[1].rows() for task in read_tasks(challenges)] == [[[6]], [[8]]]
    assert [task.id for task in read_tasks(tmp_path)] == ["a", "b"]
    assert find_task(str(challenges), task_id="b").id == "b"
    with pytest.raises(InputError, match=r"has 2 tasks \(a, b, \.\.\.\): choose one with --task"):
        find_task(str(challenges))
    with pytest.raises(InputError, match="has no task c"):
        find_task(str(challenges), task_id="c")


@pytest.mark.parametrize(
    ("solutions", "reason"),
    [
        ({"a": [[[5]]]}, "1 outputs for 2 inputs"),
        ({"z": [[[5]]]}, "has none of the tasks"),
        ({"a": [[[5]], [[10]]]}, "task a, output 2: row 1 has a cell"),
        ([1], "expected the outputs"),
    ],
)
def test_bad_solutions(tmp_path, solutions, reason):
    asked = {"train": [PAIR], "test": [{"input": [[1]]}, {"input": [[2]]}]}
    challenges = write(tmp_path / "c.json", {"a": asked})
    with pytest.raises(InputError, match=reason) as caught:
        read_tasks(challenges, write(tmp_path / "s.json", solutions))
    assert "s.json" in str(caught.value)


DEEP = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "invalid JSON"),
        ("{", "line 1: invalid JSON"),
        (DEEP, "invalid JSON"),
        ('{"a": ' + "9" * 5000 + "}", "invalid JSON"),
        ([TASK], "expected a task"),
        ({}, "expected a task"),
        ("null", "expected a task"),
        ({"a": 3}, "task a: not a task"),
        ({"train": [PAIR]}, '"test" is missing'),
        ({"test": [PAIR]}, '"train" is missing'),
        ({"train": {}, "test": []}, '"train" must be a list'),
        ({"train": [], "test": [PAIR]}, "holds no demonstrations"),
        ({"train": [[[1], [2]]], "test": []}, "train pair 1: not an object"),
        ({"train": [{"input": [[1]]}], "test": []}, 'train pair 1: "output" is missing'),
        ({"train": [{"input": [[1]], "output": None}], "test": []}, "train pair 1, output: not a list"),
        ({"train": [PAIR], "test": [{"output": [[1]]}]}, 'test pair 1: "input" is missing'),
        ({"train": [PAIR, {"input": [[1, 2], [3]], "output": [[1]]}], "test": []}, "ragged: row 2"),
        ({"train": [{"input": [[0] * 31], "output": [[1]]}], "test": []}, "row 1 has 31 cells"),
        ('{"train": [{"input": [[NaN]], "output": [[1]]}], "test": []}', "not 0 to 9"),
        ('{"a": {}, "a": {}}', "the key 'a' comes twice"),
    ],
)
def test_bad_files(tmp_path, content, reason):
    path = write(tmp_path / "bad.json", content)
    for read in (read_tasks, lambda p: find_task(str(p)), lambda p: read_tasks(p.parent)):
        with pytest.raises(InputError) as caught:
            read(path)
        assert str(path) in str(caught.value)
        assert reason in str(caught.value)


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_tasks(tmp_path / "none.json")
    with pytest.raises(InputError, match="no such file"):
        find_task(str(tmp_path / "none.json"))
    with pytest.raises(InputError, match=r"holds no \.json files"):
        read_tasks(tmp_path)
    (tmp_path / "latin.json").write_bytes(b'{"\xe9": 1}')
    with pytest.raises(InputError, match="not UTF-8"):
        read_tasks(tmp_path)


def test_two_files_with_one_task(tmp_path):
    write(tmp_path / "a.json", TASK)
    write(tmp_path / "b.json", {"a": TASK})
    with pytest.raises(InputError, match=r"b\.json: .*a\.json already has a task a"):
        read_tasks(tmp_path)


def test_find_by_id(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert find_task("007bbfb7").id == "007bbfb7"
    only_in_two = next(
        task.id
        for task in load_dataset("arc-agi-2", "evaluation")
        if all(task.id != other.id for other in load_dataset("arc-agi-1", "all"))
    )
    assert find_task(only_in_two).id == only_in_two
    with pytest.raises(InputError, match="no task of arc-agi-1 has this id"):
        find_task(only_in_two, "arc-agi-1")
    for name in ("nothing", "", "x" * 100_000):
        with pytest.raises(InputError):
            find_task(name)
    # A folder or file of that name is what is meant, unless a dataset is named.
    write(tmp_path / "007bbfb7", TASK)
    assert len(find_task("007bbfb7").train) == 2
    assert len(find_task("007bbfb7", "arc-agi-1").train) == 5


def test_ids_may_have_a_number_sign_and_be_many(tmp_path):
    (tmp_path / "ids.txt").write_text("# solved by the oracle\ntask#1\n  # more\nabc # the second\n")
    assert parse_ids(str(tmp_path / "ids.txt"), "training") == ("task#1", "abc")
    many = ",".join(task.id for task in mini_tasks("training")[:9])
    chosen = choose_tasks(
        FakeModel(), ArcSettings(), mini_tasks("training"), "training", many, None, None
    )
    assert len(chosen.tasks) == 9, "too long for the name of a file"


def test_outputs_of_small_tasks_are_known():
    small = mini_tasks("evaluation")[3]
    assert known_tasks([small.id, "none"]) == [small]


def test_ids(tmp_path):
    assert parse_ids("b, a,,b", "all") == ("b", "a")
    assert parse_ids(str(write(tmp_path / "ids.txt", "a\n# c\n\nb # two\na\n")), "all") == ("a", "b")
    assert parse_ids(str(write(tmp_path / "ids.json", ["b", "a"])), "all") == ("b", "a")
    assert parse_ids(",".join(f"{i:08x}" for i in range(1000)), "all")[999] == "000003e7"
    for bad in ("", " , ", str(write(tmp_path / "empty.txt", "#\n")), str(tmp_path / "none.txt")):
        with pytest.raises(InputError):
            parse_ids(bad, "all")
    utf16 = tmp_path / "utf16.txt"
    utf16.write_bytes("# Ten of them.\na\n".encode("utf-16"))
    assert parse_ids(str(utf16), "all") == ("a",)
    assert _comments(utf16) == ["Ten of them."]
    for content in ("[1]", "[", '["a"'):
        with pytest.raises(InputError, match=r"x\.json"):
            parse_ids(str(write(tmp_path / "x.json", content)), "all")


def test_select(all_tasks):
    tasks = all_tasks[:50]
    ids = [tasks[7].id, tasks[3].id, tasks[7].id]
    assert select(tasks, ids) == [tasks[7], tasks[3]]
    assert select(tasks) == tasks
    with pytest.raises(InputError, match="no task has the id zzz"):
        select(tasks, ["zzz"])
    limit = sorted(task.prompt_cells for task in tasks)[9]
    small = select(tasks, None, [LengthFilter("max-cells", limit)])
    assert small == [task for task in tasks if task.prompt_cells <= limit]
    with pytest.raises(InputError, match="no task is left with max-cells=1"):
        select(tasks, None, [LengthFilter("max-cells", 1)])


def test_tokens_of_the_whole_prompt(all_tasks):
    def tokens(task):
        return longest_prompt(task, len, "compact")

    tasks = all_tasks[:40]
    wanted = [LengthFilter("max-tokens", 600), LengthFilter("max-cells", 400)]
    chosen = select(tasks, None, wanted, tokens)
    assert 0 < len(chosen) < len(tasks)
    assert chosen == [t for t in tasks if tokens(t) <= 600 and t.prompt_cells <= 400]
    with pytest.raises(InputError, match="--model"):
        select(tasks, None, wanted)
    # The longest of several queries counts, and every demonstration does.
    pairs = {"train": [PAIR], "test": [{"input": [[1]]}, {"input": [[1] * 9]}]}
    task = task_from_json("here", "x", pairs)
    one = task_from_json("here", "x", {**pairs, "test": pairs["test"][1:]})
    assert tokens(task) == tokens(one)
    assert tokens(task_from_json("here", "x", {**pairs, "train": [PAIR] * 2})) > tokens(task)


@pytest.mark.parametrize(
    "text",
    ["max-tokens", "max-tokens=", "max-tokens=x", "max-tokens=-1", "max-rows=3", "max-cells=\u0663"],
)
def test_filters_that_there_are_not(text):
    with pytest.raises(InputError, match="max-tokens=N or max-cells=N"):
        parse_filter(text)
    assert parse_filter("max-cells=300") == LengthFilter("max-cells", 300)
