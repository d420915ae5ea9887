"""Adapters as files: what other tools read in them, and what is refused when they are read back."""

from __future__ import annotations

import json
import os
import stat

import pytest
import torch
from safetensors.torch import load_file, save_file

from selfedit.config import LoraSettings
from selfedit.errors import AdapterError
from selfedit.lora.bank import AdapterBank
from selfedit.lora.files import Base, save_adapter
from selfedit.model.tiny import tiny_model

LORA = LoraSettings(rank=4, alpha=6.0, layers="1-1", target_modules=("q_proj", "up_proj"))
A = "base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight"
B = "base_model.model.model.layers.1.self_attn.q_proj.lora_B.weight"


@pytest.fixture
def adapter(tiny, tmp_path):
    tiny.save_adapter(AdapterBank(tiny.hf, LORA, [0], num_layers=2), 0, tmp_path / "adapter")
    return tmp_path / "adapter"


def test_the_configuration_means_the_same_on_another_machine(tiny, tmp_path):
    bank = AdapterBank(tiny.hf, LORA, [0], num_layers=2)
    own = Base("models/mine", "rev", folder="/home/ann/models/mine")
    save_adapter(bank, 0, tmp_path / "own", own)
    config = (tmp_path / "own" / "adapter_config.json").read_text()
    assert "/home" not in config
    assert json.loads(config)["base_model_name_or_path"] is None
    assert json.loads((tmp_path / "own" / "selfedit.json").read_text())["base_folder"] == own.folder
    save_adapter(bank, 0, tmp_path / "hub", Base("small", "rev", hub_id="owner/small"))
    config = json.loads((tmp_path / "hub" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "owner/small"
    # Ollama reads it into an integer: 6, never 6.0.
    assert '"lora_alpha": 6,' in (tmp_path / "hub" / "adapter_config.json").read_text()


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_modes_follow_the_umask(tiny, tmp_path, umask):
    before = os.umask(umask)
    try:
        tiny.save_adapter(AdapterBank(tiny.hf, LORA, [0], num_layers=2), 0, tmp_path / "adapter")
    finally:
        os.umask(before)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "adapter").iterdir()}
    assert modes == {0o666 & ~umask}


def test_an_adapter_of_other_weights_is_refused(tiny, adapter):
    assert torch.equal(
        tiny.load_adapter(adapter).weights_KP, AdapterBank(tiny.hf, LORA, [0], num_layers=2).weights_KP
    )
    with pytest.raises(AdapterError, match="belongs to"):
        tiny_model(seed=1).load_adapter(adapter)


def test_a_damaged_note_is_refused(tiny, adapter):
    note = adapter / "selfedit.json"
    good = json.loads(note.read_text())
    for bad in (
        {"base_revision": "tiny-0"},
        {**good, "lora": {**good["lora"], "layers": "7-9"}},
        {**good, "lora": {**good["lora"], "target_modules": ["nothing"]}},
        {**good, "lora": {**good["lora"], "rank": 1_000_000}},  # 1.3 GB, if it were allocated
    ):
        note.write_text(json.dumps(bad))
        with pytest.raises(AdapterError, match="damaged"):
            tiny.load_adapter(adapter)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        (A, torch.zeros(1, 64), r"F32 \[1, 64\], not floating \[4, 64\]"),  # would broadcast
        (A, torch.zeros(1, 1), "not floating"),
        (A, torch.tensor(0.5), "not floating"),
        (B, torch.zeros(2), "not floating"),
        (B, torch.zeros(64, 4, dtype=torch.bool), "BOOL"),
        (B, torch.zeros(64, 4, dtype=torch.int64), "I64"),
        (B, torch.full((64, 4), float("nan")), "not finite"),
        (B, torch.full((64, 4), float("inf")), "not finite"),
        (B, None, "it lacks"),
        ("other.lora_A.weight", torch.zeros(1), "no place in this model"),
    ],
)
def test_weights_of_another_form_are_refused(tiny, adapter, name, value, said):
    tensors = load_file(adapter / "adapter_model.safetensors")
    tensors.pop(name, None)
    if value is not None:
        tensors[name] = value
    save_file(tensors, adapter / "adapter_model.safetensors")
    with pytest.raises(AdapterError, match=f"damaged: .*{said}"):
        tiny.load_adapter(adapter)


def test_a_file_that_was_cut_off_is_refused(tiny, adapter):
    path = adapter / "adapter_model.safetensors"
    whole = path.read_bytes()
    for end in (0, 7, 100, len(whole) - 1):
        path.write_bytes(whole[:end])
        with pytest.raises(AdapterError, match="damaged"):
            tiny.load_adapter(adapter)
    path.unlink()
    with pytest.raises(AdapterError, match="damaged"):
        tiny.load_adapter(adapter)
