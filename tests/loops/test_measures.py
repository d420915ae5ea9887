"""Rewards that are read or drawn instead of counted: what they say, and what they survive."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from selfedit.config import ANSWER_SAMPLING, InnerSettings, LoraSettings, MeasureSettings
from selfedit.domains.arc.as_task import to_task
from selfedit.domains.arc.domain import Arc
from selfedit.domains.arc.settings import ArcSettings
from selfedit.domains.base import BaseDomain
from selfedit.domains.knowledge import Knowledge, cloze_items
from selfedit.domains.knowledge.settings import KnowledgeSettings, LearnSettings
from selfedit.errors import InputError, ModelError
from selfedit.loops.baselines import bare_scores
from selfedit.loops.inner import run_trials
from selfedit.loops.jobs import trial_key
from selfedit.loops.measures import SHORT, Measure, opening, replies_behind
from selfedit.loops.sampler import Writer
from selfedit.model.fake import FakeModel
from selfedit.store import Store
from selfedit.types import AnswerScore, Prompt, Query, SelfEdit, Task, TrainingPlan, TrainingSequence
from tests.domains.arc.test_domain import mirrored

TASK = Task(
    "id",
    "Pask",
    "The tower of Pask is made of tin. It is 20 m high.",
    (Query("What is the tower made of?", ("tin", "sheet tin")), Query("How high is it?", ("20 m",))),
)
DOMAIN = Knowledge(KnowledgeSettings(strategy="implications", topic=True))
ASKED = Prompt("What is it?", kind="question")


def measure(kind: str = "likelihood", **more) -> Measure:
    return Measure(MeasureSettings(kind=kind, **more))


def worths(found) -> list[float]:
    return [answer.worth for answer in found.answers]


@pytest.fixture(scope="module")
def bank(tiny):
    lora = LoraSettings(rank=2, alpha=4, layers="all")
    texts = ("The tower of Pask is made of tin.", "Nothing of the kind.")
    plans = [TrainingPlan((TrainingSequence(text),), epochs=3) for text in texts]
    return tiny.train(plans, lora, LearnSettings().train.untaught(), [0, 0])[0]


@pytest.mark.parametrize("place", ["start", "short"])
def test_the_golds_probability_is_the_models_own(tiny, bank, place):
    """By `answer_scores` of each adapter alone, for the likeliest form of the gold."""
    own = measure(place=place, per_token=False)
    asked = own.ask(tiny, DOMAIN, [TASK, TASK], bank, [0, 1])
    for k in (0, 1):
        found = worths(own.score(DOMAIN, TASK, asked[k]))
        for asked_as, query, worth in zip(DOMAIN.queries(TASK), TASK.queries, found, strict=True):
            prompt = replace(asked_as, prefix=SHORT if place == "short" else "")
            forms = [f for g in query.answers for f in (g, g[0].upper() + g[1:])]
            if place == "short":
                forms = [f" {gold}" for gold in query.answers]
            scores = [
                tiny.answer_scores([prompt], [form], adapters=bank, owners=[k])[0] for form in forms
            ]
            assert worth == pytest.approx(max(math.exp(s.logprob) for s in scores), abs=1e-9)
    assert asked[0] != asked[1]


def test_no_text_is_written_for_a_likelihood(bank, tiny, monkeypatch):
    monkeypatch.setattr(type(tiny), "sample", lambda *a, **k: pytest.fail("nothing is generated"))
    assert len(worths(score_of(tiny, bank, measure(place="short")))) == 2


def score_of(model, bank, own, task=TASK):
    return own.score(DOMAIN, task, own.ask(model, DOMAIN, [task], bank, [0])[0])


def test_the_best_place_of_the_own_answer():
    """The fake's answer is the sentence it learned: the gold is certain at its place there alone."""
    model = FakeModel()
    plan = TrainingPlan((TrainingSequence("The tower of Pask is made of tin."),))
    adapters, _ = model.train([plan], LoraSettings(), LearnSettings().train, [0])
    task = replace(TASK, queries=TASK.queries[:1])
    by_place = {
        place: worths(score_of(model, adapters, measure(place=place, per_token=False), task))[0]
        for place in ("start", "own")
    }
    assert by_place == {"start": pytest.approx(math.exp(-9)), "own": pytest.approx(0.5)}


