"""Which tasks of a source: by id, by the paper's filter, by the length of their prompts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from selfedit.domains.arc.sources import Split, is_there
from selfedit.domains.arc.tasks import ArcTask
from selfedit.domains.arc.text import GridFormat, one_prompt
from selfedit.domains.knowledge.documents import read_text
from selfedit.errors import InputError

Measure = Literal["max-tokens", "max-cells"]
PAPER_FILTERED = "paper-filtered"

# The tasks that the paper kept because test-time training can solve them, as its public release lists
# them (arXiv 2506.10943, MIT licence); all are of ARC-AGI-1.
PAPER_IDS: dict[Split, tuple[str, ...]] = {
    "training": (
        "44f52bb0", "4be741c5", "5582e5ca", "5614dbcf", "5bd6f4ac", "6150a2bd",
        "67e8384a", "6d0aefbc", "6e02f1e3", "8be77c9e", "8d5021e8", "8e1813be",
    ),
    "evaluation": (
        "358ba94e", "59341089", "66e6c45b", "68b67ca3", "903d1b4a", "af24b4cc",
        "b1fc8b8e", "bc4146bd", "c7d4e6ad", "ce8d95cc",
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class LengthFilter:
    """Keeps tasks whose longest prompt has at most `limit` tokens or cells."""

    measure: Measure
    limit: int


def parse_filter(text: str) -> LengthFilter:
    """A filter from max-tokens=N or max-cells=N. Raises InputError."""
    name, _, number = text.partition("=")
    if name not in get_args(Measure) or not (
        number.isascii() and number.isdigit() and len(number) < 10
    ):
        raise InputError(f"--filter {text}: use {' or '.join(f'{m}=N' for m in get_args(Measure))}")
    return LengthFilter("max-tokens" if name == "max-tokens" else "max-cells", int(number))


def parse_ids(text: str, split: Split) -> tuple[str, ...]:
    """The ids that --ids means: `paper-filtered`, a file of ids, or ids with commas between them.

    A file has one id per line (# begins a comment) or a JSON list. Raises InputError.
    """
    if text == PAPER_FILTERED:
        return tuple(i for part, ids in PAPER_IDS.items() if split in (part, "all") for i in ids)
    path = Path(text)
    ids = _ids_of_file(path) if path.suffix or "/" in text or is_there(path) else text.split(",")
    found = tuple(dict.fromkeys(i.strip() for i in ids if i.strip()))
    if not found:
        raise InputError(f"{text!r} holds no task ids")
    return found


def select(
    tasks: Iterable[ArcTask],
    ids: Sequence[str] | None = None,
    filters: Sequence[LengthFilter] = (),
    prompt_tokens: Callable[[ArcTask], int] | None = None,
) -> list[ArcTask]:
    """The tasks with these ids, in the ids' order (all without), that pass every filter.

    prompt_tokens: tokens of a task's longest whole prompt; needed for max-tokens.
    Raises InputError for an id that no task has, and if nothing is left.
    """
    chosen = list(tasks)
    if ids is not None:
        by_id = {task.id: task for task in chosen}
        missing = [i for i in ids if i not in by_id]
        if missing:
            raise InputError(
                f"no task has the id {', '.join(missing[:5])}; choose the dataset and split (or file) "
                "that these ids are of"
            )
        chosen = [by_id[i] for i in dict.fromkeys(ids)]
    for one in filters:
        chosen = [task for task in chosen if _measured(task, one, prompt_tokens) <= one.limit]
    if not chosen:
        said = " and ".join(f"{one.measure}={one.limit}" for one in filters)
        raise InputError(f"no task is left{f' with {said}: raise the limit' if said else ''}")
    return chosen


def longest_prompt(task: ArcTask, count: Callable[[str], int], form: GridFormat = "rows") -> int:
    """The largest `count` of a task's prompts as one text each, chat markers apart."""
    queries = task.test_inputs or (task.train[0].input,)
    return max(count(one_prompt(task.train, query, form)) for query in queries)


def _measured(task: ArcTask, one: LengthFilter, prompt_tokens: Callable[[ArcTask], int] | None) -> int:
    if one.measure == "max-cells":
        return task.prompt_cells
    if prompt_tokens is None:
        raise InputError("max-tokens needs a model to count tokens with: give --model")
    return prompt_tokens(task)


def _ids_of_file(path: Path) -> list[str]:
    _, text = read_text(path)
    if not text.lstrip().startswith("["):
        lines = [line.strip() for line in text.splitlines()]
        return [line.partition(" #")[0] for line in lines if not line.startswith("#")]
    try:
        ids = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: invalid JSON ({error})") from None
    if not all(isinstance(i, str) for i in ids):
        raise InputError(f'{path}: expected a list of ids: ["007bbfb7", ...]')
    return list(ids)
