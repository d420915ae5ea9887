"""Results in words, the same in the terminal and in HTML; None and NaN are "not measured"."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from selfedit.types import (
    Bounds,
    Group,
    LearnResult,
    PassageResult,
    ProbeResult,
    QuestionResult,
    QuizKind,
)

UNKNOWN = "not measured"
# What times are of where other work on the machine should not change them (`memory.costs.clock`).
CLOCKED = "of the processor, all threads together, on a CPU, and of the clock elsewhere"


def known(value: float | None) -> bool:
    """Whether there is a number to show."""
    return value is not None and math.isfinite(value)


def percent(value: float | None, decimals: int | None = None) -> str:
    """A share in [0, 1]: 0.6667 is "66.7%", 0.75 is "75%"; with two decimals 0.75 is "75.00%"."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    if decimals is not None:
        return f"{100 * value:.{decimals}f}%"
    return f"{100 * value:.1f}".removesuffix(".0") + "%"


def points(value: float) -> str:
    """A difference of two shares in percentage points, signed: 0.5 is "+50 points"."""
    number = f"{100 * value:+.1f}".removesuffix(".0")
    if number in ("+0", "-0"):
        return "±0 points"
    return number.replace("-", "\N{MINUS SIGN}") + " points"


def of_total(accuracy: float | None, total: int) -> str:
    """An accuracy as a count: (0.6667, 6) is "4 of 6"."""
    if accuracy is None or not math.isfinite(accuracy) or total < 1:
        return UNKNOWN
    return f"{round(accuracy * total)} of {total}"


def duration(seconds: float | None) -> str:
    """Wall time: "0.42 s", "12.3 s", "3 min 20 s", "2 h 5 min"."""
    if seconds is None or not math.isfinite(seconds):
        return UNKNOWN
    if seconds < 9.995:
        return f"{seconds:.2f} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def plural(count: int, noun: str) -> str:
    """A count with its noun: "1 passage", "2 passages"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def trials_line(result: LearnResult) -> str:
    """What was done: "12 self-edits tried (1 invalid), 3.40 s each; 52.0 s in all"."""
    given = result.settings.get("seeds")
    seeds = given if isinstance(given, int) and given > 1 else 1  # a trial is a self-edit with a seed
    tried = f"{plural(result.num_trials // seeds, 'self-edit')} tried"
    if seeds > 1:
        tried += f" with {seeds} seeds each"
    if result.num_invalid:
        tried += f" ({result.num_invalid // seeds} invalid)"
    if known(result.seconds_per_edit) and result.num_trials:
        tried += f", {duration(result.seconds_per_edit)} {'each' if seeds == 1 else 'a training'}"
    return f"{tried}; {duration(result.seconds)} in all" if known(result.seconds) else tried


def kept_line(passages: Sequence[PassageResult]) -> str:
    """Number of passages for which a candidate was kept."""
    kept = sum(bool(passage.group.kept) for passage in passages)
    return f"a self-edit was kept for {kept} of {plural(len(passages), 'passage')}"


# What a quiz consists of: of one, of several.
_NOUNS: dict[QuizKind, tuple[str, str]] = {
    "given": ("question", "questions"),
    "own": ("question", "questions"),
    "cloze": ("blank", "blanks"),
    "mixed": ("question or blank", "questions and blanks"),
}
_RECALL = (
    "a blank is a sentence of the document with words left out, which the model is to go on with. It "
    "measures how well the text is remembered, not whether its facts can be used in other words"
)
_QUIZ: dict[QuizKind, str] = {
    "given": "",
    "own": "The questions were written by the model itself",
    "cloze": f"{_RECALL[0].upper()}{_RECALL[1:]}",
    "mixed": f"The questions were written by the model itself; {_RECALL}",
}


def nouns(quiz: QuizKind, count: int) -> str:
    """What so many of a quiz are called."""
    one, several = _NOUNS[quiz]
    return one if count == 1 else several


def quiz_line(quiz: QuizKind) -> str:
    """What kind of quiz it was and what it measures; "" where a person wrote it."""
    return _QUIZ[quiz]


def likelier_line(result: LearnResult) -> str:
    """How much likelier the words of the blanks became; "" where there are none."""
    gain = result.logprob_gain
    if gain is None or not math.isfinite(gain):
        return ""
    said = f"{gain:+.1f}".replace("-", "\N{MINUS SIGN}")
    return f"Log-probability of the words of a blank: {said} nats in the mean"


def ended_line(result: LearnResult) -> str:
    """How many answers to the quiz end by themselves; "" where none could be asked."""
    if result.quiz_ended is None:
        return ""
    return f"Answers to them that end by themselves: {percent(result.quiz_ended, 0)}"


def question_kind(result: LearnResult) -> str:
    """What the reported accuracy was measured on."""
    return measured_on(result.quiz, result.num_questions, result.held_out, result.settings)


def measured_on(
    quiz: QuizKind, num_questions: int, held_out: bool, settings: Mapping[str, object]
) -> str:
    """The same of a stored result, with its run's settings."""
    noun = nouns(quiz, num_questions)
    if settings.get("candidates") == 1:
        return f"{noun}, none of which chose anything"
    if held_out:
        return f"{noun} held out from choosing the self-edits"
    return f"{noun}, not held out: also used to choose the self-edits"


