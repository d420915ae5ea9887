"""The batching engine writes what `generate` writes for each text alone, whoever shares the batch."""

from __future__ import annotations

import queue
import threading

import pytest
import torch

from selfedit.config import LoraSettings, SamplingSettings
from selfedit.forward.linear import frozen_linears
from selfedit.forward.slots import takes_slots
from selfedit.lora.bank import AdapterBank
from selfedit.lora.combine import combined
from selfedit.model.prompts import Rendered
from selfedit.model.slot_batch import SlotBatch
from selfedit.model.tiny import tiny_model
from selfedit.serve.batching import Batching
from selfedit.serve.engine import Ask, Busy
from selfedit.serve.one_by_one import answered
from selfedit.serve.voices import Speaker
from selfedit.types import Prompt


@pytest.fixture(scope="module")
def model():
    return tiny_model()


def adapter(model, seed, rank=4):
    """A random adapter that changes what is written."""
    settings = LoraSettings(rank=rank, alpha=2.0 * rank, layers="all")
    bank = AdapterBank(model.hf, settings, [seed], num_layers=model.num_layers)
    draw = torch.Generator().manual_seed(seed)
    noise = torch.rand(bank.weights_KP.shape, generator=draw, dtype=bank.weights_KP.dtype)
    bank.weights_KP += 0.4 * (noise - 0.5)
    return bank


@pytest.fixture(scope="module")
def speakers(model):
    """The bare model and adapters of two shapes."""
    banks = [adapter(model, 1), adapter(model, 2), adapter(model, 3, rank=8)]
    return [Speaker(model), *(Speaker(model, f"v{n}", bank) for n, bank in enumerate(banks))]


@pytest.fixture
def engine(model):
    engine = Batching(model.twin(), rows=4)
    yield engine
    engine.close()


def ask(speaker, text, max_tokens=12, **more):
    ids = tuple(b % 250 for b in text.encode())
    return Ask(speaker, Prompt(text), ids, max_tokens, **more)


def written(engine, asks, seconds=60):
    """Each ask's pieces, all of them submitted at once."""
    done = [queue.Queue() for _ in asks]
    with engine._changed:  # none is begun before the last one waits
        for one, own in zip(asks, done, strict=True):
            engine.submit(one, own.put)
    found = []
    for own in done:
        pieces = [own.get(timeout=seconds)]
        while pieces[-1].finish is None and pieces[-1].error is None:
            pieces.append(own.get(timeout=seconds))
        found.append(pieces)
    return found


def text_of(pieces):
    assert pieces[-1].error is None, pieces[-1].error
    return "".join(piece.text for piece in pieces)


def test_rows_in_slots_have_the_logits_that_each_has_alone(model, speakers):
    """float64: to 1e-9, with rows that join, leave and read on beside others, under three adapters."""
    assert takes_slots(model.decoder)
    banks = [speaker.adapters for speaker in speakers[1:3]]
    bank = combined(banks, [{0: 1.0}, {1: 1.0}], num_layers=model.num_layers)
    texts = [list(range(5, 30)), list(range(40, 47)), list(range(90, 130))]
    owners = [1, None, 0]

    def alone(text, owner):
        if owner is None:
            return model.decoder.head.logits(model.decoder.hidden([text])[-1:])[0]
        with bank.attached():
            bank.route([owner], [len(text)])
            return model.decoder.head.logits(model.decoder.hidden([text])[-1:])[0]

    wanted = [alone(text, owner) for text, owner in zip(texts, owners, strict=True)]
    batch = SlotBatch(model.decoder)
    with torch.inference_mode():
        batch.use(bank)
        for _ in texts:
            batch.add()
        batch.feed(0, [texts[0][:20], texts[1][:3]], owners[:2])
        batch.feed(2, [texts[2][:39]], owners[2:])
        batch.swap(0, 2)
        kept = batch.keep(1, texts[1][:3])
        batch.move(2, 1)  # the second row has ended
        batch.drop_last()
        place = batch.add(kept, 3)
        got = batch.feed(
            0, [texts[2][39:], texts[0][20:], texts[1][3:]], [owners[2], owners[0], owners[1]]
        )
        batch.use(None)
    assert place == 2
    for mine, own in zip(got, (wanted[2], wanted[0], wanted[1]), strict=True):
        assert torch.allclose(mine, own, rtol=0, atol=1e-9)


