"""Training with an anchor: the fast path is the slow one, together is alone, and off is as before."""

from __future__ import annotations

import pytest
import torch

from selfedit.config import AnchorSettings, LoraSettings, TrainSettings
from selfedit.forward.head import Head
from selfedit.forward.memory import measured_peak
from selfedit.lora.bank import AdapterBank
from selfedit.lora.load import Steps
from selfedit.lora.loss import Soft, head_loss, teach
from selfedit.lora.memory import Footprint
from selfedit.lora.sequences import Anchors, SoftTargets, TokenSequence, anchored, batches
from selfedit.lora.teacher import soften
from selfedit.lora.train import BankTrainer
from selfedit.model.tiny import tiny_model
from tests.lora.anchored_reference import divergence, plain_anchored

LORA = LoraSettings(rank=4, alpha=8, layers="upper-half")
TOLERANCE = 1e-9  # float64
SEEDS = [11, 12, 13, 14]


def sequences(k, count, longest, **own):
    generator = torch.Generator().manual_seed(100 + k)
    result = []
    for i in range(count):
        length = int(torch.randint(2, longest, (), generator=generator))
        ids = torch.randint(0, 250, (length,), generator=generator).tolist()
        spans = ((length // 3, length),) if i % 2 else ((0, length),)
        result.append(TokenSequence(tuple(ids), spans, **own))
    return result


DATA = [sequences(0, 5, 20), sequences(1, 2, 40), sequences(2, 7, 9), sequences(3, 4, 15)]
SETTINGS = [
    TrainSettings(
        epochs=3,
        learning_rate=1e-2,
        batch_size=2,
        anchor=AnchorSettings(weight=1.0, interval=2, sequences=2, neighbour_share=0.5),
    ),
    TrainSettings(epochs=4, learning_rate=3e-3, anchor=AnchorSettings(weight=3.0, interval=3)),
    TrainSettings(epochs=2, learning_rate=5e-3, batch_size=3, clip=0.1, weight_decay=0.01),
    TrainSettings(epochs=2, learning_rate=5e-3, anchor=AnchorSettings(weight=0.3, interval=1)),
]


def held(model, top_k=20):
    """Anchors of each adapter: the same general ones, the first with neighbours of its own."""
    made = soften(model.decoder, sequences(9, 6, 25, hard=0.0), top_k)
    near = soften(model.decoder, sequences(8, 3, 12, hard=0.0), top_k)
    weights = [own.anchor.weight for own in SETTINGS]
    return [
        Anchors(weighted(made, weight), weighted(near, weight) if k == 0 else ())
        for k, weight in enumerate(weights)
    ]


def weighted(made, weight):
    return tuple(TokenSequence(s.ids, s.spans, 0.0, s.soft, weight) for s in made)


def train(model, data, settings, seeds, anchors, lora=LORA, **options):
    bank = AdapterBank(model.hf, lora, seeds, num_layers=model.num_layers)
    trainer = BankTrainer(model.decoder, bank, data, settings, anchors=anchors, **options)
    return bank, trainer.run()


def close(a, b):
    assert (a - b).abs().max().item() <= TOLERANCE


@pytest.mark.parametrize("layers", ["all", "upper-half"])
def test_equals_plain_peft(tiny, layers):
    """At the first step with an anchor its gradient is zero, later it is not."""
    lora = LORA.model_copy(update={"layers": layers})
    anchors = held(tiny)
    bank, records = train(tiny, DATA, SETTINGS, SEEDS, anchors, lora)
    for k in range(4):
        factors, losses, drifts = plain_anchored(tiny, lora, DATA[k], SETTINGS[k], SEEDS[k], anchors[k])
        assert records[k].losses == pytest.approx(losses, abs=TOLERANCE)
        assert records[k].drifts == pytest.approx(drifts, abs=TOLERANCE)
        for name, (down, up) in factors.items():
            close(bank.factors[name][0][k], down)
            close(bank.factors[name][1][k], up)
    assert [bool(record.drifts) for record in records] == [True, True, False, True]
    assert max(records[0].drifts) > 1e-4


@pytest.mark.parametrize(
    "way", ["alone", "slots", "threads", "checkpointing", "padded", "no trunk", "dropout"]
)
def test_together_equals_alone(tiny, way, monkeypatch):
    model, lora, options = tiny, LORA, {}
    if way == "slots":
        options = {"slots": 2}
    elif way == "threads":
        options = {"beside": [tiny.decoder.beside()]}
    elif way == "checkpointing":
        options = {"checkpointing": True}
    elif way == "no trunk":
        options = {"use_trunk": False}
    elif way == "dropout":
        lora, options = LORA.model_copy(update={"dropout": 0.2}), {"slots": 3}
    anchors = held(tiny)
    if way == "padded":
        model = tiny_model()
        monkeypatch.setattr(model.decoder, "_packs", False)
    together, records = train(model, DATA, SETTINGS, SEEDS, anchors, lora, **options)
    for k in range(4):
        own = slice(k, k + 1)
        alone, (record,) = train(tiny, DATA[own], SETTINGS[own], SEEDS[own], anchors[own], lora)
        close(together.weights_KP[k], alone.weights_KP[0])
        assert records[k].losses == pytest.approx(record.losses, abs=TOLERANCE)
        assert records[k].drifts == pytest.approx(record.drifts, abs=TOLERANCE)
        assert records[k].tokens == record.tokens


def test_without_a_weight_nothing_changes(tiny):
    """Bit for bit, and no anchor is run."""
    off = [own.model_copy(update={"anchor": AnchorSettings(interval=1)}) for own in SETTINGS]
    expected, records = train(tiny, DATA, off, SEEDS, None)
    bank, again = train(tiny, DATA, off, SEEDS, held(tiny))
    assert torch.equal(bank.weights_KP, expected.weights_KP)
    assert [record.losses for record in records] == [record.losses for record in again]
    assert not any(record.drifts for record in again)


def test_an_anchor_holds(tiny):
    """The drift at the end is smaller with it than without."""
    free = TrainSettings(epochs=12, learning_rate=1e-2)
    holding = free.model_copy(update={"anchor": AnchorSettings(weight=3.0, interval=1)})
    anchors = [Anchors(weighted(held(tiny)[0].general, 3.0))]
    drift = []
    for settings in (free, holding):
        bank, _ = train(tiny, DATA[:1], [settings], SEEDS[:1], anchors)
        # One more step of next to no size measures it.
        measure = holding.model_copy(update={"epochs": 1, "learning_rate": 1e-12, "batch_size": 5})
        other = AdapterBank(tiny.hf, LORA, [0], num_layers=tiny.num_layers)
        other.weights_KP.copy_(bank.weights_KP.detach())
        trainer = BankTrainer(tiny.decoder, other, DATA[:1], [measure], anchors=anchors)
        drift.append(trainer.run()[0].drifts[0])
    assert drift[1] < 0.5 * drift[0]


def test_anchors_join_every_mth_step_and_change_no_order(tiny):
    anchors = held(tiny)[0]
    steps = list(anchored(DATA[0], SETTINGS[0], 11, anchors))
    assert [own for own, _ in steps] == list(batches(DATA[0], SETTINGS[0], 11))
    assert [len(joined) for _, joined in steps] == [0, 2] * 4 + [0]
    drawn = [s for _, joined in steps for s in joined]
    near = [s for s in drawn if s in anchors.neighbours]
    assert len(set(near[:3])) == min(3, len(near))  # all before one comes again
    assert len(near) == len(drawn) // 2  # every second one, by the share
    other = [joined for _, joined in anchored(DATA[0], SETTINGS[0], 12, anchors)]
    assert other != [joined for _, joined in steps]


def soft_of(logits, top_k):
    """By the obvious way."""
    log = logits.log_softmax(1)
    top = log.topk(top_k, 1)
    rest = torch.stack([(1 - row.exp().sum()).clamp(min=0).log() for row in top.values])
    return SoftTargets(top.indices, top.values, rest)


@pytest.mark.parametrize("top_k", [1, 5, 49, 50])
@pytest.mark.parametrize("chunk", [7, 10, 64])
@pytest.mark.parametrize("bias", [True, False])
def test_soft_loss_equals_autograd(top_k, chunk, bias):
    """37 positions, of which the last 15 have a teacher; some have both kinds of loss."""
    torch.manual_seed(0)
    hidden = torch.randn(37, 16, dtype=torch.float64, requires_grad=True)
    head = torch.nn.Linear(16, 50, bias, dtype=torch.float64).requires_grad_(False)
    target, weight = torch.randint(0, 50, (37,)), torch.rand(37, dtype=torch.float64)
    weight[30:] = 0
    soft_weight = torch.rand(15, dtype=torch.float64)
    teacher = soft_of(2 * torch.randn(15, 50, dtype=torch.float64), top_k)
    logits = head(hidden)
    hard = torch.nn.functional.cross_entropy(logits, target, reduction="none")
    kl = torch.stack([divergence(logits[22 + i], teacher, i) for i in range(15)])
    ((hard * weight).sum() + (kl * soft_weight).sum()).backward()
    expected, hidden.grad = hidden.grad.clone(), None
    soft = Soft(teacher.ids_Mk, teacher.log_Mk, teacher.rest_M, soft_weight)
    total, losses, drifts = head_loss(hidden, Head(head), target, weight, soft, chunk=chunk)
    (3 * total).backward()
    close(losses, hard.detach())
    close(drifts, kl.detach())
    close(hidden.grad, 3 * expected)


def test_the_whole_vocabulary_is_the_full_kl_and_less_a_bound():
    """KL - KL_k = the rest's mass times the KL within the rest, so that it is never above it."""
    torch.manual_seed(0)
    head = torch.nn.Linear(16, 50, dtype=torch.float64).requires_grad_(False)
    mine, teachers = torch.randn(2, 20, 16, dtype=torch.float64)
    log_p, log_t = head(mine).log_softmax(1), head(3 * teachers).log_softmax(1)
    full = (log_t.exp() * (log_t - log_p)).sum(1)
    none, target = torch.zeros(20, dtype=torch.float64), torch.zeros(20, dtype=torch.int64)
    for top_k in (1, 8, 50, 99):
        ids, log, rest = teach(3 * teachers, Head(head), top_k, chunk=6)
        _, _, kl = head_loss(mine, Head(head), target, none, Soft(ids, log, rest, none + 1))
        others = torch.ones(20, 50, dtype=torch.bool).scatter_(1, ids, False)
        t, p = (own.exp().masked_fill(~others, 0) for own in (log_t, log_p))
        within = torch.xlogy(t, t) - torch.xlogy(t, p.clamp(min=1e-300))
        t_rest, p_rest = t.sum(1), p.sum(1)
        missing = (
            within.sum(1) - torch.xlogy(t_rest, t_rest) + torch.xlogy(t_rest, p_rest.clamp(min=1e-300))
        )
        close(kl + missing, full)
        assert (missing >= -1e-12).all()
        if top_k >= 50:
            close(kl, full)


def test_a_student_that_gives_the_rest_nothing_has_a_finite_loss():
    """float32, where the rest's share is rounded away."""
    head = torch.nn.Linear(2, 4, bias=False).requires_grad_(False)
    head.weight.copy_(torch.tensor([[0.0, 0.0], [0.0, 0.0], [-400.0, 0.0], [-400.0, 0.0]]))
    hidden = torch.tensor([[1.0, 0.0]], requires_grad=True)
    soft = Soft(
        torch.tensor([[0, 1]]),
        torch.tensor([[0.4, 0.4]]).log(),
        torch.tensor([0.2]).log(),
        torch.ones(1),
    )
    total, _, kl = head_loss(hidden, Head(head), torch.tensor([0]), torch.zeros(1), soft)
    total.backward()
    assert torch.isfinite(kl).all()
    assert torch.isfinite(hidden.grad).all()
    assert kl.item() > 10


@pytest.mark.parametrize("slots", [None, 2])
@pytest.mark.parametrize("layers", ["all", "upper-half"])
def test_planned_memory_counts_anchors(tiny, slots, layers):
    lora = LORA.model_copy(update={"layers": layers})
    made = soften(tiny.decoder, sequences(9, 6, 150, hard=0.0), 40)
    own = TrainSettings(epochs=2, anchor=AnchorSettings(weight=1.0, interval=2, sequences=2))
    anchors = [Anchors(weighted(made, 1.0))] * 4
    footprint = Footprint.of(tiny.decoder, lora)
    wave = [Steps.of(data, own, k, anchors[k]) for k, data in enumerate(DATA)]
    planned = footprint.training(wave, slots=slots)
    measured = measured_peak(
        lambda: train(tiny, DATA, [own] * 4, range(4), anchors, lora, slots=slots),
        torch.device("cpu"),
    )
    assert planned == pytest.approx(measured, rel=0.15)
    without = footprint.training([Steps.of(data, own, k) for k, data in enumerate(DATA)], slots=slots)
    assert without < 0.8 * planned


def test_lanes_and_planner_count_the_same_tokens(tiny):
    anchors = held(tiny)
    for k in range(4):
        bank = AdapterBank(tiny.hf, LORA, [k], num_layers=tiny.num_layers)
        own = slice(k, k + 1)
        trainer = BankTrainer(tiny.decoder, bank, DATA[own], SETTINGS[own], anchors=anchors[own])
        assert trainer.trainees[0].tokens == Steps.of(DATA[k], SETTINGS[k], k, anchors[k]).total
