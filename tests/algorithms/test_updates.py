"""Updates of a tiny model by policy gradients: what they learn from, what ends them, what is left."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from selfedit.algorithms import gradient
from selfedit.algorithms.credit import samples
from selfedit.algorithms.gradient import First
from selfedit.algorithms.named import named
from selfedit.algorithms.ppo import ValueHead
from selfedit.config import (
    LoraSettings,
    PolicySettings,
    SamplingSettings,
    TrainSettings,
)
from selfedit.errors import SelfEditError
from selfedit.loops.sampler import Writer
from selfedit.lora import desk
from selfedit.lora.optimizer import StackedAdamW
from selfedit.lora.train import BankTrainer
from selfedit.model.tiny import tiny_model
from selfedit.progress import Silent
from selfedit.seams import Update
from selfedit.store import Store
from selfedit.types import Candidate, Completion, Group, Prompt, Query, SelfEdit, Task
from tests.algorithms.test_gradients import NAMES, settings
from tests.loops.test_outer import SETTINGS

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
        chosen = settings(name, TINY, kl_stop=None, kl_weight=0.5)
        own = named(chosen, First("another", lambda: tiny_model(1)))
        own.improve(tiny, groups, tmp_path / "r", Silent())
        return learned_from.pop()

    monkeypatch.setattr(f"selfedit.algorithms.{name}.follow", follow)
    without = improved([replace(group, candidates=group.candidates[1:]) for group in rounds_of_tiny])
    long = {group.candidates[0].edit.text for group in rounds_of_tiny}
    monkeypatch.setattr(gradient, "_is_longer", lambda policy, own, most: own.completion.text in long)
    found = improved(rounds_of_tiny)
    assert found[2].get("kl_to_first", 1.0) != 0.0
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
