"""Edits that say how they are trained: heads, bounds, and that a wave obeys each of them."""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from selfedit.config import LoraSettings, TrainSettings
from selfedit.domains.conditions import TaskOutcome
from selfedit.domains.knowledge import Knowledge
from selfedit.domains.knowledge.directed import FORMS, LONGEST_HEAD, Head, pattern, read_head, template
from selfedit.domains.knowledge.evaluation import KnowledgeEvaluation
from selfedit.domains.knowledge.settings import DirectiveSettings, KnowledgeSettings, LearnSettings
from selfedit.domains.rows import Evaluation
from selfedit.errors import InputError, InvalidSelfEdit
from selfedit.learning.library import Library
from selfedit.loops.inner import run_trials
from selfedit.model.fake import FakeModel
from selfedit.types import GradedAnswer, Query, Score, SelfEdit, Task, Trial

BOUNDS = DirectiveSettings()
SETTINGS = KnowledgeSettings(strategy="directed")
DOMAIN = Knowledge(SETTINGS)
TASK = Task("id", "Pask", "The tower is of tin.\nIt is 20 m high.", (Query("Of what?", ("tin",)),))
HEAD = {"strategy": "implications", "statements": 8, "learning_rate": 0.001, "epochs": 7}


def written(head: object, text: str = "\n1. Pask has a tower.\n2. Tin does not rust.") -> str:
    return (head if isinstance(head, str) else json.dumps(head)) + text


def plan_of(text: str):
    return DOMAIN.parse(TASK, SelfEdit("id", 0, DOMAIN.prompts(TASK), (text,)))


def test_the_head_directs_form_number_and_training():
    plan = plan_of(written({**HEAD, "statements": 1, "learning_rate": 2e-3, "epochs": 3}))
    assert (plan.learning_rate, plan.epochs) == (0.002, 3)
    assert [s.text for s in plan.sequences] == ["Pask\n1. Pask has a tower.", f"Pask\n{TASK.context}"]
    asked = written({**HEAD, "strategy": "self-qa"}, "\nQuestion 1: Of what?\nAnswer: Of tin.")
    assert plan_of(asked).sequences[0].text == "Pask\nQuestion 1: Of what?\nAnswer: Of tin."
    versions = written({**HEAD, "strategy": "rewrite"}, "\nOf tin\nit is.\n---\nTin, 20 m.")
    assert len(plan_of(versions).sequences) == 3


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1. Pask has a tower.", "does not begin with its head"),
        ("", "does not begin with its head"),
        ("Sure!\n" + written(HEAD), "does not begin with its head"),
        (written(HEAD, ""), "nothing to train on"),
        (written(HEAD, "\nTraining data:"), "only repeats"),
        (written('{"strategy": "rewrite",'), "invalid JSON"),
        ('{"strategy": "rewrite"', "cut off"),
        ('{"strategy": "' + "x" * LONGEST_HEAD, "invalid JSON"),
        ("{" * 9000, "invalid JSON"),
        ('{"a":' + "[" * 390, "invalid JSON|nested"),
        (written({}), "no strategy"),
        (written({**HEAD, "note": 1}), 'a key "note"'),
        (written('{"epochs": 1, "epochs": 2}'), "comes twice"),
        (written({**HEAD, "strategy": "sentences"}), "strategy is"),
        (written({**HEAD, "strategy": ["rewrite"]}), "strategy is a list"),
        (written({**HEAD, "epochs": 0}), "epochs is 0, not from 1 to 20"),
        (written({**HEAD, "epochs": 21}), "not from 1 to 20"),
        (written({**HEAD, "epochs": 7.0}), "not a whole number"),
        (written({**HEAD, "epochs": True}), "not a whole number"),
        (written({**HEAD, "statements": 0}), "statements is 0"),
        (written({**HEAD, "learning_rate": "0.001"}), "not a number"),
        (written({**HEAD, "learning_rate": 0.1}), "not from 0.0001 to 0.005"),
        (written({**HEAD, "learning_rate": 0}), "not from 0.0001 to 0.005"),
        (written('{"strategy": "rewrite", "statements": 1, "learning_rate": NaN, "epochs": 1}'), "NaN"),
        (written(json.dumps(HEAD).replace("0.001", "1e999")), "not from 0.0001 to 0.005"),
        (written('{"epochs": ' + "9" * 99 + "}"), "99 digits"),
    ],
)
def test_a_bad_head_is_an_invalid_edit(text, reason):
    with pytest.raises(InvalidSelfEdit, match=reason):
        plan_of(text)
    edit = SelfEdit("id", 0, DOMAIN.prompts(TASK), (text,))
    (trial,) = run_trials(FakeModel(), DOMAIN, [(TASK, edit)], LearnSettings(knowledge=SETTINGS))
    assert (trial.status, trial.reward) == ("invalid", None)


@given(st.text() | st.text().map(lambda text: "{" + text))
def test_any_text_is_an_edit_or_an_invalid_one(text):
    with contextlib.suppress(InvalidSelfEdit):
        assert plan_of(text).epochs in range(1, 21)


@given(st.sampled_from(FORMS), st.integers(1, 30), st.sampled_from([1e-4, 3e-4, 1.5e-3, 5e-3]),
       st.integers(1, 20))  # fmt: skip
def test_what_the_pattern_allows_is_valid(form, statements, rate, epochs):
    head = Head(form, statements, rate, epochs)
    text = f"{head.text()}\nPask has a tower.\nTin does not rust."
    assert re.fullmatch(pattern(BOUNDS), text)
    assert read_head(text, BOUNDS) == (head, "\nPask has a tower.\nTin does not rust.")


