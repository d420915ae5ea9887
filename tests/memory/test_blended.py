"""BM25 and meaning together: other words for a thing, and vectors that are computed once."""

from __future__ import annotations

import pytest

from selfedit.domains.knowledge import text_document
from selfedit.domains.knowledge.settings import LearnSettings
from selfedit.learning.library import Library
from selfedit.learning.standing import Standing, router_of
from selfedit.memory.blended import blended, passage_vectors
from selfedit.memory.routed import by_words
from selfedit.model.fake import FakeModel
from selfedit.store import LearnedPassage, Store
from selfedit.types import Query

CONCEPTS = ("lamp lantern", "burn fuel oil", "boat ship", "paint colour saffron", "capital kenya")


class Concepts:
    """A vector counts the words of each concept; a part of it is common to all texts."""

    identity = "concepts"

    def __init__(self):
        self.embedded = []

    def embed(self, texts):
        self.embedded += texts
        return [self._vector(text.lower()) for text in texts]

    @staticmethod
    def _vector(text):
        counts = [sum(word in text for word in own.split()) for own in CONCEPTS]
        length = sum(c * c for c in counts) ** 0.5 or 1.0
        return [c / length for c in counts]


LAMPS = LearnedPassage("Lamps of Orro", "The lamps of Orro burn thistle oil.", ("x",), "a")
BOATS = LearnedPassage("Boats of Tarn", "The boats of Tarn have a saffron paint.", ("x",), "b")


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "store.sqlite") as own:
        yield own


def test_other_words_find_a_passage_and_other_questions_still_find_none(store):
    router = blended([LAMPS, BOATS], Concepts(), store)
    fuel = "What is the fuel of these lanterns?"
    assert [hit.place for hit in router.find(fuel)] == [0]
    assert by_words([LAMPS, BOATS]).find(fuel) == []
    assert [hit.place for hit in router.find("What do the lamps of Orro burn?")] == [0]
    assert [hit.place for hit in router.find("In which colour are ships?")] == [1]
    assert router.find("What is the capital of Kenya?") == []
    assert router.find(" ") == []
    assert blended([], Concepts(), store).find(fuel) == []


def test_of_two_passages_that_cover_a_question_alike_the_later_one_comes_first(store):
    later = LearnedPassage("Lamps of Orro", "The lamps of Orro burn whale oil.", ("x",), "c")
    router = blended([LAMPS, BOATS, later], Concepts(), store)
    assert [hit.place for hit in router.find("What do the lamps of Orro burn?", most=2)] == [2, 0]


def test_vectors_are_computed_once_for_a_store(store):
    embedder = Concepts()
    first = passage_vectors(["lamp", "boat"], embedder, store)
    assert passage_vectors(["boat", "lamp", "oil"], embedder, store)[:2] == first[::-1]
    assert embedder.embedded == ["lamp", "boat", "oil"]


def test_a_library_keeps_its_router(tmp_path, monkeypatch):
    embedder = Concepts()
    monkeypatch.setattr(Standing, "embedder", embedder)
    library = Library(FakeModel(), tmp_path / "library")
    lamps = text_document("# Lamps of Orro\n\nThe lamps of Orro burn thistle oil.\n", source="lamps")
    query = Query("What do the lamps of Orro burn?", ("thistle",))
    library.learn(lamps, [query], LearnSettings(memory="routed", router="blended"))
    boats = text_document("# Boats\n\nThe boats of Tarn have a saffron paint.\n", source="boats")
    library.learn(boats, [Query("Which paint do the boats of Tarn have?", ("saffron",))])
    assert router_of(library.current()) == "blended"
    (found,) = library.sources("What is the fuel of the lantern?")
    assert [own.document.source for own in found] == ["lamps"]
    library.consolidate()
    assert router_of(library.current()) == "blended"
    library.forget("boats")
    assert router_of(library.current()) == "blended"
    assert library.learn(boats, None, LearnSettings(router="bm25")).version
    assert router_of(library.adapters()[-1]) == "bm25"
