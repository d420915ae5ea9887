"""Training K adapters together is training each alone, and is PEFT with torch's AdamW."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from selfedit.bench.reference import plain_peft
from selfedit.config import LoraSettings, TrainSettings
from selfedit.errors import InputError
from selfedit.forward.head import Head
from selfedit.lora.bank import AdapterBank
from selfedit.lora.loss import head_loss
from selfedit.lora.routing import Routing
from selfedit.lora.sequences import WHOLE, TokenSequence
from selfedit.lora.targets import resolve_layers
from selfedit.lora.train import BankTrainer, lanes, shares
from selfedit.model.tiny import exact_norms as exact
from selfedit.model.tiny import tiny_model

ALL = LoraSettings(rank=4, alpha=8, layers="all")
TOLERANCE = 1e-9  # float64
# Supervised parts by length: all of it, an end, and two turns of a conversation.
PARTS = [
    lambda n: ((n // 3, n),),
    lambda n: WHOLE,
    lambda n: ((n // 4, n // 2), (max(1, 3 * n // 4), n)),
]


def sequences(k: int, count: int, longest: int) -> list[TokenSequence]:
    """Sequences of unequal lengths, some with an unsupervised beginning."""
    generator = torch.Generator().manual_seed(100 + k)
    result = []
    for i in range(count):
        length = int(torch.randint(2, longest, (), generator=generator))
        ids = torch.randint(0, 250, (length,), generator=generator).tolist()
        result.append(TokenSequence(tuple(ids), PARTS[i % 3](length)))
    return result


DATA = [sequences(0, 5, 20), sequences(1, 2, 40), sequences(2, 7, 9)]
SETTINGS = [
    TrainSettings(epochs=3, learning_rate=1e-2, batch_size=2),
    TrainSettings(epochs=4, learning_rate=3e-3, schedule="cosine", warmup_steps=3),
    TrainSettings(epochs=2, learning_rate=5e-3, batch_size=3, clip=0.1, weight_decay=0.01),
]
SEEDS = [11, 12, 13]


def train(model, data, settings, seeds, lora=ALL, **options):
    bank = AdapterBank(model.hf, lora, seeds, num_layers=model.num_layers)
    trainer = BankTrainer(model.decoder, bank, data, settings, **options)
    return bank, trainer.run()


def close(a, b):
    assert (a - b).abs().max().item() <= TOLERANCE


@pytest.mark.parametrize("layers", ["all", "upper-half"])
def test_together_equals_alone(tiny, layers):
    lora = ALL.model_copy(update={"layers": layers})
    together, records = train(tiny, DATA, SETTINGS, SEEDS, lora)
    for k in range(3):
        alone, (record,) = train(tiny, DATA[k : k + 1], SETTINGS[k : k + 1], SEEDS[k : k + 1], lora)
        close(together.weights_KP[k], alone.weights_KP[0])
        assert record.losses == pytest.approx(records[k].losses, abs=TOLERANCE)
        assert len(record.losses) == SETTINGS[k].epochs * -(-len(DATA[k]) // SETTINGS[k].batch_size)


@pytest.mark.parametrize("slots", [1, 2, 3, 9])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_a_refilled_slot_changes_no_adapter(tiny, slots, dropout):
    """Five adapters in fewer slots, one of which ends in NaN and leaves its slot early."""
    lora = ALL.model_copy(update={"dropout": dropout, "layers": "upper-half"})
    data = [*DATA, sequences(3, 4, 15), sequences(4, 1, 30)]
    diverging = SETTINGS[1].model_copy(update={"learning_rate": 1e300, "warmup_steps": 0})
    settings = [SETTINGS[0], diverging, *SETTINGS[1:], SETTINGS[1]]
    seeds = [11, 12, 13, 14, 15]
    together, records = train(tiny, data, settings, seeds, lora, slots=slots)
    for k in range(5):
        alone, (record,) = train(tiny, data[k : k + 1], settings[k : k + 1], seeds[k : k + 1], lora)
        assert bool(record.failure) == (k == 1)
        assert records[k].failure == record.failure
        assert records[k].tokens == record.tokens
        if not record.failure:
            close(together.weights_KP[k], alone.weights_KP[0])
            assert records[k].losses == pytest.approx(record.losses, abs=TOLERANCE)


@pytest.mark.parametrize("slots", [None, 1])
def test_what_is_learned_enough_stops_at_the_end_of_an_epoch_and_alone(tiny, slots):
    """Neither the others nor what it did until then change, with a slot of its own or a shared one."""
    whole, (long, *_) = train(tiny, DATA, SETTINGS, SEEDS)
    epoch = len(long.losses) // SETTINGS[0].epochs
    means = [sum(long.losses[i : i + epoch]) / epoch for i in range(0, len(long.losses), epoch)]
    assert means[0] > means[1] > means[-1]
    early = SETTINGS[0].model_copy(update={"stop_below": (means[0] + means[1]) / 2})
    bank, records = train(tiny, DATA, [early, *SETTINGS[1:]], SEEDS, slots=slots)
    assert records[0].losses == pytest.approx(long.losses[: 2 * epoch], abs=TOLERANCE)
    assert not records[0].failure
    assert records[0].tokens == long.tokens * 2 // SETTINGS[0].epochs
    assert (bank.weights_KP[0] - whole.weights_KP[0]).abs().max() > 1e-6
    close(bank.weights_KP[1:], whole.weights_KP[1:])


@pytest.mark.parametrize("slots", [2, 4, 6])
@pytest.mark.parametrize("workers", [2, 3])
@pytest.mark.parametrize("layers", ["all", "upper-half"])
def test_threads_side_by_side_change_no_adapter(tiny, slots, workers, layers):
    lora = ALL.model_copy(update={"dropout": 0.2, "layers": layers})
    data = [*DATA, sequences(3, 4, 15), sequences(4, 1, 30), sequences(5, 3, 12)]
    settings, seeds = [*SETTINGS, *SETTINGS], [11, 12, 13, 14, 15, 16]
    others = [tiny.decoder.beside() for _ in range(workers - 1)]
    alone, expected = train(tiny, data, settings, seeds, lora)
    threads = torch.get_num_threads()
    for less in (False, True):
        options = {"slots": slots, "beside": others, "checkpointing": less}
        apart, records = train(tiny, data, settings, seeds, lora, **options)
        assert torch.get_num_threads() == threads
        close(alone.weights_KP, apart.weights_KP)
        for one, other in zip(expected, records, strict=True):
            assert one.losses == pytest.approx(other.losses, abs=TOLERANCE)
            assert one.tokens == other.tokens


def test_shares_are_about_equal_and_none_is_empty():
    assert shares([5, 9, 4, 1], 2) == [[1, 3], [0, 2]]
    assert shares([5, 9, 4, 1], 4) == [[1, 3], [0, 2]]  # two lanes each
    assert shares([3, 3, 3], 4) == [[0, 1, 2]]
    assert shares([3], 2) == [[0]]


def test_lanes_take_the_next_adapter_where_one_ends_first():
    assert lanes([7, 4, 2, 3, 1], 2) == [[0, 4], [1, 2, 3]]
    assert lanes([5, 5], 9) == [[0], [1]]
    assert lanes([1, 2, 3], 1) == [[0, 1, 2]]


@pytest.mark.parametrize("layers", ["all", "upper-half"])
@pytest.mark.parametrize("use_trunk", [True, False])
def test_equals_plain_peft_with_adamw(tiny, layers, use_trunk):
    lora = ALL.model_copy(update={"layers": layers})
    bank, records = train(tiny, DATA, SETTINGS, SEEDS, lora, use_trunk=use_trunk)
    plain = plain_peft(tiny, lora, DATA, SETTINGS, SEEDS)
    for k, result in enumerate(plain):
        assert records[k].losses == pytest.approx(result.losses, abs=TOLERANCE)
        assert set(result.factors) == set(bank.factors)
        for name, (down, up) in result.factors.items():
            close(bank.factors[name][0][k], down)
            close(bank.factors[name][1][k], up)
    assert plain[0].losses[-1] < plain[0].losses[0]  # and something was learned


def test_padded_rows_give_the_same(tiny, monkeypatch):
    packed, _ = train(tiny, DATA, SETTINGS, SEEDS)
    padded_model = tiny_model()
    monkeypatch.setattr(padded_model.decoder, "_packs", False)
    padded, _ = train(padded_model, DATA, SETTINGS, SEEDS)
    assert tiny.decoder.packs()
    close(packed.weights_KP, padded.weights_KP)


@pytest.mark.parametrize("layers", ["all", "upper-half"])
def test_a_grid_gives_what_stretches_give(tiny, monkeypatch, layers):
    """On a CPU each adapter has its own products, on other devices one batched product over a grid."""
    settings = ALL.model_copy(update={"layers": layers})
    expected, _ = train(tiny, DATA, SETTINGS, SEEDS, settings)
    of_lengths = Routing.of_lengths
    monkeypatch.setattr(
        Routing, "of_lengths", lambda *args, **own: replace(of_lengths(*args, **own), runs=None)
    )
    bank, _ = train(tiny, DATA, SETTINGS, SEEDS, settings)
    close(bank.weights_KP, expected.weights_KP)


def test_an_adapter_with_several_stretches(tiny):
    """Its gradients add up."""
    a, b = (
        Routing.of_lengths(owners, lengths, 2, torch.device("cpu"))
        for owners, lengths in (([0, 1, 0], [2, 3, 4]), ([0, 0, 1], [2, 4, 3]))
    )
    order = torch.tensor([0, 1, 5, 6, 7, 8, 2, 3, 4])
    bank = AdapterBank(tiny.hf, ALL, [1, 2], num_layers=tiny.num_layers)
    bank.weights_KP.normal_(generator=torch.Generator().manual_seed(0))
    bank.require_gradients()
    x = torch.randn(9, bank.targets[0].linear.in_features, dtype=torch.float64)
    gradients = []
    for routing, given in ((a, x), (b, x[order])):
        inputs = given.clone().requires_grad_()
        (bank._update(bank.targets[0].name, inputs, routing) ** 2).sum().backward()
        gradients.append((bank.gradient_KP.clone(), inputs.grad))
    close(gradients[0][0], gradients[1][0])
    close(gradients[0][1][order], gradients[1][1])


def test_a_neighbours_data_does_not_matter(tiny):
    """Bit for bit where shapes stay the same: other tokens, same lengths."""
    other = [TokenSequence(tuple((i + 7) % 250 for i in s.ids), s.spans) for s in DATA[1]]
    first, _ = train(tiny, DATA, SETTINGS, SEEDS)
    second, _ = train(tiny, [DATA[0], other, DATA[2]], SETTINGS, SEEDS)
    assert torch.equal(first.weights_KP[0], second.weights_KP[0])
    assert torch.equal(first.weights_KP[2], second.weights_KP[2])
    assert not torch.equal(first.weights_KP[1], second.weights_KP[1])


def test_base_weights_stay_bit_equal(tiny):
    before = {name: p.clone() for name, p in tiny.hf.state_dict().items()}
    train(tiny, DATA, SETTINGS, SEEDS)
    for name, p in tiny.hf.state_dict().items():
        assert torch.equal(p, before[name])
    assert not any(p.requires_grad for p in tiny.hf.parameters())


def test_dropout_draws_do_not_depend_on_neighbours(tiny):
    lora = ALL.model_copy(update={"dropout": 0.3})
    together, _ = train(tiny, DATA, SETTINGS, SEEDS, lora)
    alone, _ = train(tiny, DATA[1:2], SETTINGS[1:2], SEEDS[1:2], lora)
    close(together.weights_KP[1], alone.weights_KP[0])
    without, _ = train(tiny, DATA[1:2], SETTINGS[1:2], SEEDS[1:2])
    assert (without.weights_KP - alone.weights_KP).abs().max() > 1e-4


def test_an_adapter_that_diverges_is_stopped_and_alone(tiny, monkeypatch):
    """NaN in one adapter's states must not reach the others through gaps of the grid."""
    expected, _ = train(tiny, DATA[:2], SETTINGS[:2], SEEDS[:2])
    original = AdapterBank._update

    def poisoned(self, name, x, routing):
        update = original(self, name, x, routing)
        if self.num_adapters == 3:
            owner_row = torch.full_like(routing.gather(update), 0.0)
            owner_row[-1] = float("nan")  # the last slot: adapter 2, as long as it runs
            if routing.num_slots == 3:
                update = update + routing.scatter(owner_row, update.shape[0])
        return update

    monkeypatch.setattr(AdapterBank, "_update", poisoned)
    bank, records = train(tiny, DATA, SETTINGS, SEEDS)
    assert "not finite at step 1" in records[2].failure
    assert not records[0].failure
    assert not records[1].failure
    close(bank.weights_KP[:2], expected.weights_KP)
    assert torch.isfinite(bank.weights_KP).all()


