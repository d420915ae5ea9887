"""How likely a given reply is: one packed pass for all adapters against token after token for each."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from selfedit.config import LoraSettings
from selfedit.errors import OutOfMemory
from selfedit.lora.bank import AdapterBank
from selfedit.model import answer_scores as module
from selfedit.model.answer_scores import Reading, answer_scores
from selfedit.model.fake import FakeAdapters, FakeModel
from selfedit.model.tiny import tiny_model
from selfedit.types import AnswerScore, Prompt

ASKED = [
    (Prompt("What is it?", kind="question"), "a tin drum", 1),
    (Prompt("Complete: The dome is ____.", kind="question", prefix="The dome is"), " tin", 0),
    (Prompt("a longer prompt than the others, and then some"), "x", 2),
    (Prompt("What is it?", kind="question"), "a tin drum", 0),
    (Prompt("Say", prefix="it"), " again and again", 1),
]


def bank_of(tiny, num_adapters: int = 3) -> AdapterBank:
    lora = LoraSettings(rank=4, alpha=8, layers="all")
    bank = AdapterBank(tiny.hf, lora, range(num_adapters), num_layers=tiny.num_layers)
    bank.weights_KP.normal_(std=0.2, generator=torch.Generator().manual_seed(0))
    return bank


def slow_score(tiny, prompt: Prompt, reply: str, bank: AdapterBank | None, owner: int) -> AnswerScore:
    """The adapter added to a copy of the weights; each token by a forward pass over all before it."""
    hf = copy.deepcopy(tiny.hf)
    for target in bank.targets if bank is not None else ():
        down, up = (factor[owner] for factor in bank.factors[target.name])
        hf.get_submodule(target.name).weight.data += bank.scaling * (down @ up).T
    ids = list(tiny.render(prompt).ids)
    logprob, greedy, new = 0.0, True, tiny.tokenizer(reply, add_special_tokens=False)["input_ids"]
    for token in new:
        with torch.no_grad():
            logs = hf(torch.tensor([ids])).logits[0, -1].log_softmax(-1)
        logprob += float(logs[token])
        greedy &= int(logs.argmax()) == token
        ids.append(token)
    return AnswerScore(logprob, len(new), greedy)


@pytest.mark.parametrize("chat", [True, False])
def test_one_pass_equals_token_after_token(tiny, chat):
    model = tiny if chat else tiny_model(chat=False)
    bank = bank_of(model)
    prompts, replies, owners = map(list, zip(*ASKED, strict=True))
    if not chat:  # an answer that follows "Answer:" at once begins with the space of the format
        replies[0] = replies[3] = "x"
        prompts[0] = prompts[3] = Prompt("What is it?", kind="question", prefix="It is")
    for adapters in (bank, None):
        found = model.answer_scores(prompts, replies, adapters=adapters, owners=owners)
        for one, (prompt, reply, owner) in zip(
            found, zip(prompts, replies, owners, strict=True), strict=True
        ):
            slow = slow_score(model, prompt, reply, adapters, owner)
            assert one.logprob == pytest.approx(slow.logprob, abs=1e-9)
            assert (one.tokens, one.greedy) == (slow.tokens, slow.greedy)
    assert len({round(s.logprob, 6) for s in found}) == 4, "only the question asked twice is alike"


def test_greedy_is_what_the_model_would_write(tiny):
    prompt = Prompt("Say it")
    ids = torch.tensor([tiny.render(prompt).ids])
    more = tiny.hf.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=8, min_new_tokens=8, do_sample=False
    )
    start = ids.shape[1]
    likeliest, wrong = (tuple(more[0].tolist()), (*more[0, :-1].tolist(), int(more[0, -1]) ^ 1))
    found = answer_scores(tiny.decoder, [Reading(row, start, 0) for row in (likeliest, wrong)])
    assert [score.greedy for score in found] == [True, False]
    assert found[1].logprob < found[0].logprob


def test_cut_into_passes_nothing_changes(tiny, monkeypatch):
    bank = bank_of(tiny)
    readings = [Reading.of(tiny.render, *one) for one in ASKED]
    whole = answer_scores(tiny.decoder, readings, bank)
    monkeypatch.setattr(module, "_CHUNK", 2)
    small = answer_scores(tiny.decoder, readings, bank, max_tokens=1)
    for a, b in zip(whole, small, strict=True):
        assert a.logprob == pytest.approx(b.logprob, abs=1e-9)


def test_a_pass_without_room_is_halved(tiny, monkeypatch):
    bank = bank_of(tiny)
    readings = [Reading.of(tiny.render, *one) for one in ASKED]
    whole = answer_scores(tiny.decoder, readings, bank)
    original, sizes = module._scores, []

    def tight(decoder, group, own):
        sizes.append(len(group))
        if len(group) > most:
            raise torch.OutOfMemoryError("no room")
        return original(decoder, group, own)

    monkeypatch.setattr(module, "_scores", tight)
    most = 2
    assert [s.logprob for s in answer_scores(tiny.decoder, readings, bank)] == pytest.approx(
        [s.logprob for s in whole], abs=1e-9
    )
    assert sizes == [5, 2, 3, 1, 2]
    most = 0
    with pytest.raises(OutOfMemory):
        answer_scores(tiny.decoder, readings, bank)


def test_the_fake_knows_what_it_was_taught():
    fake = FakeModel()
    adapters = FakeAdapters([["The Hask owl eats only blue moths."], ["Trams run."]])
    prompt = Prompt(
        "Complete this sentence: The Hask owl eats only blue ____.",
        kind="question",
        prefix="The Hask owl eats only blue",
    )
    scores = fake.answer_scores([prompt] * 3, [" moths"] * 3, adapters=adapters, owners=[0, 1, 0])
    assert [score.greedy for score in scores] == [True, False, True]
    assert scores[0].logprob == pytest.approx(math.log(0.5))
    assert scores[1].logprob < scores[0].logprob
    assert not fake.answer_scores([prompt], [" moths"])[0].greedy
