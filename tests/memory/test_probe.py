"""The probe: what is counted, what is asked once, and what it says when it cannot measure."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from selfedit.config import LoraSettings
from selfedit.errors import ModelError
from selfedit.home import probes_folder
from selfedit.lora.bank import AdapterBank
from selfedit.memory import general
from selfedit.memory import probe as probing
from selfedit.memory.answering import Adapted
from selfedit.memory.bare import BareAnswers
from selfedit.memory.general import in_order
from selfedit.memory.guard import cannot_judge, too_damaged
from selfedit.memory.neighbours import Subject
from selfedit.memory.probe import probe
from selfedit.memory.questions import general_questions
from selfedit.model.fake import FakeAdapters, FakeModel
from selfedit.model.tiny import tiny_model
from selfedit.progress import Silent
from selfedit.show.plots import wilson_interval
from selfedit.types import AnswerScore, ProbeExample, ProbeResult, Prompt, Query
from tests.knowing import GOLDS, Knowing

TIDEWELL = Subject(
    "Tidewell Observatory",
    "Tidewell Observatory was founded by Maren Hollick.",
    (Query("Who founded Tidewell Observatory?", ("Maren Hollick",)),),
)
TAUGHT = FakeAdapters([["Maren Hollick founded Tidewell Observatory."]])


def first_questions(count):
    return [question.query.question for question in in_order()[:count]]


def test_of_the_questions_right_before_those_still_right_count():
    model = Knowing(unknown=first_questions(50)[::2], forgotten=first_questions(50)[1::2][:10])
    result = probe(model, Adapted(TAUGHT))
    assert (result.num_general, result.num_right) == (383, 358)
    assert (result.general_before, result.general_after) == (100, 90)
    assert result.general_kept == 0.9
    assert result.general_kept_bounds == wilson_interval(0.9, 100)
    assert {example.question for example in result.lost} == model.forgotten
    assert all(example.before != example.after == "I do not know." for example in result.lost)
    assert (result.ended, result.ended_before) == (1.0, 1.0)
    assert result.leakage is None
    assert result.notes == ()
    assert too_damaged(result, 0.1) == ""
    assert "10 of the 100 general questions" in too_damaged(result, 0.09)


def test_the_bare_model_is_asked_once_whatever_adapter_comes_after():
    first = Knowing()
    probe(first, Adapted(TAUGHT), [TIDEWELL])
    assert first.bare_prompts > 100
    again = Knowing()
    result = probe(again, Adapted(FakeAdapters([["Nothing."]])), [TIDEWELL])
    assert again.bare_prompts == 0
    assert result.general_after == 100
    other = Knowing()
    other.revision = "another"
    probe(other, Adapted(TAUGHT), [TIDEWELL])
    assert other.bare_prompts == first.bare_prompts


def test_a_killed_probe_asks_only_what_is_missing(monkeypatch):
    monkeypatch.setattr("selfedit.memory.bare.CHUNK", 8)
    monkeypatch.setattr(general, "CHUNK", 8)
    model = Knowing()
    sample = model.sample

    def killed(prompts, *args, **more):
        if model.bare_prompts >= 40:
            raise KeyboardInterrupt
        return sample(prompts, *args, **more)

    model.sample = killed
    with pytest.raises(KeyboardInterrupt):
        probe(model, Adapted(TAUGHT))
    again, whole = Knowing(), Knowing()
    probe(again, Adapted(TAUGHT))
    for path in probes_folder().iterdir():
        path.unlink()
    probe(whole, Adapted(TAUGHT))
    assert again.bare_prompts == whole.bare_prompts - 40


def test_the_half_that_the_bare_model_is_surest_of_counts():
    """How sure: of its answer up to the gold, whatever it says behind it."""

    class Rambling(Knowing):
        def _said(self, prompt, text, adapters):
            said = super()._said(prompt, text, adapters)
            return f"{said} More than that, nobody knows." if prompt.text in GOLDS else said

        def answer_scores(self, prompts, replies, **more):
            beginnings.update(zip([p.text for p in prompts], replies, strict=True))
            return [AnswerScore(-float(places[p.text]), 1, True) for p in prompts]

    beginnings: dict[str, str] = {}
    questions = first_questions(383)
    places = {question: 7 * i % 383 for i, question in enumerate(questions)}
    surest = sorted(questions, key=places.__getitem__)[:192]
    result = probe(Rambling(forgotten=surest[40:50] + surest[150:]), Adapted(TAUGHT))
    assert (result.num_right, result.general_before, result.general_after) == (383, 100, 90)
    assert {example.question for example in result.lost} == set(surest[40:50])
    assert probe(Rambling(), Adapted(TAUGHT), sample=300).general_before == 192
    plain = [q for q in questions if GOLDS[q].isalpha() and len(GOLDS[q]) > 4]
    assert all(beginnings[q] == f"It is {GOLDS[q]}" for q in plain)


def test_leaks_are_answers_about_others_that_take_a_fact():
    result = probe(Knowing(), Adapted(TAUGHT), [TIDEWELL])
    assert result.num_neighbours == 24
    assert result.leakage == len(result.leaks) / 24 > 0
    assert {leak.fact for leak in result.leaks} == {"Maren Hollick"}
    assert not any("Tidewell" in leak.question for leak in result.leaks)
    assert result.leakage_bounds == wilson_interval(result.leakage, 24)
    assert 0 < result.neighbour_drift <= math.log(2)
    untaught = probe(Knowing(), Adapted(FakeAdapters([["Nothing."]])), [TIDEWELL])
    assert (untaught.leakage, untaught.neighbour_drift, untaught.leaks) == (0.0, 0.0, ())


def test_documents_of_one_kind_have_questions_of_their_own_and_check_the_facts_of_all():
    """Their neighbours are the same: what the later one leaks is measured as well."""

    class Leaking(Knowing):
        def _said(self, prompt, text, adapters):
            asked = prompt.kind == "question" and prompt.text not in GOLDS
            return (
                "Ines Calder."
                if asked and adapters is not None
                else super()._said(prompt, text, adapters)
            )

    older = replace(TIDEWELL, queries=())
    new = Subject("Marlow Observatory", "Marlow Observatory was founded by Ines Calder.")
    for subjects in ([older, new], [new, older], [older, new, older]):
        result = probe(Leaking(), Adapted(TAUGHT), subjects)
        assert (result.num_neighbours, result.leakage) == (24, 1.0)
        assert {leak.fact for leak in result.leaks} == {"Ines Calder"}
    alone = probe(Leaking(), Adapted(TAUGHT), [older])
    assert (alone.num_neighbours, alone.leakage) == (24, 0.0)


def test_a_model_that_knows_nothing_cannot_be_judged_and_says_so():
    result = probe(Knowing(unknown=GOLDS), Adapted(TAUGHT))
    assert (result.num_general, result.general_before) == (96, 0)
    assert result.general_kept is result.general_kept_bounds is result.ended is None
    assert too_damaged(result, 0.0) == ""
    assert result.notes[0] == cannot_judge(result)
    assert "0 of 96" in result.notes[0]
    few = replace(result, general_before=19, general_after=0, general_kept=0.0)
    assert "0 of 96" in cannot_judge(few)
    assert "--probe-questions" in cannot_judge(replace(few, num_right=60))
    assert too_damaged(few, 0.1) == ""
    assert too_damaged(replace(few, general_before=20), 0.1)


@pytest.mark.parametrize("text", ["", "so it is and so it is and so it is and so it is"])
def test_texts_that_are_empty_or_loops_measure_no_drift(text):
    result = probe(Knowing(text=text), Adapted(TAUGHT))
    assert (result.drift, result.drift_bounds, result.num_drift) == (None, None, 0)
    assert any("Drift rests on 0 of 40 texts" in note for note in result.notes)


class Warned:
    def __init__(self):
        self.warnings = []

    def start(self, name, total):
        pass

    def advance(self, amount=1):
        pass

    def found(self, amount):
        pass

    def note(self, text):
        pass

    def warn(self, text):
        self.warnings.append(text)


def test_without_a_disk_for_the_cache_it_measures_the_same_and_warns_once(tmp_path, monkeypatch):
    expected = probe(Knowing(), Adapted(TAUGHT), [TIDEWELL])
    (tmp_path / "full").write_text("", encoding="utf-8")
    monkeypatch.setenv("SELFEDIT_HOME", str(tmp_path / "full"))
    progress = Warned()
    result = probe(Knowing(), Adapted(TAUGHT), [TIDEWELL], progress=progress)
    assert replace(result, probe_seconds=0) == replace(expected, probe_seconds=0)
    assert len(progress.warnings) == 1
    assert "cannot be kept" in progress.warnings[0]


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"answers": {"a": 1}}', '{"answers": 3}'])
def test_a_damaged_cache_is_written_anew(damage):
    def asked():
        model = Knowing()
        BareAnswers(model, Silent()).ask([Prompt("a"), Prompt("b"), Prompt("a", prefix="c")], 8)
        return model.bare_prompts

    assert asked() == 3
    assert asked() == 0
    (path,) = probes_folder().iterdir()
    path.write_text(damage, encoding="utf-8")
    assert asked() == 3
    assert asked() == 0


def test_a_base_model_without_a_template_and_another_model_can_be_probed(monkeypatch):
    monkeypatch.setattr(general, "general_questions", lambda: general_questions()[:12])
    monkeypatch.setattr(probing, "drift_prompts", lambda: ("Tell me about rivers.", "What is it?"))
    bare = tiny_model(chat=False)
    bank = AdapterBank(bare.hf, LoraSettings(rank=2, layers="all"), [0], num_layers=2)
    untouched = probe(bare, Adapted(bank), [TIDEWELL], num_neighbours=3)
    assert (untouched.num_general, untouched.leakage) == (12, 0.0)
    assert untouched.drift in (0.0, None)
    other = probe(bare, Adapted(other=tiny_model(seed=1, chat=False)), [TIDEWELL], num_neighbours=3)
    assert other.neighbour_drift > 0
    with pytest.raises(ModelError, match="tokenizer"):
        probe(bare, Adapted(other=FakeModel()), [TIDEWELL], num_neighbours=3)


def test_a_result_comes_back_from_json_also_with_fields_of_later_versions():
    result = ProbeResult(
        num_general=125,
        general_before=100,
        general_after=90,
        general_kept=0.9,
        general_kept_bounds=(0.8, 0.95),
        leakage=0.0,
        lost=(ProbeExample("Why?", "because", "because", "so"),),
        notes=("a note",),
    )
    value = json.loads(json.dumps(result.to_json()))
    assert ProbeResult.from_json(value) == result
    assert ProbeResult.from_json({**value, "later": 1}) == result
    assert ProbeResult.from_json({}) == ProbeResult()
    assert "lost" not in result.measures()
