"""What a GPU takes instead of the reference is, on a CPU, equal to the reference.

The bank's products by groups, the optimizer that waits for nothing, and initial weights that are drawn
side by side. PyTorch's grouped products have no float64, for which a stand-in multiplies group by
group.
"""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch

from selfedit.bench.reference import plain_peft
from selfedit.config import TrainSettings
from selfedit.forward.transfer import fetch
from selfedit.lora import bank as bank_module
from selfedit.lora import desk, groups, low_rank, routing
from selfedit.lora.bank import AdapterBank
from selfedit.lora.optimizer import DeviceAdamW, StackedAdamW, optimizer_of
from selfedit.lora.routing import Routing
from selfedit.model.language_model import LanguageModel
from selfedit.model.tiny import tiny_model
from tests.forward.test_probe import deep, split_products
from tests.lora.test_equality import ALL, DATA, SEEDS, SETTINGS, TOLERANCE, close, sequences, train

CUDA = torch.device("cuda:1")


def deep_model():
    """Deep enough for the order of its sums to matter."""
    tokenizer = tiny_model().tokenizer
    return LanguageModel(deep(12), tokenizer, name="deep", revision="deep", form="plain")


def group_by_group(a, b, ends_K):
    """What torch.nn.functional.grouped_mm is documented to be."""
    starts = [0, *ends_K.tolist()]
    spans = [slice(start, end) for start, end in pairwise(starts)]
    if b.dim() == 3:
        return torch.cat([a[span] @ b[k] for k, span in enumerate(spans)])
    return torch.stack([a[:, span] @ b[span] for span in spans])


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    monkeypatch.setattr(bank_module, "takes_groups", lambda *_: True)
    monkeypatch.setattr(groups, "grouped_mm", group_by_group)
    monkeypatch.setattr(desk, "optimizer_of", DeviceAdamW)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_torchs_grouped_products_are_the_stand_ins(dtype):
    """With an empty group, and operands laid out as the bank lays them out."""
    torch.manual_seed(0)
    ends = torch.tensor([5, 5, 12], dtype=torch.int32)
    x, dy = (torch.randn(12, n).to(dtype) for n in (16, 24))
    bank = torch.randn(3, 16 * 8 + 8 * 24 + 40).to(dtype)
    down, up = bank[:, : 16 * 8].view(3, 16, 8), bank[:, 16 * 8 : 16 * 8 + 8 * 24].view(3, 8, 24)
    h = groups.grouped_mm(x, down, ends)
    pairs = [
        (x, down),
        (h, up),
        (dy, up.transpose(1, 2)),
        (h, down.transpose(1, 2)),
        (h.T, dy),
        (x.T, h),
    ]
    for a, b in pairs:
        given = groups.grouped_mm(a, b, ends)
        assert torch.equal(given, group_by_group(a, b, ends))


@pytest.mark.parametrize("layers", ["all", "upper-half"])
def test_the_gpus_path_equals_plain_peft(tiny, as_on_a_gpu, layers):
    """Clips, warm-up, schedules, weight decay, and adapters that end before others."""
    lora = ALL.model_copy(update={"layers": layers})
    bank, records = train(tiny, DATA, SETTINGS, SEEDS, lora)
    for k, result in enumerate(plain_peft(tiny, lora, DATA, SETTINGS, SEEDS)):
        assert records[k].losses == pytest.approx(result.losses, abs=TOLERANCE)
        for name, (down, up) in result.factors.items():
            close(bank.factors[name][0][k], down)
            close(bank.factors[name][1][k], up)


