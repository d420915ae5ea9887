"""What the planner predicts is what torch allocates; checkpointing changes memory and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from selfedit.config import ALL_LINEAR, LoraSettings, TrainSettings
from selfedit.lora.bank import AdapterBank
from selfedit.lora.memory import Footprint, Steps, WaveMemory
from selfedit.lora.train import BankTrainer
from selfedit.model.memory import measured_peak
from selfedit.testing import tiny_model

from .test_equality import ALL, DATA, SEEDS, SETTINGS, close, sequences

CPU = torch.device("cpu")
WITHIN = 0.15  # of the measured peak: the bound


def run(model, data, settings, lora, **options):
    bank = AdapterBank(model.hf, lora, range(len(data)), num_layers=model.num_layers)
    return bank, BankTrainer(model.decoder, bank, data, settings, **options).run()


@pytest.mark.parametrize("layers", ["all", "upper-half"])
@pytest.mark.parametrize("modules", [ALL_LINEAR, ("q_proj", "v_proj")])
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize(("adapters", "longest", "batch"), [(1, 60, 1), (4, 150, 2), (3, 40, 3)])
def test_planned_is_measured(tiny, layers, modules, checkpointing, adapters, longest, batch):
    lora = ALL.model_copy(update={"layers": layers, "target_modules": modules})
    train = TrainSettings(epochs=2, batch_size=batch)
    data = [sequences(k, 3 + k % 3, longest) for k in range(adapters)]
    footprint = Footprint.of(tiny.decoder, lora)  # and the probes are done
    wave = [Steps.of(own, train, k) for k, own in enumerate(data)]
    planned = footprint.training(wave, checkpointing=checkpointing)
    options = {"checkpointing": checkpointing}
    measured = measured_peak(lambda: run(tiny, data, [train] * adapters, lora, **options), CPU)
    assert planned == pytest.approx(measured, rel=WITHIN)


def test_a_measured_peak_counts_what_stands_at_once():
    mega = 1_000_000

    def work():
        first = torch.zeros(mega, dtype=torch.uint8)
        del first
        second = torch.zeros(2 * mega, dtype=torch.uint8)
        return [torch.zeros(3 * mega, dtype=torch.uint8), second]

    assert measured_peak(work, CPU) == pytest.approx(5 * mega, rel=0.01)


def test_steps_are_those_of_the_training(tiny):
    """Tokens, rows and supervised tokens of every step, beside what the trainer is given."""
    from selfedit.lora.train import batches

    steps = Steps.of(DATA[0], SETTINGS[0], 11)
    taken = list(batches(DATA[0], SETTINGS[0], 11))
    assert steps.tokens.tolist() == [sum(len(s.ids) - 1 for s in step) for step in taken]
    assert steps.rows.tolist() == [len(step) for step in taken]
    assert steps.longest.tolist() == [max(len(s.ids) - 1 for s in step) for step in taken]
    assert steps.supervised.tolist() == [sum(s.num_supervised for s in step) for step in taken]


def test_more_of_anything_takes_more(tiny):
    footprint = Footprint.of(tiny.decoder, ALL)
    train = TrainSettings(epochs=1)
    short, long = Steps.of(sequences(0, 4, 20), train, 0), Steps.of(sequences(0, 4, 90), train, 0)
    assert footprint.training([short]) < footprint.training([short, short])
    assert footprint.training([short]) < footprint.training([long])
    deep = tiny_model()
    wide = Footprint.of(deep.decoder, ALL.model_copy(update={"rank": 64}))
    assert footprint.training([short]) < wide.training([short])
    assert np.all(footprint.bank(2) == 2 * footprint.bank(1))


def test_each_plan_is_looked_at_once(tiny):
    seen = []

    def steps_of(plan, seed):
        seen.append((plan, seed))
        return Steps.of(DATA[plan], SETTINGS[plan], seed)

    memory = WaveMemory(Footprint.of(tiny.decoder, ALL), steps_of)
    assert memory([0, 1], [11, 12]) > memory([0], [11])
    assert memory([0, 1], [11, 12]) == memory([0, 1], [11, 12])
    assert seen == [(0, 11), (1, 12)]


@pytest.mark.parametrize("layers", ["all", "upper-half"])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("packs", [True, False])
def test_checkpointing_changes_no_result(layers, dropout, packs, monkeypatch):
    model = tiny_model()
    if not packs:
        monkeypatch.setattr(model.decoder, "_packs", False)
    lora = ALL.model_copy(update={"layers": layers, "dropout": dropout})
    plain, records = run(model, DATA, SETTINGS, lora)
    less, again = run(model, DATA, SETTINGS, lora, checkpointing=True)
    close(plain.weights_KP, less.weights_KP)
    for a, b in zip(records, again, strict=True):
        assert a.losses == pytest.approx(b.losses, abs=1e-9)
    assert list(model.decoder.layers) == list(getattr(model.decoder.stack, "layers"))  # noqa: B009


def test_checkpointing_keeps_less(tiny):
    data = [sequences(k, 4, 150) for k in range(4)]
    train = [TrainSettings(epochs=1)] * 4
    lora = LoraSettings(rank=4, layers="all")
    peaks = [
        measured_peak(lambda own=own: run(tiny, data, train, lora, checkpointing=own), CPU)
        for own in (False, True)
    ]
    assert peaks[1] < 0.8 * peaks[0]
    assert SEEDS
