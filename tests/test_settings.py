"""Digests of settings: stored results are found by them, so that what is off must not change them."""

from __future__ import annotations

import pytest

from selfedit.config import (
    AnchorSettings,
    DistillSettings,
    InnerSettings,
    LoraSettings,
    TrainSettings,
)
from selfedit.domains.arc.settings import ArcOuterSettings
from selfedit.domains.knowledge.evaluation import inner_values
from selfedit.domains.knowledge.presets import inner_paper, squad_paper
from selfedit.domains.knowledge.settings import (
    LEARNING,
    PLAIN,
    KnowledgeOuterSettings,
    KnowledgeSettings,
    LearnSettings,
    for_memory,
)

LEARNT_PLAINLY = LearnSettings.model_validate({**PLAIN, "candidates": 4})
# Of commit 69870e9, before there was an anchor.
BEFORE = [
    (TrainSettings(), "b5061d8b12a89e0ab82a25b618bef5eb"),
    (TrainSettings(learning_rate=3e-4, epochs=4, batch_size=2), "c9214d0ce1ca42f982c59ddea862249d"),
    (KnowledgeSettings(), "e00b9fe1da9ac0923c53091aa98a869a"),
    (InnerSettings(), "2fb5e1ee5577419b98888d15b073aa89"),
    (LEARNT_PLAINLY, "1b0138d79d6e7f92d90fa4cafc490cc5"),
    (KnowledgeOuterSettings(inner=LEARNT_PLAINLY), "c4c3b03977bc48f3daa4002ce13bbb63"),
    (ArcOuterSettings(), "faf69ae091cdeaeefa00ef2b37cd9473"),
]


@pytest.mark.parametrize(("settings", "digest"), BEFORE)
def test_what_is_off_changes_no_digest(settings, digest):
    assert settings.digest() == digest


def test_without_its_weight_an_anchor_changes_no_digest_and_with_it_each_setting_does():
    plain = TrainSettings().digest()
    assert TrainSettings(anchor=AnchorSettings(weight=0, interval=9, top_k=3)).digest() == plain
    changes = [
        {},
        {"weight": 2.0},
        {"interval": 9},
        {"sequences": 2},
        {"num_prompts": 8},
        {"reply_tokens": 8},
        {"top_k": 3},
        {"neighbour_share": 0.1},
    ]
    digests = [TrainSettings(anchor=AnchorSettings(**{"weight": 1.0, **c})).digest() for c in changes]
    assert len({plain, *digests}) == 1 + len(changes)
    inner = InnerSettings(train=TrainSettings(anchor=AnchorSettings(weight=1.0)))
    assert inner.digest() != InnerSettings().digest()


def test_few_sequences_are_gone_over_more_often_unless_the_epochs_are_given():
    train = TrainSettings(epochs=7, min_steps=140)
    assert [train.passes(n) for n in (40, 20, 12, 7, 1)] == [7, 7, 12, 20, 21]  # 21: three times 7
    assert train.passes(1, own=4) == 4
    assert train.model_copy(update={"batch_size": 4}).passes(20) == 21
    assert TrainSettings(epochs=7).passes(1) == 7
    assert [train.steps(n) for n in (40, 12, 1)] == [280, 144, 21]
    assert train.steps(12, own=4) == 48
    assert train.digest() != TrainSettings(epochs=7).digest()
    assert LearnSettings().train.min_steps > 0
    assert LearnSettings.model_validate({"train": {"epochs": 4}}).train.min_steps == 0
    both = LearnSettings.model_validate({"train": {"epochs": 4, "min_steps": 9}}).train
    assert (both.epochs, both.min_steps) == (4, 9)


def test_every_setting_of_a_distillation_and_of_the_form_changes_a_digest():
    changes = [{}, {"weight": 2.0}, {"next_token": 0.0}, {"top_k": 3}]
    digests = [TrainSettings(distill=DistillSettings(**{"weight": 1.0, **c})).digest() for c in changes]
    assert len({TrainSettings().digest(), *digests}) == 1 + len(changes)
    off = TrainSettings(distill=DistillSettings(next_token=0.0))
    assert off.digest() == TrainSettings().digest()
    assert TrainSettings(stop_below=0.1).digest() != TrainSettings().digest()
    assert TrainSettings(stop_below=0.1).untaught() == TrainSettings()
    heats = [LearnSettings(), LearnSettings(heat_epochs=3), LearnSettings(finalists=2)]
    assert len({own.digest() for own in heats}) == 3
    forms = [KnowledgeSettings(), KnowledgeSettings(ends=True), KnowledgeSettings(form="turn")]
    assert len({own.digest() for own in forms}) == 3


def test_learning_is_anchored_unless_it_is_told_otherwise():
    """A part that is given as a dict changes the default; given as settings, it stands as it is."""
    default = LearnSettings()
    assert default.train == TrainSettings.model_validate(LEARNING["train"])
    assert default.train.anchor.weight > 0
    assert (default.knowledge.ends, default.knowledge.neighbours > 0) == (True, True)
    some = LearnSettings.model_validate({"train": {"epochs": 2, "anchor": {"interval": 9}}})
    assert (some.train.epochs, some.train.anchor.interval) == (2, 9)
    assert some.train.anchor.weight == default.train.anchor.weight
    assert LearnSettings(train=TrainSettings(epochs=2)).train == TrainSettings(epochs=2)
    again = LearnSettings.model_validate(LEARNT_PLAINLY.model_dump(mode="json"))
    assert again == LEARNT_PLAINLY


def test_the_papers_experiments_are_not_anchored():
    for settings in (squad_paper().inner, LearnSettings.model_validate(inner_paper())):
        assert settings.train.anchor.weight == 0
        assert not settings.knowledge.ends
        assert settings.knowledge.neighbours == 0
        assert (settings.train.learning_rate, settings.train.epochs) == (1e-3, 10)
    for regime in ("cpt", "cpt-full"):
        assert LearnSettings.model_validate(inner_values(regime, {})).train.anchor.weight == 0
    assert LearnSettings.model_validate(inner_values("single", {})).train.anchor.weight > 0


def test_what_the_memory_changes_is_only_what_was_not_given():
    def trained(kind, **given):
        own = for_memory(LearnSettings.model_validate(given), kind)
        anchor = own.train.anchor
        return own.memory, own.lora.layers, anchor.interval, anchor.neighbour_share, anchor.weight

    assert trained("routed") == ("routed", "all", 4, 1.0, 3.0)
    assert (
        trained("single") == trained("single", memory="single") == ("single", "upper-half", 2, 0.5, 3.0)
    )
    assert trained("stack-anchored", lora={"rank": 8})[1:] == ("upper-half", 2, 0.5, 3.0)
    assert trained("single", lora={"layers": "all"})[1] == "all"
    assert trained("single", train={"anchor": {"interval": 4}})[2:4] == (4, 0.5)
    assert trained("single", lora=LoraSettings(layers="all"))[1] == "all"
    assert trained("stack")[4] == 0.0
