"""The names under which recorded files keep their values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

ARTICLES = ("articles", "results", "items", "passages", "tasks", "data")
COMPLETIONS = ("completions", "self_edits", "edits", "candidates")
TITLE = ("title", "topic")
CONTEXT = ("context", "passage")
TEXT = ("text", "completion", "implications", "self_edit", "edit", "output", "response")
PROMPT_ONLY = ("prompt",)  # a self-edit's text, if it has no other
QUESTIONS = ("questions", "per_question", "answers")
TRAININGS = ("reps", "runs", "evals", "trials")
REP = ("rep", "seed", "run")
ANSWER = ("adapter_answer", "adapted_answer", "adapter_text")
CORRECT = ("adapter_correct", "adapted_correct", "correct")
BASELINE_CORRECT = ("baseline_correct", "base_correct")
BASELINE_TEXTS = ("baseline_texts", "baseline_answers")
ADAPTED_MEAN = (
    "adapter_mean",
    "adapter_mean_accuracy",
    "adapter_accuracy",
    "adapter_accuracies",
    "adapted_accuracy",
)
BASELINE_MEAN = (
    "baseline_mean",
    "baseline_mean_accuracy",
    "baseline_accuracy",
    "baseline_accuracies",
)
GAIN_MEAN = ("gain_mean", "mean_gain", "adapter_gain", "gain")
PROXY_MEAN = ("proxy_mean", "mean_proxy_score")

# "Passage:\nTITLE\nCONTEXT\n\nImplications:\n", and the chat form of instruct models.
_PLAIN = re.compile(r"(?:\A|\n)Passage:\n([^\n]*)\n(.*)\n\n[^\n]*\s*\Z", re.DOTALL)
_CHAT = re.compile(r"<\|im_start\|>user\n([^\n]*)\n(.*?)<\|im_end\|>", re.DOTALL)


def first(holder: Mapping[str, Any], names: Sequence[str]) -> Any:
    """The value of the first name that has one."""
    return next((holder[name] for name in names if holder.get(name) is not None), None)


def text_of(holder: Mapping[str, Any], names: Sequence[str]) -> str:
    value = first(holder, names)
    return value if isinstance(value, str) else ""


def parse_prompt(prompt: str) -> tuple[str, str]:
    """Title and context of a prompt of the release; for another prompt, no title and all of its
    text."""
    found = _PLAIN.search(prompt) or _CHAT.search(prompt)
    return (found.group(1), found.group(2)) if found else ("", prompt.strip())
