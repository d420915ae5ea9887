"""A library is a folder: it can be moved, copied and used from anywhere, and touches nothing else."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from selfedit.domains.knowledge import text_document
from selfedit.domains.knowledge.settings import LearnSettings
from selfedit.errors import AdapterError, ModelError, NoSuchVersion
from selfedit.learning.library import Library
from selfedit.model.fake import FakeModel
from selfedit.report.learn_run import report_file
from selfedit.show.html import write_report
from selfedit.types import Query

LAMPS = text_document("# Lamps of Orro\n\nThe lamps of Orro burn thistle oil.\n", source="lamps")
LAMP = Query("What do the lamps of Orro burn?", ("thistle oil",))
BOATS = text_document("# Boats of Orro\n\nThe boats of Orro are painted saffron.\n", source="boats")
BOAT = Query("In what colour are the boats of Orro painted?", ("saffron",))


def learned(folder: Path | str) -> Library:
    library = Library(FakeModel(), folder)
    assert library.learn(LAMPS, [LAMP], LearnSettings(memory="single"), report=write_report).committed
    return library


def set_path(library: Library, path: str) -> None:
    """As another release, or somebody else, may have stored it."""
    with sqlite3.connect(library.folder / "store.sqlite") as database:
        database.execute("update adapters set path = ?", (path,))


@pytest.mark.parametrize("change", ["from another folder", "renamed", "copied"])
def test_a_library_is_used_from_anywhere(tmp_path, monkeypatch, change):
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    home.mkdir()
    elsewhere.mkdir()
    monkeypatch.chdir(home)
    learned("lib").close()
    folder = home / "lib"
    if change == "renamed":
        folder = folder.rename(elsewhere / "other")
    elif change == "copied":
        folder = shutil.copytree(folder, elsewhere / "other")
        shutil.rmtree(home / "lib")
    monkeypatch.chdir(elsewhere)
    # Where an adapter of another library lies under the very same relative path.
    shutil.copytree(folder / "adapters", elsewhere / "lib" / "adapters")
    wrong = elsewhere / "lib" / "adapters" / "v0001" / "fake_adapter.json"
    wrong.write_text(wrong.read_text().replace("thistle", "whale"))
    library = Library(FakeModel(), folder)
    assert "thistle" in library.ask(LAMP.question)[0]
    assert report_file(library.store, library.store.run(1)) == folder / "reports" / "run-0001.html"
    assert library.learn(BOATS, [BOAT]).older_after == 1.0
    assert "thistle" in (library.export(elsewhere / "out", version=1) / wrong.name).read_text()
    library.delete(1)
    assert [path.name for path in (folder / "adapters").iterdir()] == ["v0002"]
    assert wrong.exists()


def test_stored_paths_of_older_releases_are_not_followed(tmp_path):
    library = learned(tmp_path / "lib")
    victim = tmp_path / "lib" / "adapters" / ".." / ".." / "victim"
    victim.mkdir()
    library.rollback(0)
    for path in ("adapters/v0001", str(tmp_path / "lib/adapters/v0001"), str(victim), str(tmp_path)):
        set_path(library, path)
        assert "thistle" in library.ask(LAMP.question, version=1)[0]
    set_path(library, str(victim))
    library.delete(1)
    assert victim.is_dir()
    assert not (tmp_path / "lib" / "adapters" / "v0001").exists()


@pytest.mark.parametrize("linked", ["adapters/v0001", "adapters"])
def test_a_link_out_of_the_library_is_left_alone(tmp_path, linked):
    library = learned(tmp_path / "lib")
    library.rollback(0)
    inside, outside = tmp_path / "lib" / linked, tmp_path / "outside"
    inside.rename(outside)
    inside.symlink_to(outside)
    for use in (lambda: library.ask("Who?", version=1), lambda: library.delete(1)):
        with pytest.raises(AdapterError, match="link out of the library"):
            use()
    assert any(outside.rglob("fake_adapter.json"))
    assert library.adapter(1).status == "committed"


def test_a_library_behind_a_link_is_a_library(tmp_path):
    learned(tmp_path / "lib").close()
    (tmp_path / "link").symlink_to(tmp_path / "lib")
    assert "thistle" in Library(FakeModel(), tmp_path / "link").ask(LAMP.question)[0]


def test_a_version_without_its_files_says_so(tmp_path):
    library = learned(tmp_path / "lib")
    shutil.rmtree(tmp_path / "lib" / "adapters")
    with pytest.raises(AdapterError, match="files of version 1 are not there"):
        library.ask("Who?")


def test_a_rollback_while_learn_runs_is_respected(tmp_path, monkeypatch):
    library = learned(tmp_path / "lib")
    library.learn(BOATS, [BOAT])
    original = FakeModel.save_adapter

    def meanwhile(self, adapters, k, folder):
        original(self, adapters, k, folder)
        with Library(FakeModel(), tmp_path / "lib").store as store:
            store.set_current("fake-1", 1)
            store.mark_deleted(2)

    monkeypatch.setattr(FakeModel, "save_adapter", meanwhile)
    masts = text_document("# Masts\n\nThe masts of Orro are cut from larch.\n", source="masts")
    result = library.learn(masts, [Query("From what are the masts of Orro cut?", ("larch",))])
    assert (result.version, result.committed) == (3, False)
    assert "version 1 became current in place of version 2, and stays so" in result.reason
    assert library.current().version == 1
    assert library.adapter(3).reason == result.reason
    assert library.rollback(3).version == 3  # it is kept, and may be taken
    assert "larch" in library.ask("From what are the masts of Orro cut?")[0]


def test_the_fake_model_is_nothing_for_llama_cpp(tmp_path):
    with pytest.raises(ModelError, match=r"llama\.cpp"):
        learned(tmp_path / "lib").export(tmp_path / "out", gguf=True)


def test_a_version_of_another_model_is_not_asked(tmp_path):
    library = Library(FakeModel(), tmp_path / "lib")
    assert library.learn(LAMPS, [LAMP]).committed
    other = Library(FakeModel("other", "other-1"), tmp_path / "lib")
    for use in (
        lambda: other.ask("Who is asked about nothing that was learned?", version=1),
        lambda: other.probe(1),
    ):
        with pytest.raises(NoSuchVersion, match=r"version 1 is one of fake \(fake-1\)"):
            use()


def test_copies_of_a_document_are_learned_once_and_said(tmp_path):
    files = [tmp_path / name for name in ("lamps.md", "copy.md")]
    for file in files:
        file.write_text("# Lamps of Orro\n\nThe lamps of Orro burn thistle oil.\n")
    library = Library(FakeModel(), tmp_path / "lib")
    result = library.learn(files, [LAMP])
    assert len(library.current().documents) == 1
    assert result.notes[0] == f"{files[0]} is a copy of {files[1]}, under whose name it was learned."
