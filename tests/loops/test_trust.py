"""What earlier runs tell about a run's rewards; the frozen learner; another reward as another run."""

from __future__ import annotations

import pytest

from selfedit.config import MeasureSettings
from selfedit.grading.reliability import reliability
from selfedit.loops.trust import earlier, rewards_of, said
from selfedit.model.fake import FakeModel
from selfedit.types import Candidate, Group, SelfEdit, Task
from tests.loops.test_outer import SETTINGS, TASKS, outer


def inner(settings, **changes):
    return settings.model_copy(update={"inner": settings.inner.model_copy(update=changes)})


def test_earlier_rounds_are_counted_once_and_only_if_they_compare(tmp_path):
    settings = SETTINGS.model_copy(update={"rounds": 1})
    run = outer(tmp_path, settings=settings)
    assert earlier(run.store, "fake", "knowledge", settings).edits == 0
    run.run()
    outer(tmp_path, settings=settings).run()  # the same again: nothing new
    more = inner(settings, seeds=7, candidates=9)
    assert earlier(run.store, "fake", "knowledge", more).edits == 4
    assert earlier(run.store, "other", "knowledge", more).edits == 0
    assert earlier(run.store, "fake", "spelling", more).edits == 0  # a domain with the same settings
    likely = inner(settings, measure=MeasureSettings(kind="likelihood"))
    assert earlier(run.store, "fake", "knowledge", likely).edits == 0
    outer(tmp_path, settings=likely).run()
    assert earlier(run.store, "fake", "knowledge", likely).edits == 4
    assert earlier(run.store, "fake", "knowledge", likely, "cloze").edits == 0
    outer(tmp_path, settings=settings, tasks=TASKS[:1], questions="cloze").run()
    assert earlier(run.store, "fake", "knowledge", settings, "cloze").edits > 0


def test_what_a_reward_does_not_depend_on_may_differ(tmp_path):
    settings = SETTINGS.model_copy(update={"rounds": 1})
    run = outer(tmp_path, settings=inner(settings, measure=MeasureSettings(place="short", samples=9)))
    run.run()
    assert earlier(run.store, "fake", "knowledge", settings).edits == 4
    likely = inner(settings, measure=MeasureSettings(kind="likelihood", place="short"))
    outer(tmp_path, settings=likely).run()
    assert earlier(run.store, "fake", "knowledge", likely).edits == 4
    elsewhere = inner(settings, measure=MeasureSettings(kind="likelihood", place="own"))
    assert earlier(run.store, "fake", "knowledge", elsewhere).edits == 0


def test_edits_that_say_the_same_count_once():
    edit = SelfEdit("a", 0, (), ())
    one, two = (Candidate(edit, (0.2 * n, 0.3), trials=(f"{n}-0", f"{n}-1")) for n in (1, 2))
    rated = Candidate(edit, (0.5,))  # without a trial
    group = Group(Task("a", "a", ""), 0.0, (one, two, one, rated, rated, two))
    assert rewards_of([group]) == [[[0.2, 0.3], [0.4, 0.3], [0.5], [0.5]]]


def test_a_run_of_before_a_setting_was_added_compares_while_it_is_off(tmp_path):
    settings = SETTINGS.model_copy(update={"rounds": 1})
    run = outer(tmp_path, settings=settings)
    run.run()

    def former(limit):
        """As it was stored before there was another reward than accuracy, and directed edits."""
        runs = list(type(run.store).runs(run.store, limit))
        for one in runs:
            del one.settings["learner"], one.settings["inner"]["measure"]
            del one.settings["inner"]["train"]["order"]
            del one.settings["inner"]["knowledge"]["directives"]
        return runs

    store = _Former(run.store, former)
    assert earlier(store, "fake", "knowledge", settings).edits == 4
    likely = inner(settings, measure=MeasureSettings(kind="likelihood"))
    assert earlier(store, "fake", "knowledge", likely).edits == 0
    epochs = settings.inner.train.model_copy(update={"epochs": 1, "order": "common"})
    assert earlier(store, "fake", "knowledge", inner(settings, train=epochs)).edits == 0


