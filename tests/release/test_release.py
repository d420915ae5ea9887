"""Recorded runs of the original: layouts, accuracies, selection, and what is stored."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

from selfedit.config import stable_hash
from selfedit.errors import InputError
from selfedit.release import import_release, read_release
from selfedit.store import Store
from tests.cli.test_cli import run

TRIALS, SELECTED = "recorded/round1_trials.json", "recorded/round1_selected.jsonl"


def prompt(title: str, context: str) -> str:
    return f"Let's read it.\n\nPassage:\n{title}\n{context}\n\nImplications:\n"


def question(rep: int, name: str, before: bool, after: bool) -> dict:
    return {
        "rep": rep,
        "question": name,
        "answer": f"gold {name}",
        "baseline_answer": "?",
        "adapter_answer": f"gold {name}" if after else "wrong",
        "baseline_correct": before,
        "adapter_correct": after,
    }


def completion(text: str, *reps: str) -> dict:
    """reps: a training each, a question each letter: (r)ight now, (b)oth times, (w)rong."""
    rows = [
        question(rep, f"q{i}", letter == "b", letter in "rb")
        for rep, letters in enumerate(reps)
        for i, letter in enumerate(letters)
    ]
    adapted = [round(sum(c in "rb" for c in rep) / len(rep), 4) for rep in reps]
    baseline = [round(rep.count("b") / len(rep), 4) for rep in reps]
    stats = {
        "baseline_mean": sum(baseline) / len(reps),
        "adapter_mean": sum(adapted) / len(reps),
        "gain_mean": (sum(adapted) - sum(baseline)) / len(reps),
    }
    return {"text": text, "stats": stats, "questions": rows}


def example() -> dict:
    """Two articles of 2 and 3 questions, two edits each, three trainings each."""
    articles = [
        ("One", "About one.", [completion("1a", "bw", "bw", "bw"), completion("1b", "br", "bw", "br")]),
        (
            "Two",
            "About two.",
            [completion("2a", "www", "wwr", "wrr"), completion("2b", "rww", "wrw", "wwr")],
        ),
    ]
    return {
        "overall": {"baseline_mean_accuracy": 0.25, "adapter_mean_accuracy": 0.5},
        "timestamp": "0101_000000",
        "eval_times": 3,
        "articles": [
            {"title": t, "context": c, "prompt": prompt(t, c), "completions": edits}
            for t, c, edits in articles
        ],
    }


def write(path: Path, value: object) -> Path:
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


@pytest.fixture
def load(tmp_path):
    def run_import(value: object, name: str = "run.json"):
        return import_release(write(tmp_path / name, value), tmp_path / "library")

    return run_import


def trials_of(folder: Path) -> list:
    with Store(folder / "library" / "store.sqlite") as store:
        return list(store.iter_trials())


def test_a_run_becomes_trials(load, tmp_path):
    result = load(example())
    assert (result.num_tasks, result.num_trials, result.num_new) == (2, 12, 12)
    assert result.baseline_accuracy == 0.25  # (0.5 + 0) / 2: each article weighs the same
    # One: (0.5 + 2.5/3) / 2; Two: both edits average 1/3
    assert result.adapted_accuracy == 0.5
    assert result.selected == ("1b", "2a")
    trials = trials_of(tmp_path)
    assert len(trials) == 12
    first = trials[3]
    assert first.task_id == stable_hash(["One", "About one."])
    assert (first.edit.index, first.edit.text, first.seed) == (1, "1b", 0)
    assert first.edit.prompts[0].text == prompt("One", "About one.")
    assert first.reward == 1.0
    assert first.score.answers[0].exact
    with Store(tmp_path / "library" / "store.sqlite") as store:
        (stored,) = store.runs()
    assert (stored.kind, stored.status) == ("import", "finished")
    assert stored.result["adapted_accuracy"] == 0.5
    assert [e["selected"] for e in stored.result["edits"]] == [False, True, True, False]


def test_the_shared_store_takes_the_place_of_the_librarys(load, tmp_path, monkeypatch):
    monkeypatch.setenv("SELFEDIT_STORE", str(tmp_path / "shared.sqlite"))
    load(example())
    assert not (tmp_path / "library" / "store.sqlite").exists()
    with Store(tmp_path / "shared.sqlite") as store:
        assert [run.kind for run in store.runs()] == ["import"]


def test_importing_twice_adds_nothing(load, tmp_path):
    first = load(example())
    (tmp_path / "copy.json").write_text(json.dumps(example(), indent=3), encoding="utf-8")
    again = import_release(tmp_path / "copy.json", tmp_path / "library")
    assert (again.num_new, again.run_id) == (0, first.run_id)
    assert again.selected == first.selected
    assert len(trials_of(tmp_path)) == 12
    changed = example()
    changed["articles"][0]["completions"][0]["text"] = "other"
    assert load(changed).num_new == 12  # another run
    assert len(trials_of(tmp_path)) == 24


def test_an_import_that_was_killed_goes_on(load, tmp_path):
    value = example()
    digest = read_release(write(tmp_path / "run.json", value)).digest
    (tmp_path / "library").mkdir()
    with Store(tmp_path / "library" / "store.sqlite") as store:
        begun = store.start_run("import", "recorded", "", {}, {"digest": digest})
    assert load(value).run_id == begun


def stripped(change) -> dict:
    value = copy.deepcopy(example())
    for article in value["articles"]:
        for edit in article["completions"]:
            change(value, article, edit)
    return value


def no_questions(_, __, edit):
    del edit["questions"]


def empty_questions(_, __, edit):
    edit["questions"] = []


def ungraded_questions(_, __, edit):
    edit["questions"] = [{"question": "q", "answer": "a"}]


@pytest.mark.parametrize("change", [no_questions, empty_questions, ungraded_questions])
def test_without_answers_the_recorded_means_stand(load, tmp_path, change):
    result = load(stripped(change))
    assert (result.baseline_accuracy, result.adapted_accuracy) == (0.25, 0.5)
    assert (result.num_tasks, result.num_trials) == (2, 12)
    # 0, 0.3333, 0.6667 is 0.33333 on the mean; three times 0.3333 is less.
    assert result.selected == ("1b", "2a")
    assert any("no answers are recorded for 4 of 4" in note for note in result.notes)
    trials = trials_of(tmp_path)
    assert trials[0].reward is None
    assert trials[0].reason == "no answers are recorded; mean accuracy of 3 trainings: 0.5000"


def no_reps(_, __, edit):
    for row in edit["questions"]:
        del row["rep"]


def no_reps_and_no_count(value, article, edit):
    no_reps(value, article, edit)
    value.pop("eval_times", None)


def no_stats(_, __, edit):
    del edit["stats"]


def lists_by_training(_, __, edit):
    rows = edit["questions"]
    edit["questions"] = [[r for r in rows if r["rep"] == rep] for rep in range(3)]
    for row in rows:
        del row["rep"]


def trainings_with_their_own(_, __, edit):
    rows = edit.pop("questions")
    edit["reps"] = [{"questions": [r for r in rows if r["rep"] == rep]} for rep in range(3)]
    del edit["stats"]


def other_names(value, article, edit):
    edit["implications"] = edit.pop("text").split("\n")
    edit["baseline_accuracy"] = edit["stats"]["baseline_mean"]
    edit["adapter_accuracy"] = edit.pop("stats")["adapter_mean"]
    edit["unknown"] = {"key": [1]}
    article["passage"] = article.pop("context", article.get("passage"))
    if "articles" in value:
        value["results"] = value.pop("articles")


def prompt_is_the_text(_, __, edit):
    edit["prompt"] = edit.pop("text")


def means_and_gains(_, __, edit):
    stats = edit["stats"]
    del stats["adapter_mean"]


@pytest.mark.parametrize(
    "change",
    [
        no_reps,
        no_reps_and_no_count,
        no_stats,
        lists_by_training,
        trainings_with_their_own,
        other_names,
        prompt_is_the_text,
        means_and_gains,
    ],
)
def test_variants_of_the_layout_say_the_same(load, tmp_path, change):
    result = load(stripped(change))
    assert (result.num_tasks, result.num_trials) == (2, 12)
    assert (result.baseline_accuracy, result.adapted_accuracy) == (0.25, 0.5)
    assert result.selected == ("1b", "2a")
    trials = trials_of(tmp_path)
    assert [t.seed for t in trials[:6]] == [0, 1, 2, 0, 1, 2]
    assert [round(t.reward, 3) for t in trials[6:]] == [0, 0.333, 0.667, 0.333, 0.333, 0.333]


def test_a_bare_list_of_articles(load):
    result = load(example()["articles"])
    assert (result.num_tasks, result.num_trials) == (2, 12)
    assert (result.baseline_accuracy, result.adapted_accuracy) == (0.25, 0.5)


@pytest.mark.parametrize("name", ["flat.json", "flat.jsonl"])
def test_a_flat_list_of_self_edits(tmp_path, name):
    value = example()
    flat = [
        {"title": a["title"], "context": a["context"], "prompt": a["prompt"], **edit}
        for a in value["articles"]
        for edit in a["completions"]
    ]
    text = json.dumps(flat) if name == "flat.json" else "\n".join(map(json.dumps, flat))
    (tmp_path / name).write_text(text, encoding="utf-8")
    result = import_release(tmp_path / name, tmp_path / "library")
    assert (result.num_tasks, result.num_trials) == (2, 12)
    assert (result.baseline_accuracy, result.adapted_accuracy) == (0.25, 0.5)
    assert result.selected == ("1b", "2a")
    assert trials_of(tmp_path)[0].edit.prompts[0].text == value["articles"][0]["prompt"]


def test_accuracies_by_training_without_answers(load):
    value = stripped(no_questions)
    for article in value["articles"]:
        for edit in article["completions"]:
            mean = edit.pop("stats")["adapter_mean"]
            edit["adapter_accuracies"] = [mean, mean]
    del value["eval_times"], value["overall"]
    result = load(value)
    assert (result.num_trials, result.adapted_accuracy, result.baseline_accuracy) == (8, 0.5, None)


def test_recorded_numbers_that_do_not_follow_are_named(load):
    value = example()
    value["overall"]["adapter_mean_accuracy"] = 0.7
    value["articles"][0]["stats"] = {"adapter_mean_accuracy": 0.1, "baseline_accuracy": 0.5}
    value["articles"][1]["completions"][1]["stats"]["adapter_mean"] = 0.9
    result = load(value)
    text = "\n".join(result.notes)
    assert "recorded adapted accuracy of 1 self-edits does not follow" in text
    assert "recorded adapted accuracy of 1 articles is not the mean" in text
    assert "the file says adapted accuracy 0.7000; its articles' mean is 0.6417" in text
    assert "baseline" not in text
    assert result.selected == ("1b", "2b")  # as recorded


def test_ties_by_rounding_are_named(load):
    value = example()
    value["articles"][1]["completions"].reverse()
    result = load(value)
    # 1/3, 1/3, 1/3 comes first, and loses to 0, 1/3, 2/3 by the release's rounding.
    assert result.selected == ("1b", "2a")
    assert any("1 articles (number 2)" in note and "rounding" in note for note in result.notes)
    assert not any("rounding" in note for note in load(example()).notes)


def test_a_run_with_the_proxy_reward_has_no_accuracies(load):
    value = stripped(empty_questions)
    value["reward_mode"] = "proxy"
    value["overall"] = {"baseline_mean_accuracy": 0.0, "adapter_mean_accuracy": 0.0}
    for article in value["articles"]:
        for place, edit in enumerate(article["completions"]):
            zero = {"baseline_mean": 0.0, "adapter_mean": 0.0, "gain_mean": 0.0}
            edit["stats"] = {**zero, "proxy_mean": 12.0 + place}
    result = load(value)
    assert (result.baseline_accuracy, result.adapted_accuracy) == (None, None)
    assert (result.proxy_score, result.selected) == (12.5, ("1b", "2b"))
    del value["reward_mode"]
    assert load(value).adapted_accuracy is None
    value["reward_mode"] = "ttt"
    for article in value["articles"]:
        for edit in article["completions"]:
            edit["stats"]["proxy_mean"] = 0.0
    assert load(value).adapted_accuracy == 0.0  # measured, and all wrong


def test_empty_edits_are_never_selected(load):
    value = example()
    for edit in value["articles"][0]["completions"]:
        edit["text"] = ""
    result = load(value)
    assert result.selected == ("2a",)
    assert result.num_trials == 12
    assert any("2 self-edits are empty" in note for note in result.notes)


def test_equal_texts_are_trials_of_their_own(load, tmp_path):
    def same_text(_, __, edit):
        edit["text"] = "the same"

    assert load(stripped(same_text)).num_new == 12
    assert len(trials_of(tmp_path)) == 12


def test_edits_that_are_not_scored_yet(load):
    value = [
        {"title": "T", "context": "C", "prompt": "p", "completions": ["a", "b"], "questions": [
            {"question": "q", "answer": "g"}]},
    ]  # fmt: skip
    result = load(value)
    assert (result.num_tasks, result.num_trials, result.layout) == (1, 2, "unscored")
    assert (result.baseline_accuracy, result.adapted_accuracy) == (None, None)
    assert result.selected == ()


def test_kept_edits(tmp_path):
    rows = [
        {"prompt": prompt("One", "About one.\n\nMore."), "completion": "1b"},
        {"prompt": "<|im_start|>user\nTwo\nAbout two.<|im_end|>\n", "completion": "2a"},
        {"prompt": "Passage:\nThree\nAbout three.\n\n", "completion": "3c"},
        {"prompt": "free text", "completion": "4"},
    ]
    path = tmp_path / "kept.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    result = import_release(path, tmp_path / "library")
    assert result.selected == ("1b", "2a", "3c", "4")
    assert (result.num_tasks, result.layout) == (4, "kept")
    tasks = [article.task for article in read_release(path).articles]
    assert [(t.title, t.context) for t in tasks] == [
        ("One", "About one.\n\nMore."),
        ("Two", "About two."),
        ("Three", "About three."),
        ("", "free text"),
    ]


@pytest.mark.parametrize("names", [("overall", "server_reply"), ("metrics", "per_question")])
def test_continued_pretraining_is_one_training(load, tmp_path, names):
    stats, answers = names
    value = {
        stats: {"baseline_accuracy": 0.25, "adapter_accuracy": 0.75},
        "n_articles": 3,
        "per_article": {"A": {"adapter_correct": [True]}},
        answers: {
            "baseline_texts": ["w", "x", "y", "z"],
            "adapter_texts": ["1", "2", "3", "4"],
            "baseline_correct": [True, False, False, False],
            "adapter_correct": [True, True, True, False],
        },
    }
    result = load(value)
    assert (result.num_tasks, result.num_trials, result.selected) == (3, 1, ())
    assert (result.baseline_accuracy, result.adapted_accuracy) == (0.25, 0.75)
    (trial,) = trials_of(tmp_path)
    assert trial.reward == 0.75
    # A baseline that was left out is not a baseline of zero.
    value[answers] |= {"baseline_texts": [""] * 4, "baseline_correct": [False] * 4}
    value[stats]["baseline_accuracy"] = 0.0
    assert load(value).baseline_accuracy is None
    value[answers] |= {"baseline_texts": None, "baseline_correct": None}
    value[stats]["baseline_accuracy"] = None
    assert load(value).baseline_accuracy is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense", r"run.json: invalid JSON .* expected a recorded run"),
        ("", r"run.json: invalid JSON"),
        ("3", r"holds a int"),
        ("[]", r"holds an empty list"),
        ("[1]", r"holds a list of something other"),
        ('{"training": []}', r'holds the keys "training"'),
        ('{"base": {"overall": {}}, "iter1": {"overall": {}}}',
         r"summaries of 2 runs .*base, iter1.* no self-edits to import"),
        ('{"mean_over_sequences": []}', r"matrix of a continual run"),
        ('{"articles": [{"title": "t", "context": "c", "completions": [{"x": 1}]}]}',
         r'article 1, completion 1: no "text"'),
        ('[{"title": "t", "context": "c", "questions": []}]', r'article 1, completion 1: no "text"'),
        ('[{"completion": "c"}]', r'article 1: no "context" and no "prompt"'),
        ('[{"context": "c", "completion": "c", "adapter_mean": 40.2}]', r"40.2; an accuracy is"),
        ('[{"context": "c", "completion": "c", "adapter_mean": "x"}]', r"'x' is not a number"),
        ('[{"context": "c", "completion": "c", "gain": NaN}]', r"nan is not a number that can be"),
        ('[{"context": "c", "completion": "c", "gain": 1' + 400 * "0" + "}]", r"1000\d+ is not a"),
        ('[{"context": "c", "completion": "c", "questions": [{"adapter_correct": "si"}]}]',
         r"question 1: a verdict is true or false"),
        ('{"a": 1}\n{"a": ', r"run.json, line 2: invalid JSON"),
        ('{"articles": [{"context": "c", "completions": ["c"]}], "overall": '
         '{"adapter_mean_accuracy": Infinity}}', r"adapter_mean_accuracy|inf is not a number"),
        ('[{"context": "c", "completion": "c", "questions": [{"adapter_correct": true, "rep": 1'
         + 20 * "0" + "}]}]", r"number of a training is too large"),
        ('{"server_reply": {"adapter_correct": [true], "adapter_texts": {"a": 1}}}',
         r'"adapter_texts" is no list'),
        ('{"server_reply": {"adapter_correct": [true], "baseline_correct": 5}}',
         r'"baseline_correct" is no list'),
    ],
)  # fmt: skip
def test_what_is_no_recorded_run(tmp_path, text, message):
    path = tmp_path / "run.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        import_release(path, tmp_path / "library")
    assert not (tmp_path / "library").exists()


def test_the_command(tmp_path):
    path = write(tmp_path / "run.json", example())
    args = ["import", "release", path, "--library", tmp_path / "library"]
    done = run(*args, "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["num_tasks"] == 2
    assert result["selected"] == ["1b", "2a"]
    shown = run(*args)
    assert "adapted accuracy  50.00%" in shown.stdout
    assert "nothing new" in shown.stdout
    wrong = run("import", "release", tmp_path / "no.json", "--json")
    assert wrong.returncode == 1
    assert "no such file" in wrong.stderr
    assert not wrong.stdout


# -- the original's own ----------------------------------------------------------------------------


def test_round_1_of_the_original(tmp_path, shared_data):
    path = shared_data(TRIALS)
    result = import_release(path, tmp_path / "library")
    assert (result.num_tasks, result.num_trials) == (50, 750)
    overall = json.loads(path.read_text(encoding="utf-8"))["overall"]
    assert result.baseline_accuracy == overall["baseline_mean_accuracy"] == 0.3187
    assert result.adapted_accuracy == overall["adapter_mean_accuracy"] == 0.4018
    lines = shared_data(SELECTED).read_text(encoding="utf-8").splitlines()
    assert list(result.selected) == [json.loads(line)["completion"] for line in lines]
    assert len(result.notes) == 1
    assert "2 articles (number 15, 25)" in result.notes[0]


@pytest.mark.parametrize("without", ["stats", "questions"])
def test_round_1_by_its_answers_or_by_its_means_alone(tmp_path, without, shared_data):
    whole = import_release(shared_data(TRIALS), tmp_path / "a")
    value = json.loads(shared_data(TRIALS).read_text(encoding="utf-8"))
    for article in value["articles"]:
        article.pop("stats")
        for edit in article["completions"]:
            del edit[without]
    result = import_release(write(tmp_path / "run.json", value), tmp_path / "b")
    assert result.selected == whole.selected
    assert result.num_trials == 750
    assert (result.baseline_accuracy, result.adapted_accuracy) == (0.3187, 0.4018)


def test_the_kept_edits_belong_to_the_same_tasks(shared_data):
    runs = [read_release(shared_data(name)) for name in (TRIALS, SELECTED)]
    ids = [[article.task.id for article in one.articles] for one in runs]
    assert ids[0] == ids[1]
