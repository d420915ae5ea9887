"""Reports of stored runs: rounds, the edits of one context over them, imports, what went wrong."""

from __future__ import annotations

import dataclasses
import io
import json
from functools import partial
from pathlib import Path

import pytest
from rich.console import Console

from selfedit.algorithms.rest_em import ReSTEM
from selfedit.domains.knowledge import Knowledge
from selfedit.domains.knowledge.settings import KnowledgeOuterSettings, KnowledgeSettings, LearnSettings
from selfedit.errors import InputError, SelfEditError, StoreError
from selfedit.loops.outer import OuterRun
from selfedit.loops.policies import Policies
from selfedit.loops.rewards import TrueReward
from selfedit.loops.rounds import RoundRecord, put_round, stored_groups, stored_rounds
from selfedit.model.fake import FakeModel, load_fake
from selfedit.release import import_release
from selfedit.report.run_report import run_report
from selfedit.report.runs import find_run, listing
from selfedit.runners.local import LocalRunner
from selfedit.show.html import render_page
from selfedit.show.markdown import page_markdown
from selfedit.show.page import Page, Passage, Section, SideBySide, Table
from selfedit.show.page_terminal import print_page
from selfedit.store import Store
from selfedit.types import (
    Candidate,
    GradedAnswer,
    Group,
    Query,
    Score,
    SelfEdit,
    Task,
    Trial,
)

# Lines that Markdown would make a heading, lists and a rule of.
LINES = "A passage\n===\n- one\n1. two\n+ three\n---"
NASTY = "<script>alert(1)</script> [bold]x[/bold] | `y` \x1b[31m {{ 7*7 }}"


def task(i: int, more: str = "") -> Task:
    stone = Query(f"Which stone is tower number{i} made of?", (f"stone{i}",))
    mason = Query(f"Who built tower number{i}?", (f"mason{i}",))
    text = f"The tower number{i} is made of stone{i}. The tower number{i} stands in field{i}.{more}"
    return Task(f"id{i:06}", f"Tower {i}", text, (stone, mason))


def settings(rounds=3, contexts=2) -> KnowledgeOuterSettings:
    inner = LearnSettings(knowledge=KnowledgeSettings(restatements=1), candidates=2, seeds=2)
    return KnowledgeOuterSettings(inner=inner, rounds=rounds, contexts=contexts)


def outer(store: Store, folder: Path, tasks, given: KnowledgeOuterSettings, **options) -> OuterRun:
    domain = Knowledge(given.inner.knowledge)
    algorithm = ReSTEM(given.rule, given.margin, given.policy, given.seed)
    policies = Policies(FakeModel(), load_fake)
    runner = partial(LocalRunner, policies, store)
    return OuterRun(
        policies, domain, algorithm, TrueReward(), runner, tasks, store, folder, given, **options
    )


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "store.sqlite") as opened:
        yield opened


def shown(page: Page, width: int = 120) -> str:
    console = Console(file=io.StringIO(), width=width)
    print_page(page, console)
    return console.file.getvalue()


def block(page: Page, kind: type):
    return next(b for section in page.sections for b in section.blocks if isinstance(b, kind))


def test_a_context_over_the_rounds_side_by_side(store, tmp_path):
    """Three tasks, two a round, three rounds: each is in two of them."""
    run = outer(store, tmp_path, [task(i) for i in range(3)], settings())
    records = run.run()
    found = run_report(store, find_run(store, "latest"))
    assert [len(c["rounds"]) for c in found.values["contexts"]] == [2, 2, 2]
    first = run.sample(1)[0]
    assert found.values["context"]["id"] == first.id  # the first sampled among those
    rounds = [r.number for r in records if first.id in [t.id for t in run.sample(r.number)]]
    side = block(found.page, SideBySide)
    assert [column.heading for column in side.columns] == [f"Round {n}" for n in rounds]
    for column, own in zip(side.columns, found.values["context_rounds"], strict=True):
        assert [e.text for e in column.entries] == [e["text"] for e in own["edits"]]
        selected = [e["text"] for e in own["edits"] if e["selected"]]
        assert len(selected) == 1
        assert selected[0] in records[own["round"] - 1].selected
        assert own["edits"][0]["rewards"] == [0.5, 0.5]  # one of its two questions, by both seeds
        assert column.entries[0].line == "50% (+50 points); by seed: 50%, 50%; right: question 1"
        assert [e.tag for e in column.entries].count("selected") == 1
    for text in (shown(found.page), page_markdown(found.page), render_page(found.page)):
        assert first.context in " ".join(text.split())
        assert "stone" in text
        assert "not selected" in text


