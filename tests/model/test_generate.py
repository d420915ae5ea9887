"""Generation: batches, adapters and neighbours must not change what a prompt gives."""

from __future__ import annotations

import sys
import threading
from dataclasses import replace

import pytest
import torch

from selfedit.config import EngineSettings, LoraSettings, SamplingSettings, TrainSettings
from selfedit.errors import InputError
from selfedit.forward.cache import growing_cache
from selfedit.lora.bank import AdapterBank
from selfedit.lora.routing import Routing
from selfedit.model.generate import generate
from selfedit.model.prefill import prefill
from selfedit.model.prompts import render
from selfedit.model.recompute import takes_cache
from selfedit.model.sampling import choose
from selfedit.model.tiny import byte_tokenizer, tiny_model
from selfedit.types import Prompt, TrainingPlan, TrainingSequence
from tests.model.architectures import tiny_architecture
from tests.sampled import texts

GREEDY = SamplingSettings(temperature=0, top_p=1, max_new_tokens=12)
SAMPLED = SamplingSettings(temperature=1.0, top_p=0.9, max_new_tokens=12)
PROMPTS = [Prompt(text) for text in ("a", "What is it?", "a longer prompt than the others", "b b")]


@pytest.mark.parametrize("sampling", [GREEDY, SAMPLED])
def test_batch_equals_one_by_one(tiny, sampling):
    seeds = [3, 4, 5, 6]
    together = tiny.sample(PROMPTS, sampling, seeds)
    alone = [tiny.sample([p], sampling, [s])[0] for p, s in zip(PROMPTS, seeds, strict=True)]
    assert together == alone
    assert len(set(together)) > 1


def test_a_prompt_and_its_reply_fit_into_the_models_window():
    """A table of positions would be left behind; rotary positions beyond it were never trained."""
    small = tiny_architecture("gpt2", max_position_embeddings=64)
    long = GREEDY.model_copy(update={"max_new_tokens": 99})
    for prompt in (Prompt("a" * 20), Prompt("b")):
        (reply,) = small.sample([prompt], long, [0], logprobs=True)
        assert len(small.render(prompt).ids) + len(reply.tokens) == 64
    with pytest.raises(InputError, match=r"of \d+ tokens does not fit into the 64 .*aaa"):
        small.sample([Prompt("b"), Prompt("a" * 80)], GREEDY, [0, 0])
    assert len(small.encode(TrainingSequence("a" * 80), 1024).ids) == 64


def test_greedy_equals_transformers_generate(tiny):
    prompt = tiny.render(PROMPTS[1])
    ids = torch.tensor([prompt.ids])
    expected = tiny.hf.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False
    )
    text = tiny.tokenizer.decode(expected[0, ids.shape[1] :], skip_special_tokens=True)
    assert texts(tiny.sample([PROMPTS[1]], GREEDY, [0])) == [text.strip()]


@pytest.mark.parametrize("sampling", [GREEDY, SAMPLED, SAMPLED.model_copy(update={"temperature": 0.7})])
def test_log_probabilities_equal_a_teacher_forced_pass(tiny, sampling):
    """Of every drawn token, through adapters, in a batch whose rows end at different lengths."""
    bank = AdapterBank(tiny.hf, LoraSettings(rank=4, alpha=64, layers="all"), [0, 1], num_layers=2)
    bank.weights_KP.normal_(std=0.2, generator=torch.Generator().manual_seed(0))
    asked = [replace(p, max_new_tokens=n) for p, n in zip(PROMPTS, (3, 9, 12, 1), strict=True)]
    how = {"adapters": bank, "owners": [0, 1, 1, 0]}
    done = tiny.sample(asked, sampling, [0, 1, 2, 3], logprobs=True, **how)
    assert texts(done) == texts(tiny.sample(asked, sampling, [0, 1, 2, 3], **how))
    assert not any(one.logprobs for one in tiny.sample(asked, sampling, [0] * 4, **how))
    for prompt, owner, one in zip(asked, how["owners"], done, strict=True):
        given = tiny.render(prompt).ids
        ids = torch.tensor([[*given, *one.tokens]])
        with torch.inference_mode(), bank.attached():
            bank.routing = Routing.of_lengths([owner], [ids.shape[1]], 2, torch.device("cpu"))
            logits = tiny.hf(input_ids=ids).logits[0, len(given) - 1 : -1]
        every = (logits / (sampling.temperature or 1.0)).log_softmax(-1)
        expected = every.gather(1, torch.tensor(one.tokens)[:, None])[:, 0].tolist()
        assert one.logprobs == pytest.approx(expected, abs=1e-9)
        assert tiny.tokenizer.decode(one.tokens, skip_special_tokens=True).strip() == one.text
        assert 1 <= len(one.tokens) <= prompt.max_new_tokens


