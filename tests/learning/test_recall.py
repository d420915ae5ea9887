"""Blanks on a model without a chat template: what it was taught is measured, and nothing else."""

from __future__ import annotations

from selfedit.config import ANSWER_SAMPLING, LoraSettings, TrainSettings
from selfedit.domains.knowledge import Knowledge, cloze_items, gold_reply
from selfedit.learning.recall import logprob_gain
from selfedit.memory.answering import Adapted
from selfedit.model.tiny import tiny_model
from selfedit.types import Query, Task, TrainingPlan, TrainingSequence

TEXT = "The owl of Hask eats moths. The owl of Velm nests in towers."


def test_a_base_model_is_measured_by_what_it_was_taught():
    model, domain = tiny_model(chat=False), Knowledge()
    queries = tuple(item.query for item in cloze_items([Task("", "Owls", TEXT)]))[-2:]
    lora = LoraSettings(rank=8, alpha=16, layers="all")
    train = TrainSettings(epochs=60, learning_rate=1e-2)
    plan = TrainingPlan(tuple(TrainingSequence(gold_reply(q), domain.question(q)) for q in queries))
    taught, _ = model.train([plan], lora, train, [0])
    gain = logprob_gain(model, domain, queries, Adapted(), Adapted(taught))
    assert gain is not None
    assert gain > 5
    assert logprob_gain(model, domain, queries, Adapted(taught), Adapted(taught)) == 0
    none = (Query("Who?", ("owl",)),)
    assert logprob_gain(model, domain, none, Adapted(), Adapted(taught)) is None

    def right(adapters) -> float:
        replies = model.sample(
            [domain.question(query) for query in queries],
            ANSWER_SAMPLING,
            [0] * len(queries),
            adapters=adapters,
            owners=[0] * len(queries),
        )
        return domain.score(Task("", "", "", queries), [reply.text for reply in replies]).value

    assert (right(None), right(taught)) == (0.0, 1.0)