def verdict(result: LearnResult) -> str:
    """Whether a new version of the adapter exists now."""
    if not result.committed:
        return "Not committed, the model stays as it was"
    return "Committed" if result.version is None else f"Committed as version {result.version}"


@dataclass(frozen=True, slots=True)
class QuestionGroup:
    """Questions under one heading; `counted` groups make the reported accuracy."""

    title: str
    questions: tuple[QuestionResult, ...]
    counted: bool


def question_groups(result: LearnResult) -> tuple[QuestionGroup, ...]:
    """The counted questions first; if some are held out, the others under their own heading."""
    held_out = tuple(question for question in result.questions if question.held_out)
    others = tuple(question for question in result.questions if not question.held_out)
    noun = nouns(result.quiz, 2)
    groups = (
        QuestionGroup(f"Held-out {noun}", held_out, counted=True),
        QuestionGroup(
            f"{noun[0].upper()}{noun[1:]} that chose the self-edits" if held_out else f"All {noun}",
            others,
            counted=not held_out,
        ),
    )
    return tuple(group for group in groups if group.questions)


def changes_line(questions: Iterable[QuestionResult]) -> str:
    """How the questions changed: "4 gained, 1 lost, 0 right both times, 1 wrong both times"."""
    counts = {"gained": 0, "lost": 0, "right both times": 0, "wrong both times": 0}
    for question in questions:
        counts[change(question)] += 1
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def change(question: QuestionResult) -> str:
    """What learning did to one question."""
    if question.correct_before == question.correct_after:
        return "right both times" if question.correct_after else "wrong both times"
    return "gained" if question.correct_after else "lost"


def candidate_state(group: Group, place: int) -> str:
    """One of "kept", "not kept", "invalid", "failed", "unscored"."""
    status = group.candidates[place].status
    if status != "scored":
        return status
    return "kept" if place in group.kept else "not kept"


def reward_line(reward: float | None, baseline: float | None) -> str:
    """A candidate's reward against the base model: "75% against 25% before (+50 points)"."""
    if reward is None or not math.isfinite(reward):
        return "no reward"
    if baseline is None or not math.isfinite(baseline):
        return percent(reward)
    return f"{percent(reward)} against {percent(baseline)} before ({points(reward - baseline)})"


def flat(settings: Mapping[str, object], prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings as dotted names with printable values, in the given order."""
    rows: list[tuple[str, str]] = []
    for name, value in settings.items():
        if isinstance(value, Mapping):
            rows += flat(value, f"{prefix}{name}.")
        elif isinstance(value, (list, tuple, set, frozenset)):
            rows.append((f"{prefix}{name}", ", ".join(str(item) for item in value)))
        else:
            rows.append((f"{prefix}{name}", "—" if value is None else str(value)))
    return rows


def damage_rows(result: ProbeResult) -> list[tuple[str, str, str]]:
    """(what was measured, the value, its 95 % interval): those that were measured, in order."""
    rows = []
    if result.general_kept is not None:
        counts = f"{result.general_after} of {result.general_before}"
        value = f"{percent(result.general_kept, 0)} ({counts})"
        rows.append(("General questions kept", value, _percents(result.general_kept_bounds)))
    if known(result.drift):
        rows.append(("Drift, nats a token", _nats(result.drift), _range(result.drift_bounds)))
    if result.leakage is not None:
        counts = of_total(result.leakage, result.num_neighbours)
        value = f"{percent(result.leakage, 0)} ({counts})"
        rows.append(("Neighbours that take a fact", value, _percents(result.leakage_bounds)))
    if known(result.neighbour_drift):
        bounds = _range(result.neighbour_drift_bounds)
        rows.append(("Drift on neighbours, nats a token", _nats(result.neighbour_drift), bounds))
    if result.ended is not None:
        before = f" (before: {percent(result.ended_before, 0)})"
        rows.append(("General answers that end by themselves", percent(result.ended, 0) + before, ""))
    return rows


def damage_line(result: ProbeResult) -> str:
    """The same in a sentence, for where a table is too much."""
    parts = [f"{name[0].lower()}{name[1:]}: {value}" for name, value, _ in damage_rows(result)]
    return "; ".join(parts) or "nothing was measured"


def _nats(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _percents(bounds: Bounds | None) -> str:
    return "" if bounds is None else " to ".join(percent(bound, 0) for bound in bounds)


def _range(bounds: Bounds | None) -> str:
    return "" if bounds is None else " to ".join(f"{bound:.3f}" for bound in bounds)