def test_texts_are_those_of_generate_one_by_one(engine, speakers):
    """More texts than rows, of all adapters, greedy and sampled, with stops and limits."""
    asks = [
        ask(
            speakers[n % 4],
            f"{n} {'Tell me more. ' * (n % 3)}What is it?",
            max_tokens=3 + 5 * (n % 4),
            temperature=0.0 if n % 2 else 0.8,
            top_p=1.0 if n % 3 else 0.9,
            seed=n,
            stops=("e", "xyz") if n % 5 == 0 else (),
        )
        for n in range(14)
    ]
    found = written(engine, asks)
    reference = [answered(one) for one in asks]
    assert [text_of(pieces) for pieces in found] == [piece.text for piece in reference]
    assert [pieces[-1].finish for pieces in found] == [piece.finish for piece in reference]
    assert len({piece.text for piece in reference}) > 8
    assert engine.load == (0, 0)


def test_a_long_prompt_is_read_in_parts_while_others_write(engine, model, speakers):
    engine._read_tokens = 16
    long = ask(speakers[1], "word " * 40, max_tokens=4)
    short = [ask(speakers[n], f"short {n}", max_tokens=20) for n in range(3)]
    found = written(engine, [short[0], long, *short[1:]])
    wanted = [answered(one).text for one in (short[0], long, *short[1:])]
    assert [text_of(pieces) for pieces in found] == wanted


def test_a_beginning_is_read_once_for_each_adapter(engine, speakers):
    first = ask(speakers[1], "The same long beginning of all. One?")
    again = ask(speakers[1], "The same long beginning of all. Two?")
    other = ask(speakers[2], "The same long beginning of all. Two?")
    texts = []
    for one, hits in ((first, 0), (again, 1), (other, 1)):
        texts.append(text_of(written(engine, [one])[0]))
        assert engine.prefix_hits == hits
    assert texts == [answered(one).text for one in (first, again, other)]


def test_log_probabilities_are_the_models_own(engine, model, speakers):
    one = ask(speakers[1], "What is it?", max_tokens=5, top=3)
    tokens = [token for piece in written(engine, [one])[0] for token in piece.tokens]
    speaker = one.speaker
    sampling = SamplingSettings(temperature=0.0, top_p=1.0, max_new_tokens=5)
    (done,) = model.writing.write(
        [Rendered(one.ids)], sampling, [0], bank=speaker.adapters, owners=[0], logprobs=True
    )
    assert [token.logprob for token in tokens] == pytest.approx(list(done.logprobs), abs=1e-9)
    assert all(token.top[0] == (token.text, token.logprob) for token in tokens)
    assert all(len(token.top) == 3 for token in tokens)


def test_a_cancelled_text_leaves_the_batch_and_the_others_go_on(engine, speakers):
    told = threading.Event()
    long = engine.submit(ask(speakers[0], "on and on", max_tokens=1000), lambda piece: told.set())
    beside = ask(speakers[1], "beside", max_tokens=30)
    got = queue.Queue()
    engine.submit(beside, got.put)
    assert told.wait(60)
    long.cancel()
    pieces = [got.get(timeout=60)]
    while pieces[-1].finish is None:
        pieces.append(got.get(timeout=60))
    assert text_of(pieces) == answered(beside).text
    text_of(written(engine, [ask(speakers[2], "after")])[0])
    assert engine.load == (0, 0)


