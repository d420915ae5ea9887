"""Replies that are held to a regular expression, and their neighbours, which are not."""

from __future__ import annotations

import re
import sys
from importlib.util import find_spec

import pytest
import torch

from selfedit.algorithms.gradient import First, Watched
from selfedit.algorithms.grpo import GRPO
from selfedit.config import (
    AlgorithmSettings,
    LoraSettings,
    PolicySettings,
    SamplingSettings,
    TrainSettings,
    stable_hash,
)
from selfedit.domains.arc.edit_pattern import LONGEST_MATCH, pattern
from selfedit.domains.arc.self_edit import parse_self_edit
from selfedit.domains.arc.settings import ArcBounds
from selfedit.endpoints.writer import EndpointWriter
from selfedit.errors import InputError
from selfedit.loops.sampler import asked_as
from selfedit.model.constrained import Constraint, Excluding
from selfedit.model.generate import ending_tokens
from selfedit.types import Prompt, Sample, TrainingPlan, TrainingSequence
from tests.sampled import texts

needs_llguidance = pytest.mark.skipif(
    find_spec("llguidance") is None, reason='needs pip install "selfedit[constrained]"'
)
EDIT = Prompt("edit", pattern=pattern(), max_new_tokens=LONGEST_MATCH)
WORDS = "(yes|no|perhaps)"


def sampling(temperature, top_p=1.0, tokens=20):
    return SamplingSettings(temperature=temperature, top_p=top_p, max_new_tokens=tokens)


@needs_llguidance
@pytest.mark.parametrize(("temperature", "top_p"), [(0, 1.0), (1.0, 1.0), (1.0, 0.95), (30.0, 1.0)])
def test_every_constrained_self_edit_is_valid(tiny, temperature, top_p):
    replies = texts(tiny.sample([EDIT] * 12, sampling(temperature, top_p), list(range(12))))
    assert len({parse_self_edit(reply) for reply in replies}) > (1 if temperature else 0)


@needs_llguidance
def test_constrained_self_edits_keep_to_bounds(tiny):
    bounds = ArcBounds(rate_bounds=(1e-5, 1e-2), epoch_bounds=(1, 3))
    asked = [Prompt("edit", pattern=pattern(bounds), max_new_tokens=LONGEST_MATCH)] * 12
    replies = texts(tiny.sample(asked, sampling(1.0), list(range(12))))
    assert len({parse_self_edit(reply, bounds) for reply in replies}) > 1


@needs_llguidance
@pytest.mark.parametrize("temperature", [0.7, 0])
def test_log_probabilities_are_among_what_the_pattern_allows(tiny, temperature):
    """The slow way: a forward pass over each reply, and what the pattern excludes at each place."""
    prompts = [EDIT, Prompt("a", pattern=WORDS), Prompt("b", pattern="(.|\\n)+"), Prompt("c")]
    replies = tiny.sample(prompts, sampling(temperature), list(range(4)), logprobs=True)
    read = tiny.sample_logprobs(
        [Sample(prompt, own, 0.0) for prompt, own in zip(prompts, replies, strict=True)],
        temperature or 1.0,
    )
    stops = ending_tokens(tiny.hf, tiny.tokenizer)
    vocabulary = tiny.decoder.head.vocabulary
    certain = 0
    for prompt, reply, again in zip(prompts, replies, read, strict=True):
        before = tiny.render(prompt).ids
        logits_SV = tiny.hf(torch.tensor([[*before, *reply.tokens]])).logits[0, len(before) - 1 : -1]
        pattern = prompt.pattern
        own = Constraint(pattern, tiny.tokenizer, vocabulary, sorted(stops)) if pattern else None
        expected = []
        for logits_V, token in zip(logits_SV / (temperature or 1.0), reply.tokens, strict=True):
            allowed = own.allowed(vocabulary) if own else torch.ones(vocabulary, dtype=torch.bool)
            certain += int(allowed.sum() == 1)
            expected.append(float(logits_V[token] - logits_V[allowed].logsumexp(0)))
            if own and token not in stops:
                own.take(token)
        assert reply.logprobs == pytest.approx(expected, abs=1e-9)
        assert again == pytest.approx(expected, abs=1e-9)
    assert certain > 10


@needs_llguidance
def test_texts_that_are_not_of_the_pattern_are_free(tiny):
    """A text of which the tokens are not known may be cut otherwise, or end with a space too few."""
    excluding = Excluding(tiny.tokenizer, tiny.decoder.head.vocabulary, {0})
    yes = tiny.tokenizer("yes", add_special_tokens=False)["input_ids"]
    other = tiny.tokenizer("yet", add_special_tokens=False)["input_ids"]
    held = excluding.of(WORDS, [*yes, *other])
    assert all(own is not None for own in held[: len(yes)])
    assert held[len(yes) :] == (None,) * len(other)
    assert excluding.of(WORDS, other[-1:]) == (None,)
    assert all(a is b for a, b in zip(held, excluding.of(WORDS, yes), strict=False)), "shared"


