"""Every parser on what nobody would write: it reads, or refuses in its own words, in linear time."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path

import pytest

from tests.faults import ledger
from tests.faults.inputs import bytes_of_file, drawing, text
from tests.faults.parsers import FILES, SLOW, TEXTS, made_samples, read_file, read_text, samples_of
from tests.faults.torture import TORTURE


def examples(name: str) -> int:
    every = 100 * TORTURE or 40
    return every // 10 if name in SLOW else every


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_is_read_or_refused(name):
    for number in range(examples(name)):
        given = text(drawing(name, number), samples_of(name))
        try:
            read_text(name, given)
        except Exception as error:
            raise AssertionError(f"{name}, input {number}: {given[:2000]!r}") from error
    _held(name)


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_read_or_refused(name, tmp_path):
    samples = made_samples(name)
    for number in range(examples(name)):
        given = bytes_of_file(drawing(name, number), samples)
        try:
            read_file(name, given, tmp_path)
        except Exception as error:
            raise AssertionError(f"{name}, input {number}: {given[:2000]!r}") from error
    _held(name)


def _held(name: str) -> None:
    if TORTURE:
        ledger.note("fuzz", name, cases=examples(name))


# What was slow once or might be: each repeated, with something else at its end.
REPEATED = [
    *"\n _ * ` ( [ { < & a 1 - > # = . ? \\ 日 。 é \t ' a: {\" <b> 1, Answer: <think> (?:a".split(" "),
    *"No. |Q: |<!--|[a](|![|~~|[0,|&amp;|ab |1 2 |- |A. |? |the |not |July 4, 1776 |a, ".split("|"),
    *"Anna Berg |Quxville. |Question 1: Answer: |```\n|---\n|0\n|1\n2\n|\n\n".split("|"),
    " ", "|", "| a ", "a|",
]  # fmt: skip
SIZES = (1_000, 10_000, 100_000) if TORTURE else (500, 3_000)
SLOWEST = {10_000: 30, 100_000: 3}  # how many units are tried with a size: those that took longest


def seconds(name: str, unit: str, size: int) -> float:
    given = unit * (size // len(unit)) + " x?"
    began = time.process_time()
    read_text(name, given)
    return time.process_time() - began


@pytest.mark.parametrize("name", TEXTS)
def test_time_grows_no_faster_than_the_text(name):
    """Ten times the text may take forty times the time, and a quarter of a second whatever it is. What
    took longer is measured again: Python may have collected garbage, or the processor been shared."""
    read_text(name, "Warm. ")
    took = {unit: [seconds(name, unit, SIZES[0])] for unit in (REPEATED if TORTURE else REPEATED[::8])}
    for size in SIZES[1:]:
        for unit in sorted(took, key=lambda unit: -took[unit][-1])[: SLOWEST.get(size)]:
            most = 0.25 + 40 * took[unit][-1]
            last = seconds(name, unit, size)
            if last > most:
                last = min(seconds(name, unit, size) for _ in range(2))
            took[unit].append(last)
            assert last <= most, (unit, size, took[unit])
    if TORTURE:
        unit = max(took, key=lambda unit: took[unit][-1] if len(took[unit]) == len(SIZES) else 0.0)
        ledger.note("growth", name, unit=unit, seconds=[round(one, 4) for one in took[unit]])


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