def test_the_trials_of_a_round_are_found_whichever_call_made_them(store, tmp_path):
    """A second run with more rounds makes no new trials in the first, and names them all the same."""
    tasks = [task(i) for i in range(2)]
    outer(store, tmp_path, tasks, settings(rounds=1)).run()
    second = outer(store, tmp_path, tasks, settings(rounds=2))
    second.run()
    (record, _) = stored_rounds(store, second.key, 2)
    groups = stored_groups(store, second.key, record)
    keys = [key for group in groups for one in group.candidates for key in one.trials]
    assert len(keys) == 2 * 2 * 2
    assert len(store.trials(keys)) == len(set(keys))


def test_choosing_a_context(store, tmp_path):
    tasks = [dataclasses.replace(task(i), title="Same" if i < 2 else f"Other {i}") for i in range(4)]
    outer(store, tmp_path, tasks, settings(rounds=2)).run()
    run = find_run(store, "latest")

    def chosen(name: str) -> str:
        return run_report(store, run, name).values["context"]["id"]

    assert chosen("id000001") == "id000001"
    assert chosen("other 3") == chosen("er 3") == "id000003"
    with pytest.raises(InputError, match=r"2 contexts fit.*id00000[01]"):
        chosen("same")
    with pytest.raises(InputError, match="no context"):
        chosen("Elsewhere")
    once = run_report(store, run, "id000002")
    assert len(block(once.page, SideBySide).columns) == 1
    assert "one round only" in page_markdown(once.page)


LEARNED = {
    "accuracy_before": 0.0, "accuracy_after": 1.0, "num_questions": 6, "held_out": False,
    "version": 1, "committed": True, "reason": "",
}  # fmt: skip


def learned(store: Store, trials=(), **given) -> str:
    """The report of a `learn` run with these trials."""
    run = store.start_run("learn", "fake", "0", given, {})
    store.put_trials(run, trials)
    store.finish_run(run, "finished", LEARNED)
    return page_markdown(run_report(store, store.run(run)).page)


def test_what_the_questions_of_a_learn_run_were_for(store):
    """Of a single candidate there is nothing to choose."""
    assert "6 questions, none of which chose anything" in learned(store, candidates=1)
    assert "6 questions, not held out: also used to choose the self-edits" in learned(
        store, candidates=2
    )


def test_a_finalist_of_a_heat_is_shown_as_it_was_trained_in_full(store):
    """Its heat is another trial of the same edit, and no second seed."""

    def trial(key: str, index: int, right: int, seed: int = 0) -> Trial:
        answers = tuple(GradedAnswer("q", "g", "a", n < right, n < right) for n in range(4))
        return Trial(
            key, "t", SelfEdit("t", index, (), (f"e{index}",)), seed, "scored", "", Score(answers)
        )

    heat = [trial("h0", 0, 1), trial("h1", 1, 0)]
    told = learned(store, [*heat, trial("f0", 0, 4)], candidates=2)
    assert "100%" in told.partition("Edit 1")[2].partition("Edit 2")[0]
    assert "62.5%" not in told
    seeds = learned(store, [trial("s0", 0, 1), trial("s1", 0, 4, seed=1)], candidates=1)
    assert "62.5%" in seeds