@pytest.mark.parametrize("slots", [2, 5])
def test_the_gpus_path_stops_what_diverges_alone(tiny, as_on_a_gpu, slots, monkeypatch):
    data = [*DATA, sequences(3, 4, 15), sequences(4, 1, 30)]
    diverging = SETTINGS[1].model_copy(update={"learning_rate": 1e300, "warmup_steps": 0})
    settings = [SETTINGS[0], diverging, *SETTINGS[1:], SETTINGS[1]]
    seeds = [11, 12, 13, 14, 15]
    bank, records = train(tiny, data, settings, seeds, slots=slots)
    monkeypatch.undo()
    expected, known = train(tiny, data, settings, seeds, slots=slots)
    assert [record.failure for record in records] == [record.failure for record in known]
    assert records[1].failure
    for k in (0, 2, 3, 4):
        close(bank.weights_KP[k], expected.weights_KP[k])
        assert records[k].losses == pytest.approx(known[k].losses, abs=TOLERANCE)
    assert torch.isfinite(bank.weights_KP).all()


def test_the_gpus_path_ends_with_the_epoch_that_was_good_enough(tiny, as_on_a_gpu, monkeypatch):
    """Though losses are read late: one adapter has learned enough early, another never."""
    _, known = train(tiny, DATA, SETTINGS, SEEDS)
    middle = sum(known[0].losses) / len(known[0].losses)
    settings = [own.model_copy(update={"stop_below": middle}) for own in SETTINGS]
    bank, records = train(tiny, DATA, settings, SEEDS, slots=2)
    monkeypatch.undo()
    expected, wanted = train(tiny, DATA, settings, SEEDS, slots=2)
    assert len(wanted[0].losses) < len(known[0].losses)
    for k, record in enumerate(records):
        assert record.losses == pytest.approx(wanted[k].losses, abs=TOLERANCE)
        assert record.tokens == wanted[k].tokens
        close(bank.weights_KP[k], expected.weights_KP[k])


def test_a_step_is_read_when_the_next_is_launched(tiny, as_on_a_gpu, monkeypatch):
    """So that the GPU has work while the CPU reads; the last one is read at the end."""
    log, step = [], DeviceAdamW.step

    def watched(self, active, losses):
        outcome, number = step(self, active, losses), log.count("launched") + 1
        log.append("launched")
        return lambda: log.append(number) or outcome()

    monkeypatch.setattr(DeviceAdamW, "step", watched)
    train(tiny, [sequences(0, 3, 9)], [TrainSettings(epochs=1)], [1])
    assert log == ["launched", "launched", 1, "launched", 2, 3]


def test_a_row_that_was_refused_stays_as_it_was():
    """Until another adapter takes it: the next step is launched before the failure is known."""
    model = tiny_model()
    bank = AdapterBank(model.hf, ALL, [1, 2], num_layers=model.num_layers)
    bank.require_gradients()
    optimizer = DeviceAdamW(bank)
    losses = type("Losses", (), {})()
    losses.on_device = lambda rows: torch.zeros(rows, dtype=bank.weights_KP.dtype)
    losses.fetch = lambda flags: lambda: ({0: 0.0, 1: 0.0}, flags.tolist())
    for k in (0, 1):
        optimizer.begin(k, TrainSettings(), 9)
    start = bank.weights_KP.clone()
    moved = []
    for gradient in (torch.inf, 1.0, 1.0):
        bank.gradient_KP[0], bank.gradient_KP[1] = gradient, 1.0
        before = bank.weights_KP.clone()
        outcome = optimizer.step([0, 1], losses)()
        moved.append((bank.weights_KP != before).any(1).tolist())
        if len(moved) == 2:
            assert outcome == {0: (0.0, False), 1: (0.0, True)}
            optimizer.begin(0, TrainSettings(), 9)
    assert moved == [[False, True], [False, True], [True, True]]
    assert torch.isfinite(bank.weights_KP).all()
    assert not torch.equal(bank.weights_KP[0], start[0])


