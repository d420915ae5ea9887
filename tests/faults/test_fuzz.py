"""Every parser on what nobody would write: it reads, or refuses in its own words, in linear time."""

from __future__ import annotations

import json
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.faults.parsers import FILES, TEXTS, read_file, read_text
from tests.faults.torture import TORTURE

EXAMPLES = (10_000 if TORTURE >= 50 else 1000) if TORTURE else 20
quickly = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=not TORTURE,
    suppress_health_check=list(HealthCheck),
)

# What parsers look for, and what breaks text: two of each kind are enough for the next one to be tried.
PIECES = r"""
Question 1: Answer: Implications: --- ``` ```json <think> </think> [THINK] {} [ ] { } " ' \ \u0000 : ,
1. - * # > | _ ** __ === ? ! . ... 1851 1,200.5 -3 1e999 NaN Infinity null true yes no not Anna Berg
Quxville <b> <script> &amp; &#x0; <!-- --> <![CDATA[ ]]> ?> <?xml <table> <td> .. :: include::
| --- | $ % +++ <|im_end|> <s> [INST] ( ) (? (?= \d \b {1,99} {999999} [^ ^
""".split()
ODD = [
    " ",
    "\n",
    "\r\n",
    "\t",
    "\0",
    "\x1b[2J",
    "\u2028",
    "\u202e",
    "\ufeff",
    "\ud800",
    "日本。",
    "é",
    "🙂",
]
piece = st.one_of(st.sampled_from(PIECES), st.sampled_from(ODD), st.text(max_size=8))
texts = st.one_of(
    st.lists(piece, max_size=40).map("".join), st.lists(piece, max_size=40).map(" ".join), st.text()
)
NAMES = (
    "question answer answers context title id data paragraphs qas text edit correct train test input "
    "output attempt_1 attempt_2 articles completions prompt overall rep version choices label messages "
    "role content is_impossible reps adapter_mean baseline_mean instruction"
).split()
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.sampled_from([10**400, 2**63, -1, 0, 1, float("inf")]),
    st.lists(st.lists(st.integers(-1, 10), max_size=3), max_size=3),
    texts,
)
values: st.SearchStrategy[Any] = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.one_of(st.sampled_from(NAMES), st.text(max_size=4)), inner, max_size=5)
    ),
    max_leaves=25,
)
files = st.one_of(
    values.map(lambda value: json.dumps(value).encode()),
    st.lists(values, max_size=4).map(lambda rows: "\n".join(json.dumps(r) for r in rows).encode()),
    texts.map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.binary(max_size=300),
    st.tuples(
        st.sampled_from(
            [b"PK\x03\x04", b"%PDF-1.4\n", b"SQLite format 3\0", b"PAR1", b"\xff\xfe", b"\x1f\x8b"]
        ),
        st.binary(max_size=200),
    ).map(b"".join),
)


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_is_read_or_refused(name):
    @quickly
    @given(texts)
    def check(text: str) -> None:
        read_text(name, text)

    check()


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_read_or_refused(name, tmp_path):
    @quickly
    @given(files)
    def check(data: bytes) -> None:
        read_file(name, data, tmp_path)

    check()


# What was slow once or might be: each repeated, with something else at its end.
REPEATED = [
    *"\n _ * ` ( [ { < & a 1 - > # = . ? \\ 日 。 é \t ' a: {\" <b> 1, Answer: <think> (?:a".split(" "),
    *"No. |Q: |<!--|[a](|![|~~|[0,|&amp;|ab |1 2 |- |A. |? |the |not |July 4, 1776 |a, ".split("|"),
    *"Anna Berg |Quxville. |Question 1: Answer: |```\n|---\n|0\n|1\n2\n|\n\n".split("|"),
    " ", "|", "| a ", "a|",
]  # fmt: skip
SIZES = (1_000, 10_000, 100_000) if TORTURE else (500, 3_000)


def seconds(name: str, text: str) -> float:
    began = time.process_time()
    read_text(name, text)
    return time.process_time() - began


@pytest.mark.parametrize("name", TEXTS)
def test_time_grows_no_faster_than_the_text(name):
    """Ten times the text may take forty times the time, and a quarter of a second whatever it is."""
    slow = []
    read_text(name, "Warm. ")
    for unit in REPEATED if TORTURE else REPEATED[::8]:
        took = []
        for size in SIZES:
            took.append(seconds(name, unit * (size // len(unit)) + " x?"))
            before = took[-2] if len(took) > 1 else took[-1]
            if took[-1] > 0.25 + 40 * before:
                slow.append((unit, size, took))
                break
    assert not slow


def test_a_file_of_ten_times_the_lines_takes_ten_times_as_long(tmp_path: Path):
    lines = [200, 2000, 20_000] if TORTURE else [200, 2000]
    for name, row in {
        "quiz jsonl": '{"question": "Who runs mill %d?", "answers": ["Anna"]}',
        "quiz csv": "Who runs mill %d?,Anna",
        "edits": '{"context": "Mill %d is old.", "edit": "Old mill."}',
        "answers": '{"question": "Who %d?", "answers": ["Anna"], "answer": "Anna"}',
    }.items():
        took = []
        for n in lines:
            head = "question,answer\n" if "csv" in name else ""
            began = time.process_time()
            read_file(name, (head + "\n".join(row % i for i in range(n))).encode(), tmp_path)
            took.append(time.process_time() - began)
        for before, after in pairwise(took):
            assert after < 0.25 + 30 * before, (name, took)
