"""Which adapter answers under which name: routed documents, stacks, folders of PEFT's, and vLLM."""

from __future__ import annotations

import copy
import json
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from fastapi.testclient import TestClient
from peft import LoraConfig, get_peft_model

from selfedit.config import LoraSettings
from selfedit.errors import AdapterError, EndpointError, InputError
from selfedit.learning.library import Library
from selfedit.lora.bank import AdapterBank
from selfedit.lora.peft_folder import load_peft
from selfedit.model.fake import FakeModel
from selfedit.model.tiny import tiny_model
from selfedit.serve.app import create_app
from selfedit.serve.service import Service
from selfedit.serve.settings import ServeSettings
from selfedit.serve.voices import Voices
from tests.serve.conftest import LAMP, LAMPS, SETTINGS, Running

BOATS = {"text": "# Boats of Orro\n\nThe boats of Orro are painted saffron.\n", "source": "boats"}
BOAT = {"question": "In what colour are the boats of Orro painted?", "answer": "saffron"}


@contextmanager
def served(model, folder, **settings):
    with TestClient(
        create_app(Service(model, folder, ServeSettings(**settings))), base_url="http://127.0.0.1"
    ) as client:
        yield client


def learn(client, document, question, **settings):
    body = {"documents": [document], "quiz": [question], "settings": {**SETTINGS, **settings}}
    job = client.post("/api/learn", json=body).json()
    assert client.app.state.service.jobs.wait(job["id"]).status == "succeeded"


def answer(client, model, question):
    body = {"question": question["question"], "model": model}
    return client.post("/api/ask", json=body).json()["answers"][0]["answer"]


def test_a_document_of_a_routed_library_answers_by_its_own_adapter(tmp_path):
    with served(FakeModel(), tmp_path / "lib") as client:
        learn(client, LAMPS, LAMP, memory="routed")
        learn(client, BOATS, BOAT, memory="routed")
        for name in ("current", "v2", "Boats of Orro"):
            assert "saffron" in answer(client, name, BOAT), name
        assert "thistle" in answer(client, "current", LAMP)
        assert answer(client, "Boats of Orro", LAMP) == "I do not know."
        assert answer(client, "v1", BOAT) == "I do not know."


def test_a_stack_is_answered_by_its_merged_model(tmp_path):
    with served(FakeModel(), tmp_path / "lib") as client:
        learn(client, LAMPS, LAMP, memory="stack")
        learn(client, BOATS, BOAT)
        assert "saffron" in answer(client, "current", BOAT)
        assert "thistle" in answer(client, "current", LAMP)
        assert answer(client, "base", LAMP) == "I do not know."


def test_a_documents_title_takes_no_other_name(tmp_path):
    with served(FakeModel(), tmp_path / "lib") as client:
        learn(client, LAMPS, LAMP)
        for n, title in enumerate(("base", "v1", "current")):
            thing = ("saffron", "quince", "barley")[n]
            text = f"The {thing} boats of Orro number {n} carry {thing}."
            query = {"question": f"What do the {thing} boats carry?", "answer": thing}
            learn(client, {"text": text, "title": title, "source": title}, query)
        names = [one["id"] for one in client.get("/v1/models").json()["data"]]
        assert names == ["base", "current", "Lamps of Orro", "v4", "v3", "v2", "v1"]
        assert answer(client, "base", LAMP) == "I do not know."
        assert "thistle" in answer(client, "v1", LAMP)
        parents = {one["id"]: one["parent"] for one in client.get("/v1/models").json()["data"]}
        assert parents["v1"] == "base"
        assert client.get("/v1/models/v9").status_code == 404
        assert len(client.get(f"/v1/models/{'a' * 5000}").text) < 1000


@pytest.fixture(scope="module")
def model():
    return tiny_model()


def foreign(model, folder, seed=0, **settings):
    """A PEFT folder that selfedit did not write, and PEFT's model with it."""
    given = {"target_modules": ["q_proj", "down_proj"], "lora_alpha": 12, "r": 4, **settings}
    config = LoraConfig(task_type="CAUSAL_LM", **given)
    peft = get_peft_model(copy.deepcopy(model.hf), config).eval()
    draw = torch.Generator().manual_seed(seed)
    for name, weight in peft.named_parameters():
        if "lora_" in name:
            noise = torch.rand(weight.shape, generator=draw, dtype=weight.dtype)
            weight.data = 0.5 * (noise - 0.5)
    peft.save_pretrained(str(folder))
    return peft


@pytest.mark.parametrize("settings", [{}, {"use_rslora": True}, {"layers_to_transform": [1]}])
def test_a_folder_of_pefts_gives_what_peft_gives(model, tmp_path, settings):
    peft = foreign(model, tmp_path / "own", **settings)
    bank = load_peft(model.hf, tmp_path / "own", num_layers=model.num_layers)
    ids = torch.tensor([[5, 6, 7, 8, 9]])
    with torch.no_grad():
        wanted = peft(ids).logits
        with bank.attached():
            bank.route([0], [5])
            got = model.hf(ids).logits
    assert torch.allclose(got, wanted, rtol=0, atol=1e-9)


