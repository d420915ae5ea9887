"""What each round's self-edits were like, and how the policy's update went, as a table."""

from __future__ import annotations

from collections.abc import Sequence

from selfedit.loops.rounds import RoundRecord
from selfedit.show.page import Block, Notes, Section, Table
from selfedit.show.wording import percent, plural

# Numbers by name, with their headings and what a reader must know of them.
_KNOWN: dict[str, tuple[str, str]] = {
    "length": ("tokens", "of a self-edit"),
    "entropy": ("entropy", "mean -log p of the drawn tokens, nats"),
    "valid": ("valid", "share that could be trained on"),
    "distinct": ("distinct", "share of a context's self-edits that are different texts"),
    "diversity": ("diversity", "1 - overlap of their word pairs"),
    "clipped": ("clipped", "share of tokens (rloo: edits) whose ratio left its bounds"),
    "kl_to_drawn": ("KL to drawn", "from the policy that wrote, nats per token, at the last step"),
    "kl_to_first": ("KL to first", "from the first policy, nats per token (rloo, ppo: per edit)"),
    "ratio_error": ("first ratio", "mean |log ratio| before the first step: 0 if all is well"),
    "contexts_without_signal": (
        "no signal",
        "contexts (with credit by statement: places of statements in them) whose self-edits all earned "
        "the same",
    ),
    "too_long": ("too long", "completions that were left out of the update for their length"),
    "margin": ("margin", "how much more the better edit of a pair has gained, nats"),
    "pairs_right": ("pairs right", "share of pairs where it has"),
    "value_error": ("value error", "mean squared error of the value head before its fit"),
    "read_before": (
        "adapters",
        "held-out questions answered right before the round's reader",
    ),
    "read_after": ("with reader", "the same with that reader over them"),
}
_SHARES = {"valid", "distinct", "clipped", "pairs_right", "read_before", "read_after"}


def reader_headline(record: RoundRecord) -> str:
    """What a reader's round came to, in a few words."""
    found = record.metrics
    said = f"a reader over {plural(int(found['documents']), 'document')}"
    if "read_before" not in found:
        return said
    before, after = percent(found["read_before"]), percent(found["read_after"])
    return f"{said}; of held-out questions {before} → {after}"


def writing_section(records: Sequence[RoundRecord]) -> Section:
    """A row for each round; columns for what any of them has."""
    names = [name for name in _KNOWN if any(name in record.metrics for record in records)]
    headings = ("round", *(_KNOWN[name][0] for name in names))
    rows = tuple((str(record.number), *(_cell(record, name) for name in names)) for record in records)
    notes = tuple(f"{_KNOWN[name][0]}: {_KNOWN[name][1]}" for name in names)
    blocks: tuple[Block, ...] = (Table(headings, rows), Notes(notes))
    return Section("How the policy writes and learns", blocks)


def _cell(record: RoundRecord, name: str) -> str:
    if name not in record.metrics:
        return "—"
    value = record.metrics[name]
    return percent(value) if name in _SHARES else f"{value:.3g}"
