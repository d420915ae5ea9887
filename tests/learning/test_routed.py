"""A library that keeps an adapter of each passage: cost, sources, contradictions, forgetting."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from contextlib import contextmanager
from pathlib import Path

import pytest

from selfedit.domains.knowledge import text_document
from selfedit.domains.knowledge.settings import LearnSettings
from selfedit.errors import AdapterError, InputError
from selfedit.learning import exporting
from selfedit.learning.library import Library, prompts_of
from selfedit.model.fake import FakeModel
from selfedit.types import Query

PLACES = "Orro Velm Hask Tidewell Brenna Quillon Marsk Dunmere Ostra Pellworm Zanth Ubrik".split()
OILS = "thistle whale linseed poppy walnut almond olive castor hemp sesame palm argan".split()
ROUTED, SINGLE = LearnSettings(memory="routed"), LearnSettings(memory="single")


def lamps(place: str, oil: str, source: str = "", more: str = ""):
    text = f"# Lamps of {place}\n\nThe lamps of {place} burn {oil} oil.{more}\n"
    return text_document(text, source=source or place)


def asked(place: str) -> str:
    return f"What do the lamps of {place} burn?"


def quiz(place: str, oil: str) -> list[Query]:
    return [Query(asked(place), (oil,))]


BOATS = text_document("# Boats of Tarn\n\nThe boats of Tarn are painted saffron.\n", source="boats")
BOAT = "In what colour are the boats of Tarn painted?"


def learn_boats(library, settings=None):
    return library.learn(BOATS, [Query(BOAT, ("saffron",))], settings)


def learn(library, i, settings=None):
    return library.learn(lamps(PLACES[i], OILS[i]), quiz(PLACES[i], OILS[i]), settings)


@pytest.fixture
def library(tmp_path):
    return Library(FakeModel(), tmp_path / "library")


def adapters_of(library, version=None):
    record = library.current() if version is None else library.adapter(version)
    return [p.adapter for document in record.documents for p in document.passages]


def files(library):
    return sorted(path.name for path in (library.folder / "passages").iterdir())


def test_the_tenth_document_costs_what_the_first_one_did(library):
    costs = []
    for i in range(len(PLACES)):
        before = library.model.calls.copy()
        result = learn(library, i, ROUTED if i == 0 else None)  # it stays what it was
        assert result.committed
        assert result.num_older == i
        assert result.older_after in (None, 1.0)
        costs.append(dict(library.model.calls - before))
    assert library.current().settings["memory"] == "routed"
    assert {cost["train"] for cost in costs} == {1}  # the trials, and no final adapter
    for name, cost in costs[-1].items():  # writing, answering and reading adapters, too
        assert cost <= costs[2][name]
    answers = library.ask([asked(place) for place in PLACES])
    assert all(oil in answer for oil, answer in zip(OILS, answers, strict=True))
    assert not (library.folder / "work").exists()
    assert files(library) == sorted(adapters_of(library))


def test_a_bounded_number_of_adapters_is_in_memory_and_a_batch_holds_many(library):
    for i in range(len(PLACES)):
        learn(library, i, ROUTED)
    questions = [asked(place) for place in PLACES]
    library = Library(library.model, library.folder)
    before = library.model.calls.copy()
    library.ask(questions)
    cost = library.model.calls - before
    assert (cost["load_adapter"], cost["sample"]) == (12, 2)  # 8 in a batch, and the rest
    assert len(library.standing.loaded) == library.standing.loaded.most == 8
    library.ask(questions[-1:])
    loaded = library.model.calls["load_adapter"]
    library.ask(questions[-1:])  # it is at hand now
    assert library.model.calls["load_adapter"] == loaded <= before["load_adapter"] + 13


def test_ask_says_where_an_answer_is_from_and_leaves_other_questions_alone(library):
    for i in range(4):
        learn(library, i, ROUTED)
    here, nothing = library.sources([asked("Velm"), "What is the capital of Kenya?"])
    assert [own.document.title for own in here] == ["Lamps of Velm"]
    assert (here[0].weight, nothing) == (1.0, [])
    before = library.model.calls["load_adapter"]
    assert library.ask("What is the capital of Kenya?") == ["I do not know."]
    assert library.model.calls["load_adapter"] == before


def test_a_question_about_two_documents_meets_both_adapters(library):
    settings = LearnSettings(memory="routed", adapters_per_question=2)
    for i in range(2):
        learn(library, i, settings)
    question = "Which lamps are older, those of Orro or those of Velm?"
    (sources,) = library.sources(question)
    assert {own.document.title for own in sources} == {"Lamps of Orro", "Lamps of Velm"}
    assert sum(own.weight for own in sources) == pytest.approx(1)
    prompt = prompts_of([question])[0]
    bank = library.standing.loaded.bank([library.answering().mix(prompt)])
    assert bank.num_adapters == 1  # the sum
    assert {"thistle", "whale"} <= set(re.findall(r"\w+", " ".join(bank.texts[0])))


def test_of_two_documents_that_contradict_each_other_the_later_one_wins(library):
    learn(library, 0, ROUTED)
    learn(library, 1)
    later = lamps("Orro", "sunflower", "a letter", " It has been so since the fair.")
    result = library.learn(later, quiz("Orro", "sunflower"))
    assert result.committed
    assert (result.num_older, result.older_after) == (1, 1.0)  # the overruled one is not among them
    assert any("the later one wins for 1 question" in note for note in result.notes)
    assert "sunflower" in library.ask(asked("Orro"))[0]
    library.rollback()
    assert "thistle" in library.ask(asked("Orro"))[0]


def test_a_new_version_of_a_document_takes_the_place_of_the_old_one(library):
    learn(library, 0, ROUTED)
    result = library.learn(lamps("Orro", "sunflower"), quiz("Orro", "sunflower"))
    assert result.committed
    assert len(library.current().documents) == 1
    assert "sunflower" in library.ask(asked("Orro"))[0]


@pytest.mark.parametrize("memory", ["routed", "single", "stack-anchored"])
@pytest.mark.parametrize("more", ["", " It has been so since the fair."])
def test_a_document_whose_new_edits_bring_nothing_stays_as_it_was_learned(library, memory, more):
    """No edit of the lamps gives the answer that is wanted now, and the boats are new."""
    learn(library, 0, LearnSettings(memory=memory))
    (before,) = library.current().documents
    wanted = [*quiz("Orro", "coal"), Query(BOAT, ("saffron",))]
    chosen = LearnSettings(memory=memory, candidates=2)
    result = library.learn([lamps("Orro", "thistle", more=more), BOATS], wanted, chosen)
    assert result.committed
    assert (result.num_older, result.older_before, result.older_after) == (1, 1.0, 1.0)
    assert [note for note in result.notes if "Lamps of Orro: no new self-edit was kept" in note]
    kept, boats = library.current().documents
    assert (kept.digest, kept.sequences, kept.reported) == (
        before.digest, before.sequences, before.reported
    )  # fmt: skip
    assert boats.source == "boats"
    assert "thistle" in library.ask(asked("Orro"))[0]
    assert "saffron" in library.ask(BOAT)[0]


def lamps_and_boats(more=""):
    lamps_of = "# Lamps of Orro\n\nThe lamps of Orro burn thistle oil."
    boats_of = f"# Boats of Tarn\n\nThe boats of Tarn are painted saffron.{more}"
    return text_document(f"{lamps_of}\n\n{boats_of}\n", source="both")


@pytest.mark.parametrize("memory", ["routed", "single"])
@pytest.mark.parametrize("more", ["", " They are fast."])
def test_a_passage_of_which_nothing_new_is_kept_stays_as_it_was_learned(library, memory, more):
    """Of a document that is learned again; its other passage is learned anew."""
    chosen = LearnSettings(memory=memory, candidates=2, knowledge={"passage_words": 20})
    boat = Query(BOAT, ("saffron",))
    assert library.learn(lamps_and_boats(), [*quiz("Orro", "thistle"), boat], chosen).committed
    before = library.current().documents[0].passages[0]
    wanted = [*quiz("Orro", "coal"), boat, *quiz("Hask", "linseed")]
    result = library.learn([lamps_and_boats(more), lamps("Hask", "linseed")], wanted, chosen)
    assert result.committed
    both, _ = library.current().documents
    assert [bool(passage.sequences) for passage in both.passages] == [True, True]
    assert both.passages[0].sequences == before.sequences
    assert both.passages[1].context.endswith(f"saffron.{more}")
    answers = library.ask([asked("Orro"), BOAT, asked("Hask")])
    assert [
        one in two for one, two in zip(("thistle", "saffron", "linseed"), answers, strict=True)
    ] == [True] * 3


def test_forgetting_takes_no_training_and_shows_what_is_gone(library):
    learn(library, 0, ROUTED)
    learn_boats(library)
    learn(library, 2)
    kept = {name: (library.folder / "passages" / name / "fake_adapter.json").read_bytes()
            for name in files(library)}  # fmt: skip
    trained = library.model.calls["train"]
    done = library.forget("boats of tarn")
    assert library.model.calls["train"] == trained
    assert (done.num_questions, done.right_before, done.right_after, done.as_bare) == (1, 1, 0, 1)
    assert (done.unchanged, done.retrained, done.rerouted) == (2, 0, 0)
    assert library.current().version == done.version == 4
    assert library.ask(BOAT) == ["I do not know."]
    assert "thistle" in library.ask(asked("Orro"))[0]
    assert library.rollback().version == 3
    assert "saffron" in library.ask(BOAT)[0]
    library.rollback(4)
    for version in (2, 3):
        library.delete(version)
    assert len(files(library)) == 2  # what nobody needs is gone, the rest is as it was
    assert all((library.folder / "passages" / name / "fake_adapter.json").read_bytes() == kept[name]
               for name in files(library))  # fmt: skip
    with pytest.raises(InputError, match="did not learn"):
        library.forget("Boats of Tarn")
    library.forget("Orro")
    assert library.forget(PLACES[2]).version is None
    assert library.current() is None


def test_a_version_that_has_no_adapter_left_says_so(library):
    """No edit of the lamps gives the answer that is wanted, and the boats are forgotten."""
    chosen = LearnSettings(memory="routed", candidates=2)
    wanted = [Query(BOAT, ("saffron",)), *quiz("Orro", "coal")]
    assert library.learn([lamps("Orro", "thistle"), BOATS], wanted, chosen).committed
    assert library.forget("boats").version == 2
    with pytest.raises(AdapterError, match="has no adapter: what it knew was forgotten"):
        library.export(library.folder.parent / "out")


def test_a_single_version_of_which_nothing_trained_is_left_answers_as_the_bare_model(library):
    chosen = LearnSettings(memory="single", candidates=2)
    wanted = [Query(BOAT, ("saffron",)), *quiz("Orro", "coal")]
    assert library.learn([lamps("Orro", "thistle"), BOATS], wanted, chosen).committed
    done = library.forget("boats")
    assert (done.version, done.right_after, done.as_bare, done.num_documents) == (2, 0, 1, 1)
    again = Library(FakeModel(), library.folder)
    assert again.ask([BOAT, asked("Orro")]) == again.ask([BOAT, asked("Orro")], base=True)
    with pytest.raises(AdapterError, match="has no adapter: what it knew was forgotten"):
        again.export(library.folder.parent / "out")
    with pytest.raises(AdapterError, match="has no adapter: what it knew was forgotten"):
        again.consolidate()
    assert again.rollback().version == 1
    assert "saffron" in again.ask(BOAT)[0]
    for memory in ("single", "stack"):  # it goes on from there
        again.rollback(2)
        assert learn(again, 2, LearnSettings(memory=memory)).committed
        assert "linseed" in again.ask(asked("Hask"))[0]


def test_what_was_forgotten_is_found_done_whatever_was_learned_since_it_was_looked_up(library):
    learn(library, 0, ROUTED)
    learn(library, 1)
    target = library.to_forget("Orro")
    learn(library, 2)
    assert library.forget(target).version == 4
    trained = library.model.calls["train"]
    assert library.forget(target).version == 4  # by a run that does not know of the first
    assert library.model.calls["train"] == trained
    assert library.current().version == 4
    learn(library, 0)
    assert library.current().version == 5
    with pytest.raises(InputError, match="did not learn"):
        library.to_forget("Quillon")


def test_a_single_version_has_an_adapter_after_a_document_without_texts_is_forgotten(library):
    """Nor does it matter that the texts were once learned by adapters of their own."""
    learn(library, 0, ROUTED)
    chosen = LearnSettings(memory="single", candidates=2)
    wanted = [Query(BOAT, ("saffron",)), *quiz("Velm", "coal")]
    assert library.learn([lamps("Velm", "whale"), BOATS], wanted, chosen).committed
    assert library.forget("Velm").num_documents == 2
    assert library.forget("boats").num_documents == 1
    again = Library(FakeModel(), library.folder)
    assert "thistle" in again.ask(asked("Orro"))[0]
    assert again.ask(BOAT) == ["I do not know."]


@pytest.mark.parametrize("memory", ["single", "routed"])
def test_what_shared_an_adapter_is_trained_again_as_it_was_before(library, monkeypatch, memory):
    own = LearnSettings.model_validate(
        {"memory": "single", "seed": 5, "lora": {"rank": 3}, "train": {"epochs": 4}}
    )
    for i in range(2):
        learn(library, i, own)
    if memory == "routed":  # it goes on with other settings, and the adapter stays
        learn(library, 2, ROUTED)
    used, train = [], library.model.train

    def seen(plans, lora, settings, seeds, **more):
        used.append((lora, settings, list(seeds)))
        return train(plans, lora, settings, seeds, **more)

    monkeypatch.setattr(library.model, "train", seen)
    with_these = library.adapter(2).settings
    for document in ("Orro", "Velm")[: 1 if memory == "single" else 2]:
        library.forget(document)
    ((lora, settings, seeds),) = used
    assert lora.model_dump(mode="json") == with_these["lora"]
    assert settings.model_dump(mode="json") == with_these["train"]
    assert seeds == [5]
    kept = library.adapter(3 if memory == "single" else 4).settings
    assert kept["memory"] == memory
    assert {k: kept[k] for k in ("lora", "train", "seed", "knowledge")} == {
        k: with_these[k] for k in ("lora", "train", "seed", "knowledge")
    }


def test_documents_without_a_question_can_be_consolidated(library):
    library.learn([lamps("Orro", "thistle"), BOATS], [Query(BOAT, ("saffron",))], ROUTED)
    library.forget("boats")
    done = library.consolidate()
    assert (done.committed, done.num_questions, done.reason) == (True, 0, "no question was asked")


def test_a_library_of_one_adapter_goes_on_routed_and_can_forget(library):
    learn(library, 0, SINGLE)
    learn_boats(library)
    trained = library.model.calls["train"]
    assert learn(library, 2, ROUTED).committed
    assert library.model.calls["train"] - trained == 1
    assert adapters_of(library)[:2] == ["v0002", "v0002"]
    assert "saffron" in library.ask(BOAT)[0]
    library.rollback(1)
    library.rollback(3)
    library.delete(2)  # its adapter is needed
    assert "thistle" in library.ask(asked("Orro"))[0]
    done = library.forget("boats")
    assert (done.retrained, done.unchanged, done.right_after) == (1, 1, 0)
    assert "thistle" in library.ask(asked("Orro"))[0]
    assert library.ask(BOAT) == ["I do not know."]


def test_a_library_of_an_older_release_goes_on_routed_and_back(library):
    """Its records know no kinds of memory, and do not say which text is whose."""
    learn(library, 0, SINGLE)
    learn_boats(library)
    with sqlite3.connect(library.folder / "store.sqlite") as store:
        old = [
            {
                "source": own.source,
                "title": own.title,
                "digest": own.digest,
                "sequences": own.sequences,
                "selection": [{"question": q.question, "answers": q.answers, "topic": ""}
                              for q in own.reported],
                "held_out": [],
            }
            for own in library.current().documents
        ]  # fmt: skip
        values = {k: v for k, v in library.current().settings.items() if k not in ("memory", "router")}
        told = (json.dumps(old), json.dumps(values))
        store.execute("update adapters set documents = ?, settings = ? where version = 2", told)
    library = Library(FakeModel(), library.folder)
    assert learn(library, 2, ROUTED).committed
    assert adapters_of(library)[:2] == ["v0002", "v0002"]
    answers = library.ask([asked("Orro"), BOAT, asked("Hask")])
    told = zip(("thistle", "saffron", "linseed"), answers, strict=True)
    assert all(oil in own for oil, own in told)
    assert [bool(own) for own in library.sources([asked("Orro"), BOAT])] == [True, True]
    assert library.rollback().version == 2
    assert "saffron" in library.ask(BOAT)[0]
    assert library.rollback().version == 1
    assert "thistle" in library.ask(asked("Orro"))[0]
    library.rollback(3)
    assert library.forget("boats").right_after == 0
    assert "thistle" in library.ask(asked("Orro"))[0]


def test_single_and_stacked_libraries_forget_by_training_or_not_at_all(tmp_path, library):
    for i in range(2):
        learn(library, i, SINGLE)
    done = library.forget("Orro")
    assert (done.right_before, done.right_after, done.retrained) == (1, 0, 1)
    assert "whale" in library.ask(asked("Velm"))[0]
    stack = Library(FakeModel(), tmp_path / "stack")
    learn(stack, 0, LearnSettings(memory="stack"))
    with pytest.raises(AdapterError, match="is a stack"):
        stack.forget("Orro")


@pytest.mark.parametrize("kind", ["stack", "stack-anchored"])
def test_a_stack_trains_each_document_on_what_came_before(tmp_path, kind):
    library = Library(FakeModel(), tmp_path / "library")
    for i in range(3):
        result = learn(library, i, LearnSettings(memory=kind))
        assert result.committed
        assert result.older_after in (None, 1.0)
    own = json.loads((library.shelf.find(3) / "fake_adapter.json").read_text())
    assert ("whale" in str(own["texts"])) == (kind == "stack-anchored")  # a few statements are replayed
    assert "hask" in str(own["texts"]).lower()
    assert own["base_revision"] != library.model.revision
    answers = Library(FakeModel(), library.folder).ask([asked(place) for place in PLACES[:3]])
    assert all(oil in answer for oil, answer in zip(OILS, answers, strict=False))
    assert library.rollback().version == 2
    assert "linseed" not in library.ask(asked("Hask"))[0]
    library.rollback(3)
    library.delete(2)  # the stack stands on it
    assert "whale" in Library(FakeModel(), library.folder).ask(asked("Velm"))[0]
    with pytest.raises(AdapterError, match="--merged"):
        library.export(tmp_path / "out")


def test_a_stack_goes_on_from_the_one_adapter_of_a_routed_version(library):
    for i in range(2):
        learn(library, i, ROUTED)
    with pytest.raises(AdapterError, match="consolidate` makes one"):
        learn(library, 2, LearnSettings(memory="stack"))
    assert library.consolidate().committed
    assert learn(library, 2, LearnSettings(memory="stack")).committed
    library.delete(3)  # the stack stands on it
    answers = Library(FakeModel(), library.folder).ask([asked(place) for place in PLACES[:3]])
    assert all(oil in answer for oil, answer in zip(OILS, answers, strict=False))


def test_one_adapter_is_made_of_many_and_routing_goes_on_from_it(tmp_path, library):
    for i in range(3):
        learn(library, i, ROUTED)
    result = library.consolidate()
    assert (result.committed, result.accuracy_after, result.version) == (True, 1.0, 4)
    assert set(adapters_of(library)) == {""}
    again = library.consolidate()
    assert (again.committed, again.accuracy_after, again.version) == (True, 1.0, 4)
    assert "one adapter already" in again.reason
    assert again.adapter_path == result.adapter_path
    assert again.summary().keys() == result.summary().keys()
    assert len(library.adapters()) == 4
    assert not list((tmp_path / "library" / "work").glob("*"))
    assert (library.export(tmp_path / "one") / "fake_adapter.json").is_file()
    assert learn(library, 3).committed
    assert adapters_of(library)[:3] == ["v0004"] * 3
    assert len(adapters_of(library)[3]) == 32
    assert "linseed" in library.ask(asked("Hask"))[0]
    assert library.ask("What is the capital of Kenya?") == ["I do not know."]


def test_export_writes_a_folder_of_adapters_and_a_table(tmp_path, library):
    for i in range(2):
        learn(library, i, ROUTED)
    folder = library.export(tmp_path / "out")
    table = json.loads((folder / "routing.json").read_text(encoding="utf-8"))
    assert [own["document"] for own in table["passages"]] == ["Lamps of Orro", "Lamps of Velm"]
    for own in table["passages"]:
        assert (folder / own["adapter"] / "fake_adapter.json").is_file()
        assert own["text"].startswith(f"{own['title']}\n")
    with pytest.raises(AdapterError, match="consolidate"):
        library.export(tmp_path / "merged", merged=True)


def test_an_export_is_whole_or_not_there(tmp_path, library, monkeypatch):
    """While a version's files go, and after a kill in its middle."""
    for i in range(2):
        learn(library, i, ROUTED)
    copied = []

    def cut(adapter, target, **how):
        copied.append(adapter)
        if len(copied) == 2:
            shutil.rmtree(adapter)
        return copy(adapter, target, **how)

    copy = exporting._copy
    folder = max((library.folder / "passages").iterdir())
    shutil.copytree(folder, tmp_path / "kept")
    with monkeypatch.context() as patch:
        patch.setattr(exporting, "_copy", cut)
        with pytest.raises(AdapterError, match="No such file") as error:
            library.export(tmp_path / "out")
    assert len(str(error.value)) < 400
    assert not (tmp_path / "out").exists()
    shutil.copytree(tmp_path / "kept", folder, dirs_exist_ok=True)
    (tmp_path / "out" / ".selfedit-export" / folder.name).mkdir(parents=True)
    (tmp_path / "out" / folder.name).mkdir()  # moved already
    library.export(tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir())[-1] == "routing.json"
    assert (tmp_path / "out" / folder.name / "fake_adapter.json").is_file()
    assert not (tmp_path / "out" / ".selfedit-export").exists()
    with pytest.raises(AdapterError, match="not an empty folder"):
        library.export(tmp_path / "out")


