"""Trackers: a missing one says what to install, and one that fails costs no run."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import accelerate
import pytest

from selfedit.config import OuterSettings
from selfedit.errors import InputError
from selfedit.loops import tracking
from selfedit.loops.tracking import Trackers


class Accelerated:
    """Stands in for accelerate's, whose trackers are other people's packages."""

    fails = ""

    def __init__(self, log_with, project_dir):
        self.names, self.told = log_with, []

    def init_trackers(self, project, config):
        self.config = config
        if self.fails == "start":
            raise RuntimeError("no API key\nmore")

    def log(self, values, step):
        if self.fails == "log":
            raise ConnectionError("gone")
        self.told.append((values, step))

    def end_training(self):
        self.told.append("end")


@pytest.fixture
def accelerated(monkeypatch):
    monkeypatch.setattr(accelerate, "Accelerator", Accelerated)
    monkeypatch.setattr(
        tracking, "find_spec", lambda name: SimpleNamespace() if name == "wandb" else None
    )
    monkeypatch.setitem(sys.modules, "wandb", ModuleType("wandb"))
    monkeypatch.setattr(Accelerated, "fails", "")
    return Accelerated


def test_what_is_missing_or_unknown_is_said(accelerated, tmp_path):
    with pytest.raises(InputError, match="pip install mlflow"):
        Trackers(["wandb", "mlflow"], tmp_path, OuterSettings())
    with pytest.raises(InputError, match="use one of tensorboard"):
        Trackers(["neptune"], tmp_path, OuterSettings())
    Trackers([], tmp_path, OuterSettings()).log({"a": 1.0}, 1)


def test_one_that_cannot_be_started_says_what_to_do(accelerated, tmp_path, monkeypatch):
    monkeypatch.setattr(accelerated, "fails", "start")
    with pytest.raises(InputError, match=r"no API key \(log in .* WANDB_MODE=offline\)"):
        Trackers(["wandb"], tmp_path, OuterSettings())


def test_one_that_fails_later_is_left_out(accelerated, tmp_path, monkeypatch):
    said = []
    trackers = Trackers(["wandb"], tmp_path, OuterSettings(), said.append)
    own = trackers._accelerator
    assert own.config["inner.lora.rank"] == 32
    trackers.log({"mean_reward": 0.5}, 1)
    monkeypatch.setattr(accelerated, "fails", "log")
    trackers.log({"mean_reward": 0.6}, 2)
    trackers.log({"mean_reward": 0.7}, 3)
    trackers.close()
    assert own.told == [({"mean_reward": 0.5}, 1)]
    assert len(said) == 1
    assert "gone" in said[0]
