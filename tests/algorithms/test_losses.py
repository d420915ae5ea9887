"""The policy gradients' losses: held against TRL's, and their gradients against plain PEFT."""

from __future__ import annotations

import copy
from collections import defaultdict
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from peft import PeftModel
from torch.nn.utils.rnn import pad_sequence

from selfedit.algorithms.dpo import DPO
from selfedit.algorithms.gradient import First, Watched
from selfedit.algorithms.grpo import GRPO
from selfedit.algorithms.ppo import PPO
from selfedit.algorithms.rloo import RLOO
from selfedit.config import AlgorithmSettings, LoraSettings, PolicySettings, SamplingSettings
from selfedit.lora import loss as loss_module
from selfedit.lora.bank import AdapterBank
from selfedit.lora.objective import follow, read_logprobs
from selfedit.lora.sequences import TokenSequence
from selfedit.lora.supervision import Row, Supervision
from selfedit.seams import Drawn

TOLERANCE = 1e-9  # float64
FIRST = First("tiny-0", lambda: None)
SAMPLING = SamplingSettings(temperature=0.7, top_p=1.0, max_new_tokens=12)
LORA = LoraSettings(rank=3, alpha=6, layers="all")


def algorithm(kind, **settings):
    own = AlgorithmSettings(name=kind.__name__.lower(), **settings)
    return kind(own, PolicySettings(), SAMPLING, 0, FIRST)


def drawn_sequences(units=None, seed=0):
    """Six completions of unequal lengths behind prompts of unequal lengths; the policy has moved since
    they were drawn, by enough to be clipped here and there."""
    generator = torch.Generator().manual_seed(seed)

    def numbers(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    result = []
    for i, (before, after) in enumerate([(3, 5), (2, 9), (7, 1), (4, 6), (3, 2), (5, 4)]):
        ids = torch.randint(0, 250, (before + after,), generator=generator).tolist()
        spans = ((before, before + after),)
        unit = None if units is None else units[i]
        advantage = [1.2, -0.7, 0.4, -1.5, 0.9, 0.0][i]
        drawn = Drawn(numbers(after), advantage, unit, numbers(after))
        result.append(TokenSequence(tuple(ids), spans, drawn=drawn))
    return result


def near(tiny, sequences, temperature, by=0.3):
    """The same with old and reference log-probabilities near the model's own."""
    found = []
    for own, log_M in zip(sequences, read_logprobs(tiny.decoder, sequences, temperature), strict=True):
        old = Drawn(
            log_M + by * own.drawn.old_M,
            own.drawn.advantage,
            own.drawn.unit,
            log_M + by * own.drawn.reference_M,
        )
        found.append(replace(own, drawn=old))
    return found


def restricted(tiny, sequences, seed=0):
    """The same, where a random half of the tokens is excluded at most places, and all others at one."""
    generator = torch.Generator().manual_seed(seed)
    found = []
    for own in sequences:
        excluded = []
        for n, place in enumerate(own.supervised):
            half_V = torch.rand(tiny.decoder.head.vocabulary, generator=generator) < (0.5 if n else 2)
            half_V[own.ids[place]] = False
            excluded.append(None if n % 3 == 2 else half_V)
        found.append(replace(own, excluded=tuple(excluded)))
    return found


@pytest.fixture
def adapted(tiny, tmp_path):
    """An adapter that has moved from zero, as a bank of one and as stock PEFT over a copy."""
    bank = AdapterBank(tiny.hf, LORA, [5], num_layers=tiny.num_layers)
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(bank.weights_KP.shape, generator=generator, dtype=torch.float64)
    bank.weights_KP += 0.02 * noise
    tiny.save_adapter(bank, 0, tmp_path)
    stock = PeftModel.from_pretrained(copy.deepcopy(tiny.hf), tmp_path, is_trainable=True)
    return bank, stock.eval()


def ours(tiny, bank, sequences, objective):
    """Loss, numbers, and the gradient of each factor, by the bank's own pass."""
    bank.require_gradients()
    rows = [Row(0, sequence) for sequence in sequences]
    inputs = [sequence.ids[:-1] for sequence in sequences]
    with bank.attached():
        bank.route([0] * len(rows), list(map(len, inputs)), tiny.decoder.row_width(inputs))
        hidden = tiny.decoder.hidden(inputs)
        followed = follow(Supervision.of(rows, 1), rows, hidden, tiny.decoder.head, objective)
    gradients = {
        target.name: [own[0] for own in bank._views(bank.gradient_KP, target)]
        for target in bank.targets
    }
    bank.freeze()
    return followed.value, gradients


def plain(stock, sequences, temperature):
    """Log-probabilities of the drawn tokens of each sequence, one forward pass each."""
    found = []
    for sequence in sequences:
        ids = torch.tensor([sequence.ids])
        logits_SV = stock(ids).logits[0, :-1] / temperature
        for place, own in zip(sequence.supervised, sequence.excluded, strict=False):
            if own is not None:
                logits_SV[place - 1, own] = float("-inf")
        log_S = logits_SV.log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0]
        found.append(log_S[sequence.spans[0][0] - 1 :])
    return found