@pytest.mark.parametrize("documents", [1, 2])
def test_an_export_of_a_read_only_library_is_not_read_only(tmp_path, library, documents):
    """Its draft could not be moved up, and stayed."""
    for i in range(documents):
        learn(library, i, ROUTED)
    for folder in (library.folder / "passages").iterdir():
        for path in (*folder.iterdir(), folder):
            path.chmod(0o555)
    library.export(tmp_path / "out")
    made = [tmp_path / "out", *(tmp_path / "out").rglob("*")]
    assert len(made) > documents
    assert all(path.stat().st_mode & 0o200 for path in made)


def test_an_export_leaves_the_folder_of_somebody_else(tmp_path):
    """Also one whose owner keeps drafts of something else in it."""
    library = Library(FakeModel(), tmp_path / "library")
    learn(library, 0, ROUTED)
    theirs = tmp_path / "out" / ".partial" / "kept.txt"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("mine")
    with pytest.raises(AdapterError, match="out"):
        library.export(tmp_path / "out")
    assert theirs.read_text() == "mine"


@pytest.mark.parametrize("cut", ["LocalRunner.run", "Learner._measure", "Store.add_adapter"])
def test_a_killed_learn_goes_on_without_training_again(tmp_path, monkeypatch, cut):
    from selfedit.learning.learner import Learner
    from selfedit.runners.local import LocalRunner
    from selfedit.store import Store

    owner, name = cut.split(".")
    owner = {"LocalRunner": LocalRunner, "Learner": Learner, "Store": Store}[owner]
    library = Library(FakeModel(), tmp_path / "library")
    learn(library, 0, ROUTED)
    original = getattr(owner, name)

    def killed(self, *args, **options):
        if name == "run":
            list(original(self, *args, **options))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, killed)
        with pytest.raises(KeyboardInterrupt):
            learn(library, 1)
    assert library.current().version == 1
    trained = library.model.calls["train"]
    assert learn(Library(library.model, library.folder), 1).committed
    assert library.model.calls["train"] == trained
    assert "whale" in library.ask(asked("Velm"))[0]


