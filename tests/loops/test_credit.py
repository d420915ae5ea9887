"""Credit by statement: a question's gain goes to what it is about, and the policy learns from that."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import ValidationError

from selfedit.algorithms.credit import earned
from selfedit.algorithms.rest_em import select
from selfedit.config import OuterSettings
from selfedit.domains.knowledge import Knowledge
from selfedit.domains.knowledge.settings import KnowledgeSettings
from selfedit.errors import InputError
from selfedit.loops.credit import by_statement, credits_of, worths
from selfedit.loops.groups import candidate_of
from selfedit.loops.rounds import stored_groups
from selfedit.types import Candidate, GradedAnswer, Group, Prompt, Query, Score, SelfEdit, Task, Trial
from tests.loops.test_outer import SETTINGS, outer

TASK = Task(
    "id",
    "Pask",
    "The tower of Pask is made of tin. Its keeper is Jory Pask. Nobody has asked about the harbour.",
    (Query("Who is the keeper?", ("Jory Pask",)), Query("What is the tower made of?", ("tin",))),
)
DOMAIN = Knowledge(KnowledgeSettings(restatements=2))


def edit(index: int, *texts: str) -> SelfEdit:
    prompts = tuple(Prompt(f"say {n}") for n in range(len(texts)))
    return SelfEdit("id", index, prompts, texts)


def trial(own: SelfEdit, seed: int, *right: bool) -> Trial:
    answers = tuple(
        GradedAnswer(q.question, q.gold, "", ok) for q, ok in zip(TASK.queries, right, strict=True)
    )
    return Trial(f"{own.index} {seed}", "id", own, seed, "scored", score=Score(answers))


def test_questions_are_about_sentences():
    """Three sentences, each restated twice: the order of the prompts."""
    said = [
        "Tin is what the tower of Pask is made of.",
        "The keeper of the tower is called Jory Pask.",
        "The harbour is what nobody has asked about.",
    ]
    other = [text.replace("is ", "was ") for text in said]
    about = DOMAIN.about(TASK, edit(0, *said, *other))
    assert about == ((1,), (0,), (), (1,), (0,), ())
    # What is not trained on has no credit: nothing, an invented name, the same again.
    own = edit(0, "", "Its keeper is Doran Vey.", said[2], said[0], said[1], said[1])
    assert DOMAIN.about(TASK, own) == ((), (), (), (1,), (0,), ())
    itself = edit(0, "The tower of Pask is made of tin.", *said[1:])
    assert DOMAIN.about(TASK, itself) == ((), (0,), ())
    whole = Knowledge(KnowledgeSettings(strategy="implications"))
    with pytest.raises(InputError, match="sentences"):
        whole.about(TASK, edit(0, "a"))


def test_a_gain_goes_to_the_statement_over_all_seeds():
    own = edit(
        0,
        "Tin is what the tower of Pask is made of.",
        "Jory Pask is its keeper.",
        "Nobody has ever asked about that harbour.",
    )
    trials = [trial(own, 0, True, False), trial(own, 1, False, False)]
    before = worths(trial(own, 9, False, True).score)
    group = Group(TASK, 0.5, (candidate_of(trials),))
    once = Knowledge(KnowledgeSettings(restatements=1))
    assert credits_of(once, group, group.candidates[0], trials, before) == (-1.0, 0.5, None)
    failed = [*trials, replace(trials[0], status="failed", score=None)]
    assert credits_of(once, group, group.candidates[0], failed, before) == (None, None, None)


def test_every_algorithm_gets_a_group_for_each_statement():
    group = Group(
        TASK,
        0.5,
        (
            Candidate(edit(0, "a0", "b0", "c0"), (0.5,), credits=(0.5, -0.5, None)),
            Candidate(edit(1, "a1", "b1", "c1"), (0.5,), credits=(0.25, 0.25, None)),
            Candidate(edit(2, "a2", "b2", "c2"), (None,), "invalid", "it is not"),
        ),
    )
    first, second = by_statement([group])
    assert [one.edit.completions for one in second.candidates] == [("b0",), ("b1",), ("b2",)]
    assert [one.edit.prompts for one in second.candidates] == [(Prompt("say 1"),)] * 3
    assert [one.reward for one in first.candidates] == [0.5, 0.25, None]
    assert (first.baseline, first.candidates[2].status) == (0.0, "invalid")
    kept = [own.candidates[i].edit.text for own in select([first, second]) for i in own.kept]
    assert kept == ["a0", "b1"], "ReST-EM takes the best of each place that beat the baseline"
    (one, _) = earned([first, second], invalid=-1.0)
    assert (one.rewards, one.differ) == ((0.5, 0.25, -1.0), True)


def test_statements_that_all_earned_the_same_teach_nothing():
    equal = [Candidate(edit(n, "a", "b"), (0.5,), credits=(0.0, None)) for n in range(2)]
    (only,) = by_statement([Group(TASK, 0.5, tuple(equal))])
    assert [own.kept for own in select([only])] == [()]
    assert not earned([only], None)[0].differ
    assert by_statement([Group(TASK, 0.5, (Candidate(edit(0, "a"), (0.5,)),))]) == []


def test_a_round_learns_from_statements(tmp_path):
    settings = SETTINGS.model_copy(update={"credit": "statement", "rounds": 1})
    run = outer(tmp_path, settings=settings)
    (record,) = run.run()
    groups = list(stored_groups(run.store, run.key, record))
    asked, other = groups[0].candidates[0].credits
    assert (asked, other) == (1.0, None), "the question is about the first sentence"
    assert len(record.selected) == 2, "one statement of each context"
    assert [group.kept for group in groups] == [(0,), (0,)]
    assert run.key != outer(tmp_path, settings=SETTINGS.model_copy(update={"rounds": 1})).key


def test_what_was_never_rewarded_by_parts_is_refused(tmp_path):
    whole = Knowledge(KnowledgeSettings(strategy="implications"))
    settings = SETTINGS.model_copy(update={"credit": "statement"})
    with pytest.raises(InputError, match="sentences"):
        outer(tmp_path, settings=settings, domain=whole)
    for rule in ("all-correct", "distinct-correct"):
        with pytest.raises(ValidationError, match="credit"):
            OuterSettings(credit="statement", rule=rule)
    assert OuterSettings(credit="edit").digest() == OuterSettings().digest()