def test_edits_without_a_reward_say_why(store, tmp_path):
    """Texts with NaN in them make the fake model's training fail."""
    outer(store, tmp_path, [task(0, " The NaN is here."), task(1)], settings(rounds=1)).run()
    found = run_report(store, find_run(store, "latest"), "id000000")
    entry = block(found.page, SideBySide).columns[0].entries[0]
    assert (entry.tag, entry.line, entry.look) == ("failed", "no reward", "bad")
    assert "not finite" in entry.reason


def test_of_equal_edits_the_first_is_the_selected_one(store):
    edit = SelfEdit("id", 0, (), ("text",))
    group = Group(task(0), 0.0, (Candidate(edit, (1.0,)), Candidate(edit, (1.0,))))
    record = RoundRecord(1, "p", True, 1, 2, 0, 0.0, 1.0, 1.0, ("text",), (), 1.0)
    put_round(store, "key", record, [group], [edit])
    (read,) = stored_groups(store, "key", record)
    assert read.kept == (0,)


class _Rated:
    """A reward that trains nothing: the second edit of a task is rated best, the first is invalid."""

    def digest(self):
        return "rated"

    def over(self, runner):
        return self

    def run(self, policy, domain, proposals, settings, progress):
        return [
            Group(
                own.task,
                0.0,
                (
                    Candidate(own.edits[0], (None,), "invalid", "holds nothing"),
                    Candidate(own.edits[1], (0.75,)),
                ),
            )
            for own in proposals
        ]


def test_ratings_are_not_compared_with_accuracies(store, tmp_path):
    rated = settings(rounds=1).model_copy(update={"reward": "proxy"})
    run = outer(store, tmp_path, [task(0), task(1)], rated)
    run.reward = _Rated()
    run.run()
    page = run_report(store, find_run(store, "latest")).page
    first, second = block(page, SideBySide).columns[0].entries
    assert (first.tag, first.line, first.reason) == ("invalid", "no reward", "holds nothing")
    assert (second.tag, second.line) == ("selected", "75%")
    assert block(page, Table).rows[0][5] == "—"
    assert "do not compare" in page_markdown(page)


def test_what_models_write_is_no_markup(store, tmp_path):
    hostile = dataclasses.replace(task(0), title=NASTY, context=f"The tower is tin. {NASTY}")
    outer(store, tmp_path, [hostile, task(1)], settings(rounds=1)).run()
    page = run_report(store, find_run(store, "latest"), hostile.id).page
    html = render_page(page)
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert "http://" not in html.replace("http://www.w3.org", "")
    text = page_markdown(page)
    assert "<script" not in text.replace("\\<script", "")
    assert "\x1b" not in html + text + shown(page)
    assert "[bold]x[/bold]" in shown(page, 400)


def test_lines_of_a_passage_stay_lines_in_markdown():
    page = Page("", "", (), "", "", (Section("s", (Passage(LINES),)),))
    quoted = [line.removeprefix("> ") for line in page_markdown(page).splitlines() if line[:1] == ">"]
    assert quoted == ["A passage", "\\===", "\\- one", "1\\. two", "\\+ three", "\\---"]


class _Stops(Exception):
    pass


class _Killed(BaseException):
    """As if the process had ended there."""


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (SelfEditError("the disk is full"), "This run failed: the disk is full"),
        (KeyboardInterrupt(), "This run is interrupted"),
        (_Stops("by itself"), "This run failed: _Stops: by itself"),
        (_Killed(), "going on"),  # as long as its process is there
    ],
)
def test_a_run_without_an_end_shows_what_is_there(store, tmp_path, error, said):
    def on_round(record):
        raise error

    run = outer(store, tmp_path, [task(0), task(1)], settings(rounds=2), on_round=on_round)
    with pytest.raises(type(error)):
        run.run()
    record = find_run(store, "latest")
    found = run_report(store, record)
    text = " ".join(shown(found.page).split())
    assert said in text
    assert "1 of 2 rounds are finished" in text
    assert "scored" in text
    assert len(found.values["rounds"]) == 1
    (row,) = listing(store, [record])
    assert "1 of 2 rounds" in row[-1]
    assert found.values["status"] != "finished"


