"""vLLM as the sampler: what its server writes is what this process would, adapters included."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from selfedit.config import LoraSettings, SamplingSettings
from selfedit.corpus.experiment import generate
from selfedit.corpus.workers import Policy
from selfedit.domains.knowledge.settings import LearnSettings
from selfedit.endpoints.vllm import VllmServer
from selfedit.endpoints.vllm_http import Refused
from selfedit.errors import EndpointError, InputError, ModelError
from selfedit.lora.bank import AdapterBank
from selfedit.model.fake import FakeModel
from selfedit.model.load import load_model
from selfedit.model.tiny import tiny_model
from selfedit.model.vllm import ThroughVllm
from selfedit.model.vllm_load import VllmWriter, through_vllm
from selfedit.store import Store
from selfedit.types import Prompt
from tests.cli.test_cli import run
from tests.cli.test_train import data
from tests.vllm_server import VllmStandIn

PROMPTS = [Prompt("Who is it?", kind="question"), Prompt("Write about towers."), Prompt("Say more.")]
GREEDY = SamplingSettings(temperature=0.0, top_p=1.0, max_new_tokens=12)


@pytest.fixture
def there():
    server = VllmStandIn(tiny_model())
    yield server
    server.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small model in a folder, as vLLM loads it."""
    place = tmp_path_factory.mktemp("model")
    model = tiny_model(dtype="float32")
    model.hf.save_pretrained(place)
    model.tokenizer.save_pretrained(place)
    return place


def bank_of(model, count):
    bank = AdapterBank(model.hf, LoraSettings(rank=4), list(range(count)), num_layers=model.num_layers)
    draw = torch.Generator().manual_seed(0)
    bank.weights_KP += 0.6 * (
        torch.rand(bank.weights_KP.shape, generator=draw, dtype=torch.float64) - 0.5
    )
    return bank


@pytest.mark.parametrize("chat", [True, False])
def test_it_writes_what_this_process_would(there, chat):
    model = tiny_model(chat=chat)
    there.model = tiny_model(chat=chat)
    through = ThroughVllm(model, VllmServer(there.url))
    done = []
    for sampling in (GREEDY, SamplingSettings(temperature=1.0, top_p=1.0, max_new_tokens=12)):
        for seeds in ([1, 2, 3], [4, 5, 6]):
            wanted = model.sample(PROMPTS, sampling, seeds, logprobs=True)
            got = through.sample(PROMPTS, sampling, seeds, logprobs=True, on_done=done.append)
            assert [own.text for own in got] == [own.text for own in wanted]
            assert [own.tokens for own in got] == [own.tokens for own in wanted]
            assert [own.ended for own in got] == [own.ended for own in wanted]
            for a, b in zip(got, wanted, strict=True):
                assert a.logprobs == pytest.approx(b.logprobs, abs=1e-9)
    assert sum(done) == 12
    assert all(own.tokens == () for own in through.sample(PROMPTS, GREEDY, [1, 2, 3]))
    assert through.identity != model.identity
    # At another temperature vLLM's numbers are not those of what was drawn: they are read off here.
    warm = SamplingSettings(temperature=0.5, top_p=0.9, max_new_tokens=12)
    wanted = model.sample(PROMPTS, warm, [1, 2, 3], logprobs=True)
    got = through.sample(PROMPTS, warm, [1, 2, 3], logprobs=True)
    for a, b in zip(got, wanted, strict=True):
        assert a.tokens == b.tokens
        assert a.logprobs == pytest.approx(b.logprobs, abs=1e-6)


def test_adapters_come_and_go(there):
    model = tiny_model()
    through, bank = ThroughVllm(model, VllmServer(there.url)), bank_of(model, 20)
    prompts = [PROMPTS[n % 3] for n in range(40)]
    owners = [n % 20 for n in range(40)]
    wanted = model.sample(prompts, GREEDY, [0] * 40, adapters=bank, owners=owners)
    assert through.sample(prompts, GREEDY, [0] * 40, adapters=bank, owners=owners) == wanted
    assert len({own.text for own in wanted}) > 20, "adapters that differ"
    loads = [body["lora_path"] for path, body in there.requests if path == "/v1/load_lora_adapter"]
    assert len(set(loads)) == 20
    assert len(loads) < 25, "each once, but where a thread came late"
    assert not there.loaded, "none is left behind"
    assert not any(Path(own).exists() for own in loads)


def test_a_server_that_fails_writes_no_empty_text(there):
    through = ThroughVllm(tiny_model(), VllmServer(there.url))
    there.broken = 500
    with pytest.raises(EndpointError, match="out of blocks"):
        through.sample(PROMPTS, GREEDY, [0, 0, 0])
    there.broken = 400
    with pytest.raises(Refused, match="out of blocks"):
        through.sample(PROMPTS, GREEDY, [0, 0, 0])
    there.close()
    with pytest.raises(EndpointError, match="does not answer"):
        through.sample(PROMPTS, GREEDY, [0, 0, 0])
    with pytest.raises(EndpointError, match="does not answer"):
        VllmServer(there.url)
    with pytest.raises(InputError, match="use an address"):
        VllmServer("127.0.0.1:8000")


