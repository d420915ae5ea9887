"""The bare model's own texts: what they are, where they are kept, and what goes wrong there."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from selfedit.config import AnchorSettings, LoraSettings, TrainSettings
from selfedit.home import anchors_folder
from selfedit.memory.questions import drift_prompts, general_questions
from selfedit.model import anchors
from selfedit.model.anchors import FEWEST, generic_prompts, loops, shipped
from selfedit.model.tiny import tiny_model
from selfedit.types import Completion, Prompt, TrainingPlan, TrainingSequence

ON = AnchorSettings(weight=2.0, num_prompts=10, reply_tokens=12, top_k=7, interval=1)
TRAIN = TrainSettings(epochs=2, anchor=ON)
LORA = LoraSettings(rank=2, layers="upper-half")
PLAN = TrainingPlan((TrainingSequence("the tower was built in 1900"), TrainingSequence("it is tall")))


def model(seed=0, **own):
    """Whose status messages and number of written batches are seen."""
    made = tiny_model(seed, **own)
    made.said = []
    made.status = made.said.append
    made.batches = 0
    write = made.writing.write

    def counting(*args, **options):
        made.batches += 1
        return write(*args, **options)

    made.writing.write = counting
    return made


def same(a, b):
    return len(a) == len(b) and all(
        x == y
        and x.soft_weight == y.soft_weight
        and torch.equal(x.soft.ids_Mk, y.soft.ids_Mk)
        and torch.equal(x.soft.log_Mk, y.soft.log_Mk)
        and torch.equal(x.soft.rest_M, y.soft.rest_M)
        for x, y in zip(a, b, strict=True)
    )


def test_the_shipped_prompts_are_many_and_none_is_what_the_probes_measure_by():
    """By the share of words in common. A changed file is another set, under another name: the trials'
    keys hold the name."""
    own = shipped()
    for prompts in own.values():
        assert len(prompts) == len(set(prompts)) >= 50
    assert min(len(own["short"]), 2 * len(own["questions"])) >= 100
    probes = [q.query.question for q in general_questions()] + list(drift_prompts())
    for prompt in (text for prompts in own.values() for text in prompts):
        shared = max(len(words(prompt) & words(p)) / len(words(prompt) | words(p)) for p in probes)
        assert shared < 0.5, prompt
    path = Path(anchors.__file__).with_name("anchor_prompts.json")
    assert (AnchorSettings().prompts, hashlib.sha256(path.read_bytes()).hexdigest()[:16]) == (
        "generic-1",
        "b5f6c4df0102acfa",
    )


def words(text):
    common = "what is the of a an in to how do i are does who which was did for and me on"
    return set(re.findall(r"\w+", text.lower())) - set(common.split())


@pytest.mark.parametrize("chat", [True, False])
def test_anchors_are_the_bare_models_own(chat):
    bare = model(chat=chat)
    held = bare.training.anchors(TRAIN)
    assert not held.neighbours
    assert 0 < len(held.general) <= 10
    asked = generic_prompts(bare.form, 10, bare.render, bare.tokenizer)
    assert any(one.opening for one in asked) == (not chat)
    starts = [one.rendered.ids for one in asked]
    for sequence in held.general:
        assert any(sequence.ids[: len(ids)] == ids for ids in starts)
        assert sequence.hard == 0.0
        assert sequence.soft_weight == 2.0
        assert sequence.soft.ids_Mk.shape == (sequence.num_supervised, 7)
        log = bare.hf(torch.tensor([sequence.ids])).logits[0].log_softmax(1)
        for i, place in enumerate(sequence.supervised):
            expected = log[place - 1]
            top = expected[sequence.soft.ids_Mk[i]]
            assert torch.allclose(sequence.soft.log_Mk[i], top, atol=1e-9)
            assert torch.allclose(top, expected.topk(7).values)
            rest = 1 - top.exp().sum()
            assert sequence.soft.rest_M[i].exp().item() == pytest.approx(rest.item(), abs=1e-9)


def test_they_are_written_once_and_then_read():
    first = model()
    held = first.training.anchors(TRAIN)
    assert first.batches == 1
    assert "once for this model" in first.said[0]
    assert same(first.training.anchors(TRAIN).general, held.general)
    again = model()
    assert same(again.training.anchors(TRAIN).general, held.general)
    assert (first.batches, again.batches, again.said) == (1, 0, [])
    other = TRAIN.model_copy(update={"anchor": ON.model_copy(update={"weight": 1.0, "interval": 3})})
    assert again.training.anchors(other).general[0].soft_weight == 1.0  # and they are the same texts
    assert again.batches == 0


def test_another_revisions_texts_are_never_used():
    model().training.anchors(TRAIN)
    (kept,) = [path for path in anchors_folder().iterdir() if path.is_dir()]
    other = model(seed=1)
    other.training.anchors(TRAIN)
    assert other.batches == 1
    # Also where somebody has put them in its place.
    (own,) = [path for path in anchors_folder().iterdir() if path.is_dir() and path != kept]
    shutil.rmtree(own)
    shutil.copytree(kept, own)
    third = model(seed=1)
    assert same(third.training.anchors(TRAIN).general, other.training.anchors(TRAIN).general)
    assert third.batches == 1


@pytest.mark.parametrize("damage", ["cut", "no note", "other note"])
def test_a_damaged_file_is_written_anew(damage):
    held = model().training.anchors(TRAIN)
    (folder,) = [path for path in anchors_folder().iterdir() if path.is_dir()]
    note = folder / "anchors.json"
    if damage == "cut":
        (folder / "anchors.safetensors").write_bytes(b"cut")
    elif damage == "no note":
        note.unlink()
    else:
        values = json.loads(note.read_text())
        note.write_text(json.dumps({**values, "texts": values["texts"][:-1]}))
    again = model()
    assert same(again.training.anchors(TRAIN).general, held.general)
    assert again.batches == 1
    third = model()
    third.training.anchors(TRAIN)
    assert third.batches == 0


def test_a_killed_runwrites_nothing_twice_and_its_rest_goes(monkeypatch):
    held = model().training.anchors(TRAIN)
    (folder,) = [path for path in anchors_folder().iterdir() if path.is_dir()]
    half = folder.with_name(f".making-{folder.name}-x1")
    folder.rename(half)  # killed before it got its name
    (half / "anchors.json").unlink()
    again = model()
    assert same(again.training.anchors(TRAIN).general, held.general)
    assert again.batches == 1
    assert not half.exists()
    # Killed later, between the texts and the training: nothing is written again.
    with monkeypatch.context() as patch:
        patch.setattr("selfedit.model.training.BankTrainer.run", _killed)
        with pytest.raises(KeyboardInterrupt):
            again.train([PLAN], LORA, TRAIN, [0])
    resumed = model()
    resumed.train([PLAN], LORA, TRAIN, [0])
    assert resumed.batches == 0


def _killed(*args):
    raise KeyboardInterrupt


def test_without_a_place_to_keep_them_it_works_and_says_so(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    monkeypatch.setenv("SELFEDIT_HOME", str(blocked))
    bare = model()
    held = bare.training.anchors(TRAIN)
    assert held.general
    assert "cannot be cached" in " ".join(bare.said)
    assert same(bare.training.anchors(TRAIN).general, held.general)
    assert bare.batches == 1


def test_loops_and_empties_are_dropped_and_few_are_told():
    bare = model()
    replies = ["", "la la la la la la la la la la", "  ", "Bees make honey in their hives."]
    bare.writing.write = lambda rendered, sampling, seeds, **own: [
        Completion(replies[i] if i < 4 else "") for i in range(len(rendered))
    ]
    held = bare.training.anchors(TRAIN)
    assert len(held.general) == 1 < FEWEST
    assert "only 1 of 10" in bare.said[-1]
    assert loops([1, 2, 3] * 6)
    assert not loops(list(range(30)))
    assert not loops([1, 1, 1])  # too short to tell


def test_a_base_models_replies_keep_the_space_before_them():
    bare = model(chat=False)
    said = " Bees make honey in their hives."
    drawn = tuple(bare.tokenizer(f"{said}\nQ", add_special_tokens=False)["input_ids"])
    bare.writing.write = lambda rendered, sampling, seeds, **own: [
        Completion(said.strip(), tokens=drawn if own["logprobs"] else ()) for _ in rendered
    ]
    held = bare.training.anchors(TRAIN).general
    assert len(held) == 10
    assert all(bare.tokenizer.decode(sequence.ids[:-1]).endswith(said) for sequence in held)


def test_no_usable_text_at_all_trains_without():
    bare = model()
    bare.writing.write = lambda rendered, sampling, seeds, **own: [Completion("")] * len(rendered)
    _, (record,) = bare.train([PLAN], LORA, TRAIN, [0])
    assert record.losses
    assert not record.drifts
    assert any("only 0 of 10" in text for text in bare.said)


def test_training_through_the_model_uses_them():
    bare = model()
    near = PLAN.__class__(PLAN.sequences, neighbours=(TrainingSequence("The bridge was built by"),))
    bank, records = bare.train([PLAN, near], LORA, TRAIN, [0, 1])
    alone, _ = bare.train([near], LORA, TRAIN, [1])
    assert [len(own.drifts) for own in records] == [4, 4]
    assert (bank.weights_KP[1] - alone.weights_KP[0]).abs().max() <= 1e-9
    assert len(bare.training.anchors(TRAIN, near.neighbours).neighbours) == 1
    off = TRAIN.model_copy(update={"anchor": AnchorSettings()})
    planned = [bare.planned_memory(LORA, own)([PLAN], [0]) for own in (off, TRAIN)]
    assert planned[0] < planned[1]


def test_generic_texts_that_no_step_draws_are_not_written():
    alone = TRAIN.model_copy(update={"anchor": ON.model_copy(update={"neighbour_share": 1.0})})
    near = TrainingPlan(PLAN.sequences, neighbours=(TrainingSequence("The bridge was built by"),))
    bare, before = model(), model()
    held = bare.training.anchors(alone, near.neighbours)
    assert (len(held.general), len(held.neighbours), bare.batches) == (0, 1, 0)
    assert bare.training.anchors(alone).general, "without neighbours there is nothing else to hold"
    # With them at hand the same adapter comes of it.
    before.training.anchors = lambda settings, near=(), **how: replace(
        held, general=bare.training.anchors(TRAIN).general
    )
    # Without a trunk, which reads all texts at once: its last bits depend on how many there are.
    lora = LORA.model_copy(update={"layers": "all"})
    (one, _), (other, _) = (own.train([near], lora, alone, [0]) for own in (bare, before))
    assert torch.equal(one.weights_KP, other.weights_KP)


def test_neighbours_are_held_to_what_the_bare_model_expects_in_them(monkeypatch):
    """The planner knows their size without running them."""
    bare = model()
    text = TrainingSequence("Bridge\nthe bridge was built in 1900")
    (held,) = bare.training.anchors(TRAIN, [text, TrainingSequence("")]).neighbours
    assert held.ids == bare.encode(text, 100).ids
    assert (held.hard, held.soft_weight) == (0.0, 2.0)
    log = bare.hf(torch.tensor([held.ids])).logits[0].log_softmax(1)
    for i, place in enumerate(held.supervised):
        assert torch.allclose(held.soft.log_Mk[i], log[place - 1][held.soft.ids_Mk[i]], atol=1e-9)
    monkeypatch.setattr(bare.decoder, "hidden", None)
    plan = TrainingPlan(PLAN.sequences, neighbours=(text,))
    planned = bare.planned_memory(LORA, TRAIN)
    assert planned([plan], [0]) > planned([PLAN], [0])


def test_a_neighbour_may_be_a_reply():
    """Only the reply is held, its end included."""
    bare = model()
    reply = TrainingSequence("it was built in 1900", Prompt("Tell me about the bridge."))
    (held,) = bare.training.anchors(TRAIN, [reply]).neighbours
    assert held.ids == bare.encode(reply, 100).ids
    assert held.supervised[0] > 0
    assert held.supervised[-1] == len(held.ids) - 1


def test_a_text_that_ends(tiny):
    text = TrainingSequence("a tower")
    plain, ended = (tiny.encode(own, 100) for own in (text, TrainingSequence("a tower", ends=True)))
    assert ended.ids == (*plain.ids, tiny.tokenizer.eos_token_id)
    assert ended.supervised[-1] == len(plain.ids)
    assert tiny.sequence_tokens(TrainingSequence("a tower", ends=True)) == len(ended.ids)
    assert tiny.encode(TrainingSequence("a tower", ends=True), 3).ids == plain.ids[:3]