def test_the_pattern_keeps_to_the_bounds():
    narrow = DirectiveSettings(rate_bounds=(3e-4, 1e-3), epoch_bounds=(2, 3), most_statements=2)
    said = pattern(narrow)
    for bad in ({"epochs": 4}, {"statements": 3}, {"learning_rate": 0.002}, {"learning_rate": 0.0002}):
        head = Head(**{**HEAD, "statements": 1, "epochs": 2, **bad})
        assert not re.fullmatch(said, f"{head.text()}\nx")
    assert re.fullmatch(said, Head("rewrite", 2, 7e-4, 3).text() + "\nx")
    assert "from 0.0003 to 0.001" in template(narrow)
    assert '"epochs": 3' in template(narrow), "the example is within the bounds"


def test_what_is_constrained_has_no_example_to_copy():
    """The embedded model copied it 32 times of 32, so that there was nothing to choose between."""
    free, held = (
        Knowledge(KnowledgeSettings(strategy="directed", constrained=constrained)).prompts(TASK)[0]
        for constrained in (False, True)
    )
    assert '"epochs": 7' in free.text
    assert not free.pattern
    assert '"epochs"' not in held.text
    assert held.pattern
    assert "with the keys strategy, statements, learning_rate, epochs. strategy:" in held.text


def test_constrained_samples_are_valid_heads(tiny):
    pytest.importorskip("llguidance", reason="constrained sampling is an extra")
    domain = Knowledge(KnowledgeSettings(strategy="directed", constrained=True))
    sampling = LearnSettings(knowledge=domain.settings).sampling
    for reply in tiny.sample(domain.prompts(TASK) * 3, sampling, range(3)):
        head, _ = read_head(reply.text, BOUNDS)
        assert head.strategy in FORMS


@pytest.mark.parametrize("anchor", [0.0, 1.0])
def test_a_wave_trains_each_edit_as_it_asks_for(tiny, anchor):
    """Different rates and epochs side by side, and in one slot after the other: as each alone, where
    the settings ask for what its head does."""
    edits = [
        written({**HEAD, "learning_rate": rate, "epochs": epochs})
        for rate, epochs in ((5e-3, 2), (1e-4, 5), (2e-3, 3))
    ]
    settings = LearnSettings(
        knowledge=SETTINGS,
        train=TrainSettings(
            batch_size=1, anchor={"weight": anchor, "num_prompts": 2, "reply_tokens": 4}
        ),
        lora=LoraSettings(rank=2, alpha=4, layers="all"),
    )
    plans = [plan_of(text) for text in edits]
    seeds = [0, 1, 0]

    def trained(some, own, slots=None, train=settings.train):
        return tiny.train(some, settings.lora, train, own, slots=slots)

    together, records = trained(plans, seeds)
    one_slot, _ = trained(plans, seeds, slots=1)
    steps = [len(record.losses) for record in records]
    assert steps == [2 * 3, 5 * 3, 3 * 3]
    for k, (plan, seed) in enumerate(zip(plans, seeds, strict=True)):
        asked = {"learning_rate": plan.learning_rate, "epochs": plan.epochs}
        plain = replace(plan, learning_rate=None, epochs=None)
        alone, (record,) = trained([plain], [seed], train=settings.train.model_copy(update=asked))
        torch.testing.assert_close(together.weights_KP[k], alone.weights_KP[0], rtol=0, atol=1e-9)
        torch.testing.assert_close(one_slot.weights_KP[k], alone.weights_KP[0], rtol=0, atol=1e-9)
        assert record.losses == pytest.approx(records[k].losses, abs=1e-9)


def test_where_it_cannot_be_used(tmp_path):
    with pytest.raises(ValidationError, match="single"):
        KnowledgeEvaluation(regime="cpt", inner=LearnSettings(knowledge=SETTINGS))
    with pytest.raises(ValidationError, match="directed"):
        KnowledgeSettings(constrained=True)
    with pytest.raises(ValidationError, match="in order"):
        DirectiveSettings(epoch_bounds=(3, 2))
    library = Library(FakeModel(), tmp_path)
    with pytest.raises(InputError, match="directed"):
        library.learn("x.md", settings=LearnSettings(knowledge=SETTINGS))
    assert KnowledgeSettings().digest() == KnowledgeSettings(directives=BOUNDS).digest()
    assert SETTINGS.digest() != KnowledgeSettings(strategy="directed", constrained=True).digest()


def trial(head: Head | None, right: bool = False) -> Trial:
    text = written("no head" if head is None else head.text())
    score = None if head is None else Score((GradedAnswer("q", "tin", "tin", right, right),))
    status = "invalid" if head is None else "scored"
    return Trial("key", "id", SelfEdit("id", 0, (), (text,)), 0, status, "", score)


def test_what_rl_changed_in_heads():
    before = [Head("implications", 4, 1e-4, 2), Head("rewrite", 8, 1e-4, 8)]
    after = [Head("implications", 8, 1e-3, 8), None]
    outcomes = [
        TaskOutcome(TASK, {"own": (trial(a),), "seal": (trial(b, right=True),)})
        for a, b in zip(before, after, strict=True)
    ]
    domain = Knowledge(SETTINGS)
    assert domain.chooses
    assert not Knowledge().chooses
    (section,) = domain.choices(outcomes, Evaluation((), (), "m", "", "single", 0, 1))
    found = {row[0]: row[1:4] for row in section.blocks[0].rows}
    assert found["edits with a valid head"][:2] == ("2 of 2", "1 of 2")
    assert found["learning rate"] == ("0.0001", "0.001", "times 10.00")
    assert found["epochs"] == ("4 (2 to 8)", "8", "times 4.00")
    assert found["statements"] == ("6.0", "8.0", "+4.0")
    assert found["rewrite"] == ("50%", "0%", "+0.0 points")
    assert "seal, with a right answer" in section.blocks[1].svg
