"""A conversation with what was learned, and the words by which it learns more. No terminal in it."""

from __future__ import annotations

from dataclasses import dataclass, field

from selfedit.agents.interactions import Feedback, Interaction, Recorded, Turn
from selfedit.agents.remembering import Remembered, pending, record, remember, undo
from selfedit.config import ANSWER_SAMPLING
from selfedit.domains.knowledge.settings import LearnSettings
from selfedit.errors import InputError
from selfedit.learning.library import Library
from selfedit.memory.answering import Adapted
from selfedit.memory.routed import Source
from selfedit.store import AdapterRecord
from selfedit.types import Prompt

# Exchanges that the model sees again with a new message: a small model repeats what it sees.
MEMORY_OF_TURNS = 4
REPLY_TOKENS = 256


@dataclass(frozen=True, slots=True)
class Why:
    """Where an answer came from. version: that gave it; None: the bare model. sources: the learned
    passages that the question concerned."""

    question: str
    version: int | None
    sources: tuple[Source, ...]


@dataclass
class Chat:
    """One conversation. settings: of what is learned in it; None: `remembering.short_settings`."""

    library: Library
    settings: LearnSettings | None = None
    turns: list[tuple[str, str]] = field(default_factory=list)
    _version: int | None = None  # that gave the last answer

    def say(self, text: str) -> str:
        """The model's reply, by the current version. Raises SelfEditError."""
        record = self.library.current()
        answering = self.library.answering() or Adapted()
        prompt = Prompt(text, kind="question", turns=tuple(self.turns[-MEMORY_OF_TURNS:]))
        sampling = ANSWER_SAMPLING.model_copy(update={"max_new_tokens": REPLY_TOKENS})
        (reply,) = answering.sample(self.library.model, [prompt], sampling)
        self.turns.append((text, reply.text))
        self._version = None if record is None else record.version
        return reply.text

    def remember(self, text: str) -> Remembered:
        """Learn a correction of the last answer, or a note if nothing was asked yet.

        What was corrected leaves the conversation: the model would see its mistake, and repeat it.
        Raises InputError if there is no text, and SelfEditError.
        """
        if not text.strip():
            raise InputError("say what is to be remembered: /remember The pump of Orro is in bay nine.")
        turns = tuple(
            turn
            for asked, reply in self.turns[-MEMORY_OF_TURNS:]
            for turn in (Turn("user", asked), Turn("assistant", reply))
        )
        feedback = Feedback("correction" if turns else "note", text)
        number = record(self.library, Interaction(turns, feedback, self._version))
        return self._learned(number)

    def waiting(self) -> list[Recorded]:
        """What was recorded, and not learned yet: another program did, or this one was killed."""
        return pending(self.library)

    def remember_waiting(self, own: Recorded) -> Remembered:
        """Learn what was recorded earlier. Raises SelfEditError."""
        return self._learned(own.id)

    def _learned(self, number: int) -> Remembered:
        done = remember(self.library, number, self.settings)
        if done.committed:
            self.turns.clear()
        return done

    def undo(self) -> tuple[Recorded, AdapterRecord | None]:
        """Take back the latest thing that was remembered (`remembering.undo`)."""
        done = undo(self.library)
        self.turns.clear()
        return done

    def why(self) -> Why:
        """Where the last answer came from. Raises InputError if there was none."""
        if not self.turns:
            raise InputError("nothing was answered yet, since the last thing was remembered or undone")
        question = self.turns[-1][0]
        sources: list[Source] = []
        if self._version is not None:
            (sources,) = self.library.sources(question, version=self._version)
        return Why(question, self._version, tuple(sources))
