"""How a prompt becomes tokens: the one place that knows chat models from base models."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any, Literal

from selfedit.endpoints.replies import THOUGHTS
from selfedit.errors import ModelError
from selfedit.model.control_tokens import control_tokens
from selfedit.model.tokens import in_template, opened, plain
from selfedit.types import Prompt

PromptFormat = Literal["auto", "chat", "plain"]

# Lines of a chat template that rendering a short prompt may execute; known models take some hundreds.
_TEMPLATE_LINES = 500_000


@dataclass(frozen=True, slots=True)
class Rendered:
    """Token ids of a prompt, and strings at which its reply ends (besides the model's own stops).

    replies: (start, end) of the assistant's earlier turns, each with the token that ends it.
    """

    ids: tuple[int, ...]
    stops: tuple[str, ...] = ()
    replies: tuple[tuple[int, int], ...] = ()
    max_new_tokens: int | None = None
    pattern: str = ""


def resolve_format(tokenizer: Any, chosen: PromptFormat) -> Literal["chat", "plain"]:
    """`auto`: a model whose tokenizer has a chat template is prompted through it.

    Some base models have one, too (Qwen2.5): `--prompt-format plain` is for those.
    """
    if chosen != "auto":
        return chosen
    return "chat" if getattr(tokenizer, "chat_template", None) else "plain"


def render(tokenizer: Any, prompt: Prompt, form: Literal["chat", "plain"]) -> Rendered:
    """A chat model sees turns in its own template, a base model a text to continue."""
    controls = control_tokens(tokenizer)
    hidden: list[str] | None = None
    if controls.are_in_prompt(prompt):  # written out by a person: they are text
        prompt, hidden = controls.hidden(prompt)
    parts = (_chat if form == "chat" else _plain)(tokenizer, prompt)
    ids: list[int] = []
    replies: list[tuple[int, int]] = []
    for number, text in enumerate(parts):
        new = plain(tokenizer, text) if hidden is None else controls.ids_of_template(text, hidden)
        if number == 0:  # a chat template may have the beginning already
            new = opened(tokenizer, new)
        if number % 2:  # the assistant's
            replies.append((len(ids), len(ids) + len(new)))
        ids += new
    stops = ("\n",) if form == "plain" and prompt.kind == "question" else ()
    return Rendered(tuple(ids), stops, tuple(replies), prompt.max_new_tokens, prompt.pattern)


def render_turns(tokenizer: Any, turns: Sequence[tuple[str, str]]) -> tuple[int, ...]:
    """Token ids of a conversation whose turns have roles, in the chat template. turns: (role, text),
    the user's last. Raises ModelError where the template refuses it."""
    controls = control_tokens(tokenizer)
    texts, hidden = controls.hidden_texts([text for _, text in turns])
    messages = [{"role": role, "content": text} for (role, _), text in zip(turns, texts, strict=True)]
    try:
        asked = in_template(tokenizer, messages, add_generation_prompt=True)
    except Exception as error:
        # A template is a program: it refuses a role or an order in any way it likes.
        raise ModelError(f"the model's chat template refuses these turns: {error}") from error
    asked += _past_thoughts(asked)
    ids = plain(tokenizer, asked) if hidden is None else controls.ids_of_template(asked, hidden)
    return tuple(opened(tokenizer, ids))


def renders_as_before(
    tokenizer: Any, form: Literal["chat", "plain"], render_one: Callable[[Prompt], Rendered]
) -> bool:
    """Whether prompts are what they were before their beginning and thoughts were seen to."""
    prompt = Prompt("Hello")
    if form == "plain":
        before = tokenizer(f"{prompt.text}\n\n")["input_ids"]
    else:
        turns = [{"role": "user", "content": prompt.text}]
        text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        before = tokenizer(text, add_special_tokens=False)["input_ids"]
    return tuple(before) == render_one(prompt).ids


def try_template(render_one: Callable[[Prompt], Rendered]) -> None:
    """Render a short prompt once, so that a damaged template is found when the model is loaded.

    A template is a program from a file: one that does not terminate is stopped with ModelError.
    """
    lines = 0

    def count(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal lines
        if frame.f_code.co_filename != "<template>":
            return None
        lines += 1
        if lines > _TEMPLATE_LINES:
            raise ModelError(
                "the model's chat template does not terminate; repair chat_template.jinja (or the "
                "one in tokenizer_config.json), or use --prompt-format plain."
            )
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        first, second = (render_one(Prompt(text, kind="question")) for text in ("Hello", "What is it?"))
    finally:
        sys.settrace(before)
    if first.ids == second.ids:
        raise ModelError(
            "the model's chat template leaves out what is asked; repair chat_template.jinja (or the "
            "one in tokenizer_config.json), or use --prompt-format plain."
        )


def _chat(tokenizer: Any, prompt: Prompt) -> list[str]:
    """The template's text in parts: up to the first reply, the reply with its end, up to the next.

    A single part if a template changes what it rendered before (some drop earlier thoughts).
    """
    messages: list[dict[str, str]] = []
    parts: list[str] = []
    done = asked = ""
    for user, assistant in (*prompt.turns, (prompt.text, None)):
        messages.append({"role": "user", "content": user})
        asked = in_template(tokenizer, messages, add_generation_prompt=True)
        parts.append(asked.removeprefix(done))
        if assistant is not None:
            messages.append({"role": "assistant", "content": assistant})
            done = in_template(tokenizer, messages)
            parts.append(done.removeprefix(asked))
    if "".join(parts) != asked:
        parts = [asked]
    parts[-1] += _past_thoughts(asked) + prompt.prefix
    return parts


def _past_thoughts(asked: str) -> str:
    """What ends a thought that the template begins, so that the reply is the answer.

    Harmony (gpt-oss) has channels in place of tags: the reply goes to the final one.
    """
    if asked.endswith("<|start|>assistant"):
        return "<|channel|>final<|message|>"
    for start, end in THOUGHTS:
        if asked.rstrip().endswith(start):
            return f"\n{end}\n\n"
    return ""


def _plain(tokenizer: Any, prompt: Prompt) -> list[str]:
    """The same as plain text: turns are paragraphs."""
    parts: list[str] = []
    for user, assistant in prompt.turns:
        parts += [f"{user}\n\n", f"{assistant}\n\n"]
    if prompt.kind == "question":
        return [*parts, f"Question: {prompt.text}\nAnswer:{_spaced(prompt.prefix)}"]
    return [*parts, f"{prompt.text}\n\n{prompt.prefix}"]


def _spaced(prefix: str) -> str:
    return f" {prefix}" if prefix else ""
