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
from selfedit.store import AdapterRecord, LearnedDocument
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
    older = _older_questions(material, draft)
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
    new = {document.source for document in material.documents}
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
        notes,
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


def _older_questions(material: Material, draft: Draft | None) -> list[Query]:
    """What tells whether older documents are still known: those that the new version keeps."""
    new = {document.source for document in material.documents}
    kept: Sequence[LearnedDocument] = draft.documents if draft is not None else ()
    return [query for document in kept if document.source not in new for query in document.reported]
