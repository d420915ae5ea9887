"""Versions of a model that attaches a reader, as files for programs that know of none."""

from __future__ import annotations

import pytest

from selfedit.config import LoraSettings
from selfedit.domains.knowledge.settings import LearnSettings
from selfedit.errors import AdapterError
from selfedit.learning.library import Library
from selfedit.lora.bank import AdapterBank
from selfedit.lora.peft_folder import load_peft
from selfedit.model.load import load_model
from selfedit.types import Prompt
from tests.learning.test_winner import LAMP, LAMPS, NOISE, Surprised

ASKED = [Prompt("What do the lamps of Orro burn?", kind="question")]


def read_library(tiny, folder, **memory) -> Library:
    """With a version, and a model that reads it by a reader of another shape."""
    model = tiny.twin()
    model.revision = "tiny with a reader"
    reader = AdapterBank(
        model.hf, LoraSettings(rank=3, alpha=6, layers="1-1"), [5], num_layers=model.num_layers
    )
    reader.weights_KP += 0.05
    model.reader = reader
    library = Library(model, folder)
    settings = LearnSettings.model_validate(NOISE | memory)
    assert library.learn(LAMPS, [LAMP], settings, grader=Surprised()).version
    return library


def said(model, **how) -> float:
    return model.answer_scores(ASKED, ["thistle oil"], **how)[0].logprob


def test_an_exported_adapter_has_the_reader_in_it(tiny, tmp_path):
    library = read_library(tiny, tmp_path / "library")
    model = library.model
    own = model.load_adapter(library.shelf.find(1))
    assert own.settings.rank == NOISE["lora"]["rank"], "the library keeps the document's alone"
    read = said(model, adapters=own, owners=[0])
    assert abs(read - said(tiny, adapters=own.over(tiny.hf), owners=[0])) > 1e-3
    folder = library.export(tmp_path / "out")
    whole = load_peft(tiny.hf, folder, num_layers=tiny.num_layers)
    assert abs(said(tiny, adapters=whole, owners=[0]) - read) <= 1e-9
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        path.name for path in library.shelf.find(1).iterdir()
    ), "nothing else is left there"
    with pytest.raises(AdapterError, match="without its reader"):  # it would be read twice
        model.load_adapter(folder)
    merged = load_model(str(library.export(tmp_path / "merged", merged=True)), dtype="float64")
    assert not merged.has_reader
    assert abs(said(merged) - read) <= 1e-4  # what is computed once, such as angles, is in float32


def test_a_stack_answers_without_the_reader_and_so_does_its_export(tiny, tmp_path):
    library = read_library(tiny, tmp_path / "library", memory="stack")
    own = library.model.load_adapter(library.shelf.find(1))
    alone = said(tiny, adapters=own.over(tiny.hf), owners=[0])
    assert abs(said(library.standing.stacked(library.store.adapter(1))) - alone) <= 1e-9
    folder = library.export(tmp_path / "out")
    whole = load_peft(tiny.hf, folder, num_layers=tiny.num_layers)
    assert abs(said(tiny, adapters=whole, owners=[0]) - alone) <= 1e-9
    merged = load_model(str(library.export(tmp_path / "merged", merged=True)), dtype="float64")
    assert abs(said(merged) - alone) <= 1e-4
