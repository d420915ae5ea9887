"""A corpus as the folder of a Hugging Face data set: `datasets.load_dataset(FOLDER)` reads it."""

from __future__ import annotations

from pathlib import Path

from selfedit.corpus.generate import Generated
from selfedit.errors import InputError
from selfedit.show.files import write_whole
from selfedit.show.wording import plural

FILE, CARD = "train.jsonl", "README.md"

_CARD = """\
---
configs:
- config_name: default
  data_files:
  - split: train
    path: {file}
tags:
- synthetic
- self-edits
---

# {name}

{lines} ({tokens:,} tokens) that a language model wrote about {passages} of {documents}, with
`selfedit generate` (self-edits: Zweiger et al., arXiv 2506.10943).

- policy: `{policy}`, weights `{revision}`
- strategy: {strategy}
- left out: {same:,} texts that were there already, {alike:,} that were there but for case,
  punctuation and spacing, {invalid:,} self-edits with nothing to train on

Each line has {field}, and says where it is from: `document`, `passage` (id), `position` of the
passage in the document, `edit` (number of the self-edit), `strategy`, `policy`, `revision`, `tokens`.
What the documents may be used for holds for these texts, too.
"""
_BEGIN = _CARD.partition("{")[0]


def own_card(folder: Path) -> Path:
    """Where the card of a corpus in a folder is, or will be. Raises InputError for a README there that
    is none."""
    card = folder / CARD
    try:
        with card.open(encoding="utf-8", errors="replace") as file:
            is_own = file.read(len(_BEGIN)) == _BEGIN
    except OSError:  # none yet
        is_own = True
    if not is_own:
        raise InputError(f"{card} is not a corpus's and would be replaced: choose another --out")
    return card


def write_card(folder: Path, found: Generated, *, messages: bool) -> None:
    """The README of the data set. Raises StoreError if it cannot be written."""
    done = found.done
    text = _CARD.format(
        file=FILE,
        name=folder.resolve().name,
        lines=plural(done.lines, "line"),
        tokens=done.tokens,
        passages=plural(done.passages, "passage"),
        documents=plural(found.documents, "document"),
        policy=found.policy,
        revision=found.revision,
        strategy=found.strategy,
        same=done.same,
        alike=done.alike,
        invalid=sum(done.invalid.values()),
        field="`messages` (a chat of two turns)" if messages else "`text`",
    )
    write_whole(folder / CARD, text)
