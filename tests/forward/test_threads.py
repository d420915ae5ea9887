"""Work side by side: results in order, failures raised, nobody left running."""

from __future__ import annotations

from threading import Event, current_thread, get_ident

import pytest
import torch

from selfedit.config import LoraSettings, TrainSettings
from selfedit.errors import OutOfMemory
from selfedit.forward.threads import in_passing_thread, side_by_side
from selfedit.lora.desk import Desk
from selfedit.types import TrainingPlan, TrainingSequence


def test_results_are_in_order_and_torchs_threads_are_shared_out():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        found = side_by_side([lambda stop: (get_ident(), torch.get_num_threads())] * 2)
        assert [threads for _, threads in found] == [2, 2]
        assert found[0][0] == get_ident() != found[1][0]
        assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("failing", [0, 1])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failure_stops_the_others_and_is_raised(failing, error):
    stopped = []

    def fail(stop):
        raise error("no more")

    def wait(stop):
        stopped.append(stop.wait(timeout=60))

    works = [wait, wait, wait]
    works[failing] = fail
    threads = torch.get_num_threads()
    with pytest.raises(error):
        side_by_side(works)
    assert stopped == [True, True]
    assert torch.get_num_threads() == threads


def test_a_training_stops_everywhere_when_one_thread_has_no_memory(tiny, monkeypatch):
    plans = [TrainingPlan((TrainingSequence(f"the tower {i} was built"),)) for i in range(4)]
    original, steps = Desk._step, []
    failed = Event()

    def step(self, running):
        steps.append(1)
        if self.decoder is not tiny.decoder:
            failed.set()
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes")
        assert failed.wait(60)
        return original(self, running)

    monkeypatch.setattr(Desk, "_step", step)
    monkeypatch.setattr(tiny, "others", [tiny.decoder.beside()])
    with pytest.raises(OutOfMemory, match="4 adapters together"):
        tiny.train(plans, LoraSettings(rank=2), TrainSettings(epochs=1000), range(4))
    assert len(steps) < 500  # of 1000, had the first thread not been stopped
    monkeypatch.setattr(Desk, "_step", original)
    _, records = tiny.train(plans, LoraSettings(rank=2), TrainSettings(epochs=2), range(4))
    assert [len(record.losses) for record in records] == [2] * 4


def test_a_passing_thread_ends_with_its_work_and_hands_on_what_it_found():
    thread = in_passing_thread(current_thread)
    thread.join(60)
    assert thread is not current_thread()
    assert not thread.is_alive()
    with pytest.raises(KeyError, match="why"):
        in_passing_thread(lambda: {}["why"])
