"""Recording what happened, and learning from it: by the trials, the gate and the versions of `learn`.

    number = record(library, interaction_of(messages, {"text": "No, the pump of Orro is in bay nine."}))
    done = remember(library, number)
    undo(library)

What is recorded is in the store before `record` returns. `remember` may be killed and called again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from selfedit.agents.interactions import (
    KIND,
    Interaction,
    Recorded,
    all_recorded,
    keep,
    recorded,
)
from selfedit.agents.memo import Memo, what_is_right, write_memo
from selfedit.config import merged
from selfedit.domains.knowledge import Knowledge
from selfedit.domains.knowledge.options import learn_settings
from selfedit.domains.knowledge.settings import LearnSettings
from selfedit.errors import InputError
from selfedit.experiments import learn
from selfedit.grading import Grader, offline
from selfedit.learning.library import Library
from selfedit.loops.estimate import Estimate
from selfedit.loops.sampler import Writer
from selfedit.store import AdapterRecord
from selfedit.types import LearnResult, QuestionResult

# A sentence or two: more self-edits cost little, and of a small model's restatements few are faithful.
_SHORT: dict[str, Any] = {"memory": "routed", "candidates": 4, "knowledge": {"restatements": 6}}


def short_settings(given: Mapping[str, Any] | None = None) -> LearnSettings:
    """How `remember` learns: `learn`'s defaults, with more restatements, and each memory in an adapter
    of its own, so that a newer one settles a contradiction. given: settings that override; InputError
    says what is wrong with them."""
    return learn_settings(merged(_SHORT, dict(given or {})), "balanced")


@dataclass(frozen=True, slots=True)
class Remembered:
    """What came of learning from an interaction. id: the interaction's.

    replaced: what was remembered before of the same question, whose place this takes; "" for nothing.
    The others are `LearnResult`'s; of a run that was killed between its commit and its end, there is no
    list of questions.
    """

    id: int
    memo: Memo
    version: int | None
    committed: bool
    reason: str
    accuracy_before: float | None
    accuracy_after: float | None
    replaced: str = ""
    notes: tuple[str, ...] = ()
    questions: tuple[QuestionResult, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """What the store keeps with the interaction, and `/api/interactions` answers."""
        memo = self.memo
        return {
            "committed": self.committed,
            "version": self.version,
            "reason": self.reason,
            "remembered": memo.text,
            "author": memo.author,
            "title": memo.document.title,
            "source": memo.document.source,
            "digest": memo.document.digest,
            "replaced": self.replaced,
            "tested_by": [{"question": own.question, "answer": own.gold} for own in memo.quiz.queries],
            "accuracy_before": self.accuracy_before,
            "accuracy_after": self.accuracy_after,
            "notes": list(self.notes),
            "questions": [asdict(question) for question in self.questions],
        }


def record(library: Library, interaction: Interaction) -> int:
    """Keep an interaction in the library; its number. It is on the disk when this returns.

    Feedback that nothing can be learned from, such as a bad rating without a text, is kept, too.
    Raises StoreError.
    """
    model = library.model
    return keep(library.store, model.name, model.revision, interaction)


def remember(
    library: Library,
    interaction: Interaction | int,
    settings: LearnSettings | None = None,
    *,
    grader: Grader = offline,
    confirm: Callable[[Estimate], bool] | None = None,
) -> Remembered:
    """Learn from an interaction, or from a recorded one by its number.

    The model writes what is to be remembered and questions about it (`agents.memo`); that is learned as
    a document is (`experiments.learn`): self-edits, trials, and a new version if it answers more and
    broke little. A newer text about the same question takes the older one's place. settings: None:
    `short_settings()`. What the current version holds already is not learned twice; what was undone is
    learned again. Raises InputError for feedback that says nothing to learn, and SelfEditError; the
    interaction stays recorded.
    """
    number = interaction if isinstance(interaction, int) else record(library, interaction)
    own = recorded(library.store, number).interaction
    settings = settings or short_settings()
    writer = Writer(library.model, library.store, library.progress)
    memo = write_memo(writer, own, Knowledge(settings.knowledge, grader), settings.seed)
    made = _made_of(library, number, memo)
    if made is not None:  # this process, or one before it, was killed just then
        done = _committed(number, memo, made)
    else:
        replaced = _remembered_of(library.current(), memo)
        result = learn(
            library,
            memo.document,
            memo.quiz,
            settings,
            grader=grader,
            confirm=confirm,
            origin=f"{KIND} {number}",
        )
        done = _learned(number, memo, result, replaced)
    library.store.finish_run(number, "finished", done.to_json())
    return done


def _learned(number: int, memo: Memo, result: LearnResult, replaced: str) -> Remembered:
    return Remembered(
        number,
        memo,
        result.version,
        result.committed,
        result.reason,
        result.accuracy_before,
        result.accuracy_after,
        replaced if result.committed else "",
        result.notes,
        result.questions,
    )


def _made_of(library: Library, number: int, memo: Memo) -> AdapterRecord | None:
    """The version that was committed for an interaction, or for another one of the same text, if the
    current one stands on it and holds that: what was undone, forgotten or replaced is to be learned
    again."""
    runs = {
        run.id for run in library.store.runs(None) if run.inputs.get("origin") == f"{KIND} {number}"
    }
    record, first = library.current(), None
    while record is not None and memo.document.digest in {own.digest for own in record.documents}:
        if record.run_id in runs:
            return record
        first, record = record, None if record.parent is None else library.adapter(record.parent)
    return first


def _committed(number: int, memo: Memo, made: AdapterRecord) -> Remembered:
    scores = made.scores
    before, after = scores.get("accuracy_before"), scores.get("accuracy_after")
    return Remembered(number, memo, made.version, True, made.reason, before, after)


def _remembered_of(current: AdapterRecord | None, memo: Memo) -> str:
    """What a version remembers of the same question, if that is another text."""
    for document in current.documents if current is not None else ():
        if document.source == memo.document.source and document.digest != memo.document.digest:
            return "\n".join(passage.context for passage in document.passages)
    return ""


def pending(library: Library) -> list[Recorded]:
    """Recorded interactions that something could be learned from and nothing was yet, oldest first."""
    waiting = [own for own in all_recorded(library.store) if own.outcome is None]
    return [own for own in reversed(waiting) if _says_something(own.interaction)]


def _says_something(interaction: Interaction) -> bool:
    try:
        return bool(what_is_right(interaction))
    except InputError:
        return False


def origin(library: Library, record: AdapterRecord | None) -> Recorded | None:
    """The interaction that a version was learned from; None for a document's, and the bare model."""
    if record is None or record.run_id is None:
        return None
    kind, _, number = str(library.store.run(record.run_id).inputs.get("origin", "")).partition(" ")
    return recorded(library.store, int(number)) if kind == KIND else None


def undo(library: Library) -> tuple[Recorded, AdapterRecord | None]:
    """Take back the latest thing that was remembered: the version before it is current again.

    Returns the interaction and the version that is current now (None: the bare model). Raises
    InputError if the current version was not made from an interaction.
    """
    current = library.current()
    own = origin(library, current)
    if current is None or own is None:
        now = "the bare model" if current is None else f"version {current.version}"
        raise InputError(
            f"{now} is current, which was not made from a conversation: there is nothing to undo. "
            "`selfedit adapters rollback` goes back to any version."
        )
    return own, library.rollback()
