"""Prompts, questions and scores of the knowledge domain, and the quiz that a model writes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfedit.domains.knowledge import (
    Knowledge,
    is_fair_question,
    open_book,
    parse_question,
    question_prompts,
    worth_asking,
)
from selfedit.domains.knowledge.self_quiz import _parts
from selfedit.domains.knowledge.settings import KnowledgeSettings, Strategy
from selfedit.domains.knowledge.strategies import TEMPLATES, fill
from selfedit.grading import GRADERS, fitted, grade
from selfedit.seams import Domain
from selfedit.types import Prompt, Query, Task

TASK = Task(
    "t",
    "The Kestrel",
    "The kestrel hovers {context} over {} fields.\nIt eats voles. Dr. Hale counted 31 nests. Yes.",
    (Query("What does it eat?", ("voles", "mice")), Query("How many?", ("31",), "Nests")),
)


def test_it_is_a_domain() -> None:
    domain: Domain = Knowledge()
    assert domain.prompts(TASK)


def test_every_strategy_has_an_instruction() -> None:
    assert {*TEMPLATES, "directed"} == set(get_args(Strategy))  # its template depends on the bounds
    for strategy in get_args(Strategy):
        for prompt in Knowledge(KnowledgeSettings(strategy=strategy)).prompts(TASK):
            assert prompt.kind == "instruction"
            assert strategy == "sentences" or f"The Kestrel\n{TASK.context}" in prompt.text
    assert Knowledge(KnowledgeSettings(strategy="none")).prompts(TASK) == (
        Prompt(f"The Kestrel\n{TASK.context}"),
    )


def test_one_prompt_a_sentence_and_restatement() -> None:
    prompts = Knowledge(KnowledgeSettings(restatements=2)).prompts(TASK)
    assert len(prompts) == 6  # "Yes." cannot be restated
    assert prompts[:3] == prompts[3:]
    ends = [prompt.text.rsplit("\n", 1)[1] for prompt in prompts[:3]]
    assert ends == [
        "The kestrel hovers {context} over {} fields.",
        "It eats voles.",
        "Dr. Hale counted 31 nests.",
    ]
    # Only the sentence that does not say what it is about is given the title.
    assert ["The Kestrel" in prompt.text for prompt in prompts[:3]] == [False, True, False]
    assert Knowledge().prompts(Task("t", "T", "Yes."))  # too short, but all there is


def test_own_prompt() -> None:
    def prompts(text: str, strategy: Strategy = "implications") -> tuple[Prompt, ...]:
        return Knowledge(KnowledgeSettings(strategy=strategy, prompt_text=text)).prompts(TASK)

    assert prompts("{title}! {x} {0} {context} {title}")[0].text == (
        f"The Kestrel! {{x}} {{0}} {TASK.context} The Kestrel"
    )
    assert prompts("Say it again.\n") == (Prompt(f"Say it again.\n\n{TASK.context}"),)
    assert prompts("Ask.", "self-qa")[0].prefix == ""  # an own form has its own beginning
    assert prompts("Say: {context}", "sentences")[1].text == "Say: It eats voles."


def test_a_title_with_braces_is_not_filled_again() -> None:
    assert fill("{title}: {context}", "{context}", "{title}") == "{context}: {title}"


def test_questions_and_topics() -> None:
    assert Knowledge().queries(TASK) == (
        Prompt("What does it eat?", kind="question"),
        Prompt("How many?", kind="question"),
    )
    texts = [prompt.text for prompt in Knowledge(KnowledgeSettings(topic=True)).queries(TASK)]
    assert texts == ["Topic: The Kestrel\nWhat does it eat?", "Topic: Nests\nHow many?"]


def test_score() -> None:
    score = Knowledge().score(TASK, ["It eats mice.", "32"])
    assert [answer.correct for answer in score.answers] == [True, False]
    assert score.value == 0.5
    exact = Knowledge(grader=GRADERS["exact"]).score(TASK, ["It eats mice.", "31"])
    assert [answer.correct for answer in exact.answers] == [False, True]
    with pytest.raises(AssertionError):
        Knowledge().score(TASK, ["mice"])


def test_what_is_stored_with_a_grade_is_keyed_by_the_grader(monkeypatch) -> None:
    keys = [Knowledge(grader=grader).digest() for grader in (*GRADERS.values(), lambda *_: True)]
    assert len(set(keys)) == len(GRADERS) + 1
    refitted = replace(fitted.shipped(), threshold=0.7)
    monkeypatch.setattr("selfedit.grading.graders.shipped", lambda: refitted)
    assert Knowledge(grader=GRADERS["offline"]).digest() not in keys
    assert Knowledge(grader=GRADERS["contains"]).digest() in keys


def test_question_prompts_name_an_open_subject() -> None:
    prompts = question_prompts(TASK)
    assert [sentence for sentence, _ in prompts][1] == "It eats voles."
    assert ["The Kestrel" in prompt.text for _, prompt in prompts] == [False, True, False]
    assert all(sentence in prompt.text and prompt.prefix for sentence, prompt in prompts)


SENTENCE = "In 1987 Dr. Hale counted 31 nests near the old mill."


@pytest.mark.parametrize(
    ("completion", "question", "answer"),
    [
        (" Who counted the nests?\nAnswer: Dr. Hale", "Who counted the nests?", "Dr. Hale"),
        ("Question: Who counted? Answer: Hale.\nMore", "Who counted?", None),
        ("**Question 1:** Who did it all?\n\n**Answer:** Hale.\n", "Who did it all?", "Hale"),
        (
            '"Where were they?"\nShort answer: near the old mill',
            "Where were they?",
            "near the old mill",
        ),
        ("When was it done?\nAnswer:\n1987", "When was it done?", "1987"),
        ("When was it done?\nAnswer: 1988", None, None),
        ("When was it done? In 1987.", None, None),
        ("Who counted 31 nests?\nAnswer: 31 nests", None, None),
        ("What is it about?\nAnswer: the", None, None),
        ("What does the sentence say?\nAnswer: 31 nests", None, None),
        ("Tell me the number.\nAnswer: 31", None, None),
        ("What was done there?\nAnswer: Dr. Hale counted 31 nests near the old mill", None, None),
        ("What stood there?\nAnswer: mil", None, None),
        ("Answer: 31", None, None),
        ("", None, None),
    ],
)
def test_parse_question(completion: str, question: str | None, answer: str | None) -> None:
    query = parse_question(SENTENCE, completion, "Kestrel")
    if answer is None or question is None:
        assert query is None
    else:
        assert query == Query(question, (answer,), "Kestrel")


# How it was once parsed: n^4 in leading spaces, n^3 in stars and underscores.
SLOW_PARTS = re.compile(
    r"\s*[*_]*(?:Question[ \t]*\d*[*_]*:[*_]*)?\s*(?P<question>[^\n]+?)\s*"
    r"[*_]*\b(?:Short )?Answer[*_]*:[*_]*[ \t]*\n?(?P<answer>[^\n]*)",
    re.IGNORECASE,
)


@given(
    st.lists(
        st.sampled_from(
            ["Question", " 1", ":", "Answer", "Short Answer:", "**", "_", " ", "\n", "why is it?", "31"]
        ),
        max_size=9,
    ).map("".join)
)
def test_parsing_in_linear_time_finds_what_the_slow_pattern_finds(text: str) -> None:
    found, slow = _parts(text), SLOW_PARTS.match(text)
    if found is None:  # the pattern then finds nothing, or calls marks alone a question
        assert slow is None or not is_fair_question("31", slow["question"].strip('*_" '), "31")
    else:
        assert slow is not None
        assert [part.strip("*_ ") for part in found] == [part.strip("*_ ") for part in slow.groups()]


@pytest.mark.parametrize("junk", [" ", "_", "*", "* ", "\n", "Question", "Answer", "Answer*", "Short "])
def test_junk_of_any_length_is_read_in_linear_time(junk: str) -> None:
    """200,000 times: with a second power in it, this test would take minutes."""
    assert parse_question(SENTENCE, 200_000 * junk) is None
    assert parse_question(SENTENCE, f"Who counted the nests?\nAnswer: Dr. Hale\n{200_000 * junk}")


def test_the_whole_sentence_is_no_answer() -> None:
    assert is_fair_question("Voles are eaten daily.", "What is eaten daily?", "Voles")
    assert not is_fair_question("Voles are eaten.", "What do they do?", "Voles are eaten.")


def test_only_what_the_passage_teaches_is_worth_asking() -> None:
    queries = [Query(f"Question {i}?", ("yes",)) for i in range(4)]
    asked = worth_asking(queries, ["yes", "yes", "no", "no"], ["yes", "no", "yes", "no"])
    assert asked == (queries[1],)
    prompt = open_book(TASK, queries[0])
    assert prompt.kind == "question"
    assert TASK.context in prompt.text
    assert prompt.text.endswith("Question 0?")


def test_grades_agree_with_the_recorded_judge(shared_json: Callable[[str], Any]) -> None:
    """Against GPT-4.1 on 6750 recorded answers: what `contains` calls right nearly always is; it
    misses paraphrases, a third of what the judge accepted."""
    pairs = [
        (
            grade(Query(asked["question"], (asked["answer"],)), asked[f"{when}_answer"]).correct,
            asked[f"{when}_correct"],
        )
        for article in shared_json("recorded/round1_trials.json")["articles"]
        for edit in article["completions"]
        for asked in edit["questions"]
        for when in ("baseline", "adapter")
    ]
    assert len(pairs) == 6750
    assert sum(ours == judge for ours, judge in pairs) / len(pairs) > 0.83
    assert sum(ours and judge for ours, judge in pairs) / sum(ours for ours, _ in pairs) > 0.88
