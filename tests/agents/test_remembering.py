"""From what happened to a version: recorded, learned, replaced by newer words, taken back."""

from __future__ import annotations

import pytest

from selfedit.agents.interactions import all_recorded, interaction_of, recorded
from selfedit.agents.memo import what_is_right, write_memo
from selfedit.agents.remembering import pending, record, remember, undo
from selfedit.domains.knowledge import Knowledge, text_document
from selfedit.errors import InputError, NoSuchRun
from selfedit.learning.library import Library
from selfedit.loops.sampler import Writer
from selfedit.model.fake import FakeModel
from selfedit.types import Query

ASKED = "In which bay is the pump of Orro kept?"
BAY_NINE = "No, the pump of Orro is kept in bay nine."


@pytest.fixture
def library(tmp_path):
    return Library(FakeModel(), tmp_path / "library")


def corrected(text=BAY_NINE, question=ASKED, reply="I do not know.", **feedback):
    said = [{"role": "user", "content": question}, {"role": "assistant", "content": reply}]
    return interaction_of(said, {"text": text, **feedback})


def memo_of(library, interaction):
    return write_memo(Writer(library.model, library.store), interaction, Knowledge(), 0)


def test_a_correction_is_learned_and_still_known_after_a_restart(library):
    done = remember(library, corrected())
    assert done.committed, done.reason
    assert (done.memo.text, done.memo.author) == ("The pump of Orro is kept in bay nine.", "person")
    assert (done.accuracy_before, done.accuracy_after) == (0.0, 1.0)
    again = Library(FakeModel(), library.folder)
    assert "bay nine" in again.ask(ASKED)[0]
    (own,) = all_recorded(again.store)
    assert own.interaction == corrected()
    assert own.state(again.current()) == "remembered"
    assert own.outcome["tested_by"][0] == {"question": ASKED, "answer": "nine"}


def test_what_is_recorded_is_kept_before_anything_is_learned(library):
    number = record(library, corrected())
    bad = record(library, corrected("", kind="rating", good=False))
    again = Library(FakeModel(), library.folder)
    assert recorded(again.store, number).interaction == corrected()
    assert [own.id for own in pending(again)] == [number]  # of a bad rating alone, nothing can be
    with pytest.raises(InputError, match="not what is right"):
        remember(again, bad)
    assert remember(again, number).committed
    assert pending(again) == []


def test_a_killed_remember_goes_on_with_the_same_texts(tmp_path, monkeypatch):
    written = []

    def note(prompt, seed, rate):
        if "Orro" in prompt.text and prompt.kind == "instruction":
            written.append((prompt.text, seed))

    library = Library(FakeModel(skills=[note]), tmp_path / "library")
    number = record(library, corrected("Bay nine."))
    with monkeypatch.context() as patched:
        patched.setattr(FakeModel, "train", lambda *given, **more: _killed())
        with pytest.raises(KeyboardInterrupt):
            remember(library, number)
    assert len(written) > 10
    assert remember(library, number).committed
    assert len(set(written)) == len(written)


def test_a_version_that_was_committed_before_a_kill_is_found_again(library, monkeypatch):
    number = record(library, corrected())
    with monkeypatch.context() as patched:
        patched.setattr("selfedit.learning.learner.Learner._reported", _killed)
        with pytest.raises(KeyboardInterrupt):
            remember(library, number)
    assert library.current().version == 1
    done = remember(library, number)
    assert (done.committed, done.version, done.accuracy_after) == (True, 1, 1.0)
    assert len(library.adapters()) == 1


def _killed(*given):
    raise KeyboardInterrupt


def test_newer_words_about_the_same_question_replace_older_ones_and_that_is_said(library):
    remember(library, corrected())
    done = remember(library, corrected("The pump of Orro is kept in bay twelve since May."))
    assert done.committed, done.reason
    assert done.replaced == "The pump of Orro is kept in bay nine."
    assert "twelve" in library.ask(ASKED)[0]
    assert [d.source for d in library.current().documents] == [f"conversation: {ASKED}"]
    first = all_recorded(library.store)[-1]
    assert first.state(library.current()) == "undone"


def test_a_contradiction_with_a_document_is_settled_by_the_newer_one_and_said(library):
    notes = text_document("# Pumps\n\nThe pump of Orro is kept in bay four.\n", source="pumps.md")
    library.learn(notes, [Query(ASKED, ("four",))])
    done = remember(library, corrected())
    assert done.committed, done.reason
    assert "nine" in library.ask(ASKED)[0]
    assert any("contradicts Pumps" in note for note in done.notes)


def test_undo_takes_back_the_latest_memory_and_no_document(library):
    notes = text_document("# Boats\n\nThe boats of Tarn are painted saffron.\n", source="boats.md")
    library.learn(notes, [Query("In what colour are the boats of Tarn painted?", ("saffron",))])
    remember(library, corrected())
    own, now = undo(library)
    assert (own.interaction.question, now.version) == (ASKED, 1)
    assert own.state(library.current()) == "undone"
    assert "nine" not in library.ask(ASKED)[0]
    with pytest.raises(InputError, match="version 1 is current, which was not made from a conv"):
        undo(library)


def test_what_was_undone_is_learned_again_when_it_is_asked_for(library):
    number = record(library, corrected())
    remember(library, number)
    undo(library)
    done = remember(library, number)
    assert (done.committed, done.version, library.current().version) == (True, 2, 2)
    assert "nine" in library.ask(ASKED)[0]
    assert recorded(library.store, number).state(library.current()) == "remembered"
    assert remember(library, number).version == 2  # it is in the current version already
    assert len(library.adapters()) == 2
    own, now = undo(library)
    assert (own.id, now) == (number, None)
    other = record(library, corrected())  # in the same words
    assert remember(library, other).version == 3
    assert (remember(library, number).committed, remember(library, number).version) == (True, 3)
    assert len(library.adapters()) == 3