def test_a_gpu_is_read_from_by_way_of_pinned_memory(monkeypatch):
    """Without waiting; the wait is for what was launched before, and comes when the numbers are asked
    for."""
    log = []

    class Away:
        shape, dtype, device = (2,), torch.float32, CUDA

    class Event:
        def record(self, stream):
            log.append(("recorded", stream))

        def synchronize(self):
            log.append("waited")

    pinned = type("Pinned", (), {})()
    pinned.copy_ = lambda tensor, non_blocking: log.append(("copied", non_blocking))
    monkeypatch.setattr(torch, "empty", lambda shape, dtype, pin_memory: pinned)
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: device)
    read = fetch(Away())
    assert log == [("copied", True), ("recorded", CUDA)]
    assert read() is pinned
    assert log[2:] == ["waited"]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_gpus_path_in_lower_precision(monkeypatch, dtype):
    """By PyTorch's own grouped products; both paths round, in another order of the sums, and AdamW
    divides small numbers by small numbers. Within 2 % of the whole update in float32."""
    model, lora = tiny_model(dtype=dtype), ALL.model_copy(update={"rank": 8})
    expected, known = train(model, DATA, SETTINGS, SEEDS, lora)
    start = AdapterBank(model.hf, lora, SEEDS, num_layers=model.num_layers)
    monkeypatch.setattr(bank_module, "takes_groups", lambda *_: True)
    monkeypatch.setattr(desk, "optimizer_of", DeviceAdamW)
    bank, records = train(model, DATA, SETTINGS, SEEDS, lora)
    moved = (expected.weights_KP - start.weights_KP).norm(dim=1)
    apart = (bank.weights_KP - expected.weights_KP).norm(dim=1) / moved
    assert (apart < (2e-2 if dtype == "float32" else 0.3)).all(), apart
    within = 1e-4 if dtype == "float32" else 0.05
    for one, other in zip(records, known, strict=True):
        assert one.losses == pytest.approx(other.losses, rel=within)


@pytest.mark.parametrize("kind", [DeviceAdamW, StackedAdamW])
def test_the_copy_in_half_precision_is_made_once_a_step(kind):
    """And again when the weights have changed."""
    model = tiny_model(dtype="bfloat16")
    bank = AdapterBank(model.hf, ALL, [1, 2], num_layers=model.num_layers)
    names = [target.name for target in bank.targets]
    first = bank._in(torch.bfloat16, names[0])[0]
    assert bank._in(torch.bfloat16, names[-1])[0]._base is first._base
    bank.require_gradients()
    bank.gradient_KP.fill_(1.0)
    optimizer = kind(bank)
    optimizer.begin(0, TrainSettings(learning_rate=1.0), 1)
    if kind is DeviceAdamW:
        optimizer._launch(0, torch.ones(()), torch.zeros(()))
    else:
        optimizer._step_one(0, 1.0)
    again = bank._in(torch.bfloat16, names[0])[0]
    assert not torch.equal(again[0], first[0])
    assert torch.equal(again[1], first[1])


@torch.no_grad()  # as answers are written
def test_answers_of_one_adapter_after_the_other_have_no_grid(monkeypatch):
    monkeypatch.setattr(bank_module, "takes_groups", lambda *_: True)
    model = tiny_model()
    bank = AdapterBank(model.hf, ALL, [1, 2, 3], num_layers=model.num_layers)
    bank.route([0, 0, 2], [4, 1, 3])
    assert bank.routing.ends_K.tolist() == [5, 5, 8]
    for owners, width in (([0, 2, 0], None), ([0, 0, 2], 9)):  # not in order; with pads between
        bank.route(owners, [4, 1, 3], width)
        assert bank.routing.ends_K is None
    bank.route([0, 1, 1, 2], [4, 1, 3, 4])  # a grid without gaps is a view
    assert (bank.routing.ends_K, bank.routing.position_M) == (None, None)


