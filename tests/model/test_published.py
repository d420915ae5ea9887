"""Merged models, as other tools read them."""

from __future__ import annotations

import json
import stat

import pytest
import torch
from safetensors import safe_open
from transformers import AutoTokenizer

from selfedit.config import LoraSettings
from selfedit.errors import ModelError
from selfedit.lora.bank import AdapterBank
from selfedit.model import published
from selfedit.model.load import load_model
from selfedit.model.published import _on_cpu
from selfedit.model.tiny import tiny_model


@pytest.fixture
def base(tmp_path):
    """A model folder whose weights are stored as bfloat16."""
    model = tiny_model(dtype="bfloat16")
    model.hf.save_pretrained(tmp_path / "base")
    model.tokenizer.save_pretrained(tmp_path / "base")
    return load_model(str(tmp_path / "base"), device="cpu")


def adapter(model, folder):
    bank = AdapterBank(model.hf, LoraSettings(rank=2), [0], num_layers=2)
    model.save_adapter(bank, 0, folder)
    return folder


def test_a_merged_model_is_known_to_other_tools(base, tmp_path):
    merged = tmp_path / "merged"
    base.save_merged(merged, adapter(base, tmp_path / "adapter"))
    config = json.loads((merged / "tokenizer_config.json").read_text())
    assert config["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert not {"backend", "is_local", "local_files_only"} & config.keys()
    assert config["chat_template"] == base.tokenizer.chat_template
    modes = {stat.S_IMODE(path.stat().st_mode) for path in merged.iterdir()}
    assert len(modes) == 1
    # Loaded as float32, stored as it was stored before.
    assert base.hf.dtype == torch.float32
    assert json.loads((merged / "config.json").read_text())["dtype"] == "bfloat16"
    with safe_open(merged / "model.safetensors", "pt") as file:
        assert {file.get_slice(name).get_dtype() for name in file.keys()} == {"BF16"}  # noqa: SIM118
    again = AutoTokenizer.from_pretrained(merged)
    text = "<|user|>Zürich, 1887?<|end|>"
    assert again(text)["input_ids"] == base.tokenizer(text)["input_ids"]
    assert load_model(str(merged), device="cpu").form == "chat"


def test_a_damaged_configuration_of_an_adapter_is_an_error(base, tmp_path):
    folder = adapter(base, tmp_path / "adapter")
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA", "r": "many"}')
    with pytest.raises(ModelError, match="cannot be written"):
        base.save_merged(tmp_path / "merged", folder)


def test_an_adapter_of_a_model_folder_names_no_place(base, tmp_path):
    folder = adapter(base, tmp_path / "adapter")
    assert str(tmp_path) not in (folder / "adapter_config.json").read_text()
    assert json.loads((folder / "selfedit.json").read_text())["base_folder"] == str(tmp_path / "base")


def test_merging_copies_the_model_to_the_cpu_alone(monkeypatch):
    """A GPU need not hold it twice."""
    own = tiny_model().hf
    merged = _on_cpu(own)
    for name, value in own.state_dict().items():
        assert torch.equal(merged.state_dict()[name], value)
        assert merged.state_dict()[name].data_ptr() != value.data_ptr()
    away = tiny_model().hf.to("meta")
    monkeypatch.setattr(published, "_cpu_copy", lambda tensor: torch.zeros_like(tensor, device="cpu"))
    copied = _on_cpu(away)
    assert {tensor.device.type for tensor in (*copied.parameters(), *copied.buffers())} == {"cpu"}
