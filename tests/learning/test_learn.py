"""Learning documents with the fake model: what is kept, committed, replayed, rejected, resumed."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from selfedit.domains.knowledge import text_document
from selfedit.domains.knowledge.settings import LearnSettings
from selfedit.errors import AdapterError, InputError, SelfEditError, StoreError
from selfedit.learning import learner
from selfedit.learning.library import Library
from selfedit.memory.general import in_order
from selfedit.model.fake import FakeModel
from selfedit.show.html import write_report
from selfedit.types import Completion, ProbeResult, Query
from tests.knowing import Knowing

OWLS = "# Owls of Hask\n\nThe Hask owl eats only blue moths. The Hask owl nests in clock towers.\n"
TRAMS = "# Trams of Velm\n\nThe Velm tram runs on amber rails. The Velm tram was built by Ilda Prunt.\n"
OWL_QUIZ = [
    ("What does the Hask owl eat?", "blue moths"),
    ("Where nests the Hask owl?", "clock towers"),
]
TRAM_QUIZ = [
    ("On what rails runs the Velm tram?", "amber"),
    ("By whom was the Velm tram built?", "Ilda Prunt"),
]

# One adapter of everything, and no router before it.
SINGLE = LearnSettings(memory="single")
# Two self-edits of a passage, of which the questions choose one.
CHOOSING = LearnSettings(candidates=2)


def write(folder: Path, name: str, text: str, quiz: list[tuple[str, str]]) -> tuple[Path, Path]:
    document, questions = folder / f"{name}.md", folder / f"{name}.jsonl"
    document.write_text(text, encoding="utf-8")
    lines = [json.dumps({"question": q, "answer": a}) for q, a in quiz]
    questions.write_text("\n".join(lines), encoding="utf-8")
    return document, questions


@pytest.fixture
def owls(tmp_path):
    return write(tmp_path, "owls", OWLS, OWL_QUIZ)


@pytest.fixture
def trams(tmp_path):
    return write(tmp_path, "trams", TRAMS, TRAM_QUIZ)


@pytest.fixture
def library(tmp_path):
    return Library(FakeModel(), tmp_path / "library")


def test_learns_commits_and_answers(library, owls):
    result = library.learn(*owls, report=write_report)
    assert (result.accuracy_before, result.accuracy_after) == (0.0, 1.0)
    assert result.committed
    assert result.version == 1
    assert result.held_out, "one candidate: nothing was chosen by the questions"
    assert "blue moths" in library.ask("What does the Hask owl eat?")[0]
    assert library.ask("What does the Hask owl eat?", base=True) == ["I do not know."]
    assert Path(result.adapter_path).is_dir()
    report = Path(result.report_path).read_text(encoding="utf-8")
    assert "blue moths" in report
    (run,) = library.store.runs()
    assert run.status == "finished"
    assert run.result["version"] == 1


def test_second_document_replays_the_first_and_rollback_goes_back(library, owls, trams):
    library.learn(*owls)
    result = library.learn(*trams)
    assert result.version == 2
    assert result.num_older == 2
    assert result.older_after == 1.0
    assert "blue moths" in library.ask("What does the Hask owl eat?")[0]
    assert "amber" in library.ask("On what rails runs the Velm tram?")[0]
    assert library.rollback().version == 1
    assert library.ask("On what rails runs the Velm tram?") == ["I do not know."]
    assert library.rollback() is None
    with pytest.raises(AdapterError, match="nothing to roll back"):
        library.rollback()
    assert library.rollback(2).version == 2


def test_texts_and_questions_are_learned_without_a_file(library):
    owls = text_document(OWLS, source="owls")
    quiz = [Query(question, (answer,)) for question, answer in OWL_QUIZ]
    assert library.learn(owls, quiz).committed
    trams = text_document(TRAMS)
    trams_quiz = [Query(question, (answer,)) for question, answer in TRAM_QUIZ]
    result = library.learn([trams], trams_quiz)
    assert result.num_older == 2
    kept = library.adapter(2).documents
    assert [d.source for d in kept] == ["owls", f"text {trams.digest[:12]}"]
    assert [d.title for d in kept] == ["Owls of Hask", "Trams of Velm"]
    assert kept[0].held_out == tuple(quiz)
    more = text_document(OWLS + "\nThe Hask owl sleeps under tin roofs.\n", source="owls")
    assert library.learn(more, [Query("Where sleeps the Hask owl?", ("tin roofs",))]).num_older == 2
    assert [d.source for d in library.adapter(3).documents] == [kept[1].source, "owls"]
    runs = library.store.runs()
    assert (runs[0].inputs["files"], runs[0].inputs["quiz"]) == (["owls"], None)


def test_documents_that_share_a_passage_keep_their_questions_once(library):
    first = text_document(OWLS, source="one")
    second = text_document(OWLS + "\n", source="two")
    library.learn([first, second], [Query(*OWL_QUIZ[0][:1], (OWL_QUIZ[0][1],))])
    one, two = library.adapter(1).documents
    assert len(one.held_out) == 1
    assert two.held_out == ()
    assert one.sequences == two.sequences


def test_learning_a_document_again_replaces_it(library, owls):
    library.learn(*owls)
    document, _ = owls
    document.write_text(OWLS + "\nThe Hask owl sleeps under tin roofs.\n", encoding="utf-8")
    write(document.parent, "more", OWLS, [*OWL_QUIZ, ("Where sleeps the Hask owl?", "tin roofs")])
    result = library.learn(document, document.parent / "more.jsonl")
    assert result.committed
    assert result.num_older == 0
    assert len(library.adapter(2).documents) == 1


def test_learning_the_same_again_is_rejected_and_reuses_every_trial(library, owls):
    library.learn(*owls, SINGLE)
    model = library.model
    before = model.calls.copy()
    result = library.learn(*owls)
    assert not result.committed
    assert "does not know more" in result.reason
    assert library.current().version == 1
    assert library.adapter(2).status == "rejected"
    assert model.calls["train"] - before["train"] == 1  # the final adapter only
    assert model.calls["sample"] - before["sample"] == 2  # old and new version are asked


def test_too_much_forgetting_is_rejected(library, owls, trams, monkeypatch):
    library.learn(*owls, SINGLE)
    # Without replay the new adapter knows nothing of the owls.
    monkeypatch.setattr("selfedit.learning.learner.older_documents", lambda parent, records: [
        replace(document, passages=()) for document in parent.documents
    ])  # fmt: skip
    result = library.learn(*trams)
    assert not result.committed
    assert "lost 100 points on the 2 older questions" in result.reason
    assert library.current().version == 1
    assert library.learn(*trams, LearnSettings(max_forgetting=1.0)).committed


def test_nothing_beats_the_baseline(library, tmp_path):
    files = write(tmp_path, "odd", OWLS, [("How tall is Mount Zed?", "9 miles")])
    result = library.learn(*files, CHOOSING, report=write_report)
    assert result.version is None
    assert result.adapter_path is None
    assert result.reason == "no self-edit beat the model as it was"
    assert Path(result.report_path).exists()


def test_many_questions_are_split_and_only_the_held_out_half_is_reported(library, tmp_path):
    facts = [f"The tower {name} is made of {stone}." for name, stone in zip(
        ("Ax", "Bor", "Cil", "Dun", "Elm", "Fyr", "Gol", "Hax"),
        ("jade", "opal", "onyx", "mica", "topaz", "flint", "slate", "chalk"), strict=True)]  # fmt: skip
    quiz = [(f"Which stone is the tower {f.split()[2]} made of?", f.split()[-1][:-1]) for f in facts]
    files = write(tmp_path, "towers", "# Towers\n\n" + " ".join(facts), quiz)
    alone = library.learn(*files)
    assert (alone.held_out, alone.num_questions) == (True, 8), "nothing is chosen: all can measure"
    library.forget(files[0])
    result = library.learn(*files, CHOOSING)
    assert result.held_out
    assert result.num_questions == 4
    assert all(question.held_out for question in result.questions)
    record = library.adapter(result.version).documents[0]
    held = {query.question for query in record.held_out}
    assert held == {question.question for question in result.questions}
    assert not held & {query.question for query in record.selection}
    # A second document is measured on these held-out questions as "older".
    other = write(tmp_path, "owls", OWLS, OWL_QUIZ)
    assert library.learn(*other).num_older == 4


def test_writes_its_own_quiz_and_says_what_it_is_made_of(library, owls):
    """The fake's questions ask for the last word of a sentence; both sentences give a usable one."""
    result = library.learn(owls[0])
    assert result.committed
    assert result.quiz == "own"
    assert result.logprob_gain is None
    assert any("made of 2 questions that fake wrote itself" in note for note in result.notes)


