"""Every architecture: ask, learn in a wave, save, load in PEFT, merge; on tiny random models."""

from __future__ import annotations

import os

import pytest
import torch

from selfedit.config import ALL_LINEAR, LoraSettings, SamplingSettings, TrainSettings
from selfedit.errors import InputError
from selfedit.lora.routing import Routing
from selfedit.lora.targets import find_targets, linears, takes_all
from selfedit.model.load import load_model
from selfedit.types import Prompt, TrainingPlan, TrainingSequence
from tests.model.architectures import EVERY, tiny_architecture

# One of each kind: `Conv1D`; fused modules; soft-capped and scaled logits; experts in one tensor; a
# convolution's cache; compressed keys and values with shared experts; no cache at all.
QUICK = ("gpt2", "phi3", "gemma2", "cohere", "mixtral", "lfm2", "deepseek_v3", "mamba", "rwkv")
LORA = LoraSettings(rank=2, alpha=4.0)
TRAIN = TrainSettings(learning_rate=3e-3, epochs=2)
PLANS = [
    TrainingPlan((TrainingSequence("The mill is old."), TrainingSequence("Ida owns it, now."))),
    TrainingPlan((TrainingSequence("Jory is the miller"),)),
]
SEEDS = [3, 4]
GREEDY = SamplingSettings(temperature=0.0, top_p=1.0, max_new_tokens=4)


def trained(model, which, settings=TRAIN):
    plans, seeds = [PLANS[n] for n in which], [SEEDS[n] for n in which]
    bank, records = model.train(plans, LORA, settings, seeds)
    assert not any(record.failure for record in records)
    return bank, records


def logits_by_bank(model, bank, k, ids):
    """Logits of one text, by the model's own forward pass with the bank's hooks."""
    with torch.no_grad(), bank.attached():
        bank.routing = Routing.of_lengths([k], [len(ids)], bank.num_adapters, model.decoder.device)
        return model.hf(input_ids=torch.tensor([ids]), use_cache=False).logits[0]


def check(kind: str, folder) -> None:
    from peft import PeftModel

    model = tiny_architecture(kind)
    ids = list(model.render(Prompt("Who owns the mill?")).ids)
    with torch.no_grad():
        bare = model.hf(input_ids=torch.tensor([ids]), use_cache=False).logits[0]

    # Two adapters in a wave equal each alone, and both learn.
    bank, records = trained(model, [0, 1])
    near = {"rtol": 1e-3, "atol": 1e-3 * float(bare.abs().max())}
    adapted: list[torch.Tensor] = []
    for k in range(2):
        alone, record = trained(model, [k])
        adapted.append(logits_by_bank(model, bank, k, ids))
        torch.testing.assert_close(logits_by_bank(model, alone, 0, ids), adapted[k], **near)
        assert records[k].losses == pytest.approx(record[0].losses, rel=1e-3)
    assert records[1].losses[1] < records[1].losses[0]
    assert (adapted[0] - bare).norm() > 1e-3 * bare.norm()

    # Greedy replies in a batch are those of the logits, token by token.
    prompts = [Prompt("Who owns the mill?"), Prompt("Where?"), Prompt("Who owns the mill?")]
    replies = model.sample(prompts, GREEDY, [0] * 3, adapters=bank, owners=[0, 1, 1], logprobs=True)
    for prompt, owner, reply in zip(prompts, (0, 1, 1), replies, strict=True):
        text = list(model.render(prompt).ids)
        for token in reply.tokens:
            row = logits_by_bank(model, bank, owner, text)[-1]
            assert row[token] >= row.max() - 1e-3 * row.abs().max()
            text.append(token)

    # The score of a reply is that of the logits.
    score = model.answer_scores([prompts[0]], ["Ida"], adapters=bank, owners=[1])[0]
    whole = model.render(Prompt("Who owns the mill?", prefix="Ida")).ids
    log = logits_by_bank(model, bank, 1, list(whole)).log_softmax(-1)
    own = sum(float(log[i - 1, whole[i]]) for i in range(len(ids), len(whole)))
    assert score.logprob == pytest.approx(own, rel=1e-3)

    # Saved, loaded here and in PEFT, and merged: the same logits.
    base, peft_folder, merged = folder / "base", folder / "peft", folder / "merged"
    model.hf.save_pretrained(base)
    model.tokenizer.save_pretrained(base)
    loaded = load_model(str(base), device="cpu")
    loaded.revision = model.revision
    model.save_adapter(bank, 1, peft_folder)
    again = loaded.load_adapter(peft_folder)
    torch.testing.assert_close(logits_by_bank(loaded, again, 0, ids), adapted[1], **near)
    loaded.save_merged(merged, peft_folder)
    with torch.no_grad():
        by_merged = load_model(str(merged), device="cpu").hf(torch.tensor([ids]), use_cache=False)
        by_peft = PeftModel.from_pretrained(loaded.hf, str(peft_folder))(
            input_ids=torch.tensor([ids]), use_cache=False
        )
    torch.testing.assert_close(by_merged.logits[0], adapted[1], **near)
    torch.testing.assert_close(by_peft.logits[0], adapted[1], **near)


