"""Many passages at once: who answers what, and that no adapter is trained that no question meets."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from selfedit import experiments
from selfedit.cli.app import app
from selfedit.domains.knowledge.domain import Knowledge
from selfedit.domains.knowledge.settings import LearnSettings
from selfedit.errors import InputError
from selfedit.memory.many import WAYS, ManySettings
from selfedit.model.fake import FakeModel
from selfedit.store import Store
from selfedit.types import Query, Task

OILS = "thistle whale linseed poppy walnut almond".split()
PLACES = "Orro Velm Hask Tarn Brenna Quillon".split()
INNER = LearnSettings.model_validate({"candidates": 1, "knowledge": {"restatements": 1}})


def tasks():
    return [
        Task(
            place.lower(),
            f"Lamps of {place}",
            f"The lamps of {place} burn {oil} oil.",
            # Small letters show no names: the other lamps are found, too.
            (Query(f"What do the lamps of {place.lower()} burn?", (oil,)),),
        )
        for place, oil in zip(PLACES, OILS, strict=True)
    ]


def run(model, folder, **how):
    with Store(folder / "store.sqlite") as store:
        found = experiments.many(
            Knowledge(INNER.knowledge), tasks(), model, INNER, ManySettings(**how), store, folder / "a"
        )
        return found.summary()


def test_every_way_answers_and_says_what_it_costs(tmp_path):
    model = FakeModel()
    found = run(model, tmp_path, counts=(2, 6), ways=WAYS)
    small, large = found["libraries"]
    assert (small["passages"], large["passages"], large["asked"]) == (2, 6, 6)
    for own in found["libraries"]:
        accuracy = {way: row["accuracy"]["value"] for way, row in own["ways"].items()}
        assert accuracy.pop("base") == 0.0
        assert set(accuracy.values()) == {1.0}
        assert own["router"] == {"right": 1.0, "among": 1.0, "bare": 0.0, "wrong": 0.0}
    ways = large["ways"]
    assert ways["in-context"]["tokens"] > ways["routed"]["tokens"] == ways["cpt"]["tokens"]
    assert ways["retrieval"]["tokens"] > ways["in-context"]["tokens"]
    assert [ways[way]["trainings"] for way in ("base", "own", "routed", "cpt")] == [0, 6, 6, 1]
    # One for each passage, and of each library one by each way to train all together.
    assert model.calls["train"] == 6 + 2 * 2
    pairs = {pair["way"]: pair["value"] for pair in large["against_routed"]}
    assert (pairs["own"], pairs["base"]) == (0.0, 1.0)
    before = model.calls.copy()
    assert run(model, tmp_path, counts=(2, 6), ways=WAYS) == found
    assert model.calls["train"] == before["train"]
    assert model.calls["sample"] == before["sample"]


def test_the_plan_counts_what_each_way_trains(tmp_path):
    def planned(*ways, asked=None):
        found = []
        how = ManySettings((2, 6), ways, asked)

        def agreed(plan):
            found.append((plan.passages, plan.trainings))
            return True

        with Store(tmp_path / "store.sqlite") as store:
            domain = Knowledge(INNER.knowledge)
            experiments.many(
                domain, tasks(), FakeModel(), INNER, how, store, tmp_path / "a", confirm=agreed
            )
        return found

    assert planned("own", "routed", "cpt") == [(6, 8)]
    assert planned("own", asked=2) == [(6, 2)]
    assert planned("in-context") == [], "nothing is trained"


def test_adapters_that_no_question_meets_are_not_trained(tmp_path):
    model = FakeModel()
    found = run(model, tmp_path, counts=(6,), ways=("own", "routed"), asked=2)
    assert model.calls["train"] == 2
    (own,) = found["libraries"]
    assert (own["passages"], own["asked"]) == (6, 2)
    assert own["ways"]["routed"]["accuracy"]["value"] == 1.0


def test_the_command_prints_a_table(tmp_path):
    data = [
        {
            "title": task.title,
            "context": task.context,
            "questions": [{"question": q.question, "answer": q.gold} for q in task.queries],
        }
        for task in tasks()
    ]
    (tmp_path / "data.json").write_text(json.dumps(data), encoding="utf-8")
    words = f"eval many --model fake --library {tmp_path / 'lib'} --data {tmp_path / 'data.json'}"
    plot = tmp_path / "many.svg"
    done = CliRunner().invoke(app, [*words.split(), "--contexts", "2,3", "--plot", str(plot)])
    assert done.exit_code == 0, f"{done.output}\n{done.exception!r}"
    assert "3 passages in memory" in done.output
    html = ["--html", str(tmp_path / "page.html")]
    page = CliRunner().invoke(app, ["report", "1", "--library", str(tmp_path / "lib")])
    assert "retrieval" in page.output
    assert "of the processor, all threads together" in " ".join(page.output.split())
    CliRunner().invoke(app, ["report", "1", "--library", str(tmp_path / "lib"), *html])
    assert "Accuracy by passages in memory: " in (tmp_path / "page.html").read_text()
    assert "passages in memory" in plot.read_text()
    wrongs = (["--contexts", "two"], ["--ways", "all"], ["--router", "dice"], ["--plot", "x.doc"])
    for wrong in wrongs:
        failed = CliRunner().invoke(app, [*words.split(), *wrong])
        assert isinstance(failed.exception, InputError), wrong