def test_what_is_cut_off_is_sent_again(there, monkeypatch):
    monkeypatch.setattr("selfedit.endpoints.vllm_http._PAUSES", (0.0, 0.0))
    model = tiny_model()
    through, wanted = ThroughVllm(model, VllmServer(there.url)), model.sample(PROMPTS, GREEDY, [0] * 3)
    there.resets = 2
    assert through.sample(PROMPTS, GREEDY, [0, 0, 0]) == wanted
    there.resets = 100
    with pytest.raises(EndpointError, match="does not answer"):
        through.sample(PROMPTS, GREEDY, [0, 0, 0])


def test_adapters_of_a_server_and_a_client_that_start_anew(there, tmp_path):
    model = tiny_model()
    model.save_adapter(bank_of(model, 1), 0, tmp_path)
    body = {"prompt": [1, 2, 3], "max_tokens": 8, "temperature": 0.0, "top_p": 1.0, "seed": 0}

    def ask(server):
        data = server.write(server.http.connection(), body, tmp_path, "key")
        return json.loads(data)["choices"][0]["token_ids"]

    first = VllmServer(there.url)
    wanted = ask(first)
    assert ask(first) == wanted
    assert len(there.loaded) == 1
    second = VllmServer(there.url)  # of a process that does not know what the first has left
    assert ask(second) == wanted
    assert len(there.loaded) == 2, "under a name of its own, as the weights may be others"
    there.restart(model)
    assert ask(first) == ask(second) == wanted
    there.loaded.clear()
    there.broken = 404  # does not know any adapter, whatever it is given
    with pytest.raises(EndpointError, match="out of blocks"):
        ask(first)
    there.broken = 0
    assert ask(first) == wanted
    first.close()
    assert ask(second) == wanted
    second.close()
    assert not there.loaded
    first.base = "gone"
    with pytest.raises(EndpointError, match="does not exist"):
        first.write(first.http.connection(), body)


def test_other_weights_are_refused(there, folder, tmp_path):
    there.root = str(folder)
    server, said = VllmServer(there.url), []
    load = through_vllm(load_model, server, said.append)
    assert isinstance(load(str(folder)), ThroughVllm)
    other = tmp_path / "policy"
    model = tiny_model(seed=1, dtype="float32")
    model.hf.save_pretrained(other)
    model.tokenizer.save_pretrained(other)
    assert not isinstance(load(str(other)), ThroughVllm), "a later policy writes here"
    assert "its texts are written here" in said[-1]
    with pytest.raises(ModelError, match="start it with the same weights"):
        through_vllm(load_model, server, said.append)(str(other))
    with pytest.raises(ModelError, match="start it with the same weights"):
        VllmWriter(str(other), server)
    with pytest.raises(ModelError, match="no tokens"):
        through_vllm(lambda name: FakeModel(), server, said.append)("fake")


def test_a_server_that_is_given_weights_writes_for_every_policy(there, folder, tmp_path):
    other = tmp_path / "policy"
    model = tiny_model(seed=1, dtype="float32")
    model.hf.save_pretrained(other)
    model.tokenizer.save_pretrained(other)
    there.reloads, there.root = True, "what an earlier command left"
    server = VllmServer(there.url)
    load = through_vllm(load_model, server, pytest.fail)
    policies = [load(str(folder)), load(str(other))]
    wanted = [load_model(str(own)).sample(PROMPTS, GREEDY, [0] * 3) for own in (folder, other)]
    assert wanted[0] != wanted[1]
    for n in (0, 0, 1, 0):
        assert policies[n].sample(PROMPTS, GREEDY, [0] * 3) == wanted[n]
    bank = bank_of(policies[1], 2)
    adapted = {"adapters": bank, "owners": [0, 1, 0]}
    assert policies[1].sample(PROMPTS, GREEDY, [0] * 3, **adapted) == load_model(str(other)).sample(
        PROMPTS, GREEDY, [0] * 3, **adapted
    )
    given = [body for path, body in there.requests if body.get("method") == "reload_weights"]
    paths = [Path(body["kwargs"]["weights_path"]) for body in given]
    assert paths == [folder, other, folder, other], "only what is not there already"
    writer = VllmWriter(str(folder), VllmServer(there.url))
    assert writer.sample(PROMPTS, GREEDY, [0] * 3) == wanted[0]
    there.busy = True
    with pytest.raises(EndpointError, match="one command at a time"):
        policies[0].server.hold(str(folder))