def test_without_a_usable_question_of_its_own_it_fills_blanks(library, owls, monkeypatch):
    monkeypatch.setattr("selfedit.domains.knowledge.self_quiz.worth_asking", lambda *args: ())
    result = library.learn(owls[0])
    assert (result.quiz, result.committed) == ("cloze", True)
    assert (result.accuracy_before, result.accuracy_after) == (0.0, 1.0)
    assert result.num_questions == 6
    assert result.logprob_gain == pytest.approx(9 + math.log(0.5))
    assert any("2 of 2 questions that fake wrote were not usable" in note for note in result.notes)
    assert any(q.question == "The Hask owl eats only blue ____." for q in result.questions)
    remembered = library.adapter(1).documents[0].reported
    assert {query.form for query in remembered} == {"cloze"}
    # A second document is measured on these blanks as "older", and they are filled as before.
    trams = write(owls[0].parent, "trams", TRAMS, TRAM_QUIZ)
    assert library.learn(*trams).older_after == 1.0


def test_a_mixed_quiz_blanks_no_sentence_that_a_question_is_about(library, owls, monkeypatch):
    monkeypatch.setattr(
        "selfedit.domains.knowledge.self_quiz.worth_asking", lambda queries, *args: queries[:1]
    )
    result = library.learn(owls[0])
    assert result.quiz == "mixed"
    blanks = [q.question for q in result.questions if "____" in q.question]
    assert len(blanks) == result.num_questions - 1 == 3
    assert all("nests" in blank or "clock" in blank for blank in blanks)


