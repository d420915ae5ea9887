"""Control tokens that are written out in a text stay text.

A tokenizer turns "<|im_end|>" into the token that ends a turn wherever it stands. In a chat template
that is meant; in a document, a self-edit or a question it would end the text that speaks of it, and let
a question close its own turn (reports: huggingface/transformers#29279, ggml-org/llama.cpp#26273).

The same tokenizer is used twice, so that nothing else is cut differently: texts without such a token go
through it as it is. For the others a copy knows the control tokens under names that no text has; what a
template wrote is given those names, and what a person wrote is not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary, proxy

from selfedit.model.tokens import plain
from selfedit.types import Prompt

# Private use: characters that stand around a control token's name, and before a hidden one's number.
_OPEN, _CLOSE, _HIDDEN = "\ue0f0", "\ue0f1", "\ue0f2"
_MARKS = re.compile(f"[{_OPEN}{_CLOSE}{_HIDDEN}]")

_known: WeakKeyDictionary[Any, ControlTokens] = WeakKeyDictionary()


def control_tokens(tokenizer: Any) -> ControlTokens:
    """Those of a tokenizer, found once."""
    try:
        known = _known.get(tokenizer)
    except TypeError:  # one that cannot be remembered
        return ControlTokens(tokenizer)
    if known is None:
        known = _known[tokenizer] = ControlTokens(proxy(tokenizer))  # which must not keep its key alive
    return known


class ControlTokens:
    """The control tokens of a tokenizer: its special ones, and added ones that its chat template writes
    (Qwen's <think> and <tool_call> are not marked as special)."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        # A tokenizer in Python alone cannot be copied: its control tokens stay what they are.
        is_fast = getattr(tokenizer, "backend_tokenizer", None) is not None
        added = tokenizer.added_tokens_decoder if is_fast else {}
        template = str(getattr(tokenizer, "chat_template", None) or "")
        ids = {
            token.content: int(number)
            for number, token in added.items()
            if token.content.strip() and (token.special or token.content in template)
        }
        self._ids = ids
        names = sorted(map(re.escape, ids), key=len, reverse=True)
        self._pattern = re.compile("|".join(names)) if names else None

    def are_in(self, text: str) -> bool:
        return self._pattern is not None and self._pattern.search(text) is not None

    def ids_of_text(self, text: str) -> list[int]:
        """The text's own tokens, none of which is a control token."""
        if not self.are_in(text):
            return plain(self._tokenizer, text)
        return self._ids_by_copy(_MARKS.sub("", text))

    def are_in_prompt(self, prompt: Prompt) -> bool:
        said = (prompt.text, prompt.prefix, *(text for turn in prompt.turns for text in turn))
        return any(map(self.are_in, said))

    def hidden(self, prompt: Prompt) -> tuple[Prompt, list[str]]:
        """The prompt with a stand-in for each control token that is written out in it, and what they
        stand for. A template passes the stand-ins through."""
        said = [text for turn in prompt.turns for text in turn]
        (*shown, text, prefix), found = self._hidden([*said, prompt.text, prompt.prefix])
        turns = tuple(zip(shown[::2], shown[1::2], strict=True))
        return replace(prompt, text=text, prefix=prefix, turns=turns), found

    def hidden_texts(self, texts: Sequence[str]) -> tuple[list[str], list[str] | None]:
        """The same for texts; None where there is nothing to hide."""
        if not any(map(self.are_in, texts)):
            return list(texts), None
        return self._hidden(texts)

    def _hidden(self, texts: Sequence[str]) -> tuple[list[str], list[str]]:
        found: list[str] = []

        def stand_in(match: re.Match[str]) -> str:
            found.append(match.group())
            return f"{_HIDDEN}{len(found) - 1}{_HIDDEN}"

        assert self._pattern is not None, "there are control tokens to hide"
        return [self._pattern.sub(stand_in, _MARKS.sub("", text)) for text in texts], found

    def ids_of_template(self, text: str, hidden: Sequence[str]) -> list[int]:
        """Tokens of a template's text: its own control tokens are such, the hidden ones are text."""
        assert self._pattern is not None, "there are control tokens"
        named = self._pattern.sub(lambda match: f"{_OPEN}{match.group()}{_CLOSE}", text)
        shown = re.sub(rf"{_HIDDEN}(\d+){_HIDDEN}", lambda match: hidden[int(match[1])], named)
        return self._ids_by_copy(shown)

    def _ids_by_copy(self, text: str) -> list[int]:
        core, renamed = self._copy
        ids = core.encode(text, add_special_tokens=False).ids
        return [renamed.get(number, number) for number in ids]

    @cached_property
    def _copy(self) -> tuple[Any, dict[int, int]]:
        """A tokenizer that knows the control tokens under other names, and their numbers by its own."""
        from tokenizers import Tokenizer

        data = json.loads(self._tokenizer.backend_tokenizer.to_str())
        data["padding"] = data["truncation"] = None
        for token in data["added_tokens"]:
            if token["content"] in self._ids:
                token["content"] = f"{_OPEN}{token['content']}{_CLOSE}"
        core: Any = Tokenizer.from_str(json.dumps(data))
        renamed = {
            core.token_to_id(f"{_OPEN}{content}{_CLOSE}"): number
            for content, number in self._ids.items()
        }
        return core, renamed