def test_the_token_that_ends_a_text_has_a_log_probability_too(tiny):
    plan = TrainingPlan((TrainingSequence("ab", prompt=Prompt("say")),))
    lora = LoraSettings(rank=8, alpha=16, layers="all")
    bank, _ = tiny.train([plan], lora, TrainSettings(epochs=150, learning_rate=1e-2), [0])
    asked = {"adapters": bank, "owners": [0], "logprobs": True}
    (one,) = tiny.sample([Prompt("say")], GREEDY, [0], **asked)
    assert one.text == "ab"
    assert len(one.logprobs) == len(one.tokens) == 3
    assert one.tokens[-1] == tiny.tokenizer.eos_token_id


def test_token_budget_changes_nothing(tiny):
    rendered = [tiny.render(p) for p in PROMPTS]
    wide, narrow = (
        generate(tiny.decoder, tiny.tokenizer, rendered, SAMPLED, [1] * 4, token_budget=budget)
        for budget in (100_000, 1)
    )
    assert wide == narrow


def test_each_adapter_answers_for_itself(tiny):
    """Prompts x adapters in one batch equal each adapter alone, and memorised text comes back."""
    plans = [
        TrainingPlan((TrainingSequence("abcdefgh", prompt=Prompt("say")),)),
        TrainingPlan((TrainingSequence("zyxwvuts", prompt=Prompt("say")),)),
    ]
    lora = LoraSettings(rank=8, alpha=16, layers="all")
    bank, _ = tiny.train(plans, lora, TrainSettings(epochs=150, learning_rate=1e-2), [0, 1])
    asked = [PROMPTS[2], Prompt("say"), Prompt("say"), PROMPTS[0]]
    owners = [1, 0, 1, 0]
    together = tiny.sample(asked, GREEDY, [0] * 4, adapters=bank, owners=owners)
    assert texts(together[1:3]) == ["abcdefgh", "zyxwvuts"]
    for prompt, owner, answer in zip(asked, owners, together, strict=True):
        alone = tiny.sample([prompt], GREEDY, [0], adapters=bank, owners=[owner])
        assert alone == [answer]


def test_a_long_reply_equals_transformers_greedy(tiny):
    """Longer than the room that a new cache has, and than what is added to it later."""
    prompt = tiny.render(PROMPTS[0])
    expected = tiny.hf.generate(
        torch.tensor([prompt.ids]),
        attention_mask=torch.ones(1, len(prompt.ids), dtype=torch.int64),
        max_new_tokens=150,
        min_new_tokens=150,
        do_sample=False,
    )
    long = GREEDY.model_copy(update={"max_new_tokens": 150})
    (mine,) = tiny.sample([PROMPTS[0]], long, [0])
    text = tiny.tokenizer.decode(expected[0, len(prompt.ids) :], skip_special_tokens=True).strip()
    assert text.startswith(mine.text)
    assert len(mine.text) > 100


def test_adapters_share_the_layers_below_them(tiny, monkeypatch):
    """Two prompts of unequal length asked of three adapters: the lower half sees each once, and the
    states after the prompts equal those of every row by itself."""
    lora = LoraSettings(rank=4, alpha=64, layers="upper-half")
    bank = AdapterBank(tiny.hf, lora, [1, 2, 3], num_layers=tiny.num_layers)
    bank.weights_KP.normal_(std=0.2, generator=torch.Generator().manual_seed(0))
    prompts = [tiny.render(PROMPTS[i]).ids for i in (0, 2, 0, 2, 0)]
    owners = [0, 1, 1, 2, 2]
    assert tiny.decoder.shares_prompts(bank.first_layer)
    seen = []
    watch = tiny.decoder.layers[0].register_forward_hook(lambda m, a, out: seen.append(len(out)))
    try:
        with torch.no_grad(), bank.attached():
            shared = prefill(tiny.decoder, prompts, growing_cache(tiny.hf.config), bank, owners)[0]
            assert seen[-1] == 2
            monkeypatch.setattr(tiny.decoder, "shares_prompts", lambda layer: False)
            alone = prefill(tiny.decoder, prompts, growing_cache(tiny.hf.config), bank, owners)[0]
            assert seen[-1] == 5
    finally:
        watch.remove()
    assert (shared - alone).abs().max() <= 1e-9
    assert (shared[0] - shared[2]).abs().max() > 1e-3  # the adapters do differ


