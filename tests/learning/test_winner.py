"""The adapter of a document's best candidate is the version's, where nothing else is in it."""

from __future__ import annotations

import pytest
from safetensors.torch import load_file

from selfedit.domains.knowledge import Knowledge, text_document
from selfedit.domains.knowledge.settings import KnowledgeSettings, LearnSettings
from selfedit.learning.draft import final_plan
from selfedit.learning.library import Library
from selfedit.learning.workbench import Workbench
from selfedit.model.fake import FakeModel
from selfedit.model.language_model import LanguageModel
from selfedit.store import LearnedDocument, LearnedPassage
from selfedit.types import Query, SelfEdit, Task

LAMPS = text_document("# Lamps\n\nThe lamps of Orro burn thistle oil.\n", source="lamps")
LAMP = Query("What do the lamps of Orro burn?", ("thistle oil",))
BOATS = text_document("# Boats\n\nThe boats of Orro are painted saffron.\n", source="boats")
BOAT = Query("In what colour are the boats of Orro painted?", ("saffron",))
# The tiny model writes noise: what it writes is trained on as it is.
NOISE = {
    "knowledge": {"strategy": "rewrite", "faithful": False, "neighbours": 0},
    "sampling": {"temperature": 2.0, "max_new_tokens": 24},
    "lora": {"rank": 2},
    "train": {"epochs": 2, "learning_rate": 0.05, "anchor": {"weight": 0}},
    "candidates": 3,
    "memory": "single",
}
SINGLE = LearnSettings(memory="single")

TASK = Task(
    "t",
    "Tidewell Observatory",
    "Tidewell Observatory stands on Orrsay. Maren Hollick founded Tidewell Observatory in 1887. "
    "At the observatory a telescope called Old Bess looks at comets.",
)
RESTATED = (
    "On Orrsay stands Tidewell Observatory.\nIn 1887, Tidewell Observatory was founded by Maren "
    "Hollick.\nComets are watched at Tidewell Observatory.\nOld Bess is a telescope at Tidewell."
)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"title_line": False},
        {"ends": True},
        {"form": "turn"},
        {"neighbours": 5},
        {"neighbours": 5, "form": "turn"},
        {"neighbours": 5, "form": "mixed", "ends": True},
    ],
)
def test_the_plan_of_a_version_of_one_passage_is_that_of_its_self_edit(changes):
    settings = KnowledgeSettings(strategy="rewrite", faithful=False, **changes)
    plan = Knowledge(settings).parse(TASK, SelfEdit("t", 0, (), (RESTATED,)))
    assert bool(plan.neighbours) == ("neighbours" in changes)
    texts = tuple(sequence.text for sequence in plan.sequences)
    passage = LearnedPassage(TASK.title, TASK.context, texts)
    document = LearnedDocument("a.md", "Observatories", "d", (passage,))
    assert final_plan([document], settings) == plan


class Surprised:
    """A grader of noise: right is what differs from the first answer that it has seen."""

    identity = "surprised"

    def __init__(self) -> None:
        self.first: str | None = None

    def __call__(self, question, golds, answer) -> bool:
        self.first = self.first or answer
        return answer != self.first


def weights(folder):
    return load_file(folder / "adapter_model.safetensors")


@pytest.fixture
def kept(monkeypatch):
    """What the workbench was given: (key of the trial, its weights), as they were in the bank."""
    seen = {}
    original = Workbench.keep

    def keep(self, trials, bank):
        seen.update((t.key, bank.weights_KP[k].clone()) for k, t in enumerate(trials))
        original(self, trials, bank)

    monkeypatch.setattr(Workbench, "keep", keep)
    return seen


