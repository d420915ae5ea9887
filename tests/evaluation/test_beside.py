"""What self-edits are held against: the passage for as many tokens, and the best of several edits."""

from __future__ import annotations

from dataclasses import replace

import pytest

from selfedit import experiments
from selfedit.domains.knowledge import Knowledge
from selfedit.domains.knowledge.evaluation import KnowledgeEvaluation, inner_values
from selfedit.domains.knowledge.settings import LearnSettings
from selfedit.errors import InputError
from selfedit.evaluation.bench import StoredBench
from selfedit.evaluation.plan import plan_evaluation
from selfedit.model.fake import FakeModel
from selfedit.show.wording import percent
from selfedit.store import Store
from selfedit.types import Completion, Query, Task

GOLD, OWN = "What is the gold question?", "What is the own question?"
TASKS = [
    Task(f"id{i}", f"Tower {i}", f"Tower {i} stands. " * (i + 3), (Query(GOLD, ("gold",)),))
    for i in range(4)
]


class Asked(Knowledge):
    """Its own questions are known, and the evaluation's must not be seen when they are made."""

    def own_questions(self, tasks, kind, write):
        assert kind == "own"
        assert not any(task.queries for task in tasks)
        asked = [replace(task, queries=(Query(OWN, ("own",)),)) for task in tasks]
        # There is nothing to ask about the last one.
        return [*asked[:-1], replace(asked[-1], queries=())], ("a note",)


class Torn(FakeModel):
    """Writes edits that teach nothing, the gold answer, the own answer, and nothing, in turn."""

    edits = ("1. Idle words here.", "1. CHEATS says gold.", "1. HELPS says own.", "")
    stop_at = 0

    def train(self, *args, **kwargs):
        if self.calls["train"] + 1 == self.stop_at:
            raise KeyboardInterrupt
        return super().train(*args, **kwargs)

    def sample(self, prompts, sampling, seeds, *, adapters=None, owners=None, **more):
        self._called("sample")
        replies = []
        for i, prompt in enumerate(prompts):
            known = " ".join(adapters.texts[owners[i]]) if adapters is not None else ""
            if prompt.kind != "question":
                replies.append(self.edits[i % len(self.edits)])
            elif GOLD in prompt.text:
                replies.append("gold" if "CHEATS" in known else "no")
            else:
                replies.append("own" if "HELPS" in known else "no")
        return [Completion(text, ended=True) for text in replies]


def settings(*conditions, best_of=4, **inner) -> KnowledgeEvaluation:
    given = {"knowledge": {"strategy": "implications"}, "train": {"epochs": 3}, **inner}
    values = LearnSettings.model_validate(inner_values("single", given))
    return KnowledgeEvaluation(conditions=conditions, inner=values, best_of=best_of, resamples=200)


def evaluate(tmp_path, model, chosen, name="a", tasks=TASKS, kind=Asked):
    store = Store(tmp_path / name / "store.sqlite")
    return experiments.evaluate(kind(chosen.inner.knowledge), tasks, model, chosen, store)


def test_own_questions_choose_and_not_the_evaluations(tmp_path):
    model = Torn()
    found = evaluate(tmp_path, model, settings("best", seeds=2))
    (row,) = found.evaluation.rows
    chosen = [own[0].edit.text for own in found.outcomes["best"].trials]
    assert chosen == [Torn.edits[2]] * 3 + [Torn.edits[0]], "the first sound one where nothing is asked"
    assert row.accuracy == 0.0, "the edit that the real questions would choose has 1"
    # 3 contexts x 3 valid edits x 2 seeds to choose, and 4 x 2 of the chosen ones, all of them counted.
    assert row.trainings == 3 * 3 * 2 + 4 * 2
    last = sum(trial.tokens for own in found.outcomes["best"].trials for trial in own)
    assert row.tokens > 3 * last / 4 + last
    assert row.note.startswith("chosen among 4 edits, at the cost of 18 trainings")
    assert "(6 trials invalid or failed)" in row.note
    assert row.note.endswith("a note")
    idle = Torn()
    again = evaluate(tmp_path, idle, settings("best", seeds=2))
    assert again.evaluation == found.evaluation
    assert not idle.calls