@pytest.mark.parametrize("sampling", [GREEDY, SAMPLED])
@pytest.mark.parametrize("workers", [2, 4])
def test_threads_side_by_side_change_no_reply(tiny, monkeypatch, sampling, workers):
    module = sys.modules["selfedit.model.generate"]
    monkeypatch.setattr(module, "FEWEST_APART", 2)
    sizes = []
    original = module._decode
    monkeypatch.setattr(
        module,
        "_decode",
        lambda d, t, rows, *rest: sizes.append(len(rows)) or original(d, t, rows, *rest),
    )
    lora = LoraSettings(rank=4, alpha=64, layers="upper-half")
    bank = AdapterBank(tiny.hf, lora, [1, 2, 3], num_layers=tiny.num_layers)
    bank.weights_KP.normal_(std=0.2, generator=torch.Generator().manual_seed(0))
    asked = [tiny.render(prompt) for prompt in PROMPTS for _ in range(3)]
    owners = [0, 1, 2] * 4
    others = [tiny.decoder.beside() for _ in range(workers - 1)]
    alone, apart = (
        generate(
            tiny.decoder,
            tiny.tokenizer,
            asked,
            sampling,
            range(12),
            bank=bank,
            owners=owners,
            beside=own,
        )
        for own in ((), others)
    )
    assert alone == apart
    assert len(set(apart)) > 6
    assert sizes == [12] + [12 // workers] * workers


def test_a_model_with_workers_writes_in_threads(monkeypatch):
    """Stops and a constraint among the rows, both of which ask the tokenizer in every step."""
    module = sys.modules["selfedit.model.generate"]
    monkeypatch.setattr(module, "FEWEST_APART", 2)
    names = []
    original = module._decode
    monkeypatch.setattr(
        module,
        "_decode",
        lambda *args: names.append(threading.current_thread().name) or original(*args),
    )
    asked = [
        *PROMPTS,
        *(Prompt(prompt.text, pattern="(yes|no)") for prompt in PROMPTS),
        *(Prompt(prompt.text, kind="question") for prompt in PROMPTS),
    ]
    expected = tiny_model().sample(asked, SAMPLED, range(12))
    model = tiny_model()
    model.engine = EngineSettings(workers=3)
    names.clear()
    assert model.sample(asked, SAMPLED, range(12)) == expected
    assert len(set(names)) == 3
    assert set(texts(expected[4:8])) <= {"yes", "no"}


def test_every_thread_writes_with_a_cache(monkeypatch):
    """A window that slides has to be tried first, before adapters are attached."""
    monkeypatch.setattr(sys.modules["selfedit.model.generate"], "FEWEST_APART", 2)
    model = tiny_architecture("mistral")
    model.engine = EngineSettings(workers=2)
    lora = LoraSettings(rank=4, alpha=64, layers="upper-half")
    bank = AdapterBank(model.hf, lora, [1], num_layers=model.num_layers)
    model.sample(PROMPTS, GREEDY, [0] * 4, adapters=bank, owners=[0] * 4)
    assert [takes_cache(decoder) for decoder in (model.decoder, *model.others)] == [True, True]


def test_progress_counts_every_prompt(tiny):
    done = []
    tiny.sample(PROMPTS, GREEDY, [0] * 4, on_done=done.append)
    assert sum(done) == 4


def test_nucleus_sampling_follows_the_distribution():
    """Against the plain definition: drawn frequencies match p restricted to the nucleus."""
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]]))
    settings = SamplingSettings(temperature=1.0, top_p=0.7, max_new_tokens=1)
    generators = [torch.Generator().manual_seed(i) for i in range(4000)]
    picks = torch.tensor(choose(logits.expand(4000, -1), settings, generators))
    share = torch.bincount(picks, minlength=4) / 4000
    assert share[2] == share[3] == 0  # 0.5 + 0.3 reach 0.7
    assert share[0].item() == pytest.approx(0.5 / 0.8, abs=0.03)


def test_nucleus_wider_than_the_guess_is_sorted_whole():
    logits = torch.zeros(1, 5000)
    settings = SamplingSettings(temperature=1.0, top_p=1.0, max_new_tokens=1)
    generators = [torch.Generator().manual_seed(i) for i in range(300)]
    picks = choose(logits.expand(300, -1), settings, generators)
    assert len(set(picks)) > 250


def test_chat_and_base_models_are_prompted_in_one_place():
    chat, plain = byte_tokenizer(), byte_tokenizer(chat=False)
    question = Prompt("Who?", kind="question")
    rendered = render(chat, question, "chat")
    assert chat.decode(rendered.ids) == "<|user|>Who?<|end|>"
    assert rendered.stops == ()
    rendered = render(plain, question, "plain")
    assert plain.decode(rendered.ids) == "Question: Who?\nAnswer:"
    assert rendered.stops == ("\n",)
    opened = render(plain, Prompt("Write.", prefix="Question 1:"), "plain")
    assert plain.decode(opened.ids) == "Write.\n\nQuestion 1:"


