"""Waves: what goes together, and what happens when memory runs out."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from math import nan as NAN

import pytest

from selfedit.config import EngineSettings, InnerSettings, LoraSettings, TrainSettings
from selfedit.domains.knowledge import Knowledge
from selfedit.domains.knowledge.settings import KnowledgeSettings
from selfedit.errors import InputError, OutOfMemory
from selfedit.forward.memory import engine_from_environment, is_out_of_memory, memory_budget
from selfedit.forward.packed import Decoder
from selfedit.loops.inner import run_trials
from selfedit.loops.waves import LANE, SLOTS
from selfedit.lora.desk import Desk
from selfedit.model.fake import FakeModel
from selfedit.model.generate import generate
from selfedit.model.tiny import tiny_model
from selfedit.progress import Silent
from selfedit.types import Prompt, Query, SelfEdit, Task, TrainingPlan, TrainingSequence

TRAIN = TrainSettings(epochs=2)
SETTINGS = InnerSettings(lora=LoraSettings(rank=2, layers="all"), train=TRAIN)
DOMAIN = Knowledge(KnowledgeSettings(strategy="implications"))
NO_MEMORY = "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: 9 bytes"


class Notes(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.done = 0.0

    def advance(self, amount: float = 1) -> None:
        self.done += amount

    def warn(self, text: str) -> None:
        self.notes.append(text)


class Small(FakeModel):
    """Holds `room` adapters."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room
        self.waves: list[int] = []
        self.slots: list[int] = []

    def train(self, plans, *rest, slots=None, on_step=None, **options):
        if on_step is not None:
            on_step(1, 2)
        assert slots <= len(plans)
        self.slots.append(slots)
        if len(plans) > self.room:
            raise OutOfMemory(f"training {len(plans)} adapters together does not fit into memory")
        self.waves.append(len(plans))
        return super().train(plans, *rest, on_step=on_step, **options)


def pairs(count: int):
    made = []
    for i in range(count):
        text = f"The tower number {i} of the town was built in {1800 + i}."
        task = Task(
            f"t{i}", f"Tower {i}", text, (Query(f"When was tower {i} built?", (str(1800 + i),)),)
        )
        edit = f"People built tower {i} in {1800 + i}, and the town is proud of it."
        made.append((task, SelfEdit(task.id, 0, (Prompt("Restate it."),), (edit,))))
    return made


def test_a_wave_without_memory_is_halved_and_nothing_is_lost():
    domain, progress, model = DOMAIN, Notes(), Small(room=2)
    got = run_trials(model, domain, pairs(8), SETTINGS, progress=progress)
    assert model.waves == [2, 2, 2, 2]
    assert progress.done == pytest.approx(8)
    assert len(progress.notes) == 3  # 8 to 4 and 4, each to 2 and 2
    assert "half as many" in progress.notes[0]
    alone = run_trials(FakeModel(), domain, pairs(8), SETTINGS)
    assert [(t.key, t.status, t.reward) for t in got] == [(t.key, t.status, t.reward) for t in alone]


def test_half_a_wave_has_half_of_the_slots():
    model = Small(room=2)
    run_trials(model, DOMAIN, pairs(8), SETTINGS)
    assert model.slots == [4, 2, 1, 1, 2, 1, 1]  # 8 in 4 slots; 4 in 2; 2 in 1 and 2 in 1; the same


def test_a_resumed_wave_trains_what_is_missing_of_it(tiny):
    whole = run_trials(tiny, DOMAIN, pairs(6), SETTINGS)
    done = {trial.key: trial for trial in whole[::2]}
    stored = []
    again = run_trials(
        tiny,
        DOMAIN,
        pairs(6),
        SETTINGS,
        known=lambda keys: {key: done[key] for key in keys if key in done},
        sink=stored.extend,
    )
    assert {trial.key for trial in stored} == {trial.key for trial in whole[1::2]}
    for one, other in zip(whole, again, strict=True):
        assert (one.key, one.score) == (other.key, other.score)
        assert one.losses == pytest.approx(other.losses, abs=1e-9)


def test_one_self_edit_without_memory_stops_the_run_and_is_no_trial():
    stored = []
    with pytest.raises(OutOfMemory):
        run_trials(Small(room=0), DOMAIN, pairs(2), SETTINGS, sink=stored.extend)
    assert stored == []