def test_finding_runs(store):
    with pytest.raises(InputError, match="no run yet"):
        find_run(store, "latest")
    number = store.start_run("other", "m", "r", {"a": 1}, {})
    store.finish_run(number, "finished", {"numbers": {"one": 1}})
    assert find_run(store, str(number)) == find_run(store, "latest")
    assert "numbers.one" in shown(run_report(store, find_run(store, "latest")).page)
    with pytest.raises(StoreError, match="no run 77"):
        find_run(store, "77")
    for name in ("-1", "٣", "1e3", "x", "9" * 30, "9" * 5000):
        with pytest.raises(InputError, match="by its number"):
            find_run(store, name)
    with pytest.raises(InputError, match="--context"):
        run_report(store, find_run(store, "latest"), "x")


def _recorded(path: Path) -> Path:
    """Two articles; the second has one edit, of which no answers are recorded."""

    def edit(text, before, after, questions):
        stats = {"baseline_mean": before, "adapter_mean": after}
        asked = [
            {"rep": rep, "question": q, "gold": "g", "baseline_correct": False,
             "adapter_answer": "a", "adapter_correct": right}
            for rep, q, right in questions
        ]  # fmt: skip
        return {"text": text, "stats": stats, "questions": asked}

    half = [(0, "q", True), (0, "r", False), (1, "q", True), (1, "r", False)]
    none = [(0, "q", False), (0, "r", False), (1, "q", False), (1, "r", False)]
    first = [edit("good", 0.0, 0.5, half), edit("bad", 0.0, 0.0, none)]
    articles = [
        {"title": "A", "context": "First.", "prompt": "", "completions": first},
        {"title": "B", "context": "Second.", "prompt": "", "completions": [edit("x", 0.5, 1.0, [])]},
    ]
    path.write_text(json.dumps({"articles": articles}), encoding="utf-8")
    return path


def test_an_import_is_averaged_over_articles(tmp_path):
    result = import_release(_recorded(tmp_path / "run.json"), tmp_path)
    with Store(tmp_path / "store.sqlite") as store:
        found = run_report(store, find_run(store, str(result.run_id)), "A")
    # articles: 0 -> (0.5 + 0) / 2, and 0.5 -> 1
    assert found.values["baseline_accuracy"] == pytest.approx(0.25)
    assert found.values["adapted_accuracy"] == pytest.approx(0.625)
    assert found.values["adapted_from_answers"] == pytest.approx(0.25)  # of the first alone
    accuracies = block(found.page, Table)
    assert [row[-1] for row in accuracies.rows] == ["2", "2", "1", "2"]  # articles
    column = block(found.page, SideBySide).columns[0]
    assert [(e.text, e.tag) for e in column.entries] == [("good", "selected"), ("bad", "not selected")]
    assert "62.50%" in shown(found.page)


def test_the_recorded_round_gives_its_recorded_summaries(tmp_path, shared_data):
    import_release(shared_data("recorded/round1_trials.json"), tmp_path)
    with Store(tmp_path / "store.sqlite") as store:
        found = run_report(store, find_run(store, "latest"))
    assert round(found.values["baseline_accuracy"], 4) == 0.3187
    assert round(found.values["adapted_accuracy"], 4) == 0.4018
    assert round(found.values["adapted_from_answers"], 4) == 0.4018
    for text in (shown(found.page), page_markdown(found.page), render_page(found.page)):
        assert "31.87%" in text
        assert "40.18%" in text
    assert len(block(found.page, SideBySide).columns[0].entries) == 5