def test_a_folder_that_means_something_else_is_refused(model, tmp_path):
    foreign(model, tmp_path / "dora", use_dora=True)
    foreign(model, tmp_path / "head", target_modules=["q_proj", "lm_head"])
    foreign(model, tmp_path / "nan")
    weights = tmp_path / "nan" / "adapter_model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-8:] = b"\xff" * 8
    weights.write_bytes(bytes(data))
    (tmp_path / "empty").mkdir()
    odd = {"huge": {"r": 10**9}, "half": {"r": 0.5}, "text": {"r": "4"}, "alpha": {"lora_alpha": [1]}}
    for name, values in odd.items():
        foreign(model, tmp_path / name)
        config = tmp_path / name / "adapter_config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | values))
    foreign(model, tmp_path / "deep")
    (tmp_path / "deep" / "adapter_config.json").write_text("[" * 100_000)
    for name in ("dora", "head", "nan", "empty", "deep", *odd):
        with pytest.raises(AdapterError):
            load_peft(model.hf, tmp_path / name, num_layers=model.num_layers)


def test_adapters_are_loaded_from_allowed_folders_alone(model, tmp_path):
    allowed, outside = tmp_path / "allowed", tmp_path / "outside"
    foreign(model, allowed / "notes")
    foreign(model, outside)
    (allowed / "link").symlink_to(outside)
    with served(model, tmp_path / "lib", adapter_folders=(allowed,)) as client:

        def load(name, path):
            body = {"lora_name": name, "lora_path": str(path)}
            return client.post("/v1/load_lora_adapter", json=body).status_code

        assert load("notes", allowed / "notes") == 200
        assert load("notes", allowed / "notes") == 400  # there is one of that name
        for taken in ("base", "current", "v2", model.name):  # v2: of a version to come
            assert load(taken, allowed / "notes") == 400, taken
        for path in (outside, allowed / "link", allowed / ".." / "outside", "/etc", allowed / "none"):
            assert load("other", path) == 400, path
        (allowed / "empty").mkdir()
        assert load("other", allowed / "empty") == 400  # no PEFT folder
        for path in ("~nosuchuser/x", "a\0b", "a" * 4096):
            assert load("other", path) == 400, path
        listed = {one["id"]: one["parent"] for one in client.get("/v1/models").json()["data"]}
        assert listed["notes"] == "base"
        assert answer(client, "notes", LAMP) != answer(client, "base", LAMP)
        unload = {"lora_name": "notes"}
        assert client.post("/v1/unload_lora_adapter", json=unload).status_code == 200
        assert client.post("/v1/unload_lora_adapter", json=unload).status_code == 404
    with pytest.raises(InputError, match="no such user"):
        Voices(Library(model, tmp_path / "lib"), (Path("~nosuchuser/x"),))
    with served(model, tmp_path / "other") as client:
        body = {"lora_name": "notes", "lora_path": str(allowed / "notes")}
        assert "is off" in client.post("/v1/load_lora_adapter", json=body).json()["error"]["message"]


def test_a_vllm_server_writes_what_this_process_would(model, tmp_path):
    """A server of our own stands in for vLLM: it speaks the part of the protocol that is used."""
    folders = tmp_path / "adapters"
    for n in range(3):
        bank = AdapterBank(model.hf, LoraSettings(rank=4), [n], num_layers=model.num_layers)
        bank.weights_KP += 0.3 * (torch.rand(bank.weights_KP.shape, dtype=torch.float64) - 0.5)
        model.save_adapter(bank, 0, folders / f"a{n}")
    there = Running(tiny_model(), tmp_path / "there", adapter_folders=(folders,))
    try:
        with (
            served(model, tmp_path / "own", adapter_folders=(folders,)) as own,
            served(model, tmp_path / "lib", adapter_folders=(folders,), vllm_url=there.url) as through,
        ):
            for client in (own, through):
                for n in range(3):
                    body = {"lora_name": f"a{n}", "lora_path": str(folders / f"a{n}")}
                    assert client.post("/v1/load_lora_adapter", json=body).status_code == 200
            for name in ("base", "a0", "a1", "a2"):
                for more in ({}, {"temperature": 1.0, "seed": 3}, {"stop": ["e"]}, {"n": 2}):
                    body = {
                        "model": name,
                        "max_tokens": 12,
                        "messages": [{"role": "user", "content": "What is it?"}],
                        **more,
                    }
                    got, wanted = (
                        client.post("/v1/chat/completions", json=body).json()
                        for client in (through, own)
                    )
                    assert got["choices"] == wanted["choices"], (name, more)
                    if "stop" not in more:
                        assert got["usage"] == wanted["usage"]
            loaded = [voice.id for voice in there.service.voices.list()]
            assert sum(name.startswith("selfedit-") for name in loaded) == 3
    finally:
        there.close()
    with pytest.raises(EndpointError, match="does not answer"):
        Service(model, tmp_path / "gone", ServeSettings(vllm_url=there.url))