@pytest.mark.parametrize("stop_at", [1, 2, 3])
def test_killed_while_choosing_it_goes_on(tmp_path, stop_at):
    chosen = settings("own", "passage-matched", "best")
    tasks = [replace(task, id=f"{task.id}-{n}") for n in range(3) for task in TASKS]
    whole = evaluate(tmp_path, Torn(), chosen, "whole", tasks).evaluation
    model = Torn()
    model.stop_at = stop_at
    with pytest.raises(KeyboardInterrupt):
        evaluate(tmp_path, model, chosen, "killed", tasks)
    again = evaluate(tmp_path, Torn(), chosen, "killed", tasks).evaluation
    assert [row.by_context for row in again.rows] == [row.by_context for row in whole.rows]
    assert [row.tokens for row in again.rows] == [row.tokens for row in whole.rows]
    assert again.pairs == whole.pairs


def test_the_passage_for_as_many_tokens_as_the_own_edit(tmp_path):
    model = FakeModel()
    found = evaluate(tmp_path, model, settings("passage", "own", "passage-matched"), kind=Knowledge)
    passage, own, matched = (
        [trial.tokens for (trial,) in found.outcomes[name].trials]
        for name in ("passage", "own", "passage-matched")
    )
    once = [tokens / 3 for tokens in passage]
    assert own != passage
    for wanted, got, a_pass in zip(own, matched, once, strict=True):
        assert abs(wanted - got) <= a_pass / 2
    row = found.evaluation.rows[2]
    assert row.note.startswith(f"{percent(sum(matched) / sum(own))} of the tokens of own (")
    assert {(pair.a, pair.b) for pair in found.evaluation.pairs} >= {("passage-matched", "own")}


def test_where_the_own_edit_is_invalid_the_passage_is_trained_as_usual(tmp_path):
    class Silent(Torn):
        edits = ("",)

    found = evaluate(tmp_path, Silent(), settings("passage", "own", "passage-matched"))
    passage, own, matched = (found.outcomes[n].trials for n in ("passage", "own", "passage-matched"))
    assert all(trial.status == "invalid" for (trial,) in own)
    assert [t.tokens for (t,) in matched] == [t.tokens for (t,) in passage]
    said = found.evaluation.rows[2].note
    assert said == "4 contexts as in passage, for own trained nothing there"


def test_the_plan_counts_all_trainings(tmp_path):
    def planned(*conditions):
        chosen = settings(*conditions, seeds=2)
        store = Store(tmp_path / "plan" / "store.sqlite")
        return plan_evaluation(
            StoredBench(Knowledge(chosen.inner.knowledge), TASKS, FakeModel(), chosen, store)
        )

    own = planned("own")
    assert planned("best").trainings == own.trainings * 5
    assert planned("best").tokens == own.tokens * 5
    assert planned("own", "passage-matched").tokens == own.tokens * 2


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        (settings("passage-matched"), "own"),
        (settings("best", knowledge={"strategy": "none"}), "--strategy"),
        (settings("own", "best").model_copy(update={"regime": "cpt"}), "single"),
        (settings("own", "passage-matched").model_copy(update={"regime": "cpt"}), "single"),
    ],
)
def test_refused_before_any_work(tmp_path, chosen, message):
    model = FakeModel()
    with pytest.raises(InputError, match=message):
        evaluate(tmp_path, model, chosen)
    assert not model.calls


def test_how_many_edits_is_no_part_of_what_was_stored_before():
    assert settings("own").digest() == settings("own", best_of=4).digest()
    assert "best_of" not in settings("own").identity()
    assert settings("own", best_of=5).digest() != settings("own").digest()
