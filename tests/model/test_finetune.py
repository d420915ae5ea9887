"""Full finetuning against a plain loop; the given weights stay bit by bit."""

from __future__ import annotations

import copy

import pytest
import torch

from selfedit.config import TrainSettings
from selfedit.lora.sequences import batches, num_steps
from selfedit.model.tiny import tiny_model
from selfedit.types import Prompt, TrainingPlan, TrainingSequence

TEXTS = ["A tower of basalt.", "The lake is deep.", "Herons nest in reeds, they say.", "x y z", "Ab"]
PLAN = TrainingPlan(
    (*map(TrainingSequence, TEXTS), TrainingSequence("In the reeds.", Prompt("Where?")))
)
SETTINGS = TrainSettings(learning_rate=3e-3, epochs=2, batch_size=4)


def plain(model, settings, seed):
    """One sequence at a time, unpadded; AdamW, linear decay and clipping as the paper's trainer."""
    hf = copy.deepcopy(model.hf).requires_grad_(True)
    data = [model.encode(sequence, settings.max_tokens) for sequence in PLAN.sequences]
    steps, losses = num_steps(len(data), settings), []
    optimizer = torch.optim.AdamW(hf.parameters(), lr=settings.learning_rate, weight_decay=0.0)
    decay = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
    for batch in batches(data, settings, seed):
        optimizer.zero_grad()
        count = sum(s.num_supervised for s in batch)
        total = 0.0
        for s in batch:
            ids = torch.tensor([s.ids])
            log_p = hf(ids).logits[0, :-1].log_softmax(-1)
            picked = log_p.gather(1, ids[0, 1:, None])[[place - 1 for place in s.supervised]]
            loss = -picked.sum() / count
            loss.backward()
            total += float(loss.detach())
        torch.nn.utils.clip_grad_norm_(hf.parameters(), settings.clip)
        optimizer.step()
        decay.step()
        losses.append(total)
    return hf, losses


@pytest.mark.parametrize("seed", [0, 5])
def test_equals_a_plain_loop(tiny, seed):
    before = {name: value.clone() for name, value in tiny.hf.state_dict().items()}
    tuned, record = tiny.finetune(PLAN, SETTINGS, seed)
    expected, losses = plain(tiny, SETTINGS, seed)
    assert record.losses == pytest.approx(losses, rel=1e-9)
    assert len(losses) == 4
    for name, value in expected.state_dict().items():
        assert torch.allclose(tuned.hf.state_dict()[name], value, rtol=1e-7, atol=1e-9), name
        assert not torch.equal(value, before[name]) or value.dim() == 1, name
    for name, value in tiny.hf.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert not any(p.requires_grad for p in tiny.hf.parameters())
    assert record.tokens == 2 * sum(len(tiny.encode(s, 1024).ids) for s in PLAN.sequences)


def test_twice_the_same_bits(tiny):
    first, second = (tiny.finetune(PLAN, SETTINGS, 1)[0].hf.state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_half_precision_is_trained_in_float32():
    """Steps of 7e-5 are lost in bfloat16 weights; the result is the float32 one, rounded."""
    half, wide = tiny_model(dtype="bfloat16"), tiny_model(dtype="bfloat16")
    half.hf.model.rotary_emb.float()  # as transformers loads a model
    wide.hf.float()
    small = SETTINGS.model_copy(update={"learning_rate": 7e-5})
    tuned, record = half.finetune(PLAN, small, 0)
    expected, same = wide.finetune(PLAN, small, 0)
    assert (tuned.hf.dtype, half.hf.dtype) == (torch.bfloat16, torch.bfloat16)
    assert record.losses == same.losses
    for got, full in zip(tuned.hf.parameters(), expected.hf.parameters(), strict=True):
        assert torch.equal(got, full.to(torch.bfloat16))
    assert {buffer.dtype for buffer in tuned.hf.buffers()} == {torch.float32}


def test_what_diverges_is_recorded(tiny):
    model = tiny_model()
    with torch.no_grad():
        model.hf.lm_head.weight[0, 0] = float("nan")
    _, record = model.finetune(PLAN, SETTINGS, 0)
    assert "not finite at step 1 of 4" in record.failure


def test_reports_its_steps(tiny):
    seen = []
    tiny.finetune(PLAN, SETTINGS, 0, on_step=lambda step, total: seen.append((step, total)))
    assert seen == [(n, 4) for n in range(1, 5)]
