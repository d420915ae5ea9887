"""What nobody would write, drawn from a seed: a name and a number give the same input again."""

from __future__ import annotations

import io
import json
import random
import zipfile
from collections.abc import Sequence
from typing import Any

# What parsers look for, and what breaks text: two of each kind are enough for the next one to be tried.
PIECES = r"""
Question 1: Answer: Implications: --- ``` ```json <think> </think> [THINK] {} [ ] { } " ' \ \u0000 : ,
1. - * # > | _ ** __ === ? ! . ... 1851 1,200.5 -3 1e999 NaN Infinity null true yes no not Anna Berg
Quxville <b> <script> &amp; &#x0; <!-- --> <![CDATA[ ]]> ?> <?xml <table> <td> .. :: include::
| --- | $ % +++ <|im_end|> <s> [INST] ( ) (? (?= \d \b {1,99} {999999} [^ ^
""".split()
ODD = [
    *(" ", "\n", "\r\n", "\t", "\0", "\x1b[2J", "\u2028", "\u202e", "\ufeff", "\ud800"),
    *("日本。", "é", "🙂", "\u0301", "\u0e01", "\u0627"),
]
NAMES = (
    "question answer answers context title id data paragraphs qas text edit correct train test input "
    "output attempt_1 attempt_2 articles completions prompt overall rep version choices label messages "
    "role content is_impossible reps adapter_mean baseline_mean instruction"
).split()
NUMBERS = [
    *(0, 1, -1, 2**31, 2**63, -(2**63), 10**400, 0.5, -0.0, 1e308, 5e-324),
    *(float("inf"), float("-inf"), float("nan")),
]


def drawing(name: str, number: int) -> random.Random:
    return random.Random(f"{name} {number}")


def piece(draw: random.Random) -> str:
    kind = draw.random()
    if kind < 0.6:
        return draw.choice(PIECES)
    if kind < 0.9:
        return draw.choice(ODD)
    return "".join(chr(draw.choice((draw.randrange(128), draw.randrange(0x3000)))) for _ in range(4))


def text(draw: random.Random, samples: Sequence[str] = ()) -> str:
    """Pieces, or one of the samples with some of it moved, repeated, left out or replaced."""
    if samples and draw.random() < 0.5:
        return mutated(draw, draw.choice(samples))
    pieces = [piece(draw) for _ in range(draw.randrange(40))]
    if draw.random() < 0.1:
        pieces = pieces[:3] * draw.randrange(100)
    return draw.choice(("", " ", "\n")).join(pieces)


def mutated(draw: random.Random, sample: str) -> str:
    for _ in range(draw.randint(1, 6)):
        start = draw.randrange(len(sample) + 1)
        end = min(len(sample), start + draw.choice((0, 1, 2, 8, 40)))
        middle = draw.choice(("", piece(draw), sample[start:end] * 2, sample[:12]))
        sample = sample[:start] + middle + sample[end:]
    return sample


def value(draw: random.Random, depth: int = 3) -> Any:
    """A JSON value of any kind."""
    kind = draw.randrange(9 if depth else 6)
    if kind < 2:
        return text(draw)[:60]
    if kind < 6:
        return draw.choice((None, True, False, draw.choice(NUMBERS), draw.randrange(-2, 12), []))
    size = range(draw.randrange(5))
    if kind == 6:
        return [value(draw, depth - 1) for _ in size]
    if kind == 7:
        return [[draw.randint(-1, 10) for _ in range(3)] for _ in size]
    return {draw.choice((*NAMES, piece(draw))): value(draw, depth - 1) for _ in size}


def spoiled(draw: random.Random, sample: Any, chance: float = 0.2) -> Any:
    """A JSON value in which some parts are others, are gone, or are there twice."""
    if draw.random() < chance / 2:
        return value(draw)
    if isinstance(sample, dict):
        kept = {k: spoiled(draw, v, chance) for k, v in sample.items() if draw.random() > chance / 3}
        return kept | ({draw.choice(NAMES): value(draw)} if draw.random() < chance / 3 else {})
    if isinstance(sample, list):
        kept = [spoiled(draw, v, chance) for v in sample if draw.random() > chance / 3]
        return kept * 2 if draw.random() < chance / 4 else kept
    if isinstance(sample, str) and draw.random() < chance:
        return mutated(draw, sample)
    return draw.choice(NUMBERS) if draw.random() < chance / 4 else sample


def bytes_of_file(draw: random.Random, samples: Sequence[Any]) -> bytes:
    """The bytes of a file: values and rows as JSON, text, noise behind the first bytes of a kind. A
    sample of bytes is one with some of them changed."""
    sample = draw.choice(samples)
    if isinstance(sample, bytes):
        return _flipped(draw, sample)
    kind = draw.randrange(8)
    if kind < 6:
        said = (
            json.dumps(spoiled(draw, sample)),
            json.dumps(spoiled(draw, sample, 0.05)),
            "\n".join(json.dumps(spoiled(draw, sample)) for _ in range(3)),
            mutated(draw, json.dumps(sample)),
            json.dumps(value(draw)),
            text(draw),
        )[kind]
        return said.encode("utf-8", "surrogatepass")
    start = draw.choice((b"PK\x03\x04", b"%PDF-1.4\n", b"SQLite format 3\0", b"PAR1", b"\xff\xfe", b""))
    return start + draw.randbytes(draw.randrange(200))


def _flipped(draw: random.Random, sample: bytes) -> bytes:
    if sample.startswith(b"PK"):
        return _rewritten(draw, sample)
    data = bytearray(sample)
    for _ in range(draw.randint(1, 8)):
        start = draw.randrange(len(data) + 1)
        data[start : start + draw.choice((0, 1, 4))] = draw.randbytes(draw.choice((0, 1, 4)))
    return bytes(data[: draw.randrange(len(data) + 1)] if draw.random() < 0.1 else data)


def _rewritten(draw: random.Random, sample: bytes) -> bytes:
    """A ZIP file, one of whose texts is another."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(sample)) as old, zipfile.ZipFile(made, "w") as new:
        changed = draw.choice(old.namelist())
        for name in old.namelist():
            said = old.read(name).decode()
            own = mutated(draw, said) if name == changed else said
            new.writestr(name, own.encode("utf-8", "surrogatepass"))
    return made.getvalue()
