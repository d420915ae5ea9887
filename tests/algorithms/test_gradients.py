"""The policy gradients in the outer loop: what they learn from, and what they survive."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from selfedit.algorithms import gradient
from selfedit.algorithms.credit import earned, relative, samples
from selfedit.algorithms.gradient import First
from selfedit.algorithms.named import named
from selfedit.algorithms.ppo import ValueHead
from selfedit.config import (
    AlgorithmSettings,
    LoraSettings,
    OuterSettings,
    PolicySettings,
    SamplingSettings,
    TrainSettings,
)
from selfedit.console.options import Improving
from selfedit.console.settings import given_only
from selfedit.errors import InputError, SelfEditError
from selfedit.loops.rounds import round_key, stored_rounds
from selfedit.loops.sampler import Writer
from selfedit.loops.writing import written
from selfedit.lora import desk
from selfedit.lora.optimizer import StackedAdamW
from selfedit.lora.train import BankTrainer
from selfedit.model import fake
from selfedit.model.fake import FakeModel, load_fake
from selfedit.progress import Silent
from selfedit.seams import Update
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


# -- the tiny model -----------------------------------------------------------------------------------

TINY = SETTINGS.model_copy(
    update={
        "inner": SETTINGS.inner.model_copy(
            update={"sampling": SamplingSettings(temperature=0.7, top_p=1.0, max_new_tokens=10)}
        ),
        "policy": PolicySettings(
            lora=LoraSettings(rank=2, alpha=4, layers="all"),
            train=TrainSettings(learning_rate=1e-2, epochs=3, batch_size=4),
        ),
    }
)


@pytest.fixture
def rounds_of_tiny(tiny, tmp_path):
    """Groups of edits that the tiny model drew, with log-probabilities as the store keeps them."""
    prompts = [Prompt(f"Say {i}") for i in range(2) for _ in range(3)]
    writer = Writer(tiny, Store(tmp_path / "store.sqlite"))
    sampling = TINY.inner.sampling
    writer.draw(prompts, sampling, range(6), "writing")
    drawn = writer.draw(prompts, sampling, range(6), "writing", needed=True)
    edits = [
        SelfEdit(f"t{i // 3}", i % 3, (prompts[i],), (own.text,), (own,)) for i, own in enumerate(drawn)
    ]
    query = (Query("Which?", ("this",)),)
    return [
        Group(
            Task(f"t{i}", "T", "C", query),
            0.0,
            tuple(Candidate(edits[3 * i + k], (0.2 * k,)) for k in range(3)),
        )
        for i in range(2)
    ]


def algorithm_of_tiny(tiny, name, **own):
    return named(settings(name, TINY, **own), First(tiny.revision, lambda: tiny))


@pytest.mark.parametrize("name", NAMES)
def test_it_begins_on_policy_and_writes_a_model(tiny, tmp_path, rounds_of_tiny, name):
    out = tmp_path / "policies" / "round-1"
    own = algorithm_of_tiny(tiny, name, kl_stop=None)
    update = own.improve(tiny, rounds_of_tiny, out, Silent())
    assert (out / "model.safetensors").is_file()
    assert update.metrics["ratio_error"] < 1e-6, "the ratio is 1 before the first step"
    assert len(update.losses) == {"grpo": 6, "rloo": 6, "ppo": 6, "dpo": 3}[name]
    assert update.metrics["kl_to_drawn"] > 1e-6, "and leaves it"
    best = [group.candidates[2].edit for group in rounds_of_tiny]
    assert all(edit in update.learned for edit in best) or name == "ppo"
    if name == "ppo":
        head = ValueHead.beside(out, 64)
        assert head.w_D.abs().max() > 0
        before = update.metrics["value_error"]
        assert (
            own.improve(replaced_name(tiny, out), rounds_of_tiny, out, Silent()).metrics["value_error"]
            < 0.5 * before
        ), "the next round begins with it"


@pytest.mark.parametrize("name", ["grpo", "ppo"])
def test_a_step_is_of_completions_however_many_an_edit_has(tiny, tmp_path, rounds_of_tiny, name):
    def doubled(edit):
        return SelfEdit(
            edit.task_id, edit.index, edit.prompts * 2, edit.completions * 2, edit.drawn * 2
        )

    groups = [
        replace(own, candidates=tuple(replace(c, edit=doubled(c.edit)) for c in own.candidates))
        for own in rounds_of_tiny
    ]
    update = algorithm_of_tiny(tiny, name, kl_stop=None).improve(tiny, groups, tmp_path / "r", Silent())
    assert len(update.losses) == 9, "3 epochs of 12 completions, 4 a step"
    assert "kl_to_first" in update.metrics


@pytest.mark.parametrize("name", ["rloo", "ppo", "dpo"])
def test_an_edit_that_is_too_long_is_as_if_it_had_not_been_written(
    tiny, tmp_path, rounds_of_tiny, monkeypatch, name
):
    """Its distance from the first policy is not known: it is no baseline of the others, either."""
    learned_from = []

    def follow(policy, samples, objective, learned, settings, seed, out, progress, numbers):
        learned_from.append(([replace(own, unit=None) for own in samples], learned, numbers))
        return Update(None)

    def improved(groups):
        own = algorithm_of_tiny(tiny, name, kl_stop=None, kl_weight=0.5)
        own.improve(tiny, groups, tmp_path / "r", Silent())
        return learned_from.pop()

    monkeypatch.setattr(f"selfedit.algorithms.{name}.follow", follow)
    without = improved([replace(group, candidates=group.candidates[1:]) for group in rounds_of_tiny])
    long = {group.candidates[0].edit.text for group in rounds_of_tiny}
    monkeypatch.setattr(gradient, "_is_longer", lambda policy, own, most: own.completion.text in long)
    found = improved(rounds_of_tiny)
    assert found[2].pop("too_long") == 2 + without[2].pop("too_long")
    assert found == without


def test_dpo_takes_the_worst_edit_that_says_something(tiny, tmp_path, rounds_of_tiny):
    silent = SelfEdit("t0", 3, (Prompt("Say 0"),), ("",), (Completion(""),))
    groups = [
        replace(group, candidates=(*group.candidates, Candidate(silent, (None,), "invalid")))
        for group in rounds_of_tiny
    ]
    own = algorithm_of_tiny(tiny, "dpo", kl_stop=None)
    update = own.improve(tiny, groups, tmp_path / "r", Silent())
    assert update.metrics["completions"] == 4
    assert update.learned == tuple(group.candidates[2].edit for group in rounds_of_tiny)


def replaced_name(tiny, folder):
    """The tiny model, as if it were the policy in the folder."""

    class Renamed:
        name = str(folder)

        def __getattr__(self, name):
            return getattr(tiny, name)

    return Renamed()


def test_far_from_what_was_drawn_the_update_ends(tiny, tmp_path, rounds_of_tiny):
    own = algorithm_of_tiny(tiny, "grpo", kl_stop=1e-9)
    update = own.improve(tiny, rounds_of_tiny, tmp_path / "round-1", Silent())
    assert len(update.losses) == 1
    assert "--kl-stop" in update.note
    assert update.policy is not None


def test_an_update_that_did_not_fit_leaves_no_numbers(tiny, tmp_path, rounds_of_tiny, monkeypatch):
    """It is tried once more; what the first attempt noted is none of the update's."""
    failed = []

    class Once(StackedAdamW):
        def step(self, *args):
            if not failed:
                failed.append(True)
                raise torch.OutOfMemoryError("out of memory")
            return super().step(*args)

    monkeypatch.setattr(desk, "optimizer_of", Once)
    own = algorithm_of_tiny(tiny, "grpo", kl_stop=1e-9)
    update = own.improve(tiny, rounds_of_tiny, tmp_path / "round-1", Silent())
    assert failed
    assert len(update.losses) == 1
    assert "so the update ended at step 2" in update.note


