"""What a model does around its head is found out by watching it; the loss has its gradient."""

from __future__ import annotations

import pytest
import torch

from selfedit.errors import ModelError
from selfedit.forward.head import Head, find_head
from selfedit.lora.excluded import Mask
from selfedit.lora.loss import Soft, head_loss, teach
from tests.model.architectures import tiny_architecture


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    ("kind", "changes", "expected"),
    [
        ("llama", {}, (1.0, 1.0, None)),
        ("granite", {"logits_scaling": 6.0}, (1.0, 1 / 6, None)),
        ("cohere", {"logit_scale": 0.0625}, (1.0, 0.0625, None)),
        ("gemma2", {"final_logit_softcapping": 30.0}, (1.0, 1.0, 30.0)),
    ],
)
def test_scales_and_caps_are_seen(kind, changes, expected, dtype):
    model = tiny_architecture(kind, **changes)
    head = find_head(model.hf.to(dtype), model.decoder.stack)
    assert (head.before, head.scale, head.cap) == expected


def test_states_that_are_scaled_before_the_head():
    model = tiny_architecture("llama").hf
    model.lm_head.register_forward_pre_hook(lambda module, args: (0.25 * args[0],))
    head = find_head(model, model.model)
    assert (head.before, head.scale, head.cap) == (0.25, 1.0, None)


def test_other_heads_are_refused_in_one_line():
    model = tiny_architecture("llama").hf
    plain = model.forward

    def absolute(**given):
        output = plain(**given)
        output.logits = output.logits.abs()
        return output

    model.forward = absolute
    with pytest.raises(ModelError, match="in a way that is not supported") as raised:
        find_head(model, model.model)
    assert "\n" not in str(raised.value)
    model.lm_head = torch.nn.Sequential(model.lm_head)
    with pytest.raises(ModelError, match="a Sequential head"):
        find_head(model, model.model)


@pytest.mark.parametrize(
    "own", [{"cap": 3.0}, {"scale": 0.5}, {"before": 0.5, "scale": 2.0, "cap": 1.5}], ids=str
)
def test_loss_and_teachers_have_the_scale_and_the_cap(own):
    """Against autograd through the written-out formula; the last 4 positions have a teacher."""
    torch.manual_seed(0)
    linear = torch.nn.Linear(16, 50, dtype=torch.float64).requires_grad_(False)
    head = Head(linear, **own)
    hidden = torch.randn(9, 16, dtype=torch.float64, requires_grad=True)
    target, weight = torch.randint(0, 50, (9,)), torch.rand(9, dtype=torch.float64)
    before, scale, cap = (own.get("before", 1.0), own.get("scale", 1.0), own.get("cap"))

    def logits_of(states):
        raw = scale * (before * states @ linear.weight.T + linear.bias)
        return raw if cap is None else cap * (raw / cap).tanh()

    logits = logits_of(hidden)
    torch.testing.assert_close(head.logits(hidden.detach()), logits.detach())
    taught = torch.randn(4, 16, dtype=torch.float64)
    log_t = logits_of(taught).log_softmax(1)
    kl = (log_t.exp() * (log_t - logits[5:].log_softmax(1))).sum(1)
    hard = torch.nn.functional.cross_entropy(logits, target, reduction="none")
    ((hard * weight).sum() + 0.7 * kl.sum()).backward()
    expected, hidden.grad = hidden.grad.clone(), None
    ids, log, rest = teach(taught, head, 50)
    soft = Soft(ids, log, rest, torch.full((4,), 0.7, dtype=torch.float64))
    total, losses, drifts = head_loss(hidden, head, target, weight, soft, chunk=4)
    total.backward()
    torch.testing.assert_close(losses, hard.detach())
    torch.testing.assert_close(drifts, kl.detach())
    torch.testing.assert_close(hidden.grad, expected)


@pytest.mark.parametrize("own", [{"scale": 0.5}, {"scale": 2.0, "cap": 1.5}], ids=str)
def test_what_is_excluded_has_no_part_in_the_loss(own):
    """Against autograd through the written-out formula; every third place excludes nothing."""
    torch.manual_seed(0)
    linear = torch.nn.Linear(16, 50, dtype=torch.float64).requires_grad_(False)
    hidden = torch.randn(9, 16, dtype=torch.float64, requires_grad=True)
    target, weight = torch.randint(0, 50, (9,)), torch.rand(9, dtype=torch.float64)
    half = torch.rand(9, 50) < 0.5
    half[torch.arange(9), target] = False
    places = [None if n % 3 == 2 else half[n] for n in range(9)]
    raw = own["scale"] * linear(hidden)
    cap = own.get("cap")
    logits = raw if cap is None else cap * (raw / cap).tanh()
    masked = logits.masked_fill(half & (torch.arange(9) % 3 != 2)[:, None], float("-inf"))
    hard = torch.nn.functional.cross_entropy(masked, target, reduction="none")
    (hard * weight).sum().backward()
    expected, hidden.grad = hidden.grad.clone(), None
    mask = Mask.of(places)
    total, losses, _ = head_loss(hidden, Head(linear, **own), target, weight, mask=mask, chunk=4)
    total.backward()
    torch.testing.assert_close(losses, hard.detach())
    torch.testing.assert_close(hidden.grad, expected)