def test_base_model_answers_end_at_the_line():
    model = tiny_model(chat=False)
    plan = TrainingPlan((TrainingSequence("Question: Q\nAnswer: yes\nQuestion: more"),))
    lora = LoraSettings(rank=8, alpha=16, layers="all")
    bank, _ = model.train([plan], lora, TrainSettings(epochs=120, learning_rate=1e-2), [0])
    answer = model.sample([Prompt("Q", kind="question")], GREEDY, [0], adapters=bank, owners=[0])
    assert texts(answer) == ["yes"]


def test_bank_hooks_are_gone_after_an_error(tiny):
    bank = AdapterBank(tiny.hf, LoraSettings(rank=2, layers="all"), [0], num_layers=2)
    with pytest.raises(RuntimeError, match="on purpose"), bank.attached():
        raise RuntimeError("on purpose")
    assert not any(module._forward_hooks for module in tiny.hf.modules())


def test_the_seed_alone_decides_what_is_sampled(tiny):
    many = tiny.sample([PROMPTS[1]] * 6, SAMPLED, [7, 8, 9, 7, 8, 9])
    assert many[:3] == many[3:]
    assert len(set(many)) == 3


def test_a_conversation_and_the_parts_that_are_replies(tiny):
    """The turns come in order, each reply's span holds its words, and the prompt is the whole."""
    prompt = Prompt("third", turns=(("first", "one"), ("second", "two")))
    rendered = tiny.render(prompt)
    text = tiny.tokenizer.decode(rendered.ids)
    places = [text.index(word) for word in ("first", "one", "second", "two", "third")]
    assert places == sorted(places)
    said = [tiny.tokenizer.decode(rendered.ids[a:b]) for a, b in rendered.replies]
    assert [word in part for word, part in zip(("one", "two"), said, strict=True)] == [True, True]
    assert not any(word in part for word in ("first", "second", "third") for part in said)


def test_a_template_that_forgets_is_one_part(tiny):
    """Some templates drop what the assistant said before: then only the last reply is known."""

    class Forgetful:
        bos_token = None

        def apply_chat_template(self, messages, tokenize, add_generation_prompt=False, **own):
            kept = messages[-1:] if add_generation_prompt else messages
            return "".join(f"<{m['role']}>{m['content']}" for m in kept)

        def __call__(self, text, add_special_tokens=True):
            return {"input_ids": list(text.encode())}

    rendered = render(Forgetful(), Prompt("b", turns=(("a", "x"),)), "chat")
    assert bytes(rendered.ids).decode() == "<user>b"
    assert rendered.replies == ()


def test_each_prompt_may_bound_its_own_reply(tiny):
    bounds = (1, None, 5)
    asked = [Prompt("a", max_new_tokens=bound) for bound in bounds]
    replies = texts(tiny.sample(asked, GREEDY, [0] * 3))
    whole = texts(tiny.sample([Prompt("a")], GREEDY.model_copy(update={"max_new_tokens": 5}), [0]))
    assert replies[2] == whole[0]
    assert replies[1].startswith(replies[2])
    assert len(replies[0]) <= len(replies[2]) <= len(replies[1])


def test_what_is_supervised_of_a_conversation(tiny):
    prompt = Prompt("second", turns=(("first", "one"),))
    counts = {
        kind: tiny.encode(TrainingSequence("two", prompt, supervise=kind), 1000).num_supervised
        for kind in ("reply", "replies", "all")
    }
    assert counts["reply"] == len("two") + 1  # and the end
    assert counts["reply"] + len("one") <= counts["replies"] < counts["all"]
    cut = tiny.encode(TrainingSequence("two", prompt, supervise="replies"), 12)
    assert len(cut.ids) == 12
    assert all(place < 12 for place in cut.supervised)


def test_a_text_has_ended_if_it_stopped_before_its_limit(tiny):
    """Greedy text of random weights runs on; where its own fourth token ends texts, it has ended."""
    on = tiny.sample([PROMPTS[1]], GREEDY, [0], logprobs=True)[0]
    assert not on.ended
    assert len(on.tokens) == GREEDY.max_new_tokens
    model = tiny_model()
    model.hf.generation_config.eos_token_id = [on.tokens[3]]
    stopped = model.sample([PROMPTS[1]], GREEDY, [0], logprobs=True)[0]
    assert stopped.ended
    assert len(stopped.tokens) <= 4
