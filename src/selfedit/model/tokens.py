"""What stands around a text as tokens: its beginning, once, and its end."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

# Templates of models that think first are asked not to (Qwen 3, GLM, SmolLM 3; DeepSeek, Granite).
NO_THOUGHTS = {"enable_thinking": False, "thinking": False}

_openings: WeakKeyDictionary[Any, tuple[int, ...]] = WeakKeyDictionary()


def opening(tokenizer: Any) -> tuple[int, ...]:
    """Tokens that every text begins with, in training as in prompts: most often one BOS, or none.

    What the tokenizer itself puts before a text; if it puts nothing, the BOS that its chat template
    puts before a conversation. A BOS that stands before every turn is no beginning (SmolLM 2).
    """
    if tokenizer not in _openings:
        _openings[tokenizer] = _own(tokenizer) or _of_template(tokenizer)
    return _openings[tokenizer]


def plain(tokenizer: Any, text: str) -> list[int]:
    """The text's own tokens."""
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def opened(tokenizer: Any, ids: list[int]) -> list[int]:
    """The tokens with the opening before them, unless they begin with it."""
    first = list(opening(tokenizer))
    return ids if ids[: len(first)] == first else first + ids


def _own(tokenizer: Any) -> tuple[int, ...]:
    whole, text = tokenizer("a")["input_ids"], plain(tokenizer, "a")
    places = range(len(whole) - len(text) + 1)
    start = next((i for i in places if whole[i : i + len(text)] == text), 0)
    return tuple(whole[:start])


def _of_template(tokenizer: Any) -> tuple[int, ...]:
    bos = tokenizer.bos_token
    if not bos or not getattr(tokenizer, "chat_template", None):
        return ()
    turns = [{"role": role, "content": "a"} for role in ("user", "assistant", "user")]
    try:
        text = tokenizer.apply_chat_template(turns, tokenize=False, **NO_THOUGHTS)
    except Exception:
        # A template is a program: what is wrong with it is said where the model is loaded.
        return ()
    return (int(tokenizer.bos_token_id),) if text.startswith(bos) and text.count(bos) == 1 else ()
