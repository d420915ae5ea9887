"""What is timed on a GPU is timed on that GPU alone. No GPU is needed."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from accelerate.state import AcceleratorState, PartialState
from transformers import TrainingArguments

from selfedit.bench import inner
from selfedit.bench.outcome import Measured
from selfedit.bench.plan import InnerBench
from selfedit.bench.trainer import on_one_device
from selfedit.bench.ways import Way


@pytest.fixture
def four_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def test_trainer_stays_on_the_models_gpu(four_gpus, tmp_path):
    theirs = TrainingArguments(output_dir=str(tmp_path))
    assert theirs.n_gpu == 4  # it would train on all of them
    device = torch.device("cuda:1")
    ours = on_one_device(TrainingArguments, device)(output_dir=str(tmp_path))
    assert (ours.device, ours.n_gpu) == (device, 1)
    assert PartialState().device == device  # where accelerate brings the batches


class Bank:
    """What a way trained: on a GPU gigabytes."""


class Part:
    tokens, data = 1, (1,)

    def __init__(self, alive):
        self.alive, self.seen = alive, []

    def run(self, way):
        gc.collect()
        self.seen.append(sum(ref() is not None for ref in self.alive))
        bank = Bank()
        self.alive.append(weakref.ref(bank))
        return [bank]


def test_no_way_trains_beside_anothers_banks(monkeypatch):
    run = object.__new__(inner._Run)
    part = Part([])
    run.what, run.say, run.device = (
        InnerBench(repeats=2, questions=0),
        lambda text: None,
        torch.device("cpu"),
    )
    run.found = {Way("packed", k): Measured(part) for k in (1, 2, 4)}
    run.widest = 4
    run.time_all()
    assert part.seen == [0, 0, 0, 0]
