"""What was said, as the model's tokens: turns in its chat template, or a text to continue.

What a person wrote never becomes a control token (`model.control_tokens`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from selfedit.errors import InputError, ModelError
from selfedit.seams import Model
from selfedit.types import Prompt

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Conversation:
    """Turns, the last one the user's (or the assistant's, to be continued); or, raw, a text that is
    continued as it stands. ids: of a text that came as tokens."""

    turns: tuple[tuple[Role, str], ...] = ()
    text: str = ""
    raw: bool = False
    ids: tuple[int, ...] = field(default=())

    @classmethod
    def question(cls, text: str) -> Conversation:
        return cls(turns=(("user", text),))

    @classmethod
    def continued(cls, text: str, ids: Sequence[int] = ()) -> Conversation:
        return cls(text=text, raw=True, ids=tuple(ids))

    @property
    def prompt(self) -> Prompt:
        """The same as the rest of the house has it; system turns stand before the first question."""
        if self.raw:
            return Prompt(self.text)
        pairs: list[tuple[str, str]] = []
        asked: list[str] = []
        for role, text in self.turns:
            if role == "assistant":
                pairs.append(("\n\n".join(asked), text))
                asked = []
            else:
                asked.append(text)
        if not asked:
            raise InputError("the last message is the assistant's: there is nothing to answer")
        return Prompt("\n\n".join(asked), kind="question", turns=tuple(pairs))


def tokens_of(model: Model, said: Conversation) -> tuple[int, ...] | None:
    """Token ids of what was said; None for a model that has none. Raises InputError."""
    from selfedit.model.language_model import LanguageModel

    if not isinstance(model, LanguageModel):
        return None
    if said.ids:
        size = model.decoder.head.vocabulary
        if not all(0 <= token < size for token in said.ids):
            raise InputError(f"a token id is outside of the vocabulary of {size}")
        return said.ids
    if said.raw:
        from selfedit.model.control_tokens import control_tokens
        from selfedit.model.tokens import opened

        tokenizer = model.tokenizer
        return tuple(opened(tokenizer, control_tokens(tokenizer).ids_of_text(said.text)))
    if model.form == "chat" and any(role == "system" for role, _ in said.turns):
        from selfedit.model.prompts import render_turns

        try:
            return render_turns(model.tokenizer, said.turns)
        except ModelError:  # some templates know no system turn: it stands before the question
            return model.render(said.prompt).ids
    return model.render(said.prompt).ids


def stops_of(model: Model, said: Conversation) -> tuple[str, ...]:
    """Strings at which a reply ends besides those that were asked for: a base model's answer ends
    with its line."""
    from selfedit.model.language_model import LanguageModel

    if isinstance(model, LanguageModel) and model.form == "plain" and not said.raw:
        return ("\n",)
    return ()
