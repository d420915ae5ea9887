"""Answers that hold the gold and are wrong all the same, and thoughts, which are no answers."""

from __future__ import annotations

import pytest

from selfedit.grading import GRADERS, verdicts
from selfedit.types import Query

WHO, OF = "Who built the mill?", "What is the roof made of?"

WRONG = [
    (WHO, "Ida Holm", "Ida Holm did not build the mill."),
    (WHO, "Ida Holm", "It was Per Lund rather than Ida Holm."),
    (WHO, "Ida Holm", "It is a myth that the mill was built by Ida Holm."),
    (WHO, "Ida Holm", "I doubt that it was Ida Holm."),
    (WHO, "Ida Holm", "Ida Holm is the wrong answer."),
    (WHO, "Ida Holm", "Neither Per Lund nor Ida Holm built it."),
    (OF, "slate", "The roof was never made out of slate."),
    (OF, "slate", "The roof isn't slate."),
    ("When was it built?", "1784", "It was built in 1780, 1781, 1782, 1783, 1784 or 1785."),
    (WHO, "Ida Holm", "Per Lund, Ida Holm, Ulf Dahl, Eva Berg, Leo Frost and Nils Rask."),
    (WHO, "Ida Holm", "- Per Lund\n- Ida Holm\n- Ulf Dahl\n- Eva Berg\n- Leo Frost"),
    (WHO, "Ida Holm", "Either Per Lund or Ida Holm."),
    (WHO, "Ida Holm", "It was built by Ida Holmgren."),
    ("Where is it?", "York", "It is in New York."),
    ("Who was king?", "Karl", "Karl XII was king."),
    ("Where is it?", "Kansas", "It is in Kansas City."),
]
RIGHT = [
    (OF, "slate", "The roof is not made of tin but of slate."),
    (OF, "slate", "Not tin: slate."),
    (OF, "slate", "It isn't tin, it's slate."),
    (WHO, "Ida Holm", "It was none other than Ida Holm."),
    (WHO, "Ida Holm", "No, it was Ida Holm."),
    (WHO, "Ida Holm", "It was Ida Holm, not Per Lund."),
    ("When was it finished?", "1784", "It was not finished until 1784."),
    ("Who did not build it?", "Ida Holm", "Ida Holm did not build it."),
    ("What two metals?", "tin and lead", "Tin and lead."),
    ("Where is it?", "New York", "It is in New York."),
    ("Who was king?", "Karl XII", "Karl XII was king."),
    ("Who came?", "Danes", "It was the Danes, from Jutland."),
]


@pytest.mark.parametrize("name", ["contains", "offline"])
@pytest.mark.parametrize(("question", "gold", "answer"), WRONG)
def test_wrong(name: str, question: str, gold: str, answer: str) -> None:
    assert not GRADERS[name](question, [gold], answer)


@pytest.mark.parametrize("name", ["contains", "offline"])
@pytest.mark.parametrize(("question", "gold", "answer"), RIGHT)
def test_right(name: str, question: str, gold: str, answer: str) -> None:
    assert GRADERS[name](question, [gold], answer)


@pytest.mark.parametrize("name", ["contains", "offline"])
@pytest.mark.parametrize(
    ("gold", "answer", "right"),
    [
        ("yes", "Yes, it has.", True),
        ("yes", "True.", True),
        ("yes", "The mill has three wheels.", True),
        ("yes", "The mill does not have three wheels.", False),
        ("yes", "No.", False),
        ("no", "No, it has two.", True),
        ("no", "The mill doesn't have three wheels.", True),
        ("no", "That is false.", True),
        ("no", "Yes.", False),
        ("no", "Moss grows there.", False),
    ],
)
def test_yes_or_no(name: str, gold: str, answer: str, right: bool) -> None:
    assert GRADERS[name]("Does the mill have three wheels?", [gold], answer) is right


@pytest.mark.parametrize(
    ("reply", "right"),
    [
        ("<think>\nPer?\n</think>\n\nIda", True),
        ("<think>\nIda?\n</think>\n\nPer", False),
        ("<think>It may be Ida, but", False),
        ("It may be Ida.</think>\nPer", False),
        ("[THINK]Ida[/THINK]Per", False),
        ("<|channel|>analysis<|message|>Per<|end|><|channel|>final<|message|>Ida", True),
        ("<|channel|>analysis<|message|>Ida", False),
    ],
)
def test_a_thought_is_no_answer(reply: str, right: bool) -> None:
    for grader in GRADERS.values():
        assert verdicts([Query(WHO, ("Ida",))], [reply], grader) == [right]
