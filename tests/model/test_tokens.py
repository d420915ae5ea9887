"""One beginning for every text, whatever tokenizer and template are like; no thoughts in prompts."""

from __future__ import annotations

import pytest
from tokenizers.processors import TemplateProcessing

from selfedit.config import SamplingSettings
from selfedit.grading import GRADERS, grade
from selfedit.model.language_model import LanguageModel
from selfedit.model.tiny import byte_tokenizer
from selfedit.types import Prompt, Query, TrainingPlan, TrainingSequence

TURNS = (("Hi", "Ho"),)


def with_bos(adds, template):
    """A tokenizer with a BOS. adds: puts it before texts; template: before conversations."""
    tokenizer = byte_tokenizer()
    tokenizer.add_special_tokens({"bos_token": "<|user|>x"})  # not one of the turns' own
    if adds:
        single = "<|user|>x $A <|end|>" if adds == "both ends" else "<|user|>x $A"
        ids = [("<|user|>x", tokenizer.bos_token_id), ("<|end|>", tokenizer.eos_token_id)]
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
            single=single, special_tokens=ids
        )
    if template:
        tokenizer.chat_template = "{{ bos_token }}" + tokenizer.chat_template
    return tokenizer


@pytest.mark.parametrize("adds", [True, "both ends", False])
@pytest.mark.parametrize("template", [True, False])
@pytest.mark.parametrize("form", ["chat", "plain"])
def test_one_bos_in_prompts_and_training_texts_alike(tiny, adds, template, form):
    tokenizer = with_bos(adds, template)
    model = LanguageModel(tiny.hf, tokenizer, name="tiny", revision="tiny-0", form=form)
    expected = [tokenizer.bos_token_id] if adds or template else []
    prompt = Prompt("Who?", turns=TURNS, kind="question")
    fact, reply = TrainingSequence("A fact.", ends=True), TrainingSequence("Ada", prompt)
    for ids in (model.render(prompt).ids, *(model.encode(s, 64).ids for s in (fact, reply))):
        assert [i for i in ids if i == tokenizer.bos_token_id] == expected
        assert list(ids[: len(expected)]) == expected
    assert model.encode(fact, 64).ids.count(tokenizer.eos_token_id) == 1
    assert model.sequence_tokens(fact) == len("A fact.") + 1


def test_a_bos_before_every_turn_is_no_beginning(tiny):
    """As SmolLM 2's: texts have none, as ever."""
    tokenizer = byte_tokenizer()
    tokenizer.add_special_tokens({"bos_token": "<|user|>"})
    model = LanguageModel(tiny.hf, tokenizer, name="tiny", revision="tiny-0", form="chat")
    assert tokenizer.bos_token_id not in model.encode(TrainingSequence("A fact."), 64).ids


@pytest.mark.parametrize(
    ("ending", "expected"),
    [
        (
            "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n"
            "{% else %}<think>\n{% endif %}",
            "<think>\n\n</think>\n\n",
        ),
        ("{% if thinking is defined and not thinking %}{% else %}<think>{% endif %}", ""),
        ("<think>\n", "<think>\n\n</think>\n\n"),  # begins a thought whatever it is asked
        ("[THINK]", "[THINK]\n[/THINK]\n\n"),
        ("<|start|>assistant", "<|start|>assistant<|channel|>final<|message|>"),
    ],
)
def test_models_that_think_first_are_asked_not_to(tiny, ending, expected):
    tokenizer = byte_tokenizer()
    tokenizer.chat_template += "{% if add_generation_prompt %}" + ending + "{% endif %}"
    model = LanguageModel(tiny.hf, tokenizer, name="tiny", revision="tiny-0", form="chat")
    for prefix in ("", "It is"):
        text = tokenizer.decode(model.render(Prompt("Who?", prefix=prefix)).ids)
        assert text == f"<|user|>Who?<|end|>{expected}{prefix}"


