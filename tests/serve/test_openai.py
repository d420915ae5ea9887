"""The real `openai` client against a real server on loopback."""

from __future__ import annotations

import threading
import time

import pytest

from selfedit.model.fake import FakeModel
from selfedit.model.tiny import tiny_model
from tests.serve.conftest import Running

openai = pytest.importorskip("openai", reason="the client's own tests need the client")


@pytest.fixture(scope="module")
def fake(tmp_path_factory):
    running = Running(FakeModel(), tmp_path_factory.mktemp("fake") / "lib")
    yield running
    running.close()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    running = Running(tiny_model(), tmp_path_factory.mktemp("tiny") / "lib", max_rows=3)
    yield running
    running.close()


def chat(client, text, model="base", **more):
    return client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": text}], **more
    )


def test_models_have_roots_and_parents(fake):
    listed = fake.client.models.list().data
    assert [(one.id, one.root, one.parent) for one in listed[:2]] == [
        ("base", "fake", None),
        ("current", "fake", "base"),
    ]
    assert fake.client.models.retrieve("base").id == "base"
    with pytest.raises(openai.NotFoundError, match="there are base, current") as caught:
        chat(fake.client, "Hello", model="v99")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


def test_chat_is_greedy_unless_told_otherwise_and_streams_the_same(tiny):
    whole = chat(tiny.client, "What is it?", max_tokens=20)
    own = tiny.service.learner.ask("What is it?", base=True)[0]
    assert own.startswith(whole.choices[0].message.content)
    assert whole.choices[0].finish_reason == "length"
    assert whole.usage.completion_tokens == 20
    assert whole.usage.prompt_tokens == len("What is it?") + 2
    stream = chat(
        tiny.client,
        "What is it?",
        max_tokens=20,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-2].choices[0].finish_reason == "length"
    assert chunks[-1].usage == whole.usage


def test_drawing_follows_seed_and_settings(tiny):
    def drawn(**more):
        reply = chat(tiny.client, "Say", max_tokens=12, temperature=1.0, **more)
        return [choice.message.content for choice in reply.choices]

    assert drawn(seed=3, n=3) == drawn(seed=3, n=3)
    assert len(set(drawn(seed=3, n=3))) == 3
    assert drawn(seed=3) != drawn(seed=4)
    (greedy,) = drawn(seed=3, top_p=1e-6)
    assert greedy == chat(tiny.client, "Say", max_tokens=12).choices[0].message.content


def test_a_stop_string_ends_the_text_before_it(tiny):
    whole = chat(tiny.client, "What is it?", max_tokens=30).choices[0].message.content
    stop = whole[8:10]
    for stream in (False, True):
        reply = chat(tiny.client, "What is it?", max_tokens=30, stop=[stop], stream=stream)
        if stream:
            chunks = list(reply)
            text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
            finish = chunks[-1].choices[0].finish_reason
        else:
            text, finish = reply.choices[0].message.content, reply.choices[0].finish_reason
        assert (text, finish) == (whole[: whole.index(stop)].rstrip(), "stop")


def test_log_probabilities(tiny):
    content = chat(tiny.client, "Say", max_tokens=4, logprobs=True, top_logprobs=2).choices[0].logprobs
    assert len(content.content) == 4
    assert all(len(one.top_logprobs) == 2 for one in content.content)
    assert all(one.logprob == one.top_logprobs[0].logprob < 0 for one in content.content)
    old = tiny.client.completions.create(model="base", prompt="Say", max_tokens=4, logprobs=2)
    logprobs = old.choices[0].logprobs
    assert len(logprobs.tokens) == len(logprobs.token_logprobs) == len(logprobs.text_offset) == 4


def test_offsets_of_a_stream_are_those_of_the_whole_text(tiny):
    def create(**more):
        given = {"max_tokens": 5, "temperature": 1.0, "seed": 3, "n": 2, "logprobs": 0, **more}
        return tiny.client.completions.create(model="base", prompt="Say", **given)

    offsets = [[], []]
    for chunk in create(stream=True):
        (choice,) = chunk.choices
        offsets[choice.index] += choice.logprobs.text_offset
    assert offsets == [choice.logprobs.text_offset for choice in create().choices]
    assert all(len(own) == 5 and own[-1] >= 4 for own in offsets)


