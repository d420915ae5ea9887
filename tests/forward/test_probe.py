"""What the probe of an architecture lets pass, and that pads of a prompt harm nothing."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import Gemma3TextConfig, LlamaConfig, LlamaForCausalLM
from transformers.models.gemma3.modeling_gemma3 import Gemma3ForCausalLM

from selfedit.config import SamplingSettings
from selfedit.forward import attention
from selfedit.forward.packed import Decoder, distance, rounding
from selfedit.model.generate import generate
from tests.tape_graph import PROMPTS

SIZES = {"vocab_size": 300, "hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4}


def deep(layers=24):
    """A random Llama in bfloat16, deep enough for rounding to add up."""
    config = LlamaConfig(
        **SIZES, num_hidden_layers=layers, num_key_value_heads=2, initializer_range=0.2
    )
    torch.manual_seed(0)
    return LlamaForCausalLM(config).to(torch.bfloat16).eval().requires_grad_(False)


def split_products(monkeypatch, parts=4):
    """Products as a GPU may compute them for few rows: parts of the sum by themselves, then added."""

    def linear(x, weight, bias=None):
        assert bias is None
        pieces = zip(x.chunk(parts, -1), weight.chunk(parts, -1), strict=True)
        return sum(a @ b.T for a, b in pieces)

    monkeypatch.setattr(nn.functional, "linear", linear)


def test_another_order_of_the_sums_is_rounding(monkeypatch):
    model, said = deep(), []
    decoder = Decoder(model, said.append)
    ids = decoder._probe_ids()
    expected = decoder._padded(ids)
    with monkeypatch.context() as patch:
        split_products(patch)
        apart = distance(decoder._packed(ids), expected)
    assert 0.01 < apart < rounding(torch.bfloat16) / 2
    assert decoder.packs()
    assert said == []


def test_a_forgotten_border_is_no_rounding(monkeypatch):
    model, said = deep(), []
    decoder = Decoder(model, said.append)
    of = attention.Packing.of.__func__

    def joined(cls, lengths, model):
        first, second, *rest = lengths
        return of(cls, (first + second, *rest), model)

    monkeypatch.setattr(attention.Packing, "of", classmethod(joined))
    assert not decoder.packs()
    (reason,) = said
    assert "padded, which is slower: packed states differ" in reason


def test_other_probes_that_fail_say_what_it_costs(monkeypatch):
    said = []
    decoder = Decoder(deep(4).float(), said.append)
    assert decoder.has_trunk(2)
    assert decoder.shares_prompts(2)
    assert said == []
    decoder._trunk_ok.clear()
    decoder._shares.clear()
    monkeypatch.setattr(decoder, "prefill", lambda *_, **__: torch.ones(3, 4, 64))
    assert not decoder.shares_prompts(2)
    monkeypatch.setattr(decoder, "trunk", lambda ids, layer: [torch.ones(len(own), 64) for own in ids])
    decoder._trunk_ok.clear()
    for _ in range(2):
        assert not decoder.has_trunk(2)
    assert not decoder.has_trunk(0)  # there is nothing below
    assert [text.split(",")[0] for text in said] == [
        "each adapter reads its prompts by itself",
        "all layers run in every step of training",
    ]


class NotANumber:
    """scaled_dot_product_attention as a kernel may be: rows of which all is masked are NaN."""

    def __init__(self, monkeypatch):
        self.original, self.rows = nn.functional.scaled_dot_product_attention, 0
        monkeypatch.setattr(nn.functional, "scaled_dot_product_attention", self)

    def __call__(self, query, key, value, attn_mask=None, **kwargs):
        out = self.original(query, key, value, attn_mask=attn_mask, **kwargs)
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            blind = ~attn_mask.any(-1, keepdim=True)
            self.rows += int(blind.sum())
            out = out.masked_fill(blind, torch.nan)
        return out


def test_pads_of_a_prompt_see_themselves(tiny, monkeypatch):
    def write():
        prompts = [tiny.render(p) for p in PROMPTS[:4]]
        settings = SamplingSettings(temperature=0, top_p=1, max_new_tokens=6)
        return generate(tiny.decoder, tiny.tokenizer, prompts, settings, [0] * 4)

    expected = write()
    kernel = NotANumber(monkeypatch)
    assert write() == expected
    assert kernel.rows == 0
    ids, mask = torch.tensor([[0, 5, 7]]), torch.tensor([[0, 1, 1]])
    tiny.decoder.stack(input_ids=ids, attention_mask=mask)
    assert kernel.rows > 0  # by transformers' own mask they see nothing


def gemma(window=8):
    config = Gemma3TextConfig(
        **SIZES,
        num_hidden_layers=4,
        num_key_value_heads=1,
        head_dim=16,
        sliding_window=window,
        layer_types=["sliding_attention", "full_attention"] * 2,
    )
    torch.manual_seed(0)
    return Gemma3ForCausalLM(config).double().eval().requires_grad_(False)


@pytest.mark.parametrize(("longest", "packs"), [(8, True), (9, False)])
def test_a_sliding_window_packs_what_it_holds(longest, packs):
    decoder = Decoder(gemma())
    assert decoder.window == 8
    sequences = [list(range(2, 2 + n)) for n in (longest, 3)]
    assert decoder.packs(longest) == decoder.has_trunk(2, longest) == packs
    assert decoder.row_width(sequences) == (None if packs else longest)
    torch.testing.assert_close(
        decoder.hidden(sequences), decoder._padded(sequences), rtol=1e-5, atol=1e-5
    )
    if not packs:
        with pytest.raises(NotImplementedError, match="sliding window"):
            decoder._packed(sequences)