@pytest.mark.parametrize("grader", GRADERS)
@pytest.mark.parametrize(
    ("answer", "correct"),
    [
        ("<think>\n\n</think>\n\nJory Pask", True),
        ("<think>Jory Pask? No.</think>Ida Voss", False),
        ("<think>It may be Jory Pask, or", False),
        ("Could it be Jory Pask? No.\n</think>\n\nIda Voss", False),
        ("Surely not Ida Voss.\n</think>\n\nJory Pask", True),
        ("[THINK]Ida Voss?[/THINK]Jory Pask", True),
    ],
)
def test_a_thought_is_never_graded(grader, answer, correct):
    query = Query("Who is the miller?", ("Jory Pask",))
    assert grade(query, answer, GRADERS[grader]).correct == correct


def test_an_answer_that_names_a_tag_is_an_answer():
    query = Query("What ends a thought?", ("</think>",))
    assert grade(query, "It is </think>.", GRADERS["contains"]).correct
    assert grade(Query("What begins one?", ("<think>",)), "<think>", GRADERS["exact"]).answer


def test_a_model_without_eos_and_pad_token_writes_and_learns(tiny):
    import copy

    tokenizer, hf = byte_tokenizer(), copy.deepcopy(tiny.hf)
    tokenizer.eos_token = tokenizer.pad_token = None
    hf.config.eos_token_id = hf.generation_config.eos_token_id = None
    model = LanguageModel(hf, tokenizer, name="tiny", revision="tiny-0", form="chat")
    reply = TrainingSequence("Ada", Prompt("Who?"))
    assert model.encode(reply, 64).ids[-1] == tokenizer("a")["input_ids"][0]
    assert not model.sample([Prompt("Who?")], SamplingSettings(max_new_tokens=2), [0])[0].ended
    hf.config.eos_token_id = 5  # the model knows what its tokenizer does not
    model = LanguageModel(hf, tokenizer, name="tiny", revision="tiny-0", form="chat")
    assert model.encode(reply, 64).ids[-1] == 5


def test_a_template_that_refuses_a_system_role_is_never_given_one(tiny):
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = (
        "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
        + tokenizer.chat_template
    )
    model = LanguageModel(tiny.hf, tokenizer, name="tiny", revision="tiny-0", form="chat")
    plan = TrainingPlan((TrainingSequence("Ada", Prompt("Who?", turns=TURNS)),))
    assert all(model.encode(sequence, 64).ids for sequence in plan.sequences)


LLAMA = (
    "{%- if not date_string is defined %}{%- if strftime_now is defined %}"
    "{%- set date_string = strftime_now('%d %b %Y') %}{%- else %}{%- set date_string = '26 Jul 2024' %}"
    "{%- endif %}{%- endif %}Today Date: {{ date_string }}\n"
)
GPT_OSS = (
    "{%- macro system() %}{{ 'Current date: ' + strftime_now('%Y-%m-%d') + ', ' }}{% endmacro %}"
    "{{ system() }}{{ strftime_now('%d')|int - 1 }}\n"  # as Mistral finds yesterday's
)


@pytest.mark.parametrize(
    ("beginning", "expected"),
    [(LLAMA, "Today Date: 26 Jul 2024\n"), (GPT_OSS, "Current date: 2024-07-26, 25\n")],
)
def test_a_prompt_is_the_same_on_any_day(tiny, beginning, expected):
    tokenizer = byte_tokenizer()
    without = LanguageModel(tiny.hf, tokenizer, name="tiny", revision="tiny-0", form="chat").identity
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = own = beginning + tokenizer.chat_template
    model = LanguageModel(tiny.hf, tokenizer, name="tiny", revision="tiny-0", form="chat")
    text = tokenizer.decode(model.render(Prompt("Who?")).ids)
    assert text.startswith(expected)
    assert "Who?" in text
    assert tokenizer.chat_template == own, "a folder that is saved keeps the model's template"
    assert "one date" in model.identity[-1]
    assert "one date" not in str(without)