@needs_llguidance
def test_what_was_not_chosen_teaches_nothing(tiny):
    """A pattern of one text: its tokens are certain before and after, whatever they earned."""
    prompt = Prompt("a", pattern="certainly")
    (reply,) = tiny.sample([prompt], sampling(1.0), [0], logprobs=True)
    assert reply.logprobs == pytest.approx([0.0] * len(reply.tokens), abs=1e-9)
    own = AlgorithmSettings(name="grpo")
    grpo = GRPO(own, PolicySettings(), sampling(1.0), 0, First("tiny-0", lambda: None))
    samples = [Sample(prompt, reply, 1.0), Sample(prompt, reply, -0.5)]
    bank, record = tiny.reinforce(
        samples, Watched(grpo.loss, 1.0, None), LoraSettings(rank=2), TrainSettings(epochs=2), 0
    )
    assert not record.failure
    for target in bank.targets:
        up = bank._views(bank.weights_KP, target)[1]
        assert float(up.abs().max()) <= 1e-12


@needs_llguidance
@pytest.mark.parametrize("temperature", [0, 1.0])
def test_neighbours_do_not_notice(tiny, temperature):
    free = [Prompt("a"), Prompt("a longer one")]
    alone = tiny.sample(free, sampling(temperature), [5, 6])
    held = [Prompt("a", pattern=WORDS), Prompt("what?", pattern="[0-9]{3}")]
    together = tiny.sample([free[0], held[0], free[1], held[1]], sampling(temperature), [5, 5, 6, 7])
    assert [together[0], together[2]] == alone
    assert re.fullmatch(WORDS, together[1].text)
    assert re.fullmatch("[0-9]{3}", together[3].text)
    assert together[1] == tiny.sample([held[0]], sampling(temperature), [5])[0]


@needs_llguidance
def test_an_adapter_chooses_among_what_is_allowed(tiny):
    """It has learned to say no, which is allowed, and to say never, which is not."""
    said = (("really?", "no"), ("when?", "never"))
    plan = TrainingPlan(tuple(TrainingSequence(text, prompt=Prompt(ask)) for ask, text in said))
    lora = LoraSettings(rank=8, alpha=16, layers="all")
    bank, _ = tiny.train([plan], lora, TrainSettings(epochs=120, learning_rate=1e-2), [0])
    asked = [Prompt(ask, pattern=WORDS) for ask, _ in said] + [Prompt(ask) for ask, _ in said]
    replies = tiny.sample(asked, sampling(0), [0] * 4, adapters=bank, owners=[0] * 4)
    assert texts(replies) == ["no", "no", "no", "never"]


@needs_llguidance
def test_a_reply_may_end_wherever_it_matches(tiny):
    """Not at its longest alone, and never where it does not match."""
    asked = [Prompt("a", pattern="[a-z]{2,60}")] * 40
    replies = tiny.sample(asked, sampling(1.0, tokens=60), list(range(40)))
    lengths = {len(text) for text in texts(replies)}
    assert min(lengths) >= 2
    assert len(lengths) > 5


@needs_llguidance
def test_what_is_no_expression(tiny):
    for own in ("(", "\ud800"):
        with pytest.raises(InputError, match="cannot be made to match"):
            tiny.sample([Prompt("a", pattern=own)], sampling(0), [0])


def test_without_the_package(tiny, monkeypatch):
    monkeypatch.setitem(sys.modules, "llguidance", None)
    assert len(tiny.sample([Prompt("a")], sampling(0), [0])) == 1
    with pytest.raises(InputError, match=re.escape("selfedit[constrained]")):
        tiny.sample([EDIT], sampling(0), [0])


def test_texts_of_prompts_without_a_pattern_are_found_again():
    """What was written before there were patterns keeps its key; a pattern has keys of its own."""
    assert asked_as(Prompt("a", prefix="b")) == ["a", "instruction", "b"]
    said = (("x", "y"),)
    assert asked_as(Prompt("a", turns=said, max_new_tokens=5)) == ["a", "instruction", "", said, 5]
    kinds = [Prompt("a"), EDIT, Prompt("edit"), Prompt("edit", pattern=WORDS)]
    assert len({stable_hash(asked_as(prompt)) for prompt in kinds}) == 4


def test_an_endpoint_is_not_asked_for_what_it_cannot_do():
    with pytest.raises(InputError, match="leave out --constrained"):
        EndpointWriter().write([EDIT], sampling(0), [0])
