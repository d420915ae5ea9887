"""What a new version knows: new and older questions, asked of it and of the version before."""

from __future__ import annotations

from collections.abc import Sequence

from selfedit.domains.knowledge import Knowledge
from selfedit.learning.contradictions import contradicted
from selfedit.learning.draft import Draft
from selfedit.learning.material import Material
from selfedit.learning.outcome import Outcome
from selfedit.learning.recall import logprob_gain
from selfedit.loops.sampler import Writer
from selfedit.memory.answering import Answering
from selfedit.memory.answers import answers_of
from selfedit.store import AdapterRecord
from selfedit.types import Completion, GradedAnswer, Query, Task


def measure(
    material: Material,
    draft: Draft | None,
    parent: AdapterRecord | None,
    standing: Answering,
    writer: Writer,
    domain: Knowledge,
) -> Outcome:
    """standing: what answers with the parent. writer: of the model that the draft was trained over."""
    older = [query for own in (draft.older if draft is not None else ()) for query in own.reported]
    asked = [*material.reported, *older]
    prompts = [domain.question(query) for query in asked]
    count = len(material.reported)
    if parent is None:
        before = graded(domain, asked, writer.answer(prompts, "asking the model as it is"))
    else:
        replies = answers_of(standing, prompts, writer, "version before")
        before = graded(domain, asked, [reply.text for reply in replies])
    if draft is None:
        return Outcome(before[:count], before[:count], before[count:], before[count:])
    replies = answers_of(draft.answering, prompts, writer, "new adapter")
    after = graded(domain, asked, [reply.text for reply in replies])
    new = {document.source for document in draft.new}
    gone, notes = contradicted(
        draft.answering, new, older, prompts[count:], before[count:], after[count:]
    )
    kept = [i for i in range(count, len(asked)) if i - count not in gone]
    return Outcome(
        before[:count],
        after[:count],
        [before[i] for i in kept],
        [after[i] for i in kept],
        logprob_gain(writer.model, domain, material.reported, standing, draft.answering),
        _ended(material.reported, replies[:count]),
        (*_left_as_they_were(material, draft), *notes),
    )


def graded(
    domain: Knowledge, queries: Sequence[Query], answers: Sequence[str]
) -> tuple[GradedAnswer, ...]:
    return domain.score(Task("", "", "", tuple(queries)), answers).answers


def _ended(queries: Sequence[Query], replies: Sequence[Completion]) -> float | None:
    """Share of the answers that ended by themselves. Blanks have no end; None where that is all."""
    known = [
        reply.ended
        for query, reply in zip(queries, replies, strict=True)
        if query.form != "cloze" and reply.ended is not None
    ]
    return sum(known) / len(known) if known else None


def _left_as_they_were(material: Material, draft: Draft) -> list[str]:
    """What to tell of documents that the draft holds as its parent does (`added_documents`)."""
    new = {document.digest for document in draft.new}
    return [
        f"{document.title}: no new self-edit was kept, so what was learned of it before stays."
        for document in material.documents
        if document.digest not in new
    ]