def test_too_many_that_wait_are_refused(model, speakers):
    engine = Batching(model.twin(), rows=1, most_waiting=1)
    told, go_on = threading.Event(), threading.Event()

    def tell(piece):
        told.set()
        go_on.wait(60)

    try:
        first = engine.submit(ask(speakers[0], "1", max_tokens=500), tell)
        assert told.wait(60)
        second = engine.submit(ask(speakers[0], "2", max_tokens=500), lambda piece: None)
        third = ask(speakers[0], "3")
        with pytest.raises(Busy, match="1 requests wait"):
            engine.submit(third, lambda piece: None)
        first.cancel()
        second.cancel()
    finally:
        go_on.set()
        engine.close()


def test_out_of_memory_ends_the_newest_text_and_no_other(engine, speakers, monkeypatch):
    feed = SlotBatch.feed

    def scarce(batch, first, tokens, owners):
        if len(batch.length) > 2:
            raise torch.OutOfMemoryError("out of memory")
        return feed(batch, first, tokens, owners)

    monkeypatch.setattr(SlotBatch, "feed", scarce)
    asks = [ask(speakers[n], f"number {n}", max_tokens=25) for n in range(4)]
    found = written(engine, asks)
    errors = [pieces[-1].error for pieces in found]
    assert errors[:2] == [None, None]
    assert "memory" in str(errors[3])
    assert [text_of(pieces) for pieces in found[:2]] == [answered(one).text for one in asks[:2]]


def test_a_long_text_waits_where_every_slot_would_be_as_long(engine, model, speakers):
    """Slots are as long as the longest text: one more long text may cost more than there is."""
    asks = [ask(speakers[n], f"number {n}", max_tokens=12) for n in range(3)]
    long = ask(speakers[0], "word " * 60, max_tokens=4)
    row = engine._footprint.answer_row(0, 64)
    engine._budget = 8 * row  # three short texts, and the spare ones
    seen = []
    feed = SlotBatch.feed
    with pytest.MonkeyPatch.context() as patched:

        def watched(batch, first, tokens, owners):
            logits = feed(batch, first, tokens, owners)
            seen.append((len(batch.length), batch._layers[0].slots * batch._layers[0].room))
            return logits

        patched.setattr(SlotBatch, "feed", watched)
        found = written(engine, [*asks, long])
    assert [text_of(pieces) for pieces in found] == [answered(one).text for one in [*asks, long]]
    assert max(rows for rows, _ in seen) == 3
    assert max(room for rows, room in seen if rows > 1) <= 8 * 64
    assert seen[-1][0] == 1


def test_room_is_given_back_when_a_long_row_has_left(model):
    batch = SlotBatch(model.decoder)
    with torch.inference_mode():
        for _ in range(2):
            batch.add()
        batch.feed(0, [list(range(5, 9)), [7] * 900], [None, None])
        held = batch._layers[0].room
        batch.drop_last()
        batch.feed(0, [[7]], [None])
        logits = batch.feed(0, [[8]], [None])
        alone = SlotBatch(model.decoder)
        alone.add()
        wanted = alone.feed(0, [[*range(5, 9), 7, 8]], [None])
    assert (held, batch._layers[0].room) == (960, 64)
    assert torch.allclose(logits, wanted, rtol=0, atol=1e-9)


def test_one_row_and_many_agree_in_float32_and_leave_the_modules_as_they_were():
    """One or two rows take other products than many."""
    model = tiny_model(dtype="float32")
    frozen = frozen_linears(model.hf)
    assert frozen
    with torch.inference_mode():
        batches = [SlotBatch(model.decoder) for _ in range(2)]
        for _ in range(4):
            batches[1].add()
        batches[0].add()
        for token in (5, 6, 7):
            alone = batches[0].feed(0, [[token]], [None])
            many = batches[1].feed(0, [[token]] * 4, [None] * 4)
            assert torch.allclose(alone.expand(4, -1), many, rtol=0, atol=1e-4)
    assert frozen_linears(model.hf) == frozen
