"""What a model does otherwise than when results were first stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfedit.lora.targets import is_usual, linears
from selfedit.model.prompts import renders_as_before
from selfedit.model.tokens import has_date

if TYPE_CHECKING:
    from selfedit.model.language_model import LanguageModel


def changes(model: LanguageModel) -> list[str]:
    """Names of the changes that concern this model: what was stored of it before them is not found."""
    found = []
    if not all(map(is_usual, linears(model.hf).modules)):
        found.append("all linear modules")
    if not renders_as_before(model.tokenizer, model.form, model.render):
        found.append("one beginning, no thoughts")
    if model.form == "chat" and has_date(model.tokenizer):
        found.append("one date")
    return found