def test_without_a_limit_a_text_is_as_long_as_there_is_room(tiny):
    create, longest = tiny.client.completions.create, tiny.service.engine._first._longest
    reply = chat(tiny.client, "x" * (longest - 7))
    assert (reply.usage.completion_tokens, reply.choices[0].finish_reason) == (5, "length")
    assert create(model="base", prompt="x" * (longest - 3)).usage.completion_tokens == 3
    assert create(model="base", prompt="x").usage.completion_tokens == 16
    with pytest.raises(openai.BadRequestError, match="6 more are asked for"):
        chat(tiny.client, "x" * (longest - 7), max_tokens=6)
    with pytest.raises(openai.BadRequestError, match=f"has {longest} tokens and 512 more"):
        chat(tiny.client, "x" * (longest - 2))
    with pytest.raises(openai.BadRequestError, match=f"has {longest} tokens and 16 more"):
        create(model="base", prompt="x" * longest)


def test_completions_take_texts_and_tokens(tiny):
    create = tiny.client.completions.create
    two = create(model="base", prompt=["One", "Two"], max_tokens=6)
    single = [create(model="base", prompt=p, max_tokens=6).choices[0].text for p in ("One", "Two")]
    assert [choice.text for choice in two.choices] == single
    assert two.usage.prompt_tokens == 6
    ids = tiny.service.library.model.tokenizer("One")["input_ids"]
    assert create(model="base", prompt=ids, max_tokens=6).choices[0].text == single[0]
    stream = create(model="base", prompt="One", max_tokens=6, stream=True)
    assert "".join(chunk.choices[0].text for chunk in stream) == single[0]
    with pytest.raises(openai.BadRequestError, match="outside of the vocabulary"):
        create(model="base", prompt=[10**6], max_tokens=1)


def test_control_tokens_in_a_prompt_are_text(tiny):
    model = tiny.service.library.model
    end = model.tokenizer.eos_token_id
    for text in ("a<|end|>b", "<|user|>"):
        reply = tiny.client.completions.create(model="base", prompt=text, max_tokens=1)
        assert reply.usage.prompt_tokens == len(text)
        roles = ("system", "user", "assistant", "user")
        turns = [{"role": role, "content": text} for role in roles]
        told = tiny.client.chat.completions.create(model="base", messages=turns, max_tokens=1)
        assert told.usage.prompt_tokens == 4 * (len(text) + 2)
    assert end not in model.tokenizer("a", add_special_tokens=False)["input_ids"]


def test_what_is_not_done_is_refused_and_never_ignored(tiny):
    for more in (
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"response_format": {"type": "json_object"}},
        {"frequency_penalty": 1.0},
        {"logit_bias": {"5": 1.0}},
        {"temperature": -1.0},
        {"max_tokens": 10**6},
        {"n": 1000},
    ):
        with pytest.raises((openai.BadRequestError, openai.UnprocessableEntityError)):
            chat(tiny.client, "Hello", **{"max_tokens": 2, **more})


def test_likeliest_tokens_are_refused_without_log_probabilities(tiny):
    for more in ({}, {"logprobs": False}, {"stream": True}):
        with pytest.raises(openai.BadRequestError, match="top_logprobs"):
            chat(tiny.client, "Hello", max_tokens=2, top_logprobs=2, **more)


def test_a_client_that_goes_away_leaves_the_batch(tiny):
    stream = chat(tiny.client, "on and on", max_tokens=1500, stream=True)
    next(iter(stream))
    assert tiny.service.engine.load[0] == 1
    stream.close()
    with pytest.raises(openai.APITimeoutError):
        chat(tiny.client.with_options(timeout=0.3), "on and on", max_tokens=1500)
    end = time.monotonic() + 60
    while any(tiny.service.engine.load) and time.monotonic() < end:
        time.sleep(0.02)
    assert tiny.service.engine.load == (0, 0)


def test_many_at_once_are_answered_as_one_by_one(tiny):
    texts = [f"Question {n}?" for n in range(8)]
    alone = [chat(tiny.client, text, max_tokens=15).choices[0].message.content for text in texts]
    got = {}

    def one(n):
        got[n] = chat(tiny.client, texts[n], max_tokens=15).choices[0].message.content

    threads = [threading.Thread(target=one, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [got[n] for n in range(8)] == alone
