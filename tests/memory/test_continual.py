"""Documents one after the other: matrices, what follows from them, and going on after a kill."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from selfedit import experiments
from selfedit.cli.app import app
from selfedit.domains.knowledge.domain import Knowledge
from selfedit.domains.knowledge.settings import LearnSettings
from selfedit.errors import InputError
from selfedit.memory.continual import ContinualSettings
from selfedit.memory.continual_result import Continual, Course, Learned
from selfedit.model.fake import FakeModel
from selfedit.release.continual import import_continual
from selfedit.store import Store
from selfedit.types import Query, Task

KINDS = ("single", "routed", "stack", "stack-anchored")
OILS = "thistle whale linseed poppy".split()
PLACES = "Orro Velm Hask Tarn".split()
INNER = LearnSettings.model_validate({"candidates": 1, "knowledge": {"restatements": 1}})


def tasks():
    return [
        Task(
            place.lower(),
            f"Lamps of {place}",
            f"The lamps of {place} burn {oil} oil.",
            (Query(f"What do the lamps of {place} burn?", (oil,)),),
        )
        for place, oil in zip(PLACES, OILS, strict=True)
    ]


def data_file(folder):
    data = [
        {
            "title": task.title,
            "context": task.context,
            "questions": [{"question": q.question, "answer": q.gold} for q in task.queries],
        }
        for task in tasks()
    ]
    (folder / "data.json").write_text(json.dumps(data), encoding="utf-8")
    return folder / "data.json"


def run(model, folder, kinds=KINDS):
    how = ContinualSettings(contexts=2, kinds=kinds, probe_every=0)
    with Store(folder / "store.sqlite") as store:
        domain = Knowledge(INNER.knowledge)
        found = experiments.continual(domain, tasks(), model, INNER, how, store, folder / "continual")
        return found.summary()


def test_every_kind_learns_what_comes_and_trainings_are_shared(tmp_path):
    model = FakeModel()
    found = run(model, tmp_path)
    assert (found["contexts"], found["sequences"], found["untouched"]["value"]) == (2, 2, 0.0)
    for kind in KINDS:
        own = found["kinds"][kind]
        assert own["matrix"] == [[0.0, 0.0], [1.0, None], [1.0, 1.0]]
        assert (own["right_after"]["value"], own["at_the_end"]["value"]) == (1.0, 1.0)
        assert len(own["seconds"]) == 2
    # The first document is one training for single and stack-anchored; stack has no anchor, and routed
    # is held by other texts.
    assert model.calls["train"] == 2 * (2 + 5)
    assert found["costs"]["in-context"]["tokens"] > found["costs"]["routed"]["tokens"]


def test_a_killed_experiment_goes_on_where_it_was(tmp_path, monkeypatch):
    model = FakeModel()
    original = FakeModel.train

    def once_more(self, *args, **options):
        if self.calls["train"] == 4:
            raise KeyboardInterrupt
        return original(self, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(FakeModel, "train", once_more)
        with pytest.raises(KeyboardInterrupt):
            run(model, tmp_path)
    found = run(model, tmp_path)
    assert model.calls["train"] == 14
    before = model.calls.copy()
    again = run(model, tmp_path)
    assert model.calls["train"] == before["train"]
    assert model.calls["sample"] == before["sample"]
    assert again["kinds"] == found["kinds"]


def test_what_follows_from_a_matrix():
    def course(rows):
        return Course(tuple(Learned(tuple(row), 1.0, 9, "", {}) for row in rows))

    courses = {
        "stack": [course([[1.0], [0.0, 0.5]]), course([[0.5], [0.5, 0.5]])],
        "routed": [course([[1.0], [1.0, 0.5]]), course([[0.5], [0.5, 1.0]])],
    }
    found = Continual("m", 2, ((0.0, 0.5), (0.5, 0.5)), courses, {}).summary()
    own = found["kinds"]["stack"]
    assert own["matrix"] == [[0.25, 0.5], [0.75, None], [0.25, 0.5]]
    assert own["right_after"]["value"] == pytest.approx((0.75 + 0.5) / 2)
    assert own["at_the_end"]["value"] == pytest.approx((0.25 + 0.5) / 2)
    assert own["end_minus_untouched"]["value"] == pytest.approx(0.0)
    (pair,) = found["pairs"]
    assert (pair["a"], pair["b"]) == ("routed", "stack")
    assert pair["verdict"] == "too few sequences (2) to tell routed from stack"
    assert pair["value"] == pytest.approx((0.5 + 0.25) / 2)


def test_the_recorded_matrix_stands_beside_it(tmp_path, shared_data):
    file = shared_data("recorded/continual_matrix.json")
    with Store(tmp_path / "store.sqlite") as store:
        number, result = import_continual(file, store)
        assert import_continual(file, store)[0] == number
    own = result["kinds"]["stack (recorded)"]
    assert round(result["untouched"]["value"], 3) == 0.307
    assert round(own["right_after"]["value"], 3) == 0.415
    assert round(own["at_the_end"]["value"], 3) == 0.247
    found = run(FakeModel(), tmp_path, ("routed",))
    assert found["recorded"]["kinds"] == result["kinds"]


def test_another_file_is_no_matrix(tmp_path):
    (tmp_path / "a.json").write_text('{"mean_over_sequences": [[1]], "n_datapoints": 3}')
    with (
        Store(tmp_path / "store.sqlite") as store,
        pytest.raises(InputError, match="not a recorded continual matrix"),
    ):
        import_continual(tmp_path / "a.json", store)


def test_the_command_prints_a_report_and_draws(tmp_path):
    words = f"eval continual --model fake --library {tmp_path / 'lib'} --data {data_file(tmp_path)} "
    words += f"--contexts 2 --sequences 2 --probe-every 0 --plot {tmp_path / 'map.svg'}"
    done = CliRunner().invoke(app, words.split())
    assert done.exit_code == 0, f"{done.output}\n{done.exception!r}"
    assert "at the end" in done.output
    assert "documents learned so far" in (tmp_path / "map.svg").read_text(encoding="utf-8")
    page = CliRunner().invoke(app, ["report", "1", "--library", str(tmp_path / "lib")])
    assert page.exit_code == 0, page.output
    assert "of the processor, all threads together" in " ".join(page.output.split())
    wrong = CliRunner().invoke(app, [*words.split(), "--memory", "heap"])
    assert isinstance(wrong.exception, InputError)


@pytest.mark.parametrize("words", ["continual --contexts 2 --sequences 2 --probe-every 0", "many"])
def test_the_command_prints_its_own_run_whatever_was_recorded_meanwhile(tmp_path, monkeypatch, words):
    name, *rest = words.split()
    rest += [] if rest else ["--contexts", "2"]
    original = getattr(experiments, name)

    def overtaken(*args, **options):
        found = original(*args, **options)
        store = args[5]
        store.finish_run(store.start_run("learn", "fake", "", {}, {}), "failed", error="another's")
        return found

    monkeypatch.setattr(experiments, name, overtaken)
    given = ["--model", "fake", "--library", str(tmp_path / "lib"), "--data", str(data_file(tmp_path))]
    done = CliRunner().invoke(app, ["eval", name, *given, *rest])
    assert done.exit_code == 0, f"{done.output}\n{done.exception!r}"
    assert "another's" not in done.output
    assert "routed" in done.output


@pytest.mark.parametrize("words", ["continual --contexts 2 --sequences 2", "many --contexts 2,4"])
def test_long_work_is_planned_and_asked_about(tmp_path, monkeypatch, words):
    monkeypatch.setattr("selfedit.console.plan.ASK_FROM", 0.0)
    given = f"--model fake --library {tmp_path / 'lib'} --data {data_file(tmp_path)}"
    asked = CliRunner().invoke(app, f"eval {words} {given}".split())
    assert "Plan: 4 contexts, " in asked.output
    assert isinstance(asked.exception, InputError)
    assert "--yes" in str(asked.exception)
    with Store(tmp_path / "lib" / "store.sqlite") as store:
        assert store.runs() == []
    agreed = CliRunner().invoke(app, f"eval {words} {given} --yes".split())
    assert agreed.exit_code == 0, f"{agreed.output}\n{agreed.exception!r}"
    assert "Plan: 4 contexts, " in agreed.output


def test_the_plan_counts_what_each_kind_trains(tmp_path):
    def planned(*kinds):
        found = []
        how = ContinualSettings(contexts=2, kinds=kinds, probe_every=0)
        domain = Knowledge(INNER.knowledge)

        def stop(plan):
            found.append(plan)
            return False

        with Store(tmp_path / "store.sqlite") as store, pytest.raises(InputError, match="stopped"):
            experiments.continual(
                domain, tasks(), FakeModel(), INNER, how, store, tmp_path / "a", confirm=stop
            )
        (plan,) = found
        return plan.passages, plan.trainings, plan.tokens

    _, trainings, tokens = planned("stack")
    assert trainings == 4
    # The second document of a sequence brings the first one with it.
    assert planned("single") == planned("stack-anchored")
    assert planned("single")[1] == 4
    assert planned("single")[2] > tokens
    assert planned("stack", "single")[:2] == (4, 8)