def test_a_memory_that_does_not_help_is_rejected_like_any_other(library):
    done = remember(library, corrected("The NaN pump of Orro is kept in bay nine."))
    assert not done.committed
    (own,) = all_recorded(library.store)
    assert own.state(library.current()) == "rejected"
    assert library.current() is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("No, it is bay 9.", "It is bay 9."),
        ("That's wrong! Actually: bay 9", "Bay 9"),
        ("Normally bay 9", "Normally bay 9"),  # begins with "no", and is no objection
        ("No.", "No."),
    ],
)
def test_objections_are_no_part_of_what_is_right(text, said):
    assert what_is_right(corrected(text)) == said


@pytest.mark.parametrize(
    "text",
    [
        "No one may open bay nine of Orro.",
        "No dogs are allowed in hall four.",
        "No. 7 is the pump of Orro.",
        "No. B12 is the pump of Orro.",
        "No-fly zones begin at Orro.",
        "Sorry Bay is where the pump is kept.",
        "Wrong turns are marked in red.",
        "Actually the pump is kept in bay nine.",
    ],
)
def test_what_begins_like_an_objection_is_kept_whole(text):
    assert what_is_right(corrected(text)) == text
    assert what_is_right(corrected(f"No, {text}")) == text


def test_words_that_need_the_question_are_written_out(library):
    memo = memo_of(library, corrected("It is in bay 9."))
    assert memo.text == f'The answer to "{ASKED}" is: It is in bay 9.'
    assert memo.author == "rule"  # the fake model's sentence is no answer to the question
    assert memo.document.title == "pump of Orro"

    def write(prompt, seed, rate):
        wrote = ("The pump of Orro is kept in bay 7.", "The pump of Orro is kept in bay 9.")
        return wrote[seed % 2] if "full sentence" in prompt.text else None

    library._model = FakeModel(revision="fake-2", skills=[write])
    memo = memo_of(library, corrected("Bay 9.", question="In which bay is the pump kept in Orro?"))
    assert (memo.text, memo.author) == ("The pump of Orro is kept in bay 9.", "model")  # 7 was invented
    assert memo.quiz.queries[0].gold == "Bay 9"


def test_the_answer_that_was_wrong_is_no_right_one(library):
    text = "The pump of Orro is in bay 912, and not in bay 407."
    assert memo_of(library, corrected(text, reply="Bay 407.")).quiz.queries[0].gold == "912"
    assert memo_of(library, corrected(text)).quiz.queries[0].gold == "407"  # who could know
    given = memo_of(library, corrected("The pump of Orro is in bay nine.", answer="bay nine"))
    assert given.quiz.queries[0].gold == "bay nine"


@pytest.mark.parametrize("kind", ["rating", "outcome"])
def test_what_turned_out_well_is_remembered_as_it_was_said(library, kind):
    reply = "The pump of Orro is kept in bay nine."
    memo = memo_of(library, corrected("", reply=reply, kind=kind, good=True))
    assert (memo.text, memo.quiz.queries[0].gold) == (reply, "nine")


def test_a_sentence_about_something_else_is_a_note(library):
    memo = memo_of(library, corrected("The Hask owl eats blue moths at dusk."))
    assert memo.text == "The Hask owl eats blue moths at dusk."
    assert all(query.question != ASKED for query in memo.quiz.queries)


def test_a_text_of_any_length_is_taken_in_good_time(library):
    long = "the pump of Orro hums and " * 20_000
    memo = memo_of(library, corrected("The pump of Orro is kept in bay nine.", question=f"{long}?"))
    assert memo.text == "The pump of Orro is kept in bay nine."
    assert all(len(query.question) < 200 for query in memo.quiz.queries)


def test_a_note_needs_no_question(library):
    note = interaction_of([], {"kind": "note", "text": "The Hask owl eats blue moths at dusk."})
    done = remember(library, note)
    assert done.committed, done.reason
    assert "moths" in library.ask("What does the Hask owl eat?")[0]


@pytest.mark.parametrize(
    ("messages", "feedback", "said"),
    [
        ([{"role": "robot", "content": "x"}], {"text": "y"}, "role"),
        ([{"role": "user", "content": 3}], {"text": "y"}, "no text"),
        ([], {"text": 3}, "text is no text"),
        ([], {"kind": "shout", "text": "y"}, "kind of feedback"),
        ([], {"good": "yes"}, "true or false"),
        ([], {"txt": "y"}, "txt"),
        ([{"role": "user", "content": "x" * 1_000_001}], {"text": "y"}, "too long"),
        ([{"role": "user", "content": "x"}] * 1001, {"text": "y"}, "too long"),
    ],
)
def test_what_is_no_interaction_is_refused(messages, feedback, said):
    with pytest.raises(InputError, match=said):
        interaction_of(messages, feedback)


def test_parts_of_a_message_are_its_text():
    parts = [{"type": "text", "text": "Which bay?"}, {"type": "image_url"}]
    own = interaction_of([{"role": "user", "content": parts}], {"text": "y"})
    assert own.question == "Which bay?"


def test_another_run_is_no_interaction(library):
    notes = text_document("# Boats\n\nThe boats of Tarn are painted saffron.\n", source="boats.md")
    library.learn(notes)
    for number in (1, 7):
        with pytest.raises(NoSuchRun):
            recorded(library.store, number)
