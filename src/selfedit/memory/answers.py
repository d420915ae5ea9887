"""Greedy answers of a version. Of a routed one, each question is asked once of an adapter, as long as
it stays in the library: adding documents does not ask all questions about the older ones again."""

from __future__ import annotations

from collections.abc import Sequence

from selfedit.config import ANSWER_SAMPLING, stable_hash
from selfedit.loops.sampler import Writer, asked_as
from selfedit.memory.answering import Answering
from selfedit.memory.routed import Routed
from selfedit.types import Completion, Prompt


def answers_of(
    answering: Answering, prompts: Sequence[Prompt], writer: Writer, whom: str
) -> list[Completion]:
    """Answers in the order of the prompts. whom: for the progress. writer: of the bare model, whose own
    answers do not say whether they ended."""
    if not isinstance(answering, Routed):
        writer.progress.start(f"asking the {whom}", len(prompts))
        advance = writer.progress.advance
        return answering.sample(writer.model, prompts, ANSWER_SAMPLING, on_done=advance)
    mixes = [answering.mix(prompt) for prompt in prompts]
    untouched = [prompt for prompt, mix in zip(prompts, mixes, strict=True) if not mix]
    bare = dict(zip(untouched, writer.answer(untouched, f"asking the {whom}"), strict=True))
    keys = {
        i: stable_hash(["routed", *writer.model.identity, mix, *asked_as(prompt)])
        for i, (prompt, mix) in enumerate(zip(prompts, mixes, strict=True))
        if mix
    }
    known = writer.store.cached(keys.values())
    missing = [i for i, key in keys.items() if key not in known]
    writer.progress.start(f"asking the {whom}", len(missing))
    if missing:
        asked = [prompts[i] for i in missing]
        replies = answering.sample(
            writer.model, asked, ANSWER_SAMPLING, on_done=writer.progress.advance
        )
        new = {keys[i]: [own.text, own.ended] for i, own in zip(missing, replies, strict=True)}
        writer.store.put_cached("routed answer", new)
        known |= new
    return [
        Completion(known[keys[i]][0], ended=known[keys[i]][1])
        if i in keys
        else Completion(bare[prompt])
        for i, prompt in enumerate(prompts)
    ]