def test_huge_learning_rate_is_a_recorded_failure_or_finite(tiny):
    wild = TrainSettings(epochs=5, learning_rate=1.0, clip=1e30)
    bank, (record,) = train(tiny, DATA[:1], [wild], SEEDS[:1])
    assert torch.isfinite(bank.weights_KP).all()
    assert record.failure or torch.isfinite(torch.tensor(record.losses)).all()


def test_head_loss_equals_cross_entropy():
    torch.manual_seed(0)
    hidden = torch.randn(37, 16, dtype=torch.float64, requires_grad=True)
    head = torch.nn.Linear(16, 50, dtype=torch.float64).requires_grad_(False)
    target, weight = torch.randint(0, 50, (37,)), torch.rand(37, dtype=torch.float64)
    plain = torch.nn.functional.cross_entropy(head(hidden), target, reduction="none")
    (plain * weight).sum().backward()
    expected = hidden.grad.clone()
    hidden.grad = None
    total, losses, _ = head_loss(hidden, Head(head), target, weight, chunk=10)
    (3 * total).backward()
    close(losses, plain.detach())
    close(hidden.grad, 3 * expected)


def test_saved_adapter_gives_the_same_logits_in_stock_peft(tiny, tmp_path):
    bank, _ = train(tiny, DATA, SETTINGS, SEEDS)
    tiny.save_adapter(bank, 1, tmp_path / "adapter")
    tiny.hf.save_pretrained(tmp_path / "base")
    base = exact(AutoModelForCausalLM.from_pretrained(tmp_path / "base", dtype=torch.float64))
    stock = PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
    ids = torch.tensor([[5, 60, 7, 8, 99, 100, 3]])
    from selfedit.lora.routing import Routing

    with torch.no_grad(), bank.attached():
        bank.routing = Routing.of_lengths([1], [7], 3, ids.device)
        ours = tiny.hf(ids).logits
    with torch.no_grad():
        close(stock(ids).logits, ours)
        assert (tiny.hf(ids).logits - ours).abs().max() > 1e-3
    again = tiny.load_adapter(tmp_path / "adapter")
    assert torch.equal(again.weights_KP[0], bank.weights_KP[1])


