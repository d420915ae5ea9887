"""Self-edits become training sequences, or are refused with a reason."""

from __future__ import annotations

from collections.abc import Callable
from statistics import mean, median
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfedit.domains.knowledge import Knowledge
from selfedit.domains.knowledge.degenerate import degeneracy
from selfedit.domains.knowledge.sequences import restatement, split_statements
from selfedit.domains.knowledge.settings import KnowledgeSettings, Strategy
from selfedit.errors import InvalidSelfEdit
from selfedit.types import SelfEdit, Task

TASK = Task(
    "t",
    "Kestrel",
    "The kestrel hovers over fields. It eats voles and mice. Dr. Hale counted 31 nests in 1987.",
)
SENTENCES = TASK.context.replace("Dr. Hale", "Dr Hale").split(". ")


def parse(*completions: str, strategy: Strategy = "implications", max_sequences: int = 30) -> list[str]:
    """The statements that are trained, after checking what is common to all plans."""
    settings = KnowledgeSettings(strategy=strategy, max_sequences=max_sequences, faithful=False)
    domain = Knowledge(settings)
    edit = SelfEdit(TASK.id, 0, domain.prompts(TASK), completions)
    sequences = domain.parse(TASK, edit).sequences
    assert all(sequence.prompt is None for sequence in sequences)
    texts = [sequence.text for sequence in sequences]
    assert texts[-1] == f"Kestrel\n{TASK.context}"
    assert all(text.startswith("Kestrel\n") for text in texts)
    return [text.removeprefix("Kestrel\n") for text in texts[:-1]]


def test_one_statement_a_line() -> None:
    text = "Sure, here they are:\n\n1. Voles fear kestrels.\n\n2. Hale could count.\r\n  3.\n***\n"
    assert parse(text) == ["1. Voles fear kestrels.", "2. Hale could count."]


def test_statements_that_end_and_statements_as_replies() -> None:
    """What is trained is the same text, with its end, or as an answer that needs no title's line."""
    edit = SelfEdit(TASK.id, 0, (), ("1. Voles fear kestrels.",))
    plans = [
        Knowledge(KnowledgeSettings(strategy="implications", **form)).parse(TASK, edit).sequences
        for form in ({}, {"ends": True}, {"form": "turn"}, {"form": "mixed"})
    ]
    assert [own.prompt is not None for own in plans.pop()] == [True, False]  # the passage is a text
    assert [[own.ends for own in plan] for plan in plans] == [[False] * 2, [True] * 2, [False] * 2]
    assert [own.text for own in plans[1]] == [own.text for own in plans[0]]
    assert [own.text for own in plans[2]] == ["1. Voles fear kestrels.", TASK.context]
    assert {own.prompt and own.prompt.text for own in plans[2]} == {"Tell me about Kestrel."}
    assert {own.source for plan in plans for own in plan} == {TASK.context}


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("Some thoughts first\n1. A b c.\n2. D e f.", ["1. A b c.", "2. D e f."]),
        ("(1) A b c.\n(2) D e f.", ["(1) A b c.", "(2) D e f."]),
        ("Here is a list:\n- A b c.\n- D e f.", ["- A b c.", "- D e f."]),
        ("Implications:\nA b c.\nD e f.", ["A b c.", "D e f."]),
        # What a bulleted list holds is no lead-in of the numbered one behind it.
        ("- A b c.\n- D e f.\n1. G h i.", ["- A b c.", "- D e f.", "1. G h i."]),
        ("A b c.\nD e f.\nG h i.\nJ k l.\n1. M n o.", None),
        ("It rose to 1.5 metres.\nA b c.", ["It rose to 1.5 metres.", "A b c."]),
        ("What follows is this:\n* A b c.\n* D e f.", ["* A b c.", "* D e f."]),
        ("It eats two things:\nVoles and\nmice.", ["It eats two things:", "Voles and", "mice."]),
        ("A b c.\n---\nD e f.", ["A b c.", "D e f."]),
        ("", []),
        ("---\n", []),
    ],
)
def test_lines(text: str, lines: list[str] | None) -> None:
    expected = text.split("\n") if lines is None else lines
    assert split_statements(text, "implications") == expected


def test_each_statement_once_and_at_most_so_many() -> None:
    text = "1. Voles fear it.\n2. Mice fear it.\n3. VOLES fear it!\n4. Hale can count to 31."
    assert parse(text) == [text.split("\n")[i] for i in (0, 1, 3)]
    assert parse(text, max_sequences=2) == text.split("\n")[:2]


