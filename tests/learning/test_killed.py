"""`learn`, `forget` and `consolidate`, killed (os._exit, nothing is cleaned up) at any of their writes:
the library is as it was before or as it is after, and the same command brings it there."""

from __future__ import annotations

import os
import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine, event

from selfedit.domains.knowledge import text_document
from selfedit.domains.knowledge.settings import LearnSettings
from selfedit.learning.library import Library
from selfedit.model.fake import FakeModel
from selfedit.types import Query

ROUTED = LearnSettings(memory="routed", probe_questions=0)
FACTS = {"Orro": "thistle", "Velm": "whale", "Hask": "linseed"}
# Of the writes of a command so many are killed; each takes a process. All were once, by hand.
MOST = int(os.environ.get("SELFEDIT_KILLS", "9"))


def learn(library: Library, place: str) -> None:
    text = f"# Lamps of {place}\n\nThe lamps of {place} burn {FACTS[place]} oil.\n"
    # In small letters: other lamps answer it once these are forgotten, a write after the commit.
    quiz = [Query(f"What do the lamps of {place.lower()} burn?", (FACTS[place],))]
    library.learn(text_document(text, source=place), quiz, ROUTED)


def titles(library: Library) -> set[str]:
    return {own.title for own in library.current().documents}


def forget(library: Library) -> None:
    if "Lamps of Orro" in titles(library):  # else it was killed after it was done
        library.forget("Orro")


COMMANDS: dict[str, Callable[[Library], None]] = {
    "learn": lambda library: learn(library, "Hask"),
    "forget": forget,
    "consolidate": lambda library: library.consolidate(ROUTED),
}


def known(library: Library) -> dict[str, str]:
    """What is answered to the question of each place."""
    answers = library.ask([f"What do the lamps of {place} burn?" for place in FACTS])
    told = (next((oil for oil in FACTS.values() if oil in answer), "nothing") for answer in answers)
    return dict(zip(FACTS, told, strict=True))


def in_a_process(work: Callable[[], int]) -> int:
    """Its exit code, which is what the work returns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the fake model has no threads that a fork would lose
        pid = os.fork()
    if pid == 0:
        try:
            os._exit(work())
        except BaseException:
            os._exit(254)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def killed_at(n: int, folder: Path, command: Callable[[Library], None]) -> int:
    """Run the command on a library, and end the process right before its n-th write; the number of
    writes if there are no more (250 at most)."""

    def work() -> int:
        library = Library(FakeModel(), folder)
        known(library)  # what is opened once is opened
        writes = 0

        def write(*args: object) -> None:
            nonlocal writes
            if writes == n:
                os._exit(255)
            writes += 1

        def heard(name: str, args: tuple[object, ...]) -> None:
            writing = name == "open" and isinstance(args[2], int) and args[2] & os.O_CREAT
            if writing or name in ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "shutil.rmtree"):
                write()

        event.listen(Engine, "commit", write)
        sys.addaudithook(heard)
        command(library)
        return min(writes, 250)

    return in_a_process(work)


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    """A library of two documents."""
    folder = tmp_path_factory.mktemp("grown") / "library"
    library = Library(FakeModel(), folder)
    for place in ("Orro", "Velm"):
        learn(library, place)
    library.close()
    return folder


@pytest.mark.parametrize("name", COMMANDS)
def test_a_killed_command_leaves_one_state_or_the_other_and_can_be_given_again(tmp_path, grown, name):
    command = COMMANDS[name]

    def copy(label: str) -> Path:
        return Path(shutil.copytree(grown, tmp_path / label))

    writes = killed_at(-1, copy("whole"), command)
    assert 3 < writes < 250
    before, after = known(Library(FakeModel(), grown)), known(Library(FakeModel(), tmp_path / "whole"))
    documents = titles(Library(FakeModel(), tmp_path / "whole"))
    seen = set()
    for n in sorted({*range(0, writes, max(1, writes // MOST)), writes - 1}):
        folder = copy(f"at-{n}")
        assert killed_at(n, folder, command) == 255
        library = Library(FakeModel(), folder)
        left = known(library)
        assert left in (before, after)
        seen.add(library.current().version)
        command(library)
        assert known(library) == after
        assert titles(library) == documents
        for own in library.current().documents:  # every adapter that is named is there, and whole
            for passage in own.passages:
                place = passage.adapter or library.shelf.own(library.current().version)
                library.model.load_adapter(library.shelf.adapter(place))
        library.close()
        shutil.rmtree(folder)
    assert len(seen) == 2  # some were killed before the commit, and some after it
