"""How a prompt becomes tokens: the one place that knows chat models from base models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from selfedit.types import Prompt

PromptFormat = Literal["auto", "chat", "plain"]


@dataclass(frozen=True, slots=True)
class Rendered:
    """Token ids of a prompt, and strings at which its reply ends (besides the model's own stops)."""

    ids: tuple[int, ...]
    stops: tuple[str, ...] = ()


def resolve_format(tokenizer: Any, chosen: PromptFormat) -> Literal["chat", "plain"]:
    """`auto`: a model whose tokenizer brings a chat template is prompted through it.

    Some base models bring one too (Qwen2.5): `--prompt-format plain` is for those.
    """
    if chosen != "auto":
        return chosen
    return "chat" if getattr(tokenizer, "chat_template", None) else "plain"


def render(tokenizer: Any, prompt: Prompt, form: Literal["chat", "plain"]) -> Rendered:
    """A chat model sees one user turn in its own template, a base model a text to go on with."""
    if form == "chat":
        text = tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt.text}], tokenize=False, add_generation_prompt=True
        )
        ids = tokenizer(text + prompt.prefix, add_special_tokens=False)["input_ids"]
        return Rendered(tuple(ids))
    if prompt.kind == "question":
        text = f"Question: {prompt.text}\nAnswer:{_spaced(prompt.prefix)}"
        return Rendered(tuple(tokenizer(text)["input_ids"]), stops=("\n",))
    text = f"{prompt.text}\n\n{prompt.prefix}"
    return Rendered(tuple(tokenizer(text)["input_ids"]))


def _spaced(prefix: str) -> str:
    return f" {prefix}" if prefix else ""
