"""The plan of an outer-loop run: what the texts of a round are taken to cost."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from selfedit.cli.rounds import plan_text
from selfedit.config import ANSWER_SAMPLING, OuterSettings
from selfedit.domains.knowledge import Knowledge
from selfedit.domains.knowledge.presets import smoke
from selfedit.domains.knowledge.settings import LearnSettings
from selfedit.loops import plan as outer_plan
from selfedit.model.fake import FakeModel
from selfedit.types import Completion, Prompt, Query, Task


class Clocked(FakeModel):
    """A second of its own clock to read a prompt, three to write a token; `stops` after so many."""

    def __init__(self, stops):
        super().__init__()
        self.stops, self.now = stops, 0.0

    def count_tokens(self, text):
        return text.count("x") or super().count_tokens(text)

    def sample(self, prompts, sampling, seeds, **more):
        replies = []
        for prompt in prompts:
            length = min(prompt.max_new_tokens or sampling.max_new_tokens, self.stops)
            self.now += 1 + 3 * length
            replies.append(Completion("x" * length))
        return replies


@pytest.mark.parametrize(("stops", "reply"), [(7, 7), (10_000, 64)])
def test_the_speed_of_writing(monkeypatch, stops, reply):
    model = Clocked(stops)
    monkeypatch.setattr(outer_plan, "time", SimpleNamespace(perf_counter=lambda: model.now))
    speed = outer_plan.measure(model, [Prompt(f"Question {i}?") for i in range(100)], ANSWER_SAMPLING)
    # the reply of one token is a part of what a prompt costs
    assert (speed.per_prompt, speed.per_token, speed.reply) == (4.0, 3.0, reply)


def test_the_plan_counts_writing_and_answering(monkeypatch):
    model = Clocked(5)
    monkeypatch.setattr(outer_plan, "time", SimpleNamespace(perf_counter=lambda: model.now))
    task = Task("t", "T", "one two three four", (Query("Who?", ("a",)), Query("What?", ("b",))))
    settings = smoke()
    domain = Knowledge(settings.inner.knowledge)
    texts = outer_plan.estimate_texts(model, domain, [task], settings.inner, edit_tokens=16)
    edits, prompts = settings.inner.candidates, len(domain.prompts(task))
    assert texts.writing == edits * (prompts * 4 + 16 * 3)
    answers = 2 * (1 + edits * settings.inner.seeds)
    assert texts.answering == answers * (4 + 5 * 3)


def test_the_plan_is_of_the_rounds_that_are_left(monkeypatch):
    model = Clocked(5)
    monkeypatch.setattr(outer_plan, "time", SimpleNamespace(perf_counter=lambda: model.now))
    task = Task("t", "T", "The tower is tall.", (Query("Who?", ("a",)),))
    settings = smoke().model_copy(update={"rounds": 4})
    domain = Knowledge(settings.inner.knowledge)
    every = outer_plan.plan_outer(model, domain, [task], settings)
    left = outer_plan.plan_outer(model, domain, [task], settings, 3)
    assert (every.rounds, every.finished, left.rounds, left.finished) == (4, 0, 1, 3)
    for name in ("inner_loops", "tokens", "writing", "answering"):
        assert getattr(every, name) == 4 * getattr(left, name) > 0
    assert "the 1 of 4 rounds that are left (3 finished before) x 1 contexts" in plan_text(
        left, "context"
    )


@pytest.mark.parametrize(
    ("reward", "keep", "tried"), [("true", 2, 4), ("proxy", 2, 0), ("cascade", 2, 2), ("cascade", 9, 4)]
)
def test_the_plan_trains_on_what_the_reward_does(monkeypatch, reward, keep, tried):
    model = Clocked(5)
    monkeypatch.setattr(outer_plan, "time", SimpleNamespace(perf_counter=lambda: model.now))
    tasks = [Task(f"t{i}", "T", f"Tower {i} is tall.", (Query("Who?", ("a",)),)) for i in range(3)]
    inner = LearnSettings(candidates=4, seeds=2)
    settings = OuterSettings(contexts=3, rounds=5, reward=reward, cascade_keep=keep, inner=inner)
    plan = outer_plan.plan_outer(model, Knowledge(inner.knowledge), tasks, settings)
    assert (plan.edits, plan.tried, plan.inner_loops) == (4, tried, 5 * 3 * tried * 2)
    every = outer_plan.plan_outer(
        model, Knowledge(inner.knowledge), tasks, settings.model_copy(update={"reward": "true"})
    )
    assert plan.tokens == every.tokens * tried / 4
    assert plan.answering == 5 * 3 * (1 + tried * 2) * (4 + 5 * 3)
    assert plan.writing == every.writing
    said = plan_text(plan, "context")
    assert ("inner loops" in said) is (tried > 0)
    assert ("judge" in said) is (tried < 4)