def test_the_opening_is_what_the_bare_model_says_before_the_gold():
    assert opening("The tower is made of Tin, mostly tin.", ("tin",)) == "The tower is made of"
    assert opening("Tin.", ("tin",)) == ""
    assert opening("It is tinted.", ("tin",)) == SHORT, "a part of a word is not the gold"
    assert opening("No idea.", ("tin", " ")) == SHORT
    model = FakeModel()
    measure(place="opening").ask(model, DOMAIN, [TASK], None, None)
    assert model.calls["sample"] == 1
    measure(place="opening").ask(model, DOMAIN, [TASK, TASK], None, None)
    assert model.calls["sample"] == 1, "each opening is written once, whatever the wave"


@pytest.mark.parametrize(
    ("prompt", "begun", "golds", "said"),
    [
        (ASKED, "", ("tin", "Tin"), ["tin", "Tin"]),
        (ASKED, SHORT, ("tin",), [" tin"]),
        (ASKED, SHORT, ("", "  "), []),
        (replace(ASKED, prefix="It is"), "", (" tin",), [" tin"]),
        (Prompt("1 0\n0 1"), "", ("0 1",), ["0 1"]),
    ],
)
def test_how_a_gold_goes_on(prompt, begun, golds, said):
    assert replies_behind(begun, prompt, golds) == said


def test_f1_samples_and_mixed_agree_with_what_they_are_made_of(tiny, bank):
    plain = score_of(tiny, bank, measure("accuracy"))
    assert [a.credit for a in plain.answers] == [None, None]
    assert worths(score_of(tiny, bank, measure("f1"))) == [a.f1 for a in plain.answers]
    read = worths(score_of(tiny, bank, measure("likelihood")))
    halves = [(a.correct + p) / 2 for a, p in zip(plain.answers, read, strict=True)]
    assert worths(score_of(tiny, bank, measure("mixed"))) == pytest.approx(halves)
    drawn = measure("samples", samples=3, answer_temperature=1.5)
    (asked,) = drawn.ask(tiny, DOMAIN, [TASK], bank, [0])
    assert len(asked.samples) == 3
    assert len(set(asked.samples)) > 1, "each sample has its own seed"
    assert all(share in (0, 1 / 3, 2 / 3, 1) for share in worths(drawn.score(DOMAIN, TASK, asked)))


class Broken(FakeModel):
    """Probabilities that are not numbers, once an adapter is trained."""

    everywhere = False

    def answer_scores(self, prompts, replies, *, adapters=None, owners=None):
        """Of one reply alone: the others must not hide it."""
        found = super().answer_scores(prompts, replies, adapters=adapters, owners=owners)
        bad = adapters is not None or self.everywhere
        return [
            replace(one, logprob=math.nan) if bad and reply == self.bad else one
            for one, reply in zip(found, replies, strict=True)
        ]


def trials_of(model, task, settings, texts=("Tin is what it is made of.",)):
    edits = [SelfEdit(task.id, n, (), (text,)) for n, text in enumerate(texts)]
    return run_trials(model, DOMAIN, [(task, edit) for edit in edits], settings)


LIKELY = LearnSettings(knowledge=DOMAIN.settings, measure=MeasureSettings(kind="likelihood"))


@pytest.mark.parametrize("bad", [" tin", " sheet tin"])
def test_a_probability_that_is_no_number_is_a_failed_trial(tmp_path, monkeypatch, bad):
    monkeypatch.setattr(Broken, "bad", bad, raising=False)
    (trial,) = trials_of(Broken(), TASK, LIKELY)
    assert (trial.status, trial.reward, trial.score) == ("failed", None, None)
    assert "not numbers" in trial.reason
    store = Store(tmp_path / "s.sqlite")
    store.put_trials(store.start_run("train", "m", "r", {}, {}), [trial])
    bare = Broken()
    bare.everywhere = True
    with pytest.raises(ModelError, match="not numbers"):
        next(bare_scores(Writer(bare, store), DOMAIN, [TASK], measure()))


