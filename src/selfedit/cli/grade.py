"""`selfedit grade`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from selfedit.console import options
from selfedit.console.common import out, print_json
from selfedit.errors import InputError


def grade(
    file: Annotated[
        Path,
        typer.Argument(
            help='JSON lines of {"question", "gold", "answer"}; "gold" may be a list; "verdict" '
            "(yes or no) is optional."
        ),
    ],
    grader: Annotated[
        str, typer.Option("--grader", "-g", help="offline, contains, exact or f1.")
    ] = "offline",
    as_json: options.Json = False,
) -> None:
    """Grade answers against gold answers, and compare with the verdicts of another judge."""
    from selfedit.domains.knowledge.documents import read_text
    from selfedit.grading import GRADERS, verdicts
    from selfedit.grading.answers_file import parse_answers
    from selfedit.types import Query

    if grader not in GRADERS:
        raise InputError(f"--grader {grader}: there is {', '.join(sorted(GRADERS))}.")
    answers = parse_answers(file, read_text(file)[1])
    queries = [Query(own.question, own.golds) for own in answers]
    correct = verdicts(queries, [own.answer for own in answers], GRADERS[grader])
    result = summary(grader, correct, [a.verdict for a in answers])
    if as_json:
        print_json({**result, "correct": correct})
    else:
        _show(result)


def summary(grader: str, correct: list[bool], verdicts: list[bool | None]) -> dict[str, Any]:
    """Yes rate and, over the answers with a verdict, the agreement of grader and verdicts."""
    from selfedit.grading.agreement import agreement

    result: dict[str, Any] = {
        "grader": grader,
        "num": len(correct),
        "yes_rate": sum(correct) / len(correct),
    }
    judged = [(c, v) for c, v in zip(correct, verdicts, strict=True) if v is not None]
    if judged:
        found = agreement([c for c, _ in judged], [v for _, v in judged])
        result |= {
            "num_verdicts": found.num,
            "kappa": found.kappa,
            "agreement": found.agreement,
            "verdict_yes_rate": found.verdict_yes_rate,
        }
    return result


def _show(result: dict[str, Any]) -> None:
    table = Table(show_header=False)
    rows = [("grader", result["grader"]), ("answers", str(result["num"]))]
    rows += [("graded correct", f"{result['yes_rate']:.1%}")]
    if "kappa" in result:
        defined = result["kappa"] == result["kappa"]  # NaN is not itself
        rows += [
            ("with a verdict", str(result["num_verdicts"])),
            ("verdict yes", f"{result['verdict_yes_rate']:.1%}"),
            ("agreement", f"{result['agreement']:.1%}"),
            (
                "Cohen's kappa",
                f"{result['kappa']:.3f}" if defined else "undefined: one verdict only",
            ),
        ]
    for name, value in rows:
        table.add_row(name, Text(value))
    out.print(table)