def compare(stock, loss, value, gradients):
    stock.zero_grad()
    loss.backward()
    assert value == pytest.approx(float(loss.detach()), abs=TOLERANCE)
    modules = dict(stock.base_model.model.named_modules())
    largest = 0.0
    for name, (down, up) in gradients.items():
        for own, key in ((down, "lora_A"), (up, "lora_B")):
            theirs = getattr(modules[name], key)["default"].weight.grad.T
            largest = max(largest, float(theirs.abs().max()))
            assert (own - theirs).abs().max() <= TOLERANCE
    assert largest > 1e-6, "there is a gradient to compare"


def padded(parts):
    return pad_sequence(list(parts), batch_first=True)


def trl(kind, per_token_logps, **attributes):
    """TRL's own loss over these log-probabilities; everything else of its trainer is left out."""
    trainer_of = pytest.importorskip("trl", reason="TRL is in the extra dev")
    self = SimpleNamespace(
        aux_loss_enabled=False,
        top_entropy_quantile=1.0,
        off_policy_mask_threshold=None,
        importance_sampling_level="token",
        use_vllm=False,
        _entropy_bonus_enabled=False,
        model=SimpleNamespace(training=True),
        current_gradient_accumulation_steps=1,
        max_completion_length=SAMPLING.max_new_tokens,
        args=SimpleNamespace(use_bias_correction_kl=False, delta=None, steps_per_generation=1),
        accelerator=SimpleNamespace(
            num_processes=1,
            device="cpu",
            gather=lambda x: x,
            gather_for_metrics=lambda x: x,
            reduce=lambda x, reduction: x,
        ),
        _metrics={"train": defaultdict(list)},
        _get_per_token_logps_and_entropies=lambda *_, **__: (
            per_token_logps,
            torch.zeros_like(per_token_logps),
            None,
        ),
    )
    vars(self).update(attributes)
    trainer = getattr(trainer_of, kind)
    return lambda inputs: trainer._compute_loss(self, None, inputs), self


def batch(sequences):
    drawn = [own.drawn for own in sequences]
    mask = padded([torch.ones(len(own.old_M)) for own in drawn]).double()
    ids = mask.long()
    return {
        "prompt_ids": ids,
        "prompt_mask": ids,
        "completion_ids": ids,
        "completion_mask": mask,
        "advantages": torch.tensor([own.advantage for own in drawn], dtype=torch.float64),
        "old_per_token_logps": padded([own.old_M for own in drawn]),
        "ref_per_token_logps": padded([own.reference_M for own in drawn]),
        "num_items_in_batch": mask.sum(),
    }


@pytest.mark.parametrize("normalisation", ["grpo", "dr_grpo", "bnpo", "dapo"])
def test_grpo_is_that_of_trl(tiny, adapted, normalisation):
    bank, stock = adapted
    own = algorithm(GRPO, normalisation=normalisation, kl_weight=0.04, clip=0.2)
    sequences = near(tiny, drawn_sequences(), SAMPLING.temperature)
    objective = Watched(own.loss, SAMPLING.temperature, None)
    value, gradients = ours(tiny, bank, sequences, objective)
    logps = padded(plain(stock, sequences, SAMPLING.temperature))
    loss, self = trl(
        "GRPOTrainer",
        logps,
        loss_type=normalisation,
        beta=0.04,
        epsilon_low=own.low,
        epsilon_high=own.high,
    )
    compare(stock, loss(batch(sequences)), value, gradients)
    (numbers,) = objective.steps
    theirs = self._metrics["train"]
    assert numbers["clipped"] == pytest.approx(theirs["clip_ratio/region_mean"][0])
    assert 0 < numbers["clipped"] < 1
    assert numbers["kl_to_first"] == pytest.approx(theirs["kl"][0])