def failing(monkeypatch, where, name, times, when=lambda *a, **k: True):
    """The first `times` calls of a method for which `when` holds find no memory."""
    original, calls = getattr(where, name), []

    def method(*args, **kwargs):
        if when(*args, **kwargs):
            calls.append(1)
            if len(calls) <= times:
                original(*args, **kwargs)  # as far as it goes: what it changed must not stay
                raise RuntimeError(NO_MEMORY)
        return original(*args, **kwargs)

    monkeypatch.setattr(where, name, method)
    return calls


PLAN = TrainingPlan((TrainingSequence("a b c d"), TrainingSequence("e f g")))


def test_a_single_adapter_is_tried_again_with_checkpointing(monkeypatch):
    model, told = tiny_model(), []
    expected, _ = model.train([PLAN], SETTINGS.lora, TRAIN, [3])
    model.status = told.append
    failing(monkeypatch, Desk, "_step", 1)
    used = []
    original = Decoder.checkpointing
    monkeypatch.setattr(Decoder, "checkpointing", lambda self, *a: used.append(1) or original(self, *a))
    bank, _ = model.train([PLAN], SETTINGS.lora, TRAIN, [3])
    assert used
    assert "checkpointing" in told[0]
    assert (bank.weights_KP - expected.weights_KP).abs().max() <= 1e-9


def test_a_single_adapter_that_would_not_fit_is_not_tried_without_checkpointing(monkeypatch):
    """A CPU's memory does not run out with an error: Linux ends the process."""
    model, told = tiny_model(), []
    expected, _ = model.train([PLAN], SETTINGS.lora, TRAIN, [3])
    model.status = told.append
    needed = int(1.5 * model.planned_memory(SETTINGS.lora, TRAIN)([PLAN], [3]))
    used = []
    original = Decoder.checkpointing
    monkeypatch.setattr(Decoder, "checkpointing", lambda self, *a: used.append(1) or original(self, *a))
    for free, times in ((needed, 0), (needed - 1, 1)):
        monkeypatch.setattr("selfedit.model.training.memory_free", lambda _, own=free: own)
        bank, _ = model.train([PLAN], SETTINGS.lora, TRAIN, [3])
        assert len(used) == len(told) == times
        assert (bank.weights_KP - expected.weights_KP).abs().max() <= 1e-9
    assert "training one adapter needs about" in told[0]


def test_a_single_adapter_that_never_fits_is_a_clear_error(monkeypatch):
    model = tiny_model()
    failing(monkeypatch, Desk, "_step", 99)
    with pytest.raises(OutOfMemory, match="no fault of the self-edit"):
        model.train([PLAN], SETTINGS.lora, TRAIN, [3])
    with pytest.raises(OutOfMemory, match="2 adapters together"):
        model.train([PLAN, PLAN], SETTINGS.lora, TRAIN, [3, 4])


def test_other_errors_pass_through(monkeypatch):
    model = tiny_model()

    def broken(*args):
        raise RuntimeError("shape mismatch")

    monkeypatch.setattr(Desk, "_step", broken)
    with pytest.raises(RuntimeError, match="shape mismatch"):
        model.train([PLAN], SETTINGS.lora, TRAIN, [3])


def test_answers_without_memory_are_halved(monkeypatch):
    from selfedit.config import SamplingSettings

    model, told = tiny_model(), []
    prompts = [Prompt(f"question {i}") for i in range(5)]
    sampling = SamplingSettings(max_new_tokens=4)
    expected = model.sample(prompts, sampling, range(5))
    model.status = told.append
    module = __import__(generate.__module__, fromlist=["_"])
    failing(monkeypatch, module, "_decode", 9, when=lambda d, t, rows, *a: len(rows) > 2)
    assert model.sample(prompts, sampling, range(5)) == expected
    assert len(told) == 2  # 5 to 2 and 3, 3 to 1 and 2
    failing(monkeypatch, module, "_decode", 99)
    with pytest.raises(OutOfMemory, match="1 text"):
        model.sample(prompts, sampling, range(5))