class _Former:
    def __init__(self, store, runs) -> None:
        self._store, self.runs = store, runs

    def __getattr__(self, name: str):
        return getattr(self._store, name)


def test_trials_of_a_run_that_was_killed_count(tmp_path):
    settings = SETTINGS.model_copy(update={"rounds": 1})

    class Killed(Exception):
        pass

    class Broken:
        identity = "broken"

        def improve(self, *args):
            raise Killed

    for _ in range(2):  # the second finds every trial there, and stores none
        run = outer(tmp_path, settings=settings, algorithm=Broken())
        with pytest.raises(Killed):
            run.run()
        assert earlier(run.store, "fake", "knowledge", settings).edits == 4


def test_trials_that_two_runs_share_count_once(tmp_path):
    settings = SETTINGS.model_copy(update={"rounds": 1})
    run = outer(tmp_path, settings=settings)
    run.run()
    outer(tmp_path, settings=settings.model_copy(update={"rule": "best"})).run()
    assert len({one.inputs["key"] for one in run.store.runs(None)}) == 2
    found = earlier(run.store, "fake", "knowledge", settings)
    assert (found.contexts, found.edits) == (2, 4)


def test_a_long_run_of_one_seed_does_not_hide_a_short_one_of_two(tmp_path):
    """As `said` advises: a few contexts with two seeds, then all with one."""
    settings = SETTINGS.model_copy(update={"rounds": 1})
    run = outer(tmp_path, settings=settings)
    run.run()
    found = earlier(run.store, "fake", "knowledge", settings)
    one_seed = inner(settings, seeds=1)
    outer(tmp_path, settings=one_seed).run()
    assert settings.inner.seeds > 1
    assert earlier(run.store, "fake", "knowledge", one_seed) == found


def test_what_the_plan_says():
    noisy = reliability([[[0.2, 0.8], [0.6, 0.4], [0.7, 0.5]], [[0.1, 0.4], [0.3, 0.1], [0.6, 0.3]]])
    assert "cannot learn much" in said(noisy, 1)
    sure = reliability([[[0.2, 0.25], [0.6, 0.62]], [[0.1, 0.12], [0.9, 0.8]]])
    assert "reliability with 2 seeds is about 1.00" in said(sure, 2)
    assert "cannot" not in said(sure, 2)
    equal = reliability([[[0.5, 0.5], [0.5, 0.5]]])
    assert "--seeds 2" in said(equal, 1)
    assert "it will be measured" in said(equal, 3)
    single = said(reliability([[[0.2, 0.8], [0.6, 0.4], [0.7, 0.5]]]), 1)
    assert "3 edits of 1 context that were" in single
    assert "nan" not in single


def test_the_first_model_learns_in_every_round(tmp_path):
    """Its trials are cached: a second round on the same contexts trains nothing that is the same."""
    settings = SETTINGS.model_copy(update={"learner": "first"})
    run = outer(tmp_path, settings=settings, tasks=TASKS[:2])
    first, second = run.run()
    assert first.changed
    trained = {trial.key for trial in run.store.iter_trials()}
    other = outer(tmp_path, settings=SETTINGS, tasks=TASKS[:2], name="moving")
    other.run()
    moving = {trial.key for trial in other.store.iter_trials()}
    assert trained & moving, "the first round is the same"
    assert len(trained) < len(moving), "the second finds the first one's trials"
    assert second.baseline == first.baseline
    assert run.key != other.key


@pytest.mark.parametrize("kind", ["f1", "samples", "likelihood", "mixed"])
def test_rounds_with_each_reward(tmp_path, kind):
    settings = inner(SETTINGS, measure=MeasureSettings(kind=kind, place="own"))
    model = FakeModel()
    first, second = outer(tmp_path, model, settings, name=kind).run()
    assert first.mean_reward > first.baseline
    assert (first.num_invalid, len(first.selected), second.number) == (0, 2, 2)
    calls = dict(model.calls)
    outer(tmp_path, model, settings, name=kind).run()
    assert dict(model.calls) == calls, "nothing is repeated"
