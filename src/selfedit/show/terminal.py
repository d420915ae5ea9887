"""A `learn` in the terminal: what was asked, what changed, what was decided, where it is.

Everything that comes from documents or models is `Text`, never markup, without control characters.
"""

from __future__ import annotations

import re

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from selfedit.show import wording
from selfedit.types import LearnResult, QuestionResult

RIGHT, WRONG = "green", "red"
LONGEST_ANSWER = 120
LONGEST_QUESTION = 240
MOST_ROWS = 50  # rows of one table; the report has all
# Control characters (terminal escapes among them), text direction overrides, lone surrogates.
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
ASCII = str.maketrans({"✓": "+", "✗": "x", "→": ">", "…": "~", "±": "", "\N{MINUS SIGN}": "-"})


def print_result(result: LearnResult, console: Console) -> None:
    """Print the tables of questions, the accuracies, the decision, and where things are."""
    for group in wording.question_groups(result):
        console.print(question_table(group.title, group.questions, console))
        console.print()
    for line in summary_lines(result, console):
        console.print(line, soft_wrap=line.no_wrap or False)


def question_table(title: str, questions: tuple[QuestionResult, ...], console: Console) -> Table:
    """Question, gold, answer before, answer after; right and wrong by symbol and by colour."""
    table = Table(
        title=literal(title, console, "bold"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        expand=console.width <= 100,
        pad_edge=False,
        show_edge=False,
    )
    for name, ratio in (("Question", 5), ("Gold", 3), ("Before", 4), ("After", 4)):
        table.add_column(name, ratio=ratio, overflow="fold")
    for question in questions[:MOST_ROWS]:
        table.add_row(
            literal(question.question, console, limit=LONGEST_QUESTION),
            literal(question.gold, console, limit=LONGEST_ANSWER),
            _answer(question.before, question.correct_before, console),
            _answer(question.after, question.correct_after, console),
        )
    if len(questions) > MOST_ROWS:
        table.add_row(literal(f"… and {len(questions) - MOST_ROWS} more", console, "dim"))
    return table


def summary_lines(result: LearnResult, console: Console) -> list[Text]:
    """What comes below the tables. Lines that end in a path have `no_wrap` set."""

    def say(text: str, style: str = "") -> None:
        lines.append(literal(text, console, style))

    lines: list[Text] = []
    if result.num_questions and wording.known(result.accuracy_after):
        total = result.num_questions
        better = result.accuracy_after > result.accuracy_before
        say(
            f"Accuracy: {_change(result.accuracy_before, result.accuracy_after, total)}",
            "bold green" if better else "bold",
        )
        say(f"On {total} {wording.question_kind(result)}.")
        told = (wording.ended_line, wording.likelier_line)
        for line in (wording.quiz_line(result.quiz), *(tell(result) for tell in told)):
            if line:
                say(f"{line}.")
    else:
        say("Accuracy: not measured, because no questions were asked.", "bold")
    if result.num_older:
        say("Older questions: " + _change(result.older_before, result.older_after, result.num_older))
    if result.probe is not None:
        for name, value, interval in wording.damage_rows(result.probe):
            say(f"{name}: {value}" + (f", 95% interval {interval}" if interval else ""))
    say(f"{wording.trials_line(result)}.")
    if result.passages:
        line = wording.kept_line(result.passages)
        say(f"{line[0].upper()}{line[1:]}.")
    mark, style = ("✓", RIGHT) if result.committed else ("✗", WRONG)
    reason = f": {result.reason}" if result.reason else ""
    say(f"{mark} {wording.verdict(result)}{reason}", style)
    for note in result.notes:
        say(f"Note: {note}")
    for name, path in (("Adapter", result.adapter_path), ("Report", result.report_path)):
        if path:
            line_with_path = literal(f"{name}: {path}", console)
            line_with_path.no_wrap = True
            lines.append(line_with_path)
    return lines


def _change(before: float | None, after: float | None, total: int) -> str:
    counts = f"{wording.of_total(before, total)} → {wording.of_total(after, total)}"
    if wording.known(before) and wording.known(after):
        counts += f" ({wording.percent(before)} → {wording.percent(after)})"
    return counts


def _answer(answer: str, correct: bool, console: Console) -> Text:
    mark, style = ("✓", RIGHT) if correct else ("✗", WRONG)
    return literal(f"{mark} {answer.strip() or '(no answer)'}", console, style, LONGEST_ANSWER)


def literal(words: str, console: Console, style: str = "", limit: int | None = None) -> Text:
    """One line of literal text that this console can encode and that cannot move the cursor."""
    line = UNPRINTABLE.sub("", re.sub(r"\s*[\t-\r]\s*", " ", words))
    if limit is not None and len(line) > limit:
        line = line[: limit - 1].rstrip() + "…"
    if console.options.ascii_only:
        line = line.translate(ASCII)
    line = line.encode(console.encoding, "replace").decode(console.encoding)
    return Text(line, style=style)