@pytest.mark.parametrize("probe", ["packs", "has_trunk", "shares_prompts"])
def test_a_probe_without_memory_finds_nothing_out(probe, monkeypatch):
    decoder = tiny_model().decoder
    ask = getattr(decoder, probe) if probe == "packs" else lambda: getattr(decoder, probe)(1)
    with monkeypatch.context() as short:
        failing(short, Decoder, "_run", 1)
        with pytest.raises(RuntimeError, match="allocate"):
            ask()
    assert ask() is True


def test_what_running_out_of_memory_looks_like():
    import torch

    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert is_out_of_memory(RuntimeError(NO_MEMORY))
    assert is_out_of_memory(RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"))
    assert is_out_of_memory(RuntimeError("could not create a primitive"))
    assert not is_out_of_memory(RuntimeError("could not create a primitive descriptor for matmul"))
    assert not is_out_of_memory(RuntimeError("size mismatch"))
    assert not is_out_of_memory(ValueError("out of memory"))


def test_the_budget_is_of_the_machine_and_the_setting(monkeypatch):
    import torch

    cpu = torch.device("cpu")
    whole = memory_budget(cpu, 0, EngineSettings())
    assert 0 < whole == memory_budget(cpu, 0, EngineSettings())
    assert memory_budget(cpu, 1000, EngineSettings()) == whole - 1000
    assert memory_budget(cpu, 1000, EngineSettings(memory_gb=2)) == 2_000_000_000
    monkeypatch.setenv("SELFEDIT_MEMORY_GB", "1.5")
    monkeypatch.setenv("SELFEDIT_CHECKPOINTING", "1")
    monkeypatch.setenv("SELFEDIT_CUDA_GRAPHS", "0")
    monkeypatch.setenv("SELFEDIT_WORKERS", "3")
    expected = EngineSettings(memory_gb=1.5, checkpointing=True, cuda_graphs=False, workers=3)
    assert engine_from_environment() == expected
    assert EngineSettings().cuda_graphs
    monkeypatch.setenv("SELFEDIT_MEMORY_GB", "much")
    with pytest.raises(InputError, match="SELFEDIT_MEMORY_GB=much"):
        engine_from_environment()


def test_the_engine_is_no_part_of_a_trial():
    from selfedit.loops.jobs import trial_key

    (task, edit), *_ = pairs(1)
    keys = set()
    for engine in (EngineSettings(), EngineSettings(memory_gb=1, checkpointing=True)):
        model = tiny_model()
        model.engine = engine
        keys.add(trial_key(model, DOMAIN, task, edit, 0, SETTINGS))
    assert len(keys) == 1


def test_refilled_slots_give_the_trials_of_single_waves(tiny, monkeypatch):
    domain, work = DOMAIN, pairs(5)
    alone = run_trials(tiny, domain, work, SETTINGS)
    monkeypatch.setitem(SLOTS, "cpu", 2)
    monkeypatch.setitem(LANE, "cpu", 3)
    seen, progress = [], Notes()
    monkeypatch.setattr(tiny, "train", partial(_watched, tiny.train, seen))
    together = run_trials(tiny, domain, work, SETTINGS, progress=progress)
    assert seen == [(5, 2)]  # plans, slots
    assert progress.done == pytest.approx(5)
    for one, other in zip(alone, together, strict=True):
        assert (one.key, one.status, one.score) == (other.key, other.status, other.score)
        assert one.losses == pytest.approx(other.losses, abs=1e-9)


def _watched(train, seen, plans, *rest, slots, **options):
    seen.append((len(plans), slots))
    return train(plans, *rest, slots=slots, **options)


@pytest.mark.parametrize(
    ("directive", "reason"),
    [({"epochs": 0}, "0 epochs"), ({"learning_rate": -1.0}, "of -1"), ({"learning_rate": NAN}, "nan")],
)
def test_directives_that_train_nothing_make_an_invalid_edit(tiny, directive, reason):
    class Directed(Knowledge):
        def parse(self, task, edit):
            return replace(super().parse(task, edit), **(directive if edit.index else {}))

    task = Task("t", "T", "A tower.", (Query("Which?", ("a tower",)),))
    texts = ("The tower is tall.", "The tower is wide.")
    pairs = [(task, SelfEdit("t", i, (Prompt("Say."),), (text,))) for i, text in enumerate(texts)]
    good, bad = run_trials(tiny, Directed(DOMAIN.settings), pairs, SETTINGS)
    assert (good.status, bad.status) == ("scored", "invalid")
    assert reason in bad.reason
