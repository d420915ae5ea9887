"""Waves: what trains together."""

from __future__ import annotations

from dataclasses import replace

import pytest

from selfedit.config import EngineSettings, InnerSettings, LoraSettings, TrainSettings
from selfedit.errors import InvalidSelfEdit
from selfedit.loops.jobs import fitting
from selfedit.loops.waves import Job, Wave, WaveBudget, plan_waves
from selfedit.model.tiny import tiny_model
from selfedit.types import SelfEdit, Task, TrainingPlan, TrainingSequence

TRAIN = TrainSettings(epochs=2)
SETTINGS = InnerSettings(lora=LoraSettings(rank=2, layers="all"), train=TRAIN)


def job(name: str, count: int, length: int) -> Job:
    task = Task(name, name, "")
    plan = TrainingPlan(tuple(TrainingSequence(f"{name} {i}") for i in range(count)))
    return Job.of(name, task, SelfEdit(name, 0, (), ()), 0, plan, count * length, TRAIN)


JOBS = [job(f"j{i}", 3 + 5 * (i % 3), 10 + 7 * (i % 4)) for i in range(12)]
BUDGET = WaveBudget(tokens=100, slots=4, memory=1000, cost=lambda wave: 300 * wave.slots)
ROOMY = replace(BUDGET, tokens=10_000, memory=10_000)


def test_every_job_is_in_one_wave_within_the_budget():
    waves = list(plan_waves(JOBS, BUDGET))
    assert sorted(j.key for wave in waves for j in wave.jobs) == sorted(j.key for j in JOBS)
    assert all(len(wave.jobs) == wave.slots > 0 for wave in waves)
    assert max(wave.slots for wave in waves) == 3  # four would take 1200 bytes
    for wave in waves:
        assert wave.slots == 1 or sum(j.mean_length for j in wave.jobs) <= 100
    assert list(plan_waves([], BUDGET)) == []


@pytest.mark.parametrize("texts", [("a",), ("a", "b"), ("",)])
def test_texts_in_which_nothing_can_be_predicted_are_refused(tiny, texts):
    plan = TrainingPlan(tuple(map(TrainingSequence, texts)))
    with pytest.raises(InvalidSelfEdit, match="nothing to train on"):
        fitting(tiny, plan, 100)
    one_more = replace(plan, sequences=(*plan.sequences, TrainingSequence("ab")))
    assert fitting(tiny, one_more, 100)[0] == one_more


def test_waves_do_not_depend_on_the_order_of_the_jobs():
    assert list(plan_waves(JOBS[::-1], BUDGET)) == list(plan_waves(JOBS, BUDGET))


def test_what_is_over_the_budget_by_itself_is_a_wave():
    nothing_fits = replace(BUDGET, memory=0, tokens=1)
    assert [len(wave.jobs) for wave in plan_waves(JOBS, nothing_fits)] == [1] * len(JOBS)


def test_jobs_of_like_step_count_go_together():
    waves = list(plan_waves(JOBS, ROOMY))
    assert [{j.num_steps for j in wave.jobs} for wave in waves] == [{26}, {16}, {6}]


def test_slots_are_filled_again_up_to_the_length_of_a_lane():
    refilled = replace(ROOMY, lane=2)
    waves = list(plan_waves(JOBS, refilled))
    assert [(len(wave.jobs), wave.slots) for wave in waves] == [(8, 4), (4, 4)]
    assert waves[0].jobs == tuple(j for wave in list(plan_waves(JOBS, ROOMY))[:2] for j in wave.jobs)
    # What waits takes memory too.
    tight = replace(refilled, memory=1300, cost=lambda w: 300 * w.slots + 50 * len(w.jobs))
    for wave in plan_waves(JOBS, tight):
        assert tight.cost(wave) <= 1300
        assert wave.slots == 3
    # A short one in the place of a long one must not bring the step above its tokens.
    long_last = [job("many", 20, 10), job("more", 18, 10), *(job(f"l{i}", 2, 60) for i in range(3))]
    for wave in plan_waves(long_last, replace(refilled, tokens=100)):
        widest = sorted((j.mean_length for j in wave.jobs), reverse=True)
        assert wave.slots == 1 or sum(widest[: wave.slots]) <= 100


def test_halves_have_all_jobs_and_half_of_the_slots():
    wave = Wave(tuple(JOBS[:7]), 3)
    one, two = wave.halves()
    assert one.jobs + two.jobs == wave.jobs
    assert (one.slots, two.slots) == (2, 2)
    assert [half.slots for half in Wave(tuple(JOBS[:2]), 2).halves()] == [1, 1]
    assert [half.slots for half in Wave(tuple(JOBS[:3]), 1).halves()] == [1, 1]


def test_a_step_of_several_sequences_fills_a_wave_sooner():
    two = TrainSettings(epochs=2, batch_size=2)
    wide = [Job.of(j.key, j.task, j.edit, 0, j.plan, j.tokens, two) for j in JOBS]
    assert len(list(plan_waves(wide, BUDGET))) > len(list(plan_waves(JOBS, BUDGET)))


def test_a_tight_budget_makes_smaller_waves_of_a_real_model():
    model = tiny_model()
    plans = [TrainingPlan((TrainingSequence("word " * (3 + i)),)) for i in range(6)]
    jobs = [
        Job.of(str(i), Task("", "", ""), SelfEdit("", i, (), ()), i, plan, 10, TRAIN)
        for i, plan in enumerate(plans)
    ]
    roomy = list(plan_waves(jobs, WaveBudget.of(model, SETTINGS)))
    one = model.planned_memory(SETTINGS.lora, TRAIN)(plans[:1], [0], None)
    model.engine = EngineSettings(memory_gb=3 * one / 1e9)
    tight = list(plan_waves(jobs, WaveBudget.of(model, SETTINGS)))
    assert len(roomy) == 1
    assert roomy[0].slots == 4
    budget = WaveBudget.of(model, SETTINGS)
    assert max(wave.slots for wave in tight) in (2, 3)
    assert all(budget.cost(wave) <= 3 * one for wave in tight)