@pytest.mark.parametrize("kind", QUICK)
def test_an_architecture_learns_and_is_exported(kind, tmp_path):
    check(kind, tmp_path)


@pytest.mark.skipif(not os.environ.get("SELFEDIT_EVERY_MODEL"), reason="`make test-models` runs these")
@pytest.mark.parametrize("kind", [kind for kind in EVERY if kind not in QUICK])
def test_every_architecture_learns_and_is_exported(kind, tmp_path):
    check(kind, tmp_path)


def test_what_gets_no_adapter_is_said():
    said = []
    model = tiny_architecture("mixtral")
    model.status = said.append
    for _ in range(2):
        trained(model, [0])
    told = [text for text in said if "no adapter" in text]
    assert len(told) == 1
    assert "mlp.experts.gate_up_proj" in told[0]
    assert "all experts" in told[0]


def test_llama_has_the_same_modules_as_ever():
    """The default names them in the keys of stored trials."""
    model = tiny_architecture("llama")
    targets = find_targets(model.hf, LoraSettings(layers="all"), 2)
    assert [t.name.rsplit(".", 1)[-1] for t in targets] == [*ALL_LINEAR, *ALL_LINEAR]
    assert takes_all(LoraSettings())


def test_results_of_before_are_found_only_where_nothing_changed():
    assert tiny_architecture("llama").identity == ["llama-0", "chat", "torch.float32"]
    assert "all linear modules" in tiny_architecture("gpt2").identity


def test_modules_are_chosen_by_name_and_misnamed_ones_refused():
    model = tiny_architecture("gpt2")
    own = LoraSettings(target_modules=("c_attn",), layers="1-1")
    assert [t.name for t in find_targets(model.hf, own, 2)] == ["transformer.h.1.attn.c_attn"]
    with pytest.raises(InputError, match="it has c_attn, c_fc, c_proj"):
        find_targets(model.hf, LoraSettings(target_modules=("q_proj",)), 2)


def test_a_linear_module_that_returns_more_than_its_product_is_left_out():
    model = tiny_architecture("phimoe")
    names = {name.rsplit(".", 1)[-1] for name in linears(model.hf).modules}
    assert names == {"q_proj", "k_proj", "v_proj", "o_proj"}


def test_experts_of_their_own_see_only_some_tokens_and_are_left_out():
    """A list of expert modules: the bank's rows are tokens in order, which such a module never sees."""
    model = tiny_architecture("llama").hf
    layer = model.model.layers[1].mlp
    layer.experts = torch.nn.ModuleList([torch.nn.Linear(32, 32) for _ in range(2)])
    plain = layer.forward

    def routed(x):
        odd = x[..., 0] > 0
        out = plain(x)
        for own, chosen in zip(layer.experts, (odd, ~odd), strict=True):
            out[chosen] = out[chosen] + own(x[chosen])
        return out

    layer.forward = routed
    found = linears(model)
    assert set(found.left_out) == {f"model.layers.1.mlp.experts.{i}" for i in range(2)}
    assert "model.layers.1.mlp.up_proj" in found.modules