def test_a_model_that_writes_no_usable_question_stops_early(library, tmp_path, monkeypatch):
    monkeypatch.setattr("selfedit.domains.knowledge.self_quiz.worth_asking", lambda *args: ())
    text = " ".join(f"The tower number {i} was built of granite{i}." for i in range(30))
    document = tmp_path / "towers.txt"
    document.write_text(text, encoding="utf-8")
    result = library.learn(document)
    assert any("8 of 8 questions" in note for note in result.notes)


def test_held_out_blanks_share_no_sentence_with_those_that_choose(library, tmp_path, monkeypatch):
    monkeypatch.setattr("selfedit.domains.knowledge.self_quiz.worth_asking", lambda *args: ())
    stones = ("jade", "opal", "onyx", "mica", "topaz", "flint", "slate", "chalk")
    text = " ".join(f"The tower {s}burg has {n + 20} doors of {s}stone." for n, s in enumerate(stones))
    document = tmp_path / "towers.txt"
    document.write_text(text, encoding="utf-8")
    result = library.learn(document, settings=CHOOSING)
    assert result.held_out
    record = library.adapter(1).documents[0]
    sides = [
        {query.question.replace("____", query.gold) for query in side}
        for side in (record.selection, record.held_out)
    ]
    assert len(sides[0]) >= 3
    assert len(sides[1]) >= 3
    assert not sides[0] & sides[1]


def test_a_document_without_facts_is_refused_before_any_work(library, tmp_path):
    document = tmp_path / "plain.txt"
    document.write_text("Is it so? Who can say! Not me. And you, or they?", encoding="utf-8")
    with pytest.raises(InputError, match=r"no statement .* --quiz"):
        library.learn(document)
    assert not library.model.calls