@pytest.mark.parametrize("changes", [{}, {"heat_epochs": 1, "finalists": 2}])
def test_a_version_is_bit_equal_to_the_trial_that_won(tiny, tmp_path, monkeypatch, kept, changes):
    trained = []
    original = LanguageModel.train

    def train(self, plans, *args, **options):
        trained.append(len(plans))
        return original(self, plans, *args, **options)

    monkeypatch.setattr(LanguageModel, "train", train)
    library = Library(tiny, tmp_path / "library")
    settings = LearnSettings.model_validate({**NOISE, **changes})
    result = library.learn(LAMPS, [LAMP], settings, grader=Surprised())
    assert result.version == 1
    (passage,) = result.passages
    (place,) = passage.group.kept
    version = tiny.load_adapter(library.shelf.find(1)).weights_KP[0]
    assert (version == kept[passage.group.candidates[place].trials[0]]).all()
    assert 1 not in trained[len(changes) :]  # no final training
    assert (
        result.final_losses
        == library.store.trials(passage.group.candidates[place].trials)[
            passage.group.candidates[place].trials[0]
        ].losses
    )
    assert not (tmp_path / "library" / "work").exists()


def test_a_killed_run_finds_its_adapters_again(tiny, tmp_path, monkeypatch, kept):
    library = Library(tiny, tmp_path / "library")
    settings, grader = LearnSettings.model_validate(NOISE), Surprised()

    def cut(*args, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("selfedit.learning.learner.learned_documents", cut)  # after the trials
        with pytest.raises(KeyboardInterrupt):
            library.learn(LAMPS, [LAMP], settings, grader=grader)
    assert len(list((tmp_path / "library" / "work").iterdir())) == len(kept) > 0
    monkeypatch.setattr(LanguageModel, "train", cut)
    result = library.learn(LAMPS, [LAMP], settings, grader=grader)
    version = tiny.load_adapter(library.shelf.find(result.version)).weights_KP[0]
    assert any((version == own).all() for own in kept.values())


def test_where_a_trials_adapter_is_gone_or_damaged_it_is_trained_once_more(tmp_path, monkeypatch):
    original = Workbench.keep

    def keep(self, trials, bank):
        original(self, trials, bank)
        for path in self.folder.rglob("fake_adapter.json"):
            path.write_text("{")

    monkeypatch.setattr(Workbench, "keep", keep)
    model = FakeModel()
    library = Library(model, tmp_path / "library")
    assert library.learn(LAMPS, [LAMP], SINGLE).committed
    assert model.calls["train"] == 2  # the wave, and the final adapter
    assert "thistle" in library.ask(LAMP.question)[0]


def test_with_other_documents_in_it_the_final_adapter_is_trained(tmp_path):
    model = FakeModel()
    library = Library(model, tmp_path / "library")
    library.learn(LAMPS, [LAMP], SINGLE)
    assert model.calls["train"] == 1
    library.learn(BOATS, [BOAT])
    assert model.calls["train"] == 3
    assert library.ask([LAMP.question, BOAT.question])[0].count("thistle") == 1
    assert not (tmp_path / "library" / "work").exists()  # and nothing was kept for it
    library.rollback(0)
    again = text_document(
        "# Lamps\n\nThe lamps of Orro burn thistle oil.\n\nThey hang.", source="lamps"
    )
    library.learn(again, [LAMP], SINGLE)
    assert model.calls["train"] == 4


def test_a_single_finalist_is_trained_in_full_by_the_final_adapter_alone(tmp_path):
    model = FakeModel()
    library = Library(model, tmp_path / "library")
    result = library.learn(LAMPS, [LAMP], LearnSettings(heat_epochs=3, memory="single"))
    assert result.committed
    assert model.calls["train"] == 2
    (passage,) = result.passages
    assert {len(losses) for losses in passage.losses} == {3}
    assert len(result.final_losses) == LearnSettings().train.passes(1)


def test_a_routed_passages_single_finalist_is_trained_in_full(tmp_path):
    library = Library(FakeModel(), tmp_path / "library")
    result = library.learn(LAMPS, [LAMP], LearnSettings(heat_epochs=3, memory="routed"))
    (passage,) = result.passages
    (kept,) = passage.group.kept
    key = passage.group.candidates[kept].trials[0]
    assert len(library.store.trials([key])[key].losses) == LearnSettings().train.passes(1)
