"""What was broken, in the terminal."""

from __future__ import annotations

import io

from rich.console import Console

from selfedit.show.damage import print_probe
from selfedit.show.wording import damage_line, damage_rows
from selfedit.types import ProbeExample, ProbeResult

LOST = tuple(ProbeExample(f"What is {i}?", "gold", "gold", f"[red]{i}\x1b[2J") for i in range(5))
RESULT = ProbeResult(
    num_general=180,
    general_before=100,
    general_after=95,
    general_kept=0.95,
    general_kept_bounds=(0.888, 0.979),
    drift=0.0294,
    drift_bounds=(0.02, 0.04),
    num_drift=40,
    ended=0.9,
    ended_before=0.5,
    lost=LOST,
    notes=("A note of its own.",),
)


def printed(result: ProbeResult) -> str:
    console = Console(file=io.StringIO(), width=100, force_terminal=False)
    print_probe(result, console)
    return console.file.getvalue()


def test_the_table_has_intervals_and_a_few_examples():
    text = printed(RESULT)
    for part in ("95% (95 of 100)", "89% to 98%", "0.029", "0.020 to 0.040", "90% (before: 50%)"):
        assert part in text
    assert "What is 2?" in text
    assert "What is 3?" not in text
    assert "2 more" in text
    assert "A note of its own." in text
    assert "[red]0" in text
    assert "\x1b[2J" not in text
    assert "Neighbours" not in text


def test_what_was_not_measured_is_left_out():
    assert damage_rows(ProbeResult()) == []
    assert damage_line(ProbeResult()) == "nothing was measured"
    assert damage_rows(ProbeResult(drift=float("nan"))) == []
    assert "general questions kept: 95% (95 of 100); drift" in damage_line(RESULT)
