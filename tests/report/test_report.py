"""The report: one safe, self-contained page; the same facts in the terminal; the same bytes."""

from __future__ import annotations

import dataclasses
import io
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console

from selfedit.errors import StoreError
from selfedit.show import wording
from selfedit.show.html import render_report, write_report
from selfedit.show.plots import COLOURS, accuracy_bars, loss_curves, wilson_interval
from selfedit.show.terminal import print_result
from selfedit.types import (
    Candidate,
    Group,
    LearnResult,
    PassageResult,
    Query,
    QuestionResult,
    SelfEdit,
    Task,
)

NASTY = '<script>alert("1")</script> [bold]$x$[/bold] {{ 7*7 }} \x1b[31m\x00 \ud800 &amp;'
NAN = float("nan")


def question(name: str, before: bool, after: bool, held_out: bool = True) -> QuestionResult:
    return QuestionResult(
        f"What is {name}?", f"gold {name}", "no idea", f"gold {name}", before, after, held_out
    )


def candidate(text, reward, status="scored", reason="") -> Candidate:
    return Candidate(SelfEdit("n", 0, (), (text,)), (reward,), status, reason)


RESULT = LearnResult(
    accuracy_before=1 / 3,
    accuracy_after=2 / 3,
    num_questions=3,
    held_out=True,
    version=3,
    committed=True,
    reason="more questions are right",
    num_trials=4,
    num_invalid=1,
    seconds_per_edit=3.4,
    seconds=65.0,
    adapter_path="adapters/" + "long-folder-name/" * 9 + "3",
    report_path="reports/" + "another long  name " * 6 + ".html",
    model="smollm2",
    documents=("notes.md",),
    settings={"train": {"epochs": 10, "prompt": None}, "layers": ["a", "b"]},
    questions=(
        question("one", False, True),
        question("two", True, False),
        question("three", False, True),
        question("four", True, True, held_out=False),
    ),
    passages=(
        PassageResult(
            Group(
                Task("n", "Notes", "The dome is tin.", (Query("q", ("a",)),) * 4),
                0.25,
                (
                    candidate("Tin is on the dome.", 0.75),
                    candidate("A dome.", 0.5, reason="lower reward"),
                    candidate("", None, "invalid", "holds no sentence"),
                    candidate("x", None, "failed", "loss not finite"),
                ),
                kept=(0,),
            ),
            (3.0, 3.0, 0.0, 1.0),
            ((2.0, 1.0), (2.0, 1.5), (), (2.0, NAN)),
        ),
    ),
    final_losses=(3.0, 2.0, 1.0),
    num_older=10,
    older_before=1.0,
    older_after=0.9,
    notes=("a note",),
)
EMPTY = LearnResult(NAN, NAN, 0, False, None, False, "", 0, 0, NAN, NAN, None, None)
HOSTILE = dataclasses.replace(
    RESULT,
    model=NASTY,
    reason=NASTY,
    documents=(NASTY,) * 20,
    settings={NASTY: {NASTY: NASTY}},
    questions=(QuestionResult(NASTY, NASTY, "", NASTY * 50, False, False, False),),
    passages=(
        PassageResult(Group(Task("", NASTY, NASTY * 100), None, ()), (), ()),
        PassageResult(
            Group(
                Task("", NASTY, NASTY, (Query(NASTY, (NASTY,)),) * 2),
                NAN,
                (candidate(NASTY * 100, NAN, "failed", NASTY),),
            ),
            (NAN,),
            ((NAN, math.inf),),
        ),
    ),
    older_before=None,
    older_after=NAN,
    notes=(NASTY,),
)