def test_an_update_that_would_not_fit_keeps_less(tiny, tmp_path, rounds_of_tiny, monkeypatch):
    found, tried = [], []
    original = BankTrainer.__init__
    monkeypatch.setattr(
        BankTrainer,
        "__init__",
        lambda *a, **k: tried.append(k["checkpointing"]) or original(*a, **k),
    )
    for free in (10**12, 0):
        monkeypatch.setattr("selfedit.model.training.memory_free", lambda _, own=free: own)
        own = algorithm_of_tiny(tiny, "grpo", kl_stop=None)
        update = own.improve(tiny, rounds_of_tiny, tmp_path / f"round-{free}", Silent())
        found.append(update.losses)
    assert tried == [False, True]
    assert found[0] == pytest.approx(found[1], abs=1e-9)


@pytest.mark.parametrize("stop", [None, 0.1])
@pytest.mark.parametrize("name", ["grpo", "rloo", "ppo"])
def test_a_ratio_that_is_no_number_stops_before_anything_is_written(
    tiny, tmp_path, rounds_of_tiny, name, stop
):
    edit = rounds_of_tiny[0].candidates[0].edit
    (drawn,) = edit.drawn
    nan = replace(drawn, logprobs=(float("nan"),) * len(drawn.logprobs))
    bad = Candidate(replace(edit, drawn=(nan,)), (0.0,))
    groups = [
        replace(rounds_of_tiny[0], candidates=(bad, *rounds_of_tiny[0].candidates[1:])),
        rounds_of_tiny[1],
    ]
    own = algorithm_of_tiny(tiny, name, kl_stop=stop, kl_weight=0.0)
    with pytest.raises(SelfEditError, match=r"not finite.*trials are kept.*--policy-learning-rate"):
        own.improve(tiny, groups, tmp_path / "round-1", Silent())
    assert not list(tmp_path.glob("round-1*"))


