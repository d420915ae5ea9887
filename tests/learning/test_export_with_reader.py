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


@pytest.fixture
def library(tiny, tmp_path):
    """With a version, and a model that reads it by a reader of another shape."""
    model = tiny.twin()
    model.revision = "tiny with a reader"
    reader = AdapterBank(
        model.hf, LoraSettings(rank=3, alpha=6, layers="1-1"), [5], num_layers=model.num_layers
    )
    reader.weights_KP += 0.05
    model.reader = reader
    library = Library(model, tmp_path / "library")
    assert library.learn(LAMPS, [LAMP], LearnSettings.model_validate(NOISE), grader=Surprised()).version
    return library


def said(model, **how) -> float:
    return model.answer_scores(ASKED, ["thistle oil"], **how)[0].logprob


def test_an_exported_adapter_has_the_reader_in_it(tiny, library, tmp_path):
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
