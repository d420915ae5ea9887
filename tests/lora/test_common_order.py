"""Common random numbers: what two edits share is trained in the same order."""

from __future__ import annotations

from selfedit.config import TrainSettings
from selfedit.lora.sequences import TokenSequence, batches

SHARED = [TokenSequence((1, n)) for n in range(6)]
EXTRA = [TokenSequence((2, n)) for n in range(3)]
COMMON = TrainSettings(epochs=3, batch_size=1, order="common")


def orders(sequences, settings: TrainSettings, seed: int = 0) -> list[list[tuple[int, ...]]]:
    """[epoch][step] ids."""
    steps = [batch[0].ids for batch in batches(sequences, settings, seed)]
    return [steps[n : n + len(sequences)] for n in range(0, len(steps), len(sequences))]


def test_what_edits_share_comes_in_the_same_order():
    alone = orders(SHARED, COMMON)
    with_others = orders([EXTRA[0], *reversed(SHARED), *EXTRA[1:]], COMMON)
    shared = [[ids for ids in epoch if ids[0] == 1] for epoch in with_others]
    assert shared == alone
    own = orders([EXTRA[0], *reversed(SHARED), *EXTRA[1:]], COMMON.model_copy(update={"order": "own"}))
    assert [[ids for ids in epoch if ids[0] == 1] for epoch in own] != alone


def test_epochs_and_seeds_differ_and_nothing_is_left_out():
    first, second, _ = orders(SHARED, COMMON)
    assert first != second
    assert orders(SHARED, COMMON, seed=1)[0] != first
    twins = [*SHARED, SHARED[0]]
    assert sorted(orders(twins, COMMON)[0]) == sorted(s.ids for s in twins)


def test_the_setting_changes_no_digest_while_it_is_off():
    assert TrainSettings().digest() == TrainSettings(order="own").digest() != COMMON.digest()