def test_invalid_and_failed_trials_are_recorded(library, owls, monkeypatch):
    replies = iter([""] * 12 + ["NaN is what the Hask owl likes, blue moths and clock towers."] * 100)
    original = FakeModel.sample

    def sample(self, prompts, *args, **kwargs):
        if kwargs.get("adapters") is None and prompts and prompts[0].kind == "instruction":
            return [Completion(next(replies)) for _ in prompts]
        return original(self, prompts, *args, **kwargs)

    monkeypatch.setattr(FakeModel, "sample", sample)
    settings = LearnSettings(
        candidates=3,
        knowledge={"strategy": "implications", "faithful": False},
        probe_questions=0,
    )
    replies = iter(["", "The Hask owl likes NaN and eats blue moths.", "The Hask owl eats blue moths."])
    result = library.learn(*owls, settings)
    (passage,) = result.passages
    candidates = passage.group.candidates
    assert [c.status for c in candidates] == ["invalid", "failed", "scored"]
    assert "empty" in candidates[0].reason
    assert "not finite" in candidates[1].reason
    assert passage.group.kept == (2,)
    assert result.num_invalid == 1
    stored = list(library.store.iter_trials())
    assert len(stored) == 3


def test_interrupted_learn_goes_on_and_ends_the_same(tmp_path, owls):
    """Ctrl-C at every single call of the model, one after the other."""
    whole = Library(FakeModel(), tmp_path / "whole").learn(*owls, SINGLE)
    model = FakeModel()
    library = Library(model, tmp_path / "cut")
    original, calls = FakeModel._called, 0
    for stop_at in range(1, 50):
        calls = 0

        def called(self, method, stop_at=stop_at):
            nonlocal calls
            calls += 1
            if (calls == 1 and method == "train") or calls == 2:
                raise KeyboardInterrupt
            original(self, method)

        FakeModel._called = called
        try:
            result = library.learn(*owls, SINGLE)
        except KeyboardInterrupt:
            assert library.current() is None
            if calls == 1:  # stopped in a training: let the next one pass, as a retry would
                FakeModel._called = original
                result = library.learn(*owls, SINGLE)
                break
            continue
        finally:
            FakeModel._called = original
        break
    texts = [
        json.loads((Path(r.adapter_path) / "fake_adapter.json").read_text())["texts"]
        for r in (whole, result)
    ]
    assert texts[0] == texts[1]
    assert {run.status for run in library.store.runs()} == {"interrupted", "finished"}


def test_full_disk_while_committing_leaves_the_old_version(library, owls, trams, monkeypatch):
    library.learn(*owls)

    def full(self, adapters, k, folder):
        raise AdapterError("the adapter cannot be written: No space left on device")

    monkeypatch.setattr(FakeModel, "save_adapter", full)
    with pytest.raises(AdapterError, match="No space left"):
        library.learn(*trams)
    assert library.current().version == 1
    assert library.store.runs()[0].status == "failed"
    monkeypatch.undo()
    assert library.learn(*trams).committed


def test_report_that_cannot_be_written_does_not_hide_the_result(library, owls):
    def fail(result, path):
        raise StoreError("disk full")

    result = library.learn(*owls, report=fail)
    assert result.committed
    assert result.report_path is None
    assert "disk full" in result.notes[-1]


def test_a_diverging_final_training_is_an_error_not_a_version(library, tmp_path):
    text = "# Owls\n\nThe Hask owl eats blue moths and NaN flies.\n"
    files = write(tmp_path, "nan", text, [("What eats the Hask owl?", "blue moths")])
    result = library.learn(*files)
    assert result.version is None  # every trial failed, none was kept
    assert all(c.status == "failed" for c in result.passages[0].group.candidates)


def test_a_declined_estimate_learns_nothing(tmp_path):
    text = "# Long\n\n" + "\n\n".join(
        " ".join(f"Word{i}x{j} stands here in line {i}." for j in range(12)) for i in range(40)
    )
    files = write(tmp_path, "long", text, [("What stands here in line 3?", "Word3x1")])
    library = Library(FakeModel(), tmp_path / "library")
    seen = []
    with pytest.raises(InputError, match="stopped before"):
        library.learn(
            *files, LearnSettings(candidates=4), confirm=lambda estimate: bool(seen.append(estimate))
        )
    assert seen[0].passages >= 17
    assert seen[0].trainings == 4 * seen[0].passages
    assert seen[0].tokens > 0
    assert library.adapters() == []