@pytest.mark.parametrize("chunk", [4, 256])
def test_what_a_pattern_excludes_takes_no_part(tiny, adapted, chunk, monkeypatch):
    """The slow way: -inf in all logits, and autograd through them."""
    monkeypatch.setattr(loss_module, "_CHUNK", chunk)
    bank, stock = adapted
    own = algorithm(GRPO, kl_weight=0.04)
    sequences = near(tiny, [*restricted(tiny, drawn_sequences()), *drawn_sequences(seed=1)], 0.7)
    objective = Watched(own.loss, SAMPLING.temperature, None)
    value, gradients = ours(tiny, bank, sequences, objective)
    logs = plain(stock, sequences, SAMPLING.temperature)
    certain = [float(log_M[0].detach()) for log_M in logs[:6]]
    assert certain == [0.0] * 6, "one token was left"
    compare(stock, own.loss(logs, [one.drawn for one in sequences])[0], value, gradients)


def test_rloo_is_that_of_trl(tiny, adapted):
    bank, stock = adapted
    own = algorithm(RLOO)
    sequences = near(tiny, drawn_sequences(units=range(6)), SAMPLING.temperature, by=0.1)
    value, gradients = ours(tiny, bank, sequences, Watched(own.loss, SAMPLING.temperature, None))
    logps = padded(plain(stock, sequences, SAMPLING.temperature))
    loss, _ = trl("RLOOTrainer", logps, epsilon_low=0.2, epsilon_high=0.2)
    inputs = batch(sequences)
    inputs["old_logps"] = torch.stack([one.drawn.old_M.sum() for one in sequences])
    compare(stock, loss(inputs), value, gradients)


def test_dpo_is_that_of_trl(tiny, adapted):
    bank, stock = adapted
    own = DPO(AlgorithmSettings(name="dpo", kl_weight=0.3), PolicySettings(), 0)
    sequences = near(tiny, drawn_sequences(units=[0, 0, 1, 1, 2, 2]), 1.0)
    for place, one in enumerate(sequences):  # of each pair the first is the better one
        object.__setattr__(one.drawn, "advantage", 1.0 if place % 2 == 0 else -1.0)
    value, gradients = ours(tiny, bank, sequences, Watched(own.loss, 1.0, None))
    better, worse = sequences[::2], sequences[1::2]
    logps = padded(plain(stock, [*better, *worse], 1.0))
    none = torch.zeros_like(logps)
    outputs = SimpleNamespace(
        log_probs=logps, entropy=none, mean_logits=none, is_top1=none.bool(), aux_loss=None
    )
    mask = padded([torch.ones(1 + len(one.drawn.old_M)) for one in [*better, *worse]])
    _, self = trl(
        "DPOTrainer",
        logps,
        use_weighting=False,
        _total_train_tokens=0,
        _tp_size=1,
        ld_alpha=None,
        precompute_ref_logps=True,
        f_divergence_type="reverse_kl",
        beta=0.3,
        loss_types=["sigmoid"],
        loss_weights=[1.0],
        label_smoothing=0.0,
    )
    inputs = {
        "input_ids": mask.long(),
        "attention_mask": mask.long(),
        "completion_mask": mask,
        "ref_chosen_logps": torch.stack([one.drawn.old_M.sum() for one in better]),
        "ref_rejected_logps": torch.stack([one.drawn.old_M.sum() for one in worse]),
    }
    trainer = pytest.importorskip("trl").DPOTrainer
    theirs = trainer._compute_loss(self, lambda **_: outputs, inputs, False)
    compare(stock, theirs, value, gradients)


def test_ppo_is_the_token_mean_of_the_clipped_ratio(tiny, adapted):
    bank, stock = adapted
    own = algorithm(PPO)
    sequences = near(tiny, drawn_sequences(units=range(6)), SAMPLING.temperature)
    value, gradients = ours(tiny, bank, sequences, Watched(own.loss, SAMPLING.temperature, None))
    losses = []
    for log_M, one in zip(plain(stock, sequences, SAMPLING.temperature), sequences, strict=True):
        ratio, a = (log_M - one.drawn.old_M).exp(), one.drawn.advantage
        losses.append(-torch.minimum(ratio * a, ratio.clamp(0.8, 1.2) * a))
    compare(stock, torch.cat(losses).mean(), value, gradients)


def test_an_edit_of_several_completions_is_one_action_to_rloo():
    own = algorithm(RLOO)
    one, two, three = (torch.tensor(v, dtype=torch.float64) for v in ([-1.0], [-2.0, -1.0], [-3.0]))
    together = [Drawn(one - 0.1, 0.5, 0), Drawn(two - 0.05, 0.5, 0), Drawn(three, -0.5, 1)]
    loss, numbers = own.loss([one, two, three], together)
    # The first edit's ratio is exp(0.1 + 0.1), beyond the bound of 1.2; the second's is 1.
    assert float(loss) == pytest.approx((-1.2 * 0.5 + 0.5) / 2)
    assert numbers["clipped"] == 0.5