@pytest.mark.parametrize(
    ("device", "dtype", "rank", "dropout", "major", "takes"),
    [
        ("cuda:1", torch.bfloat16, 32, 0.0, 9, True),
        ("cuda", torch.bfloat16, 32, 0.0, 10, True),
        ("cuda", torch.bfloat16, 32, 0.0, 8, False),
        ("cuda", torch.float32, 32, 0.0, 9, False),
        ("cuda", torch.bfloat16, 4, 0.0, 9, False),
        ("cuda", torch.bfloat16, 32, 0.1, 9, False),
        ("cpu", torch.bfloat16, 32, 0.0, 9, False),
        ("mps", torch.bfloat16, 32, 0.0, 9, False),
    ],
)
def test_grouped_products_where_torch_has_a_kernel(
    monkeypatch, device, dtype, rank, dropout, major, takes
):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (major, 0))
    settings = ALL.model_copy(update={"rank": rank, "dropout": dropout})
    assert groups.takes_groups(torch.device(device), dtype, settings) == takes


def test_a_cpu_keeps_the_reference(tiny):
    bank = AdapterBank(tiny.hf, ALL, [1], num_layers=tiny.num_layers)
    bank.require_gradients()
    assert not bank.takes_groups
    assert type(optimizer_of(bank)) is StackedAdamW
    assert Routing.of_lengths([0], [3], 1, torch.device("cpu")).ends_K is None


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_initial_weights_are_peft_s_to_the_bit(tiny, threads, dtype):
    """Drawn as before, one module after the other, whatever thread draws them."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        bank = AdapterBank(tiny.hf, ALL, [5, 6, 7, 8], num_layers=tiny.num_layers, dtype=dtype)
    finally:
        torch.set_num_threads(before)
    for k, seed in enumerate([5, 6, 7, 8]):
        generator = torch.Generator().manual_seed(seed)
        for target in bank.targets:
            down, up = bank.factors[target.name]
            draw = torch.rand(*down[k].shape, generator=generator, dtype=torch.float64)
            bound = 1 / math.sqrt(len(draw))
            assert torch.equal(down[k], ((2 * draw - 1) * bound).to(dtype))
            assert not up[k].any()


def test_grouped_gradients_are_rounded_by_less_than_the_sums_differ(monkeypatch):
    """PyTorch's grouped products give half precision only. What that takes from an adapter's gradient
    is small beside what another order of the sums makes of it."""
    model = deep_model()
    gradients = []
    for kind in ("grid", "rounded", "split"):
        torch.manual_seed(0)
        with monkeypatch.context() as patch:
            if kind == "rounded":
                patch.setattr(low_rank, "_wide_bmm", lambda a, b, wide: torch.bmm(a, b).to(wide))
            else:  # products of half precision, added up in float32, as a GPU does

                def wide(a, b, dtype):
                    return torch.bmm(a.to(dtype), b.to(dtype))

                patch.setattr(low_rank, "_wide_bmm", wide)
            if kind == "split":
                split_products(patch)
            patch.setattr(routing, "_stretches", lambda owners, lengths: None)
            bank = AdapterBank(model.hf, ALL, [1, 2], num_layers=model.num_layers)
            bank.weights_KP.normal_(std=0.05)
            bank.require_gradients()
            ids = [[(7 * i + k) % 250 for i in range(20)] for k in range(2)]
            bank.route([0, 1], [20, 20])
            with bank.attached():
                model.decoder.hidden(ids).float().pow(2).mean().backward()
            gradients.append(bank.gradient_KP.clone())
    exact, rounded, split = gradients
    apart = [float((own - exact).norm() / exact.norm()) for own in (rounded, split)]
    assert 0 < apart[0] < 2**-8  # half of the last of 8 bits
    assert apart[0] < apart[1] / 4, apart


def test_gradients_are_not_rounded_before_they_are_float32(monkeypatch):
    """CUDA's products of half precision are added up in float32, and stored so."""
    asked = []

    class Cuda:
        dtype, device = torch.bfloat16, torch.device("cuda")

    def bmm(a, b, **kwargs):
        asked.append(kwargs)
        return torch.zeros(1)

    assert "out_dtype" in str(torch.ops.aten.bmm.dtype._schema)
    monkeypatch.setattr(low_rank.torch, "bmm", bmm)
    low_rank._wide_bmm(Cuda(), Cuda(), torch.float32)
    assert asked == [{"out_dtype": torch.float32}]