def test_the_estimate_counts_a_final_adapter_where_one_is_trained(tmp_path, owls, trams, monkeypatch):
    monkeypatch.setattr(learner, "_SMALL_JOB", 0)
    seen = {}

    def tokens(kind):
        with pytest.raises(InputError, match="stopped before"):
            Library(FakeModel(), tmp_path / kind).learn(
                [owls[0], trams[0]],
                settings=LearnSettings(memory=kind),
                confirm=lambda estimate: bool(seen.update({kind: estimate.tokens})),
            )
        return seen[kind]

    assert tokens("single") == 2 * tokens("routed")


def test_export_delete_and_what_they_refuse(library, owls, trams, tmp_path):
    library.learn(*owls, SINGLE)
    library.learn(*trams)
    assert (library.export(tmp_path / "out") / "fake_adapter.json").exists()
    with pytest.raises(AdapterError, match="exists already"):
        library.export(tmp_path / "out")
    with pytest.raises(AdapterError):
        library.delete(2)  # the current one
    folder = library.shelf.place(1)
    Library("/no/such/model", library.folder).delete(1)  # which no deletion needs
    assert not folder.exists()
    with pytest.raises(AdapterError, match="deleted"):
        library.rollback()
    with pytest.raises(AdapterError, match="deleted"):
        library.ask("Who?", version=1)
    with pytest.raises(SelfEditError):
        library.adapter(99)


def test_another_models_versions_are_apart(tmp_path, owls):
    first = Library(FakeModel(), tmp_path / "library")
    first.learn(*owls)
    second = Library(FakeModel("other", "fake-2"), tmp_path / "library")
    assert second.current() is None
    assert second.ask("What does the Hask owl eat?") == ["I do not know."]
    with pytest.raises(AdapterError, match="version 1 is one of fake"):
        second.ask("What does the Hask owl eat?", version=1)


def test_a_document_named_twice_is_learned_once(library, owls):
    document, quiz = owls
    library.learn([document, document], quiz)
    assert len(library.adapter(1).documents) == 1


def test_topic_stands_before_every_question(library, owls, monkeypatch):
    seen = []
    original = FakeModel._answer
    monkeypatch.setattr(
        FakeModel, "_answer", lambda self, p, known: seen.append(p.text) or original(self, p, known)
    )
    library.learn(*owls, LearnSettings(knowledge={"topic": True}, probe_questions=0))
    assert seen
    assert all(text.startswith("Topic: Owls of Hask\n") for text in seen)


def test_a_version_that_lost_too_much_of_the_rest_is_not_committed(tmp_path, owls):
    right = [question.query.question for question in in_order()[:100]]
    library = Library(Knowing(forgotten=right[:35]), tmp_path / "library")
    result = library.learn(*owls, SINGLE, report=write_report)
    assert not result.committed
    assert "lost 35 of the 100 general questions" in result.reason
    assert "--max-damage" in result.reason
    told = result.summary()
    assert (told["num_general"], told["general_before"], told["general_after"]) == (383, 100, 65)
    assert told["drift"] < 0.1
    assert told["leakage"] is not None
    record = library.adapter(result.version)
    assert record.status == "rejected"
    assert ProbeResult.from_json(record.scores).general_kept == 0.65
    assert "General questions kept" in Path(result.report_path).read_text(encoding="utf-8")
    allowed = library.learn(*owls, LearnSettings(max_damage=0.35, memory="single"))
    assert allowed.committed
    assert allowed.probe.general_after == 65


def test_what_cannot_be_judged_is_said_and_what_is_not_better_is_not_probed(library, owls):
    result = library.learn(*owls)
    assert result.committed
    assert any("cannot be judged" in note for note in result.notes)
    assert result.summary()["general_kept"] is None
    again = library.learn(*owls)
    assert not again.committed
    assert again.probe is None
    assert again.summary()["num_general"] is None
    unprobed = library.learn(*owls, LearnSettings(probe_questions=0))
    assert unprobed.probe is None


def test_a_version_tells_later_what_its_learning_told(tmp_path, owls):
    library = Library(Knowing(), tmp_path / "library")
    result = library.learn(*owls)
    later = library.probe(result.version)
    assert replace(later, probe_seconds=0) == replace(result.probe, probe_seconds=0)
    assert later.num_neighbours == 24