def test_a_sampler_that_disagrees_with_the_trainer_is_found(tiny, tmp_path, rounds_of_tiny):
    def off(candidate, by):
        (drawn,) = candidate.edit.drawn
        moved = replace(drawn, logprobs=tuple(v - by for v in drawn.logprobs))
        return replace(candidate, edit=replace(candidate.edit, drawn=(moved,)))

    def groups(by):
        return [
            replace(own, candidates=tuple(off(one, by) for one in own.candidates))
            for own in rounds_of_tiny
        ]

    own = algorithm_of_tiny(tiny, "grpo", kl_weight=0.0)
    with pytest.raises(SelfEditError, match="do not compute the same"):
        own.improve(tiny, groups(2.0), tmp_path / "round-1", Silent())
    warned = []

    class Telling(Silent):
        def warn(self, text):
            warned.append(text)

    own.improve(tiny, groups(0.2), tmp_path / "round-1", Telling())
    assert "0.2 nats" in warned[0]


def test_log_probabilities_are_kept_with_the_text(tiny, tmp_path):
    store = Store(tmp_path / "store.sqlite")
    prompts, sampling = [Prompt("Say one"), Prompt("Say two")], TINY.inner.sampling
    before = Writer(tiny, store).write(prompts, sampling, [1, 2], "writing")
    assert [own.logprobs for own in Writer(tiny, store).draw(prompts, sampling, [1, 2], "")] == [(), ()]
    drawn = Writer(tiny, store).draw(prompts, sampling, [1, 2], "", needed=True)
    assert [own.text for own in drawn] == before

    class Silenced:
        identity = tiny.identity

    again = Writer(Silenced(), store).draw(prompts, sampling, [1, 2], "", needed=True)
    assert again == drawn
    assert all(len(own.tokens) == len(own.logprobs) > 0 for own in again)
    # Under the sampling distribution: tempered, before top_p.
    found = tiny.sample_logprobs(
        [s for own, p in zip(drawn, prompts, strict=True) for s in
         samples(SelfEdit("t", 0, (p,), (own.text,), (own,)), 1.0)],
        sampling.temperature,
    )  # fmt: skip
    for own, log in zip(drawn, found, strict=True):
        assert own.logprobs == pytest.approx(log, rel=1e-6)


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
