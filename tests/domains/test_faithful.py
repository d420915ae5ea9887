"""Restatements that lose or invent something are not trained on."""

# ruff: noqa: RUF001
from __future__ import annotations

import pytest

from selfedit.domains.knowledge import Knowledge, assign_queries, is_fair_question
from selfedit.domains.knowledge.faithful import details, is_faithful
from selfedit.domains.knowledge.settings import KnowledgeSettings
from selfedit.errors import InvalidSelfEdit
from selfedit.types import Query, SelfEdit, Task

SENTENCE = "The dome of Tidewell was built by Maren Hollick in 1,887 days."


@pytest.mark.parametrize(
    ("restated", "faithful"),
    [
        ("Maren Hollick built the dome of Tidewell in 1887 days.", True),
        ("In 1,887 days the Tidewell dome was built by Maren Hollick.", True),
        ("Maren Hollick built the dome of Tidewell.", False),  # the number is gone
        ("Maren built the dome of Tidewell in 1887 days.", False),  # half of the name is gone
        ("Maren Hollick built the dome of Tidewell in 1887 days for 3 kings.", False),
        (
            "Maren Hollick of Tidewell, famous inventor of musical fountains, sold 1887 dome "
            "pictures yesterday evening.",
            False,  # nearly all of it is new
        ),
        ("Tidewell, Maren Hollick, 1887.", False),  # names and numbers alone say nothing
        ("", False),
    ],
)
def test_names_numbers_and_most_words_must_come_back(restated, faithful):
    assert is_faithful(SENTENCE, restated) is faithful


def test_details_leave_the_first_word_out():
    assert details(SENTENCE) == {"tidewell", "maren", "hollick", "1887"}


def test_each_restatement_is_held_against_its_own_sentence():
    task = Task("t", "Owls", "The owl Bree eats moths. The owl Tam eats 12 bees.")
    settings = KnowledgeSettings(restatements=2)
    prompts = Knowledge(settings).prompts(task)
    assert len(prompts) == 4  # both sentences, then both again
    replies = (
        "Moths are eaten by the owl Bree.",
        "The owl Tam eats 13 bees.",
        "The owl Tam eats 12 bees and more.",  # true of the other sentence
        "Bees, 12 of them, the owl Tam eats.",
    )
    plan = Knowledge(settings).parse(task, SelfEdit("t", 0, prompts, replies))
    texts = [sequence.text.removeprefix("Owls\n") for sequence in plan.sequences]
    assert texts[2:-1] == [replies[0], replies[3]]
    with pytest.raises(InvalidSelfEdit, match="lost or invented"):
        Knowledge(settings).parse(task, SelfEdit("t", 0, prompts, (replies[1],) * 4))
    open_minded = settings.model_copy(update={"faithful": False})
    plan = Knowledge(open_minded).parse(task, SelfEdit("t", 0, prompts, replies))
    assert len(plan.sequences) == 2 + 4 + 1


def test_without_title_line():
    task = Task("t", "Owls", "The owl Bree eats moths.")
    settings = KnowledgeSettings(strategy="implications", title_line=False)
    plan = Knowledge(settings).parse(
        task, SelfEdit("t", 0, Knowledge(settings).prompts(task), ("Bree likes moths.",))
    )
    assert [s.text for s in plan.sequences] == ["Bree likes moths.", "The owl Bree eats moths."]


@pytest.mark.parametrize(
    ("sentence", "restated", "faithful"),
    [
        ("灯塔由陈海于1912年建造。", "1912年，陈海建造了灯塔。", True),
        ("灯塔由陈海于1912年建造。", "灯塔于1921年由陈海建造。", False),  # another year
        ("灯塔由陈海于1912年建造。", "今天的天气非常好，适合散步1912。", False),
        ("ประภาคารสร้างโดยสมหญิง", "สมหญิงเป็นผู้สร้างประภาคาร", True),
        ("मीरा ने 1912 में मीनार बनाई।", "1912 में मीनार मीरा ने बनाई थी।", True),
        ("मीरा ने 1912 में मीनार बनाई।", "राजू को 1912 में घर मिला।", False),
        ("بنى سامي المنارة سنة 1912.", "في سنة 1912 بنى سامي المنارة.", True),
    ],
)
def test_scripts_without_spaces_or_capitals(sentence, restated, faithful):
    assert is_faithful(sentence, restated) is faithful


def test_a_quiz_of_a_text_without_spaces():
    sentence = "灯塔由陈海于1912年建造。"
    assert is_fair_question(sentence, "灯塔是谁建造的？", "陈海")
    assert not is_fair_question(sentence, "陈海建造了什么？", "陈海")  # given away
    assert not is_fair_question(sentence, "灯塔是谁建造的？", "李明")  # not of the sentence
    assert not is_fair_question(sentence, "谁？", "陈海")
    tasks = [Task("a", "灯塔", "灯塔由陈海建造。"), Task("b", "磨坊", "磨坊由李明建造。")]
    assigned = assign_queries(tasks, [Query("磨坊是谁建造的？", ("李明",))])
    assert [len(task.queries) for task in assigned] == [0, 1]
