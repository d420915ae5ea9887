"""A fake model that knows the general questions of the probe, for tests of what is lost."""

from __future__ import annotations

from dataclasses import replace

from selfedit.memory.questions import drift_prompts, general_questions
from selfedit.model.fake import FakeModel

GOLDS = {q.query.question: q.query.gold for q in general_questions()}


class Knowing(FakeModel):
    """Knows general questions, but for those of `unknown`; with adapters, for `forgotten` too."""

    def __init__(self, unknown=(), forgotten=(), text="Rivers flow to the sea."):
        super().__init__()
        self.unknown, self.forgotten, self.text = set(unknown), set(forgotten), text
        self.bare_prompts = 0

    def sample(self, prompts, sampling, seeds, *, adapters=None, **more):
        done = super().sample(prompts, sampling, seeds, adapters=adapters, **more)
        self.bare_prompts += len(prompts) * (adapters is None)
        return [
            replace(reply, text=self._said(prompt, reply.text, adapters))
            for prompt, reply in zip(prompts, done, strict=True)
        ]

    def _said(self, prompt, text, adapters):
        gold = GOLDS.get(prompt.text)
        if gold is None:
            return self.text if prompt.text in drift_prompts() else text
        lost = prompt.text in self.forgotten and adapters is not None
        return "I do not know." if lost or prompt.text in self.unknown else f"It is {gold}."
