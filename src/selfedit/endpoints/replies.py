"""What an endpoint sends back: the text of its reply, the wait that it asks for, what may be shown."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

_SHORTEST_SECRET = 6  # shorter "keys" of local servers are plain words, and stay in messages
_SHOWN = 200  # characters of what an endpoint says
# What a model that thinks first puts around its thoughts.
THOUGHTS = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|channel|>analysis<|message|>", "<|channel|>final<|message|>"),
)


class UnreadableReply(ValueError):
    """A reply of the wrong form. The request is retried; the reply never counts as an answer."""


def without_thoughts(reply: str) -> str:
    """What a reply says after its thoughts, which are never an answer; "" if they were cut off.

    A block at its beginning is a thought, and so is what stands before the end of one that the prompt
    began, if the answer is on a line of its own. A reply that only names a tag stays as it is.
    """
    text = reply.strip()
    for start, end in THOUGHTS:
        if text.startswith(start) and text != start:
            return text.partition(end)[2].strip()
        before, _, after = text.partition(f"{end}\n")
        if after and start not in before:
            return after.strip()
    return text


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the endpoint asks to wait (RFC 9110: a number or a date), None if it does not."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) / unit
        except ValueError:
            continue
        if seconds >= 0:  # not NaN
            return seconds
    try:
        until = parsedate_to_datetime(headers.get("retry-after", "")).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
    return max(0.0, until - time.time())


def content_of(text: str) -> str:
    """The text of a chat completion. A refusal is a text too."""
    try:
        choice = json.loads(text)["choices"][0]
        message, finish = choice["message"], choice.get("finish_reason")
        content = message.get("content") or message.get("refusal") or ""
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        raise UnreadableReply(f"no whole chat completion: {text!r}") from None
    if not isinstance(content, str) or (not content.strip() and finish not in ("stop", None)):
        raise UnreadableReply(f"without text (finish reason: {finish})")
    return content


def error_of(text: str) -> tuple[str, str]:
    """Message and code of an error's body: `{"error": {"message", "code"}}`, else what stands there."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return text, ""
    inner = body.get("error", body) if isinstance(body, dict) else body
    if not isinstance(inner, dict):
        return str(inner), ""
    return str(inner.get("message") or text), str(inner.get("code") or "")


def without_secret(text: str, secret: str) -> str:
    """The text without the key."""
    return text.replace(secret, "[key]") if len(secret) >= _SHORTEST_SECRET else text


def redacted(text: str, secret: str) -> str:
    """The text without the key, on one line, and only then shortened: half a key is secret, too."""
    shown = " ".join(without_secret(text, secret).split())
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"