@pytest.mark.parametrize("tells", [True, False], ids=["tells its start", "does not"])
def test_a_server_that_starts_anew_is_given_the_weights_again(there, folder, tells):
    """It begins with its first ones, and no reply says so."""
    there.reloads = True
    if not tells:  # as with several processes behind one port
        there.metrics = lambda: "other 2\n"
    server = VllmServer(there.url)
    model = through_vllm(load_model, server, pytest.fail)(str(folder))
    writer = VllmWriter(str(folder), VllmServer(there.url))
    wanted = load_model(str(folder)).sample(PROMPTS, GREEDY, [0] * 3)
    for one in (model, writer, model, writer):
        there.restart(tiny_model(seed=2, dtype="float32"))
        assert one.sample(PROMPTS, GREEDY, [0] * 3) == wanted
    model.sample(PROMPTS, GREEDY, [0] * 3)
    count = len(there.requests)
    assert model.sample(PROMPTS, GREEDY, [0] * 3) == wanted
    assert any("method" in body for _, body in there.requests[count:]) is not tells


def test_a_load_that_was_cut_off_when_it_was_done(there, tmp_path, monkeypatch):
    monkeypatch.setattr("selfedit.endpoints.vllm_http._PAUSES", (0.0, 0.0))
    model = tiny_model()
    model.save_adapter(bank_of(model, 1), 0, tmp_path)
    server, reply = VllmServer(there.url), there._reply

    def lost(handler, status, value):
        there._reply = reply
        handler.close_connection = True
        handler.wfile.close()  # the adapter is there, and nobody was told

    there._reply = lost
    body = {"prompt": [1, 2, 3], "max_tokens": 8, "temperature": 0.0, "top_p": 1.0, "seed": 0}
    assert server.write(server.http.connection(), body, tmp_path)
    assert len(there.loaded) == 1


def test_a_corpus_needs_no_weights_here(there, folder, tmp_path):
    there.model = load_model(str(folder))
    there.root = str(folder)
    docs = tmp_path / "tower.md"
    docs.write_text("# Tower\n\nThe tower of Pask is made of blue stone.\n", encoding="utf-8")
    settings = LearnSettings(
        candidates=2, sampling={"max_new_tokens": 20}, knowledge={"strategy": "implications"}
    )
    policy = Policy(str(folder), vllm_url=there.url)
    found = generate(
        [str(docs)], policy, settings, tmp_path / "c.jsonl", Store(tmp_path / "s.sqlite"), workers=2
    )
    own = load_model(str(folder))
    assert found.revision == own.revision
    assert len(there.texts()) == 2
    assert found.done.written > 0


def test_train_through_vllm(there, folder, tmp_path):
    there.model = load_model(str(folder))
    there.root = str(folder)
    args = [
        "train", "knowledge", "--preset", "smoke", "--model", folder, "--data", data(tmp_path),
        "--rounds", "1", "--library", tmp_path / "lib", "--json", "--strategy", "none", "--yes",
    ]  # fmt: skip
    done = run(*args, "--sampler", "vllm", "--vllm-url", there.url)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rounds"][0]["num_trials"] > 0
    models = {body["model"] for body in there.texts()}
    assert "bare" in models
    assert any(name.startswith("selfedit-") for name in models), "answers by the documents' adapters"
    assert not there.loaded
    there.reloads, before = True, len(there.texts())
    more = ["--rounds", "2", "--rule", "best", "--library", tmp_path / "more"]
    done = run(*args, *more, "--sampler", "vllm", "--vllm-url", there.url)
    assert done.returncode == 0, done.stderr
    policy = json.loads(done.stdout)["rounds"][0]["policy"]
    given = [body["kwargs"]["weights_path"] for _, body in there.requests if "kwargs" in body]
    assert given == [str(folder), policy], "the second round's texts, too"
    assert "written here" not in done.stderr
    evaluated = run(
        "eval", "knowledge", "--model", folder, "--data", data(tmp_path), "--policy", policy,
        "--conditions", "base,seal", "--library", tmp_path / "other", "--json", "--yes", "--epochs",
        "1", "--rank", "4", "--sampler", "vllm", "--vllm-url", there.url,
    )  # fmt: skip
    assert evaluated.returncode == 0, evaluated.stderr
    given = [body["kwargs"]["weights_path"] for _, body in there.requests if "kwargs" in body]
    assert given[2:4] == [str(folder), policy], "the policy writes, ..."
    assert len(there.texts()) > before
    for wrong, message in (
        (["--sampler", "vllm"], "--vllm-url"),
        (["--vllm-url", there.url], "--sampler vllm"),
        (["--sampler", "other"], "--sampler other"),
    ):
        refused = run(*args, *wrong)
        assert refused.returncode == 1
        assert message in refused.stderr