def test_golds_without_a_token_do_not_count(tiny):
    """Neither an empty one nor one that the tokenizer drops is a certain answer."""
    prompt = DOMAIN.queries(TASK)[0]
    assert tiny.answer_scores([prompt, prompt], ["", "tin"])[0] == AnswerScore(0.0, 0, True)
    empty = replace(TASK, queries=(Query("What?", ("",)), Query("How high is it?", ("", "20 m"))))
    own = measure()
    (asked,) = own.ask(tiny, DOMAIN, [empty])
    found = own.score(DOMAIN, empty, asked)
    assert [answer.question for answer in found.answers] == ["How high is it?"]
    nothing = replace(TASK, queries=(Query("What?", ("",)),))
    assert own.score(DOMAIN, nothing, own.ask(tiny, DOMAIN, [nothing])[0]).reward is None


@pytest.mark.parametrize("kind", ["accuracy", "f1", "samples", "likelihood", "mixed"])
def test_a_context_without_a_question_has_no_reward(kind, tmp_path):
    settings = LIKELY.model_copy(update={"measure": MeasureSettings(kind=kind)})
    (trial,) = trials_of(FakeModel(), replace(TASK, queries=()), settings)
    assert (trial.status, trial.reward) == ("scored", None)
    writer = Writer(FakeModel(), Store(tmp_path / "s.sqlite"))
    (bare,) = bare_scores(writer, DOMAIN, [replace(TASK, queries=())], Measure(settings.measure))
    assert bare.reward is None


def test_what_the_bare_model_scores_is_read_once(tmp_path):
    model = FakeModel()
    writer = Writer(model, Store(tmp_path / "s.sqlite"))
    own = measure()
    first = list(bare_scores(writer, DOMAIN, [TASK], own))
    assert first == list(bare_scores(writer, DOMAIN, [TASK], own))
    assert model.calls["answer_scores"] == 1
    next(bare_scores(writer, DOMAIN, [TASK], measure(place="start")))
    assert model.calls["answer_scores"] == 2, "another place is another reward"


def test_blanks_and_grids_are_read_as_they_are_asked(tiny):
    (blank, *_) = cloze_items([TASK])
    task = replace(TASK, queries=(blank.query,))
    own = measure(place="short", per_token=False)
    found = worths(own.score(DOMAIN, task, own.ask(tiny, DOMAIN, [task])[0]))
    (prompt,), (golds,) = DOMAIN.queries(task), DOMAIN.gold_replies(task)
    (score,) = tiny.answer_scores([prompt], [golds[0]])
    assert found == [pytest.approx(math.exp(score.logprob))]
    arc, grid = Arc(), to_task(mirrored(), "rows")
    assert worths(own.score(arc, grid, own.ask(FakeModel(), arc, [grid])[0])) == [math.exp(-9)]
    with pytest.raises(InputError, match="one to one"):
        own.ask(FakeModel(), Arc(ArcSettings(prediction="voting")), [grid])


class Bare(BaseDomain):
    """A domain of somebody's own, without open-book questions."""

    def queries(self, task):
        return tuple(Prompt(q.question, kind="question") for q in task.queries)


def test_a_domain_without_passages_is_read_behind_the_fixed_beginning(tiny):
    opened, fixed = (measure(place=p).ask(tiny, Bare(), [TASK])[0] for p in ("opening", "short"))
    assert (
        opened.chances == fixed.chances != measure(place="start").ask(tiny, Bare(), [TASK])[0].chances
    )


def test_another_measure_is_another_trial(tiny):
    edit = SelfEdit("id", 0, (), ("It is tin.",))

    def key(**more) -> str:
        settings = InnerSettings(measure=MeasureSettings(**more)) if more else InnerSettings()
        return trial_key(tiny, DOMAIN, TASK, edit, 0, settings)

    assert key() == key(kind="accuracy", place="own", samples=9), "what is not used does not count"
    kinds = [key(kind=k) for k in ("f1", "samples", "likelihood", "mixed")]
    assert len({key(), *kinds, key(kind="likelihood", place="own")}) == 6
    assert ANSWER_SAMPLING.temperature == 0