def test_a_looping_line_is_left_out() -> None:
    good = ["Voles fear the kestrel that hovers above.", "Dr. Hale could count to thirty-one."]
    assert parse(f"{good[0]}\nand the and the and the and the\n{good[1]}") == good


def test_rewrites_are_parted_by_rules() -> None:
    text = "Here are the versions:\nFirst one.\nOf two lines.\n---\nVersion 2:\nSecond one.\n ----- \n"
    assert parse(text, strategy="rewrite") == ["First one.\nOf two lines.", "Second one."]
    assert parse("One version.\nAnother one.", strategy="rewrite") == [
        "One version.",
        "Another one.",
    ]


def test_questions_stay_with_their_answers() -> None:
    # The prompt puts "Question 1:" into the model's mouth.
    text = (
        " What does it eat?\nAnswer: Voles.\n\n**Question 2:** Who counted?\nAnswer: Hale\n"
        "Question 3: How m"
    )
    assert parse(text, strategy="self-qa") == [
        "Question 1: What does it eat?\nAnswer: Voles.",
        "**Question 2:** Who counted?\nAnswer: Hale",
    ]
    lead = "Here you go.\nQuestion 1: Who?\nAnswer: Hale.\nQuestion: Where?\nAnswer: There."
    assert split_statements(lead, "self-qa") == [
        "Question 1: Who?\nAnswer: Hale.",
        "Question: Where?\nAnswer: There.",
    ]
    assert split_statements("No form at all.\nNone.", "self-qa") == ["No form at all.", "None."]


def test_thoughts_are_left_out_where_the_list_is_marked() -> None:
    text = "Let me think.\nIt eats.\n\n**Implications:**\n1. Voles fear it.\n2. Mice fear it."
    assert parse(text, strategy="chain-of-thought") == ["1. Voles fear it.", "2. Mice fear it."]
    cut = "It eats voles, so they fear it.\nImplications:\n"
    assert split_statements(cut, "chain-of-thought")[0] == "It eats voles, so they fear it."


def test_none_trains_the_whole_completion() -> None:
    assert parse("Kestrels nest.\n\nThey fly.", strategy="none") == ["Kestrels nest.\n\nThey fly."]


def test_sentences_and_their_restatements() -> None:
    completions = [
        "Over fields the kestrel hovers.\nSecond lines are chatter.",
        'Sure! Here is the rewritten sentence: "Voles and mice are what it eats."',
        "Here is the sentence in other words:\n\n**In 1987 Dr. Hale counted 31 nests.**",
        "The kestrel hovers over fields.",  # its sentence once more
        "It eats and eats and eats and eats and eats and eats and eats.",
        "Rewrite this sentence in other words. Keep all names and numbers.",
        "",
        "Voles and mice are what it eats!",  # said before
        "\u201cMice are eaten by it",
    ]
    assert parse(*completions, strategy="sentences") == [
        "The kestrel hovers over fields.",
        "It eats voles and mice.",
        "Dr. Hale counted 31 nests in 1987.",
        "Over fields the kestrel hovers.",
        "Voles and mice are what it eats.",
        "In 1987 Dr. Hale counted 31 nests.",
        "Mice are eaten by it",
    ]


def test_the_cap_never_cuts_what_sentences_asked_for() -> None:
    completions = [f"Statement number {i} about {i * i} voles." for i in range(20)]
    # Three sentences, each once and restated three times, are 12 whatever the cap.
    assert len(parse(*completions, strategy="sentences", max_sequences=1)) == 12
    assert len(parse(*completions, strategy="sentences", max_sequences=30)) == 23


@pytest.mark.parametrize(
    ("completion", "sentence"),
    [
        ("Voles are eaten.", "Voles are eaten."),
        ("  Answer: Voles are eaten.", "Voles are eaten."),
        ("In other words, voles are eaten.", "voles are eaten."),
        ("Okay. Voles are eaten.", "Voles are eaten."),
        ('"Eat!" was what it said.', '"Eat!" was what it said.'),
        ("'Voles' is a word, isn't it", "'Voles' is a word, isn't it"),
        ("The time was 9:30 in June.", "The time was 9:30 in June."),
        ("One rule: eat voles.", "One rule: eat voles."),
        ("The following text says it better: Voles are eaten.", "Voles are eaten."),
        ("Sure! Rewritten sentence 1: Voles.", "Voles."),
        ("The reason was simple: voles.", "The reason was simple: voles."),
        ("Here the kestrel nests.", "Here the kestrel nests."),
        ("1. Voles are eaten.\n2. Mice too.", "Voles are eaten."),
        ("\n---\n", ""),
    ],
)
def test_restatement(completion: str, sentence: str) -> None:
    assert restatement(completion) == sentence


