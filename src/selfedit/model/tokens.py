"""What stands around a text: its beginning, once, and a conversation's template."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

# Templates of models that think first are asked not to (Qwen 3, GLM, SmolLM 3; DeepSeek, Granite).
_NO_THOUGHTS = {"enable_thinking": False, "thinking": False}
# Templates that write the date (Llama 3.2, SmolLM 3, gpt-oss) are given one, since a prompt must not
# change at midnight: that on which Llama's falls back, a Friday. A macro of that name hides the clock.
_CLOCK = "strftime_now"
_DATE = {
    "%Y": "2024", "%y": "24", "%m": "07", "%-m": "7", "%d": "26", "%-d": "26", "%e": "26", "%j": "208",
    "%B": "July", "%b": "Jul", "%A": "Friday", "%a": "Fri",
    "%H": "00", "%I": "12", "%M": "00", "%S": "00", "%p": "AM",
    "%F": "2024-07-26", "%T": "00:00:00", "%Z": "UTC", "%z": "+0000",
}  # fmt: skip
_STOPPED = (
    f"{{%- macro {_CLOCK}(format) -%}}{{{{ format"
    + "".join(f"|replace('{directive}', '{value}')" for directive, value in _DATE.items())
    + " }}{%- endmacro -%}"
)

_openings: WeakKeyDictionary[Any, tuple[int, ...]] = WeakKeyDictionary()


def opening(tokenizer: Any) -> tuple[int, ...]:
    """Tokens that every text begins with, in training as in prompts: most often one BOS, or none.

    What the tokenizer itself puts before a text; if it puts nothing, the BOS that its chat template
    puts before a conversation. A BOS that stands before every turn is no beginning (SmolLM 2).
    """
    if tokenizer not in _openings:
        _openings[tokenizer] = _own(tokenizer) or _of_template(tokenizer)
    return _openings[tokenizer]


def in_template(
    tokenizer: Any, messages: Sequence[dict[str, str]], *, add_generation_prompt: bool = False
) -> str:
    """The conversation's text in the chat template, the same on any day."""
    own = {"chat_template": _STOPPED + _template(tokenizer)} if has_date(tokenizer) else {}
    text: str = tokenizer.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=add_generation_prompt, **own, **_NO_THOUGHTS
    )
    return text


def has_date(tokenizer: Any) -> bool:
    """Whether its chat template writes the date."""
    return _CLOCK in _template(tokenizer)


def _template(tokenizer: Any) -> str:
    """The chat template; of several, that for conversations without tools."""
    own = getattr(tokenizer, "chat_template", None) or ""
    return str(own.get("default", "")) if isinstance(own, dict) else str(own)


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
        text = in_template(tokenizer, turns)
    except Exception:
        # A template is a program: what is wrong with it is said where the model is loaded.
        return ()
    return (int(tokenizer.bos_token_id),) if text.startswith(bos) and text.count(bos) == 1 else ()
