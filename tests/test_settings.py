"""Digests of settings: stored results are found by them, so that what is off must not change them."""

from __future__ import annotations

import pytest

from selfedit.config import AnchorSettings, DistillSettings, InnerSettings, TrainSettings
from selfedit.domains.arc.settings import ArcOuterSettings
from selfedit.domains.knowledge.settings import KnowledgeOuterSettings, KnowledgeSettings, LearnSettings

# Of commit 69870e9, before there was an anchor.
BEFORE = [
    (TrainSettings(), "b5061d8b12a89e0ab82a25b618bef5eb"),
    (TrainSettings(learning_rate=3e-4, epochs=4, batch_size=2), "c9214d0ce1ca42f982c59ddea862249d"),
    (KnowledgeSettings(), "e00b9fe1da9ac0923c53091aa98a869a"),
    (InnerSettings(), "2fb5e1ee5577419b98888d15b073aa89"),
    (LearnSettings(), "1b0138d79d6e7f92d90fa4cafc490cc5"),
    (KnowledgeOuterSettings(), "c4c3b03977bc48f3daa4002ce13bbb63"),
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
