"""Keys of a transformers model, as they were on 2026-11-26 (see `tests/cli/test_recorded_keys.py`)."""

from __future__ import annotations

from selfedit.config import LoraSettings, SamplingSettings, TrainSettings, stable_hash
from selfedit.domains.arc.as_task import to_task
from selfedit.domains.arc.domain import Arc
from selfedit.domains.arc.self_edit import ORACLE
from selfedit.domains.arc.settings import ArcInnerSettings
from selfedit.domains.knowledge import Knowledge
from selfedit.domains.knowledge.settings import KnowledgeSettings, LearnSettings
from selfedit.grading import former_identities
from selfedit.loops.jobs import trial_key
from selfedit.loops.sampler import Writer
from selfedit.store import Store
from selfedit.types import Prompt, Query, SelfEdit, Task
from tests.domains.arc.test_domain import mirrored

TRIALS = [
    "c9eab1ac86f006eb692c7ece26d848fe",
    "f49aab636f76c3128e2ff92433e271ee",
    "5e7911b71115e9265402b28966d0f7cc",
    "da863e33cc915aa192c7a7f1567f01a8",
]
TEXTS = {
    "3fb956be1766eb41fac8cd0f6049bb26",
    "0aa157b1e6db88dac4c9c3fc332e96db",
    "86451e26c8afdec0979873b6b59ba43a",
}
TASK = Task("id", "Tower", "The tower is made of stone.", (Query("Made of what?", ("stone", "rock")),))


def test_trial_keys(tiny, monkeypatch):
    # Graders have changed since, and with their identities the keys; nothing else of them has.
    monkeypatch.setattr(
        "selfedit.domains.knowledge.domain.identity", lambda grader: former_identities(grader)[0]
    )
    keys = []
    for strategy in ("sentences", "implications"):
        settings = LearnSettings(
            knowledge=KnowledgeSettings(strategy=strategy, restatements=2, topic=True),
            train=TrainSettings(epochs=3),
            lora=LoraSettings(),
        )
        domain = Knowledge(settings.knowledge)
        prompts = domain.prompts(TASK)
        edit = SelfEdit("id", 1, prompts, ("It is a tower of stone.",) * len(prompts))
        keys.append(trial_key(tiny, domain, TASK, edit, 7, settings))
    arc = ArcInnerSettings(lora=LoraSettings(rank=4))
    task, domain = to_task(mirrored(), "rows"), Arc(arc.arc, arc.train.batch_size)
    for said in (ORACLE.text(), "no edit at all"):
        edit = SelfEdit(task.id, 0, domain.prompts(task), (said,))
        keys.append(trial_key(tiny, domain, task, edit, 0, arc))
    assert keys == TRIALS


def test_text_keys(tiny, tmp_path):
    store = Store(tmp_path / "store.sqlite")
    prompts = [
        Prompt("Say a."),
        Prompt("Say a.", "question", prefix="It", turns=(("b", "c"),), max_new_tokens=1),
        Prompt("Say a.", pattern="[ab]{2}"),
    ]
    Writer(tiny, store).write(prompts, SamplingSettings(max_new_tokens=2), [0, 1, 2], "writing")
    assert store.cached(TEXTS).keys() == TEXTS


def test_what_a_pattern_restricted_is_drawn_again(tiny, tmp_path):
    """Records of before 2026-11-28, whose log-probabilities ignored patterns, are not used."""
    store = Store(tmp_path / "store.sqlite")
    writer, sampling = Writer(tiny, store), SamplingSettings(max_new_tokens=2)
    asked = [(Prompt("Say a."), 0), (Prompt("Say a.", pattern="[ab]{2}"), 2)]
    prompts, seeds = zip(*asked, strict=True)
    texts = writer.write(prompts, sampling, seeds, "writing")
    for key, text in zip(writer._keys(asked, sampling), texts, strict=True):
        former = {"text": text, "tokens": [1, 2], "logprobs": [-9.0, -9.0], "ended": True}
        store.put_cached("drawn", {stable_hash([key, "drawn"]): former})
    for _ in range(2):
        free, held = writer.draw(prompts, sampling, seeds, "writing", needed=True)
        assert free.logprobs == (-9.0, -9.0)
        assert held.text == texts[1]
        assert len(held.logprobs) == len(held.tokens)
        assert -9.0 not in held.logprobs
