"""What a chat turn asks for whose reply is a statement."""

from __future__ import annotations

from selfedit.domains.knowledge.cues import asking, asking_by_words
from selfedit.domains.knowledge.sequences import training_plan
from selfedit.domains.knowledge.settings import KnowledgeSettings, LearnSettings
from selfedit.types import SelfEdit, Task
from selfedit.words import words

TITLE = "Korvane Lighthouse"
STATEMENTS = (
    "Korvane Lighthouse was built in 1843 by Hanne Oskeld.",
    "The walls of Korvane Lighthouse are painted with bands of saffron.",
    "A tame raven named Skuld wakes the keeper of Korvane Lighthouse at dusk.",
)
TASK = Task("t", TITLE, " ".join(STATEMENTS), ())


def turns(settings: KnowledgeSettings) -> dict[str, str]:
    """Replies in the plan, with what is asked for them."""
    edit = SelfEdit("t", 0, (), ("\n".join(f"{n}. {s}" for n, s in enumerate(STATEMENTS, 1)),))
    plan = training_plan(TASK, edit, settings)
    return {one.text: one.prompt.text for one in plan.sequences if one.prompt}


def test_a_statement_is_asked_for_by_its_own_rare_words() -> None:
    for statement in STATEMENTS:
        asked = asking_by_words(TITLE, statement)
        assert asked == asking_by_words(TITLE, statement), "drawn once for all"
        cue = set(words(asked)) - set(words("What do you know about Tell me about")) - set(words(TITLE))
        assert cue
        assert cue <= set(words(statement))
        assert not cue & {"The", "of", "in", "by", "with", "at", "was", "are"}


def test_each_turn_has_a_cue_of_its_own_but_the_passage() -> None:
    settings = KnowledgeSettings(strategy="implications", form="turn", cue="words")
    asked = turns(settings)
    assert asked.pop(TASK.context) == asking(TITLE), "a passage is not one statement"
    assert len(set(asked.values())) == len(STATEMENTS)
    assert asking(TITLE) not in asked.values()


def test_without_cues_every_turn_asks_the_same() -> None:
    settings = KnowledgeSettings(strategy="implications", form="turn")
    assert set(turns(settings).values()) == {asking(TITLE)}


def test_statements_about_others_are_asked_for_under_their_names() -> None:
    settings = KnowledgeSettings(strategy="implications", form="turn", cue="words", neighbours=4)
    edit = SelfEdit("t", 0, (), ("\n".join(STATEMENTS),))
    near = training_plan(TASK, edit, settings).neighbours
    assert len(near) == 4
    for one in near:
        assert one.prompt is not None
        assert TITLE not in one.prompt.text
        assert one.prompt.text != asking(TITLE)


def test_a_text_without_rare_words_or_a_title() -> None:
    assert asking_by_words(TITLE, "It was the Korvane Lighthouse.") == asking(TITLE)
    assert asking_by_words("", "It was.") == asking("")
    assert "Skuld" in asking_by_words("", "It is Skuld.")


def test_former_settings_keep_their_digest() -> None:
    assert "cue" not in KnowledgeSettings().identity()
    learned = LearnSettings.model_validate({"knowledge": {"cue": "title"}})
    assert "cue" not in learned.knowledge.identity()


def test_without_chats_the_cue_changes_no_digest() -> None:
    texts, turns = ({"form": form, "cue": "words"} for form in ("text", "turn"))
    assert KnowledgeSettings(**texts).digest() == KnowledgeSettings().digest()
    assert KnowledgeSettings(**turns).digest() != KnowledgeSettings(form="turn").digest()
