"""Training sequences as tokens: what they are, and that a text is tokenised once on its way."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from selfedit.config import InnerSettings, LoraSettings, TrainSettings
from selfedit.domains.knowledge import Knowledge
from selfedit.domains.knowledge.settings import KnowledgeSettings
from selfedit.loops.inner import run_trials
from selfedit.lora.sequences import TokenSequence
from selfedit.model.encoding import Encoder
from selfedit.model.language_model import LanguageModel
from selfedit.model.prompts import render
from selfedit.types import Prompt, Query, SelfEdit, Task, TrainingSequence


class Counting:
    """A tokenizer that counts which texts it is given."""

    def __init__(self, tokenizer) -> None:
        self._tokenizer, self.texts = tokenizer, Counter()

    def __call__(self, text, **options):
        self.texts[text] += 1
        return self._tokenizer(text, **options)

    def __getattr__(self, name):
        return getattr(self._tokenizer, name)


@pytest.fixture
def counting(tiny):
    tokenizer = Counting(tiny.tokenizer)
    return LanguageModel(tiny.hf, tokenizer, name="tiny", revision="tiny-0", form="chat")


def test_a_text_is_tokenised_once_on_its_way_into_an_adapter(counting):
    """Its length, the plan of the waves, their memory, two seeds of training: all ask for it."""
    facts = ("The heron is blue.", "The heron eats eels.")
    task = Task("t", "Herons", " ".join(facts), (Query("What does the heron eat?", ("eels",)),))
    edits = [
        SelfEdit("t", i, (), (f"Blue is the heron.\nEels are what it eats, {word}.",))
        for i, word in enumerate(("too", "always"))
    ]
    settings = InnerSettings(
        lora=LoraSettings(rank=2), train=TrainSettings(epochs=1), seeds=2, candidates=2
    )
    domain = Knowledge(KnowledgeSettings(strategy="rewrite", faithful=False))
    trials = run_trials(counting, domain, [(task, edit) for edit in edits], settings)
    assert [trial.status for trial in trials] == ["scored"] * 4
    texts = {s.text for edit in edits for s in domain.parse(task, edit).sequences}
    assert len(texts) >= 4
    assert {text: counting.tokenizer.texts[text] for text in texts} == dict.fromkeys(texts, 1)


PROMPT = Prompt("Who?", turns=(("Hi", "Ho"),))


@pytest.mark.parametrize(
    "sequence",
    [
        TrainingSequence("Ada wrote it."),
        TrainingSequence("Ada wrote it.", ends=True),
        TrainingSequence("Ada", PROMPT),
        TrainingSequence("Ada", PROMPT, "replies"),
        TrainingSequence("Ada", PROMPT, "all"),
    ],
)
@pytest.mark.parametrize("most", [8, 1024])
def test_tokens_and_lengths(tiny, sequence, most):
    tokenizer, end = tiny.tokenizer, tiny.tokenizer.eos_token_id
    text = tokenizer(sequence.text, add_special_tokens=False)["input_ids"]
    if sequence.prompt is None:
        whole = [*text, end] if sequence.ends else text
        expected = TokenSequence(tuple(whole[:most]))
    else:
        prompt = tiny.render(sequence.prompt)
        whole = [*prompt.ids, *text, end]
        reply = (len(prompt.ids), min(most, len(whole)))
        spans = {"reply": (reply,), "replies": (*prompt.replies, reply)}
        expected = TokenSequence(tuple(whole[:most]))
        if sequence.supervise != "all":
            expected = TokenSequence(tuple(whole[:most]), spans[sequence.supervise])
    for _ in range(2):  # tokenised, and kept
        assert tiny.encode(sequence, most) == expected
        assert tiny.sequence_tokens(sequence) == len(whole)


def test_what_is_kept_is_bounded_and_the_latest_stay(tiny):
    encoder = Encoder(tiny.tokenizer, tiny.render, at_hand=25)
    first, second, third = (TrainingSequence(letter * 10) for letter in "abc")
    for sequence in (first, second, first, third, first):
        encoder.encode(sequence, 5)
    assert encoder.tokenised == 3
    encoder.encode(second, 5)  # pushed out by the third
    assert encoder.tokenised == 4
    encoder.encode(TrainingSequence("d" * 100), 5)  # larger than the bound: kept alone
    assert encoder.length(TrainingSequence("d" * 100)) == 100
    assert encoder.tokenised == 5


def test_a_beginning_of_the_tokenizers_own_is_no_part_of_the_length(tiny):
    from tokenizers.processors import TemplateProcessing

    from selfedit.model.tiny import byte_tokenizer

    tokenizer = byte_tokenizer()
    tokenizer._tokenizer.post_processor = TemplateProcessing(
        single="<|user|> $A", special_tokens=[("<|user|>", tokenizer.convert_tokens_to_ids("<|user|>"))]
    )
    encoder = Encoder(tokenizer, tiny.render)
    assert len(encoder.encode(TrainingSequence("Ada"), 99).ids) == 4
    assert encoder.length(TrainingSequence("Ada")) == 3


@pytest.mark.parametrize("form", ["chat", "plain"])
def test_behind_a_prefix_a_reply_begins_as_it_was_sampled(tiny, form):
    encoder = Encoder(tiny.tokenizer, lambda prompt: render(tiny.tokenizer, prompt, form))
    prompt = Prompt("Ask about the mill.", prefix="Question 1:")
    begun = render(tiny.tokenizer, prompt, form).ids
    own = encoder.encode(TrainingSequence("Who runs it?", prompt), 512)
    assert own.ids[: len(begun)] == begun
    assert own.spans == ((len(begun), len(own.ids)),)
    said = tiny.tokenizer.decode(own.ids[len(begun) :], skip_special_tokens=True)
    assert said == " Who runs it?"
    bare = replace(prompt, prefix="")
    start = len(render(tiny.tokenizer, bare, form).ids)
    alone = encoder.encode(TrainingSequence("Who runs it?", bare), 512).ids[start:]
    assert tiny.tokenizer.decode(alone, skip_special_tokens=True) == "Who runs it?"