def test_merged_model_gives_the_same_logits(tiny, tmp_path):
    bank, _ = train(tiny, DATA[:1], SETTINGS[:1], SEEDS[:1])
    tiny.save_adapter(bank, 0, tmp_path / "adapter")
    before = tiny.hf.state_dict()["model.layers.0.mlp.up_proj.weight"].clone()
    tiny.save_merged(tmp_path / "merged", tmp_path / "adapter")
    assert torch.equal(tiny.hf.state_dict()["model.layers.0.mlp.up_proj.weight"], before)
    merged = exact(AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype=torch.float64))
    ids = torch.tensor([[5, 60, 7, 8]])
    from selfedit.lora.routing import Routing

    with torch.no_grad(), bank.attached():
        bank.routing = Routing.of_lengths([0], [4], 1, ids.device)
        close(merged(ids).logits, tiny.hf(ids).logits)


def test_layers_and_targets_are_checked(tiny):
    assert list(resolve_layers("upper-half", 5)) == [2, 3, 4]
    assert list(resolve_layers("1-2", 5)) == [1, 2]
    for wrong in ("5-9", "3-1", "top"):
        with pytest.raises(InputError):
            resolve_layers(wrong, 5)
    with pytest.raises(InputError, match="down_proj"):
        AdapterBank(tiny.hf, LoraSettings(target_modules=("nothing",)), [0], num_layers=2)
