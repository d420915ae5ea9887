"""Self-edits from elsewhere: written by a model behind an endpoint, or read from a file.

The paper's "stronger model's synthetic data" condition (there: GPT-4.1).
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from selfedit.config import EndpointSettings, SamplingSettings, stable_hash
from selfedit.endpoints.client import Ask, Cache, Endpoint
from selfedit.errors import InputError
from selfedit.home import MOST_CONTEXT, check_length, whole_text
from selfedit.types import Prompt

_FORM = '{"title": "...", "context": "...", "edit": "..."}'
_SEEDS = 2**31  # servers take smaller seeds than we draw


class EndpointWriter:
    """Writes texts through an OpenAI-compatible endpoint. cache, sleep, jitter: see `Endpoint`."""

    def __init__(
        self,
        settings: EndpointSettings | None = None,
        cache: Cache | None = None,
        *,
        sleep: Callable[[float], None] | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.settings = settings or EndpointSettings()
        self.endpoint = Endpoint(self.settings, cache, role="writer", sleep=sleep, jitter=jitter)

    def check(self) -> None:
        """Raises EndpointError for a missing package or key, before any work; asks nothing."""
        self.endpoint.check()

    def write(
        self,
        prompts: Sequence[Prompt],
        sampling: SamplingSettings,
        seeds: Sequence[int],
        on_done: Callable[[int], None] | None = None,
    ) -> list[str]:
        """Replies in the order of the prompts, as the model wrote them (also empty ones).

        Endpoints that ignore seeds are made repeatable by the cache alone. on_done: called with the
        number of texts that just came. Raises EndpointError where the endpoint fails for good.
        """
        if any(prompt.pattern for prompt in prompts):
            raise InputError("an endpoint's replies cannot be constrained: leave out --constrained")
        asks = [self._ask(p, sampling, seed) for p, seed in zip(prompts, seeds, strict=True)]
        texts = self.endpoint.ask_many("endpoint text", asks, str, on_done)
        return [_without_prefix(t, p.prefix) for t, p in zip(texts, prompts, strict=True)]

    def _ask(self, prompt: Prompt, sampling: SamplingSettings, seed: int) -> Ask:
        begin = f"\n\nBegin your reply with: {prompt.prefix}" if prompt.prefix else ""
        identity = [self.settings.model, self.settings.base_url]
        asked = {name: value for name, value in asdict(prompt).items() if name != "pattern"}
        return Ask(
            stable_hash(["endpoint text", *identity, asked, sampling.digest(), seed]),
            prompt.text + begin,
            {
                "temperature": sampling.temperature,
                "top_p": sampling.top_p,
                "max_tokens": sampling.max_new_tokens,
                "seed": seed % _SEEDS,
            },
        )


@dataclass(frozen=True, slots=True)
class RecordedEdits:
    """Self-edits from a file, by context (ignoring white space), in the order of the file."""

    path: Path
    by_context: Mapping[str, tuple[str, ...]]

    def of(self, context: str) -> tuple[str, ...]:
        """The edits of a context. Raises InputError if the file has none."""
        edits = self.by_context.get(_plain(context))
        if edits is None:
            raise InputError(f'{self.path} holds no edit for the context "{_plain(context)[:60]}…"')
        return edits

    def __contains__(self, context: str) -> bool:
        return _plain(context) in self.by_context

    def __len__(self) -> int:
        return sum(map(len, self.by_context.values()))


def read_edits(path: Path | str) -> RecordedEdits:
    """Edits from a file with one JSON object per line: {"title"?, "context", "edit"}.

    A context may have several. Raises InputError with the file and the line.
    """
    path = Path(path)
    try:
        text = whole_text(path, encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text; save it as such.") from None
    found: dict[str, list[str]] = {}
    # Not splitlines(): JSON text may hold U+2028 and the like.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            entry = _entry(f"{path}, line {number}", line)
            found.setdefault(_plain(entry["context"]), []).append(entry["edit"])
    if not found:
        raise InputError(f"{path} holds no edits; write one line for each: {_FORM}")
    return RecordedEdits(path, {context: tuple(edits) for context, edits in found.items()})


def _entry(where: str, line: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        raise InputError(f"{where}: invalid JSON; each line is one edit: {_FORM}") from None
    if not isinstance(entry, dict):
        raise InputError(f"{where}: not an object; write {_FORM}")
    for name in ("context", "edit"):
        if not isinstance(entry.get(name), str):
            state = "must be a string" if name in entry else "is missing"
            raise InputError(f'{where}: "{name}" {state}; write {_FORM}')
        check_length(f"{where}: the {name}", len(entry[name]), MOST_CONTEXT, "it is about one passage")
    if not entry["context"].strip():
        raise InputError(f'{where}: "context" is empty')
    if not isinstance(entry.get("title", ""), str):
        raise InputError(f'{where}: "title" must be a string')
    return entry


def _plain(context: str) -> str:
    return " ".join(context.split())


def _without_prefix(text: str, prefix: str) -> str:
    """The prefix is forced on the model and is never part of its reply (`types.Prompt`)."""
    if not prefix or not text.lstrip().startswith(prefix):
        return text
    return text.lstrip()[len(prefix) :]
