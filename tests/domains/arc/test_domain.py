"""The ARC domain: plans out of self-edits, limits, one trial for equal edits, what is solved."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from selfedit.config import TrainSettings
from selfedit.console.settings import given_by
from selfedit.domains.arc.as_task import is_known, of_task, to_task
from selfedit.domains.arc.commands.solvable import Trying
from selfedit.domains.arc.conditions import ArcEvaluation
from selfedit.domains.arc.domain import Arc
from selfedit.domains.arc.edit_pattern import LONGEST_MATCH
from selfedit.domains.arc.grids import Grid
from selfedit.domains.arc.options import Evaluating, OuterLoop, inner_with
from selfedit.domains.arc.presets import arc_small
from selfedit.domains.arc.self_edit import ORACLE
from selfedit.domains.arc.settings import ArcBounds, ArcDataSettings, ArcInnerSettings, ArcSettings
from selfedit.domains.arc.tasks import ArcTask, Example
from selfedit.errors import InputError, InvalidSelfEdit, OverLimit
from selfedit.loops.inner import run_trials
from selfedit.model.fake import FakeModel
from selfedit.model.tiny import tiny_model
from selfedit.types import SelfEdit

COMPACT = ArcSettings(grid="compact", data=ArcDataSettings(limit=20))


def grid(seed: int, height: int = 2, width: int = 3) -> Grid:
    return Grid(np.random.default_rng(seed).integers(0, 10, (height, width)))


def mirrored(count: int = 3, tests: int = 1, height: int = 2, width: int = 3) -> ArcTask:
    """The output is the input from left to right."""
    made = [grid(seed, height, width) for seed in range(count + tests)]
    pairs = [Example(one, Grid(one.cells[:, ::-1])) for one in made]
    return ArcTask(
        "mirrored",
        tuple(pairs[:count]),
        tuple(pair.input for pair in pairs[count:]),
        tuple(pair.output for pair in pairs[count:]),
    )


def edit(index: int = 0, text: str = "", **training: object) -> SelfEdit:
    said = json.loads(ORACLE.text())
    said["training"] |= training
    return SelfEdit("mirrored", index, (), (text or json.dumps(said),))


def inner(**changes: object) -> ArcInnerSettings:
    return ArcInnerSettings(arc=COMPACT).model_copy(update=changes)


def test_the_context_holds_no_test_output():
    task = to_task(mirrored(), "compact")
    assert of_task(task).test_outputs == (None,)
    assert of_task(task).train == mirrored().train
    changed = ArcTask("mirrored", mirrored().train, mirrored().test_inputs, (grid(99),))
    assert to_task(changed).context == task.context


def test_a_plan_follows_the_edit():
    domain = Arc(COMPACT)
    plan = domain.parse(to_task(mirrored()), edit(learning_rate=3e-4, num_train_epochs=3))
    assert (plan.learning_rate, plan.epochs, len(plan.sequences)) == (3e-4, 3, 20)
    assert {sequence.supervise for sequence in plan.sequences} == {"replies"}
    everything = domain.parse(to_task(mirrored()), edit(strategy="train_using_all_tokens"))
    assert {sequence.supervise for sequence in everything.sequences} == {"all"}


def test_an_oracle_over_the_limit_is_estimated_within_it():
    settings = COMPACT.model_copy(update={"step_limit": 15, "oracle_epochs": 4})
    domain, task = Arc(settings), to_task(mirrored(), "compact")
    with pytest.raises(OverLimit):
        domain.plan(mirrored(), domain.oracle())
    plan = domain.expected_plan(task)
    assert (len(plan.sequences), plan.epochs) == (20, 1), "ten steps an epoch"
    least = Arc(settings.model_copy(update={"step_limit": 1}))
    assert least.expected_plan(task).epochs == 1
    roomy = settings.model_copy(update={"step_limit": 1000})
    for bounds, epochs in (((1, 3), 3), ((6, 9), 6), ((1, 9), 4), (None, 4)):
        own = roomy.model_copy(update={"bounds": ArcBounds(epoch_bounds=bounds)})
        assert Arc(own).expected_plan(task).epochs == epochs


def test_every_command_takes_a_step_limit():
    assert Evaluating(step_limit=7).settings().inner.arc.step_limit == 7
    assert OuterLoop(step_limit=7).settings().inner.arc.step_limit == 7
    tried = inner_with("arc-small", given_by(Trying(step_limit=7)))
    assert tried.arc.step_limit == 7


def test_a_constrained_prompt_shows_nothing_to_copy():
    task, short = to_task(mirrored(), "compact"), COMPACT.model_copy(update={"short_prompt": True})
    assert ORACLE.text() in Arc(short).prompts(task)[0].text
    constrained = Arc(short.model_copy(update={"constrained": True})).prompts(task)[0].text
    assert "0.0001" not in constrained


BOUNDED = COMPACT.model_copy(
    update={"bounds": ArcBounds(rate_bounds=(1e-5, 1e-2), epoch_bounds=(1, 3))}
)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"learning_rate": 0.05}, "training.learning_rate is 0.05, not from 0.00001 to 0.01"),
        ({"num_train_epochs": 4}, "training.num_train_epochs is 4, not from 1 to 3"),
    ],
)
def test_what_is_out_of_bounds_is_an_invalid_trial(asked, said):
    model, task = FakeModel(skills=Arc.skills()), to_task(mirrored(), "compact")
    within, out = edit(0, num_train_epochs=3), edit(1, **asked)
    trials = run_trials(model, Arc(BOUNDED), [(task, within), (task, out)], inner(arc=BOUNDED))
    assert [(trial.status, trial.reason) for trial in trials] == [("scored", ""), ("invalid", said)]
    assert trials[1].reward is None
    assert Arc(COMPACT).parse(task, out).epochs == asked.get("num_train_epochs", 2), "without bounds"


def test_bounds_are_asked_for_and_sampled():
    task = to_task(mirrored(), "compact")
    (free,), (told,) = Arc(COMPACT).prompts(task), Arc(BOUNDED).prompts(task)
    (held,) = Arc(BOUNDED.model_copy(update={"constrained": True})).prompts(task)
    assert "from 0.00001 to 0.01" not in free.text
    for prompt in (told, held):
        assert "from 0.00001 to 0.01" in prompt.text
        assert "from 1 to 3" in prompt.text
    assert not told.pattern
    assert re.fullmatch(held.pattern, edit(num_train_epochs=3).text)
    assert not re.fullmatch(held.pattern, edit(num_train_epochs=4).text)


@pytest.mark.parametrize("command", [Evaluating, OuterLoop])
def test_bounds_as_options(command):
    def given(**bounds):
        return command(**bounds).settings().inner.arc

    assert given().bounds == ArcBounds()
    own = given(rate_bounds="1e-5,1e-2", epoch_bounds="1,3")
    assert own.bounds == BOUNDED.bounds
    for bounds, said in (
        ({"epoch_bounds": "3,2"}, "--epoch-bounds 3,2: two numbers of epochs"),
        ({"epoch_bounds": "1,x"}, "--epoch-bounds 'x': Input should be a valid integer"),
        ({"rate_bounds": "1e-3"}, "--rate-bounds 1e-3: another value is missing behind it"),
        ({"rate_bounds": "1e-3,0.5"}, "two rates, in order, from 1e-9 to 0.1"),
        ({"rate_bounds": "nan,1e-3"}, "two rates, in order, from 1e-9 to 0.1"),
    ):
        with pytest.raises(InputError, match=re.escape(said)):
            given(**bounds)


def test_without_bounds_digests_stay_what_they_are():
    """Of commit 9058463, before there were bounds."""
    small = arc_small().inner
    held = small.arc.model_copy(update={"constrained": True})
    assert ArcSettings().digest() == "354c039a7cb0d197afb027f191c73987"
    assert small.arc.digest() == "718bdb7c2ddc68d61af8ff30aa925886"
    assert held.digest() == "9f1a4a803027f5eace9af88eed853f73"
    assert Arc().digest() == "90641322a14534e834fbd37cdbf69713"
    assert Arc.of(small).digest() == "614f4d9567d90ffb0476db658c7005ae"
    assert ArcEvaluation().digest() == "703d8c710ba4b64c814db798625708fb"
    assert BOUNDED.digest() != COMPACT.digest()


def test_steps_over_the_limit_are_not_spent():
    model, task = FakeModel(skills=Arc.skills()), to_task(mirrored(), "compact")
    domain = Arc(COMPACT, batch_size=2)
    domain.parse(task, edit(num_train_epochs=37))  # 10 steps an epoch
    with pytest.raises(OverLimit, match=r"380 steps .* more than the 375"):
        domain.parse(task, edit(num_train_epochs=38))
    stored = []
    (trial,) = run_trials(
        model, domain, [(task, edit(num_train_epochs=1000))], inner(), sink=stored.extend
    )
    assert (trial.status, trial.reward) == ("failed", None)
    assert "more than the 375" in trial.reason
    assert model.calls["train"] == 0
    assert stored == [trial]


@pytest.mark.parametrize("rate", [0, -1e-4, 1e9, "1e-4", None, True])
def test_bad_rates_are_invalid_trials(rate):
    model = FakeModel(skills=Arc.skills())
    (trial,) = run_trials(
        model, Arc(COMPACT), [(to_task(mirrored()), edit(learning_rate=rate))], inner()
    )
    assert trial.status == "invalid"
    assert "learning_rate" in trial.reason
    assert model.calls["train"] == 0


@pytest.mark.parametrize(
    "bad", ["NaN", "Infinity", "\u0661", '1e-4, "learning_rate": 1e-3', "10" * 400]
)
def test_what_is_no_json_number_is_invalid(bad):
    text = edit().text.replace("0.0001", bad)
    with pytest.raises(InvalidSelfEdit):
        Arc(COMPACT).parse(to_task(mirrored()), edit(text=text))


def test_a_million_epochs_are_no_edit():
    with pytest.raises(InvalidSelfEdit, match="num_train_epochs"):
        Arc(COMPACT).parse(to_task(mirrored()), edit(num_train_epochs=10**6))


def test_equal_edits_share_a_trial_and_keep_their_words():
    model, task = FakeModel(skills=Arc.skills()), to_task(mirrored(), "compact")
    spaced = f"Sure:\n```json\n{json.dumps(json.loads(ORACLE.text()), indent=3)}\n```"
    others = [edit(0), edit(1, spaced), edit(2, learning_rate=1e-6)]
    stored = []
    trials = run_trials(
        model, Arc(COMPACT), [(task, one) for one in others], inner(), sink=stored.extend
    )
    assert trials[0].key == trials[1].key != trials[2].key
    assert [trial.edit for trial in trials] == others
    assert [trial.reward for trial in trials] == [1.0, 1.0, 0.0]
    assert len(stored) == 2


def test_a_task_is_solved_by_all_its_outputs():
    domain, task = Arc(COMPACT), to_task(mirrored(tests=2), "compact")
    first, second = (query.gold for query in task.queries)
    assert domain.score(task, [first, f"{second}\n"]).value == 1.0
    half = domain.score(task, [first, "12\n3"])
    assert half.value == 0.0
    assert [answer.exact for answer in half.answers] == [True, False]
    assert "ragged" in half.answers[1].reason
    for answer in (
        "",
        "1" * 10_000,
        "the rule is",
        "\u0661\u0662\n\u0661\u0662",
        "\n".join(["1" * 31] * 2),
    ):
        graded = domain.score(task, [first, answer])
        assert graded.value == 0.0
        assert graded.answers[1].reason


def test_voting_gives_two_attempts():
    domain = Arc(COMPACT.model_copy(update={"prediction": "voting"}))
    task = to_task(mirrored(), "compact")
    asked = domain.queries(task)
    assert len(asked) > 1
    adapted = FakeModel(skills=Arc.skills())
    (trial,) = run_trials(adapted, domain, [(task, edit())], inner(arc=domain.settings))
    assert trial.reward == 1.0
    (answer,) = trial.score.answers
    assert json.loads(answer.answer)["attempt_1"] == mirrored().test_outputs[0].rows()
    assert domain.score(task, ["nothing"] * len(asked)).answers[0].reason.startswith("no grid")


@pytest.mark.parametrize("form", ["rows", "compact"])
@pytest.mark.parametrize("prediction", ["greedy", "voting"])
def test_a_score_still_says_what_was_attempted(form, prediction):
    domain = Arc(ArcSettings(grid=form, prediction=prediction))
    known = mirrored(tests=2)
    task = to_task(known, form)
    asked = len(domain.queries(task)) // 2
    right = task.queries[0].gold if prediction == "greedy" else "[[1]]" if form == "rows" else "1"
    first, second = domain.attempts(domain.score(task, [right] * asked + ["no, sorry"] * asked))
    assert first.first == (known.test_outputs[0] if prediction == "greedy" else Grid.of([[1]]))
    assert first.malformed == ()
    assert (second.first, second.second) == (None, None)
    assert second.malformed[0].startswith("no grid: ")


def test_a_constrained_edit_is_never_cut_off():
    (free,) = Arc(COMPACT).prompts(to_task(mirrored()))
    held = Arc(COMPACT.model_copy(update={"constrained": True}))
    (prompt,) = held.prompts(to_task(mirrored()))
    assert (free.max_new_tokens, free.pattern) == (None, "")
    assert prompt.pattern
    assert prompt.max_new_tokens >= LONGEST_MATCH


def test_unknown_outputs_are_never_right():
    known = mirrored()
    task = to_task(ArcTask("t", known.train, known.test_inputs, (None,)), "compact")
    assert not is_known(task)
    assert Arc(COMPACT).score(task, [""]).value == 0.0


@pytest.mark.parametrize(("count", "height", "width"), [(1, 2, 3), (1, 1, 1), (2, 30, 30)])
def test_small_and_large_tasks_can_be_trained_and_asked(count, height, width):
    task = to_task(mirrored(count, 1, height, width), "compact")
    domain = Arc(COMPACT)
    assert domain.parse(task, edit(num_train_epochs=1)).sequences
    (asked,) = domain.queries(task)
    assert asked.max_new_tokens >= len(task.queries[0].gold)
    assert len(asked.turns) == count


def test_too_long_sequences_are_left_out_and_said():
    model, task, domain = tiny_model(), to_task(mirrored(), "compact"), Arc(COMPACT)
    lengths = [model.sequence_tokens(one) for one in domain.parse(task, edit()).sequences]
    assert lengths == [
        len(model.encode(one, 10_000).ids) for one in domain.parse(task, edit()).sequences
    ]
    limit = sorted(lengths)[4]
    train = TrainSettings(batch_size=2, max_tokens=limit)
    (trial,) = run_trials(model, domain, [(task, edit(num_train_epochs=1))], inner(train=train))
    left = sum(length > limit for length in lengths)
    assert trial.status == "scored"
    assert f"{left} of 20 training sequences are longer than {limit} tokens" in trial.reason
    assert trial.tokens == sum(length for length in lengths if length <= limit)
    train = TrainSettings(batch_size=2, max_tokens=min(lengths) - 1)
    (trial,) = run_trials(model, domain, [(task, edit())], inner(train=train))
    assert trial.status == "failed"
    assert "all 20 of 20" in trial.reason