def test_a_killed_forget_leaves_the_version_as_it_was(library, monkeypatch):
    from selfedit.store import Store

    for i in range(2):
        learn(library, i, ROUTED)
    with monkeypatch.context() as patch:
        patch.setattr(Store, "add_adapter", lambda *args, **options: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            library.forget("Orro")
    assert library.current().version == 2
    assert "thistle" in library.ask(asked("Orro"))[0]
    assert library.forget("Orro").right_after == 0


def test_a_missing_adapter_is_named(library):
    import shutil

    learn(library, 0, ROUTED)
    shutil.rmtree(library.folder / "passages")
    with pytest.raises(AdapterError, match="is not there"):
        library.ask(asked("Orro"))
    assert Path(library.folder).is_dir()


def test_what_was_committed_while_it_waited_is_what_it_stands_on(library, tmp_path, monkeypatch):
    alone = Library._alone

    @contextmanager
    def after_another(self):
        monkeypatch.setattr(Library, "_alone", alone)
        learn(Library(FakeModel(), tmp_path / "library"), 0, ROUTED)
        with alone(self):
            yield

    monkeypatch.setattr(Library, "_alone", after_another)
    result = learn_boats(library)
    assert library.adapter(result.version).parent == 1
    assert library.current().settings["memory"] == "routed"
