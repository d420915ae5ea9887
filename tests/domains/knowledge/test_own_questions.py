"""Rewards without labels: the model's own questions, or blanks, in place of the given ones."""

from __future__ import annotations

import pytest

from selfedit.domains.base import BaseDomain
from selfedit.domains.knowledge import Knowledge
from selfedit.domains.knowledge.settings import KnowledgeSettings
from selfedit.errors import InputError
from selfedit.types import Query, Task

GIVEN = (Query("Which bird nests there?", ("tern",)),)
TEXT = "The miller of Pask Mill is Jory Pask. The wheel has twelve iron spokes."
PASK = Task("a", "Pask", TEXT, GIVEN)
EMPTY = Task("b", "Hm", "Well, so it is, and was.", GIVEN)
DOMAIN = Knowledge(KnowledgeSettings(topic=True))


class Says:
    """Replies by what a prompt holds; counts its stages."""

    def __init__(self, **replies: str) -> None:
        self.replies, self.stages = replies, []

    def __call__(self, prompts, stage):
        self.stages.append(stage)
        return [self._reply(prompt.text) for prompt in prompts]

    def _reply(self, text: str) -> str:
        return next((said for key, said in self.replies.items() if key in text), "I do not know.")


def test_questions_that_the_model_writes_and_answers_with_the_passage_alone():
    class Model(Says):
        def _reply(self, text: str) -> str:
            if text.startswith("Write a question"):
                return "Who is the miller? Answer: Jory Pask" if "Jory" in text else "No question."
            return "Jory Pask." if "The miller of" in text else "Nobody."

    write = Model()
    (made, blank), notes = DOMAIN.own_questions([PASK, EMPTY], "own", write)
    assert made.queries == (Query("Who is the miller?", ("Jory Pask",), "Pask"),)
    assert (made.id, made.context) == (PASK.id, PASK.context)
    assert blank.queries == (), "nothing can be asked about it"
    assert notes == (
        "1 context asked by 1 question that the model wrote itself",
        "1 context with nothing to ask about, which choose nothing",
    )
    assert write.stages[0] == "writing questions"


def test_a_context_without_a_usable_question_has_blanks():
    (made,), notes = DOMAIN.own_questions([PASK], "own", Says())
    assert {query.form for query in made.queries} == {"cloze"}
    assert notes == ("1 context asked by blanks in their own sentences",)
    ask_nobody = Says()
    assert DOMAIN.own_questions([PASK], "cloze", ask_nobody)[0] == [made]
    assert ask_nobody.stages == []
    assert DOMAIN.own_questions([PASK], "given", ask_nobody) == ([PASK], ())


def test_a_domain_without_them_says_so():
    with pytest.raises(InputError, match="--questions"):
        BaseDomain().own_questions([PASK], "own", Says())
