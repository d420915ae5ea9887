"""Settings out of options: presets, and what goes before them."""

from __future__ import annotations

from pathlib import Path

import pytest

from selfedit.console.options import Adapting, Grading, Outer, Training, Writing
from selfedit.console.settings import given_by, preset_settings
from selfedit.domains.arc import options as arc
from selfedit.domains.arc.commands.solvable import Trying
from selfedit.domains.arc.options import inner_with
from selfedit.domains.arc.presets import PRESETS as ARC_PRESETS
from selfedit.domains.knowledge.options import Evaluating, OuterLoop, learn_settings
from selfedit.domains.knowledge.reader import ReaderLoop
from selfedit.errors import InputError
from selfedit.grading import offline
from selfedit.store import Store


def test_what_is_given_goes_before_the_preset():
    given = {**Training(epochs=3).given(), **Writing(seed=7).given()}
    settings = learn_settings(given, "paper")
    assert (settings.train.epochs, settings.seed) == (3, 7)
    assert settings.lora.target_modules == ("q_proj", "v_proj")
    own = learn_settings(Adapting(target_modules="q_proj, k_proj").given())
    assert own.lora.target_modules == ("q_proj", "k_proj")


@pytest.mark.parametrize(("alpha", "expected"), [(None, 1.0), (3.0, 3.0)])
def test_alpha_changes_with_the_rank_unless_it_is_given(alpha, expected):
    given = {**Adapting(rank=8, alpha=alpha).given(), **Outer(rounds=3).given(), "seed": 5}
    settings = preset_settings(ARC_PRESETS, "arc-paper", given)  # rank 128, alpha 16
    assert (settings.inner.lora.rank, settings.inner.lora.alpha) == (8, expected)
    assert (settings.rounds, settings.seed, settings.inner.seed) == (3, 5, 5)
    assert learn_settings(Adapting(rank=8).given()).lora.alpha == 16.0


@pytest.mark.parametrize("strategy", ["implications", "directed", "sentences", None])
def test_a_policy_writes_in_training_as_it_does_in_an_evaluation(strategy):
    training = OuterLoop(data="", strategy=strategy).settings().inner
    assert training.sampling == Evaluating(data="", strategy=strategy).settings().inner.sampling
    given = OuterLoop(data="", strategy=strategy, temperature=0.3, max_new_tokens=7).settings()
    sampling = given.inner.sampling
    assert (sampling.temperature, sampling.max_new_tokens) == (0.3, 7)
    paper = OuterLoop(data="", preset="squad-paper", strategy="rewrite").settings()
    assert paper.inner.sampling.max_new_tokens == 1024, "the preset's own, which is for whole edits"


def test_a_value_out_of_bounds_names_its_option():
    with pytest.raises(InputError, match="--rank 0"):
        learn_settings(Adapting(rank=0).given())


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (OuterLoop(data="", policy_learning_rate=5.0), "--policy-learning-rate 5.0: Input"),
        (OuterLoop(data="", policy_epochs=0), "--policy-epochs 0: Input"),
        (OuterLoop(data="", policy_batch_size=0), "--policy-batch-size 0: Input"),
        (OuterLoop(data="", epochs=0), "--epochs 0: Input"),
        (OuterLoop(data="", anchor=-1.0), "--anchor -1.0: Input"),
        (OuterLoop(data="", algorithm="foo"), "--algorithm 'foo': Input"),
        (ReaderLoop(data="", policy_learning_rate=5.0), "--reader-learning-rate 5.0: Input"),
        (ReaderLoop(data="", policy_epochs=0), "--reader-epochs 0: Input"),
        (ReaderLoop(data="", reader_anchor=-1.0), "--reader-anchor -1.0: Input"),
        (ReaderLoop(data="", anchor=-1.0), "--anchor -1.0: Input"),
        (arc.OuterLoop(examples=0), "--examples 0: Input"),
        (arc.OuterLoop(policy_epochs=0), "--policy-epochs 0: Input"),
        (arc.Evaluating(learning_rate=7.0), "--learning-rate 7.0: Input"),
        (arc.Evaluating(epochs=0), "--epochs 0: Input"),
        (Evaluating(data="", best_of=2000), "--best-of 2000: Input"),
    ],
)
def test_an_option_that_is_not_called_as_its_setting_is(command, said):
    with pytest.raises(InputError) as refused:
        command.settings()
    assert str(refused.value).startswith(said)


def test_groups_of_other_commands_name_theirs_too():
    with pytest.raises(InputError, match=r"^--examples 0: "):
        inner_with("arc-small", given_by(Trying(examples=0)))
    with pytest.raises(InputError, match=r"^--anchor -1.0: "):
        learn_settings(Training(anchor=-1.0).given())


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (OuterLoop(data="", credit="statement", rule="all-correct"), 'credit "statement" needs '),
        (Evaluating(data="", regime="cpt", strategy="directed"), "`directed` edits ask each "),
    ],
)
def test_options_that_do_not_go_together_name_none_of_them(command, said):
    with pytest.raises(InputError) as refused:
        command.settings()
    assert str(refused.value).startswith(said)


def test_a_judge_without_a_name_is_no_wrong_address():
    with pytest.raises(InputError, match=r"^--judge-model: "):
        Grading(judge_model="").judge()
    with pytest.raises(InputError, match=r"^--judge-url: base_url must be"):
        Grading(judge_url="x").judge()


def test_options_of_a_judge_that_is_not_asked_are_refused(tmp_path):
    grading = Grading(judge_model="j")
    with Store(tmp_path / "store.sqlite") as store:
        with pytest.raises(InputError, match="--judge-model: add --grader judge"):
            grading.chosen(store)
        assert grading.chosen(store, rated=True) is offline


def test_edits_in_the_users_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "e.jsonl").write_text("{}", encoding="utf-8")
    Evaluating(data="", edits=Path("~/e.jsonl")).check()


def test_no_edits_are_not_the_usual_number_of_them():
    assert arc.Evaluating().settings().inner.candidates == 5
    with pytest.raises(InputError, match=r"^--candidates 0: "):
        arc.Evaluating(candidates=0).settings()


@pytest.mark.parametrize("command", [OuterLoop, Evaluating])
@pytest.mark.parametrize(
    "own", [{"rate_bounds": "1e-4,1e-3"}, {"epoch_bounds": "1,3"}, {"constrained": True}]
)
def test_options_of_directed_edits_are_refused_for_others(command, own):
    command(data="", strategy="directed", **own).settings()
    option = "--" + next(iter(own)).replace("_", "-")
    for strategy in (None, "implications"):
        with pytest.raises(InputError, match=f"^{option}: add --strategy directed"):
            command(data="", strategy=strategy, **own).settings()


def test_a_place_of_gold_answers_that_no_reward_looks_for_is_refused():
    OuterLoop(data="", reward="mixed", reward_place="own").settings()
    for reward in (None, "true", "f1", "proxy"):
        with pytest.raises(InputError, match=r"^--reward-place own: add --reward likelihood or mixed"):
            OuterLoop(data="", reward=reward, reward_place="own").settings()
