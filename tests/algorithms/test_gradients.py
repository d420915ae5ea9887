"""The policy gradients in the outer loop: what they learn from, and what they survive."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict
from pathlib import Path

import pytest

from selfedit.algorithms.credit import earned, relative, samples
from selfedit.algorithms.gradient import First
from selfedit.algorithms.named import named
from selfedit.config import (
    AlgorithmSettings,
    OuterSettings,
    SamplingSettings,
)
from selfedit.console.options import Improving
from selfedit.console.settings import given_only
from selfedit.errors import InputError
from selfedit.loops.rounds import round_key, stored_rounds
from selfedit.loops.writing import written
from selfedit.model import fake
from selfedit.model.fake import FakeModel, load_fake
from selfedit.progress import Silent
from selfedit.store import Store
from selfedit.types import Candidate, Completion, Group, Prompt, Query, SelfEdit, Task
from tests.loops.test_outer import SETTINGS, outer

NAMES = ("grpo", "rloo", "ppo", "dpo")


def settings(name, base=SETTINGS, **own):
    return base.model_copy(update={"algorithm": AlgorithmSettings(name=name, **own)})


def run(tmp_path, name, model=None, load=load_fake, base=SETTINGS, **options):
    """An outer loop of the fake model by an algorithm. loads: how often the first policy was."""
    chosen = settings(name, base)
    first = First("fake-1", lambda: load("fake"))
    algorithm = named(chosen, first)
    return outer(
        tmp_path, model, chosen, algorithm=algorithm, load=load, name=options.pop("at", name), **options
    )


@pytest.fixture
def unequal(monkeypatch):
    """The fake writes something to learn from with some seeds, and what fails to train with others."""
    original = fake._write

    def write(prompt, seed):
        return original(prompt, seed) if seed % 4 != 2 else f"NaN {seed}"

    monkeypatch.setattr(fake, "_write", write)


WIDE = SETTINGS.model_copy(
    update={
        "inner": SETTINGS.inner.model_copy(
            update={
                "candidates": 4,
                "knowledge": SETTINGS.inner.knowledge.model_copy(update={"strategy": "implications"}),
            }
        )
    }
)


def learned(record) -> list[str]:
    return json.loads(Path(record.policy, "fake_model.json").read_text())["texts"][0]


@pytest.mark.parametrize("name", NAMES)
def test_what_earned_more_is_learned_round_after_round(tmp_path, unequal, name):
    first, second = run(tmp_path, name, base=WIDE).run()
    assert first.changed
    assert second.changed
    assert first.selected
    assert set(learned(first)) == {text for text in first.selected if text}
    assert first.metrics["completions"] >= len(first.selected)
    assert {"length", "valid", "entropy", "distinct", "diversity"} <= first.metrics.keys()
    assert 0 < first.metrics["valid"] < 1
    model = FakeModel()
    again = run(tmp_path, name, model, base=WIDE).run()
    assert again == [first, second]
    assert not model.calls, "a finished round is never repeated"


@pytest.mark.parametrize("stop_at", range(1, 10))
def test_killed_in_any_phase_it_ends_with_the_same(tmp_path, unequal, stop_at):
    name = NAMES[stop_at % len(NAMES)]
    whole = run(tmp_path, name, base=WIDE, at="whole").run()
    calls = 0

    class Stopping(FakeModel):
        def _called(self, method):
            nonlocal calls
            calls += 1
            if calls == stop_at:
                raise KeyboardInterrupt
            super()._called(method)

    def load(folder):
        found = load_fake(folder)
        return Stopping(found.name, found.revision)

    with contextlib.suppress(KeyboardInterrupt):
        run(tmp_path, name, Stopping(), load, WIDE).run()
    records = run(tmp_path, name, base=WIDE).run()
    assert [r.selected for r in records] == [r.selected for r in whole]
    assert [learned(r) for r in records] == [learned(r) for r in whole]


@pytest.mark.parametrize("name", NAMES)
def test_equal_rewards_and_invalid_edits_leave_the_policy_and_say_so(tmp_path, monkeypatch, name):
    (first, _) = run(tmp_path, name, at="equal").run()  # the fake's edits teach everything, all of them
    assert not first.changed
    assert "earned the same" in first.note
    monkeypatch.setattr(fake, "_write", lambda prompt, seed: "")
    (first, *others) = run(tmp_path, name, base=WIDE, at="invalid").run()
    assert not first.changed
    assert first.num_invalid == first.num_trials
    assert "collapsed" in first.stopped
    assert not others, "of one text none is better than another, valid or not"


def test_the_first_policy_is_loaded_where_it_is_not_at_hand(tmp_path, unequal):
    loaded = []

    def load(folder):
        loaded.append(folder)
        return load_fake(folder)

    run(tmp_path, "grpo", base=WIDE, load=load).run()
    assert loaded.count("fake") == 1, "in the second round; in the first it is the policy"


def test_a_collapsed_policy_is_said_and_stops(tmp_path, monkeypatch):
    monkeypatch.setattr(fake, "_write", lambda prompt, seed: "The tower is made of stone.")
    warned = []

    class Telling(Silent):
        def warn(self, text):
            warned.append(text)

    records = run(tmp_path, "grpo", base=WIDE, progress=Telling()).run()
    assert [record.number for record in records] == [1]
    assert "all contexts" in records[0].stopped
    assert "collapsed" in records[0].note
    assert "collapsed" in warned[0]
    model = FakeModel()
    assert run(tmp_path, "grpo", model, base=WIDE).run() == records
    assert not model.calls, "nor does it go on when it is started again"


def test_rounds_of_the_former_kind_are_read(tmp_path):
    store = Store(tmp_path / "store.sqlite")
    (record,) = outer(tmp_path, settings=SETTINGS.model_copy(update={"rounds": 1})).run()
    values = asdict(record)
    del values["metrics"], values["stopped"]
    store.put_cached("round", {round_key("k", 1): values})
    (former,) = stored_rounds(store, "k", 2)
    assert (former.metrics, former.stopped, former.mean_reward) == ({}, "", record.mean_reward)


def test_settings_that_could_teach_nothing_are_refused():
    first = First("", lambda: None)
    alone = SETTINGS.inner.model_copy(update={"candidates": 1})
    for name in ("grpo", "rloo", "dpo"):
        with pytest.raises(InputError, match="--candidates 2"):
            named(settings(name, SETTINGS.model_copy(update={"inner": alone})), first)
    with pytest.raises(InputError, match="--kl-weight 0"):
        named(settings("dpo", kl_weight=0.0), first)
    greedy = SETTINGS.inner.model_copy(update={"sampling": SamplingSettings(temperature=0.0)})
    with pytest.raises(InputError, match="--temperature"):
        named(settings("ppo", SETTINGS.model_copy(update={"inner": greedy})), first)


def test_rest_em_has_the_keys_that_it_had():
    assert "algorithm" not in OuterSettings().identity()
    own = AlgorithmSettings(clip=0.5)  # ReST-EM does not read it
    assert OuterSettings(algorithm=own).digest() == OuterSettings().digest()
    digests = {settings(name).digest() for name in NAMES} | {SETTINGS.digest()}
    assert len(digests) == 5


def test_options_of_an_algorithm_bring_its_own_training():
    given = given_only(Improving(algorithm="grpo", policy_epochs=5, kl_weight=0.1).given())
    assert given["algorithm"] == {"name": "grpo", "kl_weight": 0.1}
    assert given["policy"]["train"] == {"learning_rate": 1e-4, "epochs": 5, "batch_size": 16}
    assert given_only(Improving(policy_epochs=5).given()) == {"policy": {"train": {"epochs": 5}}}
    with pytest.raises(InputError, match=r"--clip-high.*--algorithm"):
        Improving(clip_high=0.3).given()
    with pytest.raises(InputError, match=r"--normalisation: not with rloo.*--algorithm grpo\."):
        Improving(algorithm="rloo", normalisation="dapo", clip=0.1).given()
    with pytest.raises(InputError, match=r"--clip, --kl-stop: not with dpo.*grpo or ppo or rloo"):
        Improving(algorithm="dpo", clip=0.1, kl_weight=0.1, kl_stop=1).given()


# -- what an edit earned ------------------------------------------------------------------------------


def group(*rewards, questions=True, statuses=None):
    queries = (Query("Which?", ("this",)),) if questions else ()
    edits = [SelfEdit("t", i, (Prompt("p"),), (f"edit {i}",)) for i in range(len(rewards))]
    said = statuses or ["scored" if r is not None else "invalid" for r in rewards]
    candidates = [Candidate(e, (r,), s) for e, r, s in zip(edits, rewards, said, strict=True)]
    return Group(Task("t", "T", "C", queries), 0.0, tuple(candidates))


def test_advantages_are_those_of_the_papers():
    (one, two) = earned([group(0.0, 0.5, 1.0), group(0.2, None)], invalid=0.0)
    assert one.rewards == (0.0, 0.5, 1.0)
    assert two.rewards == (0.2, 0.0)
    assert relative([one], "group")[0] == pytest.approx([-1, 0, 1], abs=1e-5)  # std of n - 1 is 0.5
    assert relative([one], "none")[0] == pytest.approx([-0.5, 0, 0.5])
    both = relative([one, two], "batch")
    assert both[0][2] - both[0][0] == pytest.approx((both[1][0] - both[1][1]) / 0.2)
    equal = earned([group(0.0, 0.0)], 0.0)
    of_round = relative([*equal, two], "batch")  # std of (0, 0, 0.2, 0) is 0.1
    assert of_round == [pytest.approx([1, -1], abs=1e-4)], "where edits do not differ there are none"
    assert not earned([group(0.3)], 0.0)[0].differ
    assert not earned([group(0.3, 0.3)], 0.0)[0].differ
    assert earned([group(0.3, None)], invalid=None)[0].rewards == (0.3,)
    gains = earned([group(-1.0, None, 0.5)], invalid=0.0)[0].rewards
    assert gains == (-1.0, -1.0, 0.5), "an invalid one has not earned more than the worst"
    left_out = group(None, 0.5, statuses=["unscored", "scored"])
    assert earned([left_out, group(None, questions=False)], 0.0)[0].rewards == (0.5,)


def test_other_edits_of_a_context_are_the_baseline_of_rloo():
    own = named(settings("rloo"), First("", lambda: None))
    assert own.advantages([1.0, 0.0, 0.5, 0.2, 0.4], [3, 2]) == pytest.approx(
        [0.75, -0.75, 0.0, -0.2, 0.2]
    )


def test_what_was_drawn_of_an_edit_is_learned_from():
    drawn = (Completion("a b", (-1.0,), (7,)), Completion("", (), ()), Completion("", (-2.0,), (9,)))
    edit = SelfEdit("t", 0, (Prompt("p"), Prompt("q"), Prompt("r")), ("a b", "", ""), drawn)
    found = samples(edit, 0.5)
    assert [own.prompt.text for own in found] == ["p", "r"], "the second drew nothing"
    assert [own.completion.tokens for own in found] == [(7,), (9,)]


def test_numbers_of_what_was_written():
    def edit(i, text, *logprobs):
        return Candidate(SelfEdit("t", i, (), (text,), (Completion(text, logprobs),)), (0.0,))

    query = (Query("Which?", ("this",)),)
    task = Task("t", "T", "C", query)
    equal = Group(task, 0.0, (edit(0, "a b c", -1.0, -3.0), edit(1, "a b c", -2.0)))
    other = Group(task, 0.0, (edit(0, "a b c"), edit(1, "x y z w")))
    numbers = written([equal, other], lambda text: len(text.split()))
    assert numbers == {
        "length": 3.25, "valid": 1.0, "entropy": 2.0, "distinct": 0.5, "diversity": 0.5,
    }  # fmt: skip
    assert written([], len) == {}
