"""A conversation, and what somebody or something said about it; kept in the library's store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal, cast, get_args

from selfedit.errors import InputError, NoSuchRun
from selfedit.store import AdapterRecord, RunRecord, Store

KIND = "interaction"  # of the runs by which the store keeps them
SOURCE = "conversation: "  # how the source of what was learned from one begins

Role = Literal["system", "user", "assistant", "tool"]
FeedbackKind = Literal["correction", "rating", "outcome", "note"]
State = Literal["recorded", "remembered", "rejected", "undone"]

MOST_TURNS, MOST_CHARACTERS = 1000, 1_000_000


@dataclass(frozen=True, slots=True)
class Turn:
    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class Feedback:
    """What is known after a conversation.

    kind: "correction" (text says what is right), "outcome" (of an action: good says whether it
    succeeded, text what was found), "rating" (good; a text, if any, says what is right), "note" (text
    is to be remembered, whatever was said). answer: the right short answer to the last question, if the
    text does not have it by itself.
    """

    kind: FeedbackKind
    text: str = ""
    answer: str = ""
    good: bool | None = None


@dataclass(frozen=True, slots=True)
class Interaction:
    """turns: oldest first. version: that answered; None: the bare model."""

    turns: tuple[Turn, ...]
    feedback: Feedback
    version: int | None = None

    @property
    def question(self) -> str:
        """What was asked last; "" if nothing was."""
        return self._last("user")

    @property
    def reply(self) -> str:
        """What was answered last; "" if nothing was."""
        return self._last("assistant")

    def _last(self, role: Role) -> str:
        return next((turn.text for turn in reversed(self.turns) if turn.role == role), "").strip()

    def to_json(self) -> dict[str, Any]:
        """JSON values; `interaction_of` takes them back."""
        return {
            "messages": [{"role": turn.role, "content": turn.text} for turn in self.turns],
            "feedback": asdict(self.feedback),
            "version": self.version,
        }


@dataclass(frozen=True, slots=True)
class Recorded:
    """An interaction in the store. id: its number, that of a run. outcome: what came of learning from
    it (`remembering.Remembered.to_json`); None: nothing was learned yet."""

    id: int
    interaction: Interaction
    created: datetime
    outcome: Mapping[str, Any] | None = field(default=None)

    def state(self, current: AdapterRecord | None) -> State:
        """What became of it, with the current version: "undone" is what is not in it any more, by a
        rollback or because something newer took its place."""
        if self.outcome is None:
            return "recorded"
        if not self.outcome["committed"]:
            return "rejected"
        held = {document.digest for document in current.documents} if current is not None else set()
        return "remembered" if self.outcome["digest"] in held else "undone"


def interaction_of(
    messages: Sequence[Mapping[str, Any]], feedback: Mapping[str, Any], version: int | None = None
) -> Interaction:
    """An interaction from JSON values: messages as the OpenAI API has them, feedback by the fields of
    `Feedback`. Raises InputError with what is wrong."""
    if len(messages) > MOST_TURNS:
        raise InputError(f"a conversation of {len(messages)} messages is too long: send its last part")
    turns = tuple(_turn(place, message) for place, message in enumerate(messages, start=1))
    said = _feedback(feedback)
    whole = sum(len(turn.text) for turn in turns) + len(said.text) + len(said.answer)
    if whole > MOST_CHARACTERS:
        raise InputError(f"a conversation of {whole:,} characters is too long: send its last part")
    return Interaction(turns, said, version)


def _turn(place: int, message: Mapping[str, Any]) -> Turn:
    role, content = message.get("role"), message.get("content")
    if role not in get_args(Role):
        raise InputError(f"message {place}: the role is {role!r}: use {', '.join(get_args(Role))}")
    if isinstance(content, Sequence) and not isinstance(content, str):
        parts = [part.get("text") for part in content if isinstance(part, Mapping)]
        content = "\n".join(part for part in parts if isinstance(part, str))
    if content is None:  # a message that only calls tools
        content = ""
    if not isinstance(content, str):
        raise InputError(f"message {place}: the content is no text")
    return Turn(cast(Role, role), content)


def _feedback(value: Mapping[str, Any]) -> Feedback:
    unknown = value.keys() - Feedback.__dataclass_fields__.keys()
    if unknown:
        known = ", ".join(Feedback.__dataclass_fields__)
        raise InputError(f"feedback has {', '.join(sorted(unknown))}, which is not one of {known}")
    kind, good = value.get("kind", "correction"), value.get("good")
    if kind not in get_args(FeedbackKind):
        raise InputError(f"the kind of feedback is {kind!r}: use {', '.join(get_args(FeedbackKind))}")
    if good is not None and not isinstance(good, bool):
        raise InputError(f"feedback: good is {good!r}, and must be true or false")
    texts = {name: value.get(name, "") for name in ("text", "answer")}
    for name, text in texts.items():
        if not isinstance(text, str):
            raise InputError(f"feedback: {name} is no text")
    return Feedback(cast(FeedbackKind, kind), texts["text"], texts["answer"], good)


def keep(store: Store, model: str, revision: str, interaction: Interaction) -> int:
    """Write an interaction to the store, in one transaction; its number. Raises StoreError."""
    number = store.start_run(KIND, model, revision, {}, interaction.to_json())
    store.finish_run(number, "finished")
    return number


def recorded(store: Store, number: int) -> Recorded:
    """An interaction by its number. Raises NoSuchRun if there is none."""
    run = store.run(number)
    if run.kind != KIND:
        raise NoSuchRun(f"run {number} is no interaction, but a {run.kind}")
    return _recorded(run)


def all_recorded(store: Store) -> list[Recorded]:
    """All interactions, the latest first."""
    return [_recorded(run) for run in store.runs(None) if run.kind == KIND]


def _recorded(run: RunRecord) -> Recorded:
    inputs = run.inputs
    own = interaction_of(inputs["messages"], inputs["feedback"], inputs["version"])
    return Recorded(run.id, own, run.started, run.result)