class Outline(HTMLParser):
    """Collects the tags and attributes of a page and checks that they are properly nested."""

    VOID = frozenset({"meta", "link", "br", "img", "input"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.stack: list[str] = []
        self.feed(page)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag


def words_of(page: str) -> str:
    """The page without tags, in one line."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def printed(result: LearnResult, width: int = 80, encoding: str = "utf-8") -> str:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, newline="\n")
    print_result(result, Console(file=file, width=width))
    file.flush()
    return raw.getvalue().decode(encoding)


@pytest.mark.parametrize("result", [RESULT, EMPTY, HOSTILE], ids=["usual", "empty", "hostile"])
def test_page_is_well_formed_inert_and_self_contained(result: LearnResult) -> None:
    page = render_report(result)
    outline = Outline(page)
    assert page.startswith("<!DOCTYPE html>")
    assert not {"script", "link", "img", "iframe", "object"} & set(outline.tags)
    for name, value in outline.attributes:
        assert not name.startswith("on")
        if name in ("src", "href", "xlink:href"):
            assert value is not None
            assert value.startswith("#")
    assert "url(" not in re.sub(r"url\(#", "", page)
    assert "@import" not in page
    identifiers = [value for name, value in outline.attributes if name == "id"]
    assert len(identifiers) == len(set(identifiers))
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]", page)
    assert page == render_report(result)


def test_page_says_what_happened() -> None:
    text = words_of(render_report(RESULT))
    for expected in (
        "33.3% → to 66.7%",
        "1 of 3 → to 2 of 3 questions",
        "3 questions held out from choosing the self-edits",
        "Committed as version 3. more questions are right",
        "2 gained, 1 lost, 0 right both times, 0 wrong both times",
        "Questions that chose the self-edits",
        "75% against 25% before (+50 points)",
        "Reason: holds no sentence",
        "Reason: loss not finite",
        "10 of 10 → to 9 of 10 (\N{MINUS SIGN}10 points)",
        "train.epochs 10",
        "layers a, b",
        "a note",
    ):
        assert expected in text
    assert text.count("✓ right:") == 5
    assert text.count("✗ wrong:") == 3


def test_page_without_numbers_says_so() -> None:
    text = words_of(render_report(EMPTY))
    assert "not measured" in text
    assert "Not committed" in text
    assert "nan" not in text.lower()
    assert "None" not in text


def test_documents_cannot_write_html() -> None:
    page = render_report(HOSTILE)
    assert "<script" not in page
    assert "&lt;script&gt;alert(&#34;1&#34;)&lt;/script&gt;" in page
    assert "{{ 7*7 }}" in page
    assert "&amp;amp;" in page


def test_report_replaces_the_old_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "report.html"
    assert write_report(EMPTY, path) == path
    assert write_report(HOSTILE, path) == path
    assert path.read_text(encoding="utf-8") == render_report(HOSTILE)
    assert list(path.parent.iterdir()) == [path]


def test_report_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "report.html").mkdir()
    with pytest.raises(StoreError, match="cannot be written"):
        write_report(EMPTY, tmp_path / "report.html")
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="cannot be written"):
        write_report(EMPTY, tmp_path / "file" / "report.html")


@pytest.mark.parametrize(("width", "encoding"), [(80, "utf-8"), (40, "utf-8"), (80, "ascii")])
def test_terminal_has_the_facts_and_whole_paths(width: int, encoding: str) -> None:
    text = printed(RESULT, width, encoding)
    arrow, right, wrong = ("→", "✓", "✗") if encoding == "utf-8" else (">", "+", "x")
    flat = re.sub(r"\s+", " ", text)
    assert f"1 of 3 {arrow} 2 of 3 (33.3% {arrow} 66.7%)" in flat
    assert f"{right} Committed as version 3: more questions are right" in flat
    assert "4 self-edits tried (1 invalid), 3.40 s each; 1 min 5 s in all." in flat
    twice = dataclasses.replace(RESULT, settings={"seeds": 2}, num_invalid=2)
    said = "2 self-edits tried with 2 seeds each (1 invalid), 3.40 s a training; 1 min 5 s in all"
    assert wording.trials_line(twice) == said
    assert f"10 of 10 {arrow} 9 of 10" in flat
    assert f"{right} gold" in text
    assert f"{wrong} no" in text
    assert f"Adapter: {RESULT.adapter_path}\n" in text
    assert f"Report: {RESULT.report_path}\n" in text
    paths = (f"Adapter: {RESULT.adapter_path}", f"Report: {RESULT.report_path}")
    assert all(len(line) <= width for line in text.splitlines() if line not in paths)
    assert "\x1b" not in text


def test_terminal_prints_documents_literally() -> None:
    text = printed(HOSTILE, width=400)
    assert "[bold]$x$[/bold]" in text
    assert "\x1b" not in text
    assert "\x00" not in text


def test_terminal_without_numbers_says_so() -> None:
    text = printed(EMPTY)
    assert "not measured" in text
    assert "Not committed" in text
    assert "nan" not in text.lower()


def test_loss_curves_are_deterministic_svg() -> None:
    curves = {'$a$ <"b">': [3.0, NAN, 1.0], "single": [2.0], "empty": [], "_hidden": [math.inf]}
    svg = loss_curves(curves)
    root = ElementTree.fromstring(svg)  # noqa: S314 - our own text
    assert root.tag.endswith("svg")
    assert svg == loss_curves(curves)
    assert "currentColor" in svg
    assert "#010203" not in svg
    assert "$a$" in "".join(root.itertext())
    assert "style>" not in svg
    assert loss_curves({}) == loss_curves({"a": [], "b": [NAN]}) == ""
    many = loss_curves({f"candidate {number}": [2.0, 1.0] for number in range(40)})
    assert "and 28 more" in many


def test_accuracy_bars() -> None:
    svg = accuracy_bars(0.0, 4 / 6, 6)
    ElementTree.fromstring(svg)  # noqa: S314 - our own text
    assert "after: 4 of 6" in svg
    assert accuracy_bars(NAN, 0.5, 6) == accuracy_bars(0.5, 0.5, 0) == ""


def test_wilson_interval_against_published_value() -> None:
    # Newcombe, Statistics in Medicine 17 (1998), table I: 81 of 263 gives 0.2553 to 0.3662.
    assert wilson_interval(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    # The same table: 0 of 20 gives 0 to 0.1611.
    assert wilson_interval(0.0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)


def test_colours_are_legible_on_light_and_dark() -> None:
    def luminance(colour: str) -> float:
        shares = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for colour in COLOURS:
        assert 1.05 / (luminance(colour) + 0.05) >= 3
        assert (luminance(colour) + 0.05) / (luminance("#1c2026") + 0.05) >= 3


def test_it_says_which_kind_of_quiz_it_was(tmp_path) -> None:
    given, own, cloze, mixed = (
        dataclasses.replace(RESULT, quiz=kind, logprob_gain=gain)
        for kind, gain in (("given", None), ("own", None), ("cloze", 12.34), ("mixed", -0.5))
    )
    pages = {}
    for result in (given, own, cloze, mixed):
        path = tmp_path / f"{result.quiz}.html"
        write_report(result, path)
        page = words_of(path.read_text(encoding="utf-8"))
        shown = " ".join(printed(result, width=200).split())
        for text in (page, shown):
            assert ("how well the text is remembered" in text) == (result.quiz in ("cloze", "mixed"))
            assert ("written by the model itself" in text) == (result.quiz in ("own", "mixed"))
        pages[result.quiz] = shown
    assert "On 3 questions held out" in pages["own"]
    assert "Held-out blanks" in pages["cloze"]
    assert "On 3 blanks held out" in pages["cloze"]
    assert "Log-probability of the words of a blank: +12.3 nats" in pages["cloze"]
    assert "\N{MINUS SIGN}0.5 nats" in pages["mixed"]
    assert "Log-probability" not in pages["given"]


def test_wording() -> None:
    assert wording.percent(0.5) == "50%"
    assert wording.percent(2 / 3) == "66.7%"
    assert wording.percent(None) == wording.percent(NAN) == "not measured"
    assert wording.points(0.0) == wording.points(-0.0001) == "±0 points"
    assert wording.duration(0.42) == "0.42 s"
    assert wording.duration(59.97) == "1 min 0 s"
    assert wording.duration(7500) == "2 h 5 min"
    assert wording.of_total(2 / 3, 6) == "4 of 6"