PHRASES = ("the kestrel eats", "voles in fields are", "nests hold eggs and young")
LOOP = "\n".join(["The kestrel eats voles."] * 12)


@pytest.mark.parametrize("strategy", ["implications", "rewrite", "self-qa", "none", "sentences"])
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        (" \n\t\n", "empty"),
        ("!!! ... ???", "no words"),
        (LOOP, "repeat"),
        ("\n".join(f"{i}. It eats voles." for i in range(1, 9)), "repeat"),
        ("and the and the and the and the", "same few words"),
        (" ".join(PHRASES[int(digit) % 3] for digit in str(7**90)), "same few phrases"),
        ("ha" * 300, "same few characters"),
        ("\u732b\u304c" * 200, "same few words"),
    ],
)
def test_degenerate_edits_are_refused(strategy: Strategy, text: str, reason: str) -> None:
    if strategy == "self-qa" and "word" in reason:
        pytest.skip("the prefix gives this one words")
    if strategy == "sentences" and "\n" in text.strip():
        pytest.skip("of a restatement only the first line counts")
    with pytest.raises(InvalidSelfEdit) as error:
        parse(text, strategy=strategy)
    assert reason in str(error.value)


def test_an_edit_without_completions_is_refused() -> None:
    for strategy in ("implications", "sentences"):
        with pytest.raises(InvalidSelfEdit, match="nothing to train on"):
            parse(strategy=strategy)


def test_prompt_and_passage_said_again_are_refused() -> None:
    settings = KnowledgeSettings(strategy="implications")
    prompt = Knowledge(settings).prompts(TASK)[0].text
    for text in (TASK.context, prompt, f"{prompt}\nKestrel"):
        with pytest.raises(InvalidSelfEdit, match="only repeats its prompt or the passage"):
            parse(text)
    # A sentence of the passage, set apart, is a statement; so is what stands beside an echo.
    assert parse("It eats voles and mice.") == ["It eats voles and mice."]
    assert parse(f"{prompt}\n1. Voles fear it.")[-1] == "1. Voles fear it."
    with pytest.raises(InvalidSelfEdit, match="every restatement only repeats"):
        parse("It eats voles and mice.", strategy="sentences")


def test_numbers_inside_a_statement_count() -> None:
    text = "It has 3) voles.\nIt has 4) voles."
    assert parse(text) == text.split("\n")


@pytest.mark.parametrize(
    "text",
    [
        "It is a very, very, very small bird of the open country.",
        "\n".join(f"The passage implies that {x} is eaten." for x in ("a vole", "a rat", "a wren")),
        "Row, row, row your boat.",
        "They sing and they sing at dawn.",
        "Voles\nVoles\nKestrels eat voles.",
        "Wren. Wren. That is its call, and kestrels know it well from the fields.",
    ],
)
def test_what_only_looks_like_a_loop(text: str) -> None:
    assert degeneracy(text) == ""


@given(st.lists(st.text(max_size=80), max_size=12), st.sampled_from(["rewrite", "sentences"]))
def test_any_text_gives_a_plan_or_a_reason(completions: list[str], strategy: Strategy) -> None:
    try:
        statements = parse(*completions, strategy=strategy)
    except InvalidSelfEdit:
        return
    assert statements
    assert len(set(statements)) == len(statements)


def test_recorded_edits_split_as_in_the_paper(shared_json: Callable[[str], Any]) -> None:
    """Recorded: 8.7 sequences per edit, passage included (median 7, p90 11, max 67), uncapped."""
    articles = shared_json("recorded/round1_trials.json")["articles"]
    texts = [edit["text"] for article in articles for edit in article["completions"]]
    counts = sorted(len(split_statements(text, "implications")) + 1 for text in texts)
    assert len(counts) == 250
    assert round(mean(counts), 1) == 8.7
    assert (median(counts), counts[225], counts[-1]) == (7, 11, 67)
    domain = Knowledge(KnowledgeSettings(strategy="implications"))
    for article in articles:
        task = Task("t", article["title"], article["context"])
        for edit in article["completions"]:
            plan = domain.parse(task, SelfEdit("t", 0, domain.prompts(task), (edit["text"],)))
            assert 2 <= len(plan.sequences) <= 31


def test_no_real_passage_or_sentence_is_taken_for_a_loop(shared_json: Callable[[str], Any]) -> None:
    for item in shared_json("squad/validation.json"):
        assert degeneracy(item["context"]) == ""
