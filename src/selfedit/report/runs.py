"""Stored runs: finding one, how it ended, and its result in one line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from selfedit.domains.rows import Evaluation
from selfedit.domains.stored import domain_of, kind_of
from selfedit.errors import InputError
from selfedit.evaluation.lineage import rounds_of
from selfedit.loops.pulse import life
from selfedit.loops.rounds import RoundRecord
from selfedit.report.round_metrics import reader_headline
from selfedit.show.page import Look, Notes, Page, Section, Table
from selfedit.show.wording import UNKNOWN, duration, flat, nouns, percent, plural
from selfedit.store import RunRecord, Store

_MOST_DIGITS = 19  # of a 64-bit number
STATES: dict[str, tuple[str, Look]] = {
    "finished": ("finished", "good"),
    "failed": ("failed", "bad"),
    "interrupted": ("interrupted", "warn"),
    # A killed process cannot record that it ended: its signs of life tell, if it gave any.
    "running": ("still going, or killed", "warn"),
    "alive": ("going on", "good"),
    "silent": ("without a sign of life: stopped, killed or cut off", "warn"),
    "dead": ("killed", "bad"),
}


@dataclass(frozen=True, slots=True)
class Report:
    """A run's report: the page for people, the values for programs (JSON)."""

    page: Page
    values: dict[str, Any]


def find_run(store: Store, name: str, kind: str = "") -> RunRecord:
    """The run with a number, or the "latest" (of a kind). Raises InputError, StoreError."""
    if name == "latest":
        found = [run for run in store.runs(None) if kind in ("", kind_of(run))]
        if not found:
            raise InputError(f"the library holds no {kind + ' ' if kind else ''}run yet.")
        return found[0]
    if not name.isascii() or not name.isdigit() or len(name) > _MOST_DIGITS or int(name) >= 2**63:
        raise InputError(f"{name}: name a run by its number, or `latest`; see `selfedit report`.")
    return store.run(int(name))


def state(run: RunRecord) -> str:
    """How it ended, in words; where it has not, whether it goes on."""
    return STATES[standing(run)][0]


def standing(run: RunRecord) -> str:
    """One of STATES: the run's status or, where it has not ended, what its signs of life say."""
    return life(run.beat) if run.status == "running" and run.beat is not None else run.status


def headline(store: Store, run: RunRecord) -> str:
    """The run's result in one line; "" if there is none."""
    if run.kind == "train":
        return _train_line(run, rounds_of(store, run))
    lines: dict[str, Callable[[Mapping[str, Any]], str]] = {
        "learn": _learn_line,
        "consolidate": _learn_line,
        "eval": _eval_line,
        "import": _import_line,
        "interaction": _interaction_line,
        "generate": generate_line,
    }
    lines |= {kind: own.headline for kind, own in domain_of(run).own_runs().items()}
    kind = kind_of(run)
    return "" if run.result is None or kind not in lines else lines[kind](run.result)


def _learn_line(result: Mapping[str, Any]) -> str:
    version = f"version {result['version']}" if result["committed"] else "not committed"
    before, after = percent(result["accuracy_before"]), percent(result["accuracy_after"])
    n = result["num_questions"]
    return f"{before} → {after} of {n} {nouns(result.get('quiz', 'given'), n)}; {version}"


def _eval_line(result: Mapping[str, Any]) -> str:
    rows = Evaluation.of(result).rows
    return ", ".join(f"{row.condition} {percent(row.accuracy)}" for row in rows)


def _interaction_line(result: Mapping[str, Any]) -> str:
    said = "remembered" if result["committed"] else "not kept"
    return f"{said}: {result['remembered']}"


def _import_line(result: Mapping[str, Any]) -> str:
    before, after = result["baseline_accuracy"], result["adapted_accuracy"]
    if before is None and after is None:
        return f"{plural(result['num_trials'], 'trial')}, no accuracies"
    return f"{percent(before, 2)} → {percent(after, 2)}; {len(result['selected'])} selected"


def generate_line(result: Mapping[str, Any]) -> str:
    """What was written, of a finished `generate`."""
    over = ", the budget is used up" if result["budget_used_up"] else ""
    return (
        f"{plural(result['lines'], 'line')}, {result['tokens']:,} tokens about "
        f"{plural(result['passages_done'], 'passage')}{over}: {result['out']}"
    )


def _train_line(run: RunRecord, records: list[RoundRecord]) -> str:
    done = f"{len(records)} of {run.settings.get('rounds')} rounds"
    if not records:
        return done
    last = records[-1]
    if last.of_reader:
        return f"{done}; round {last.number}: {reader_headline(last)}"
    return (
        f"{done}; round {last.number}: without edits {percent(last.baseline)}, mean edit "
        f"{percent(last.mean_reward)}, best edit {percent(last.best_reward)}"
    )


def valid_edits(record: RoundRecord) -> str:
    """How many of a round's edits were valid, and how many of those failed (over the step limit, or
    without a finite loss); counts trials in rounds that did not count edits."""
    if record.num_edits:
        total, invalid, noun = record.num_edits, record.invalid_edits, "edit"
    else:
        total, invalid, noun = record.num_trials, record.num_invalid, "trial"
    if not total:
        return UNKNOWN
    valid = f"{total - invalid} of {plural(total, noun)} ({percent((total - invalid) / total)})"
    failed = record.failed_edits
    return f"{valid}; {failed} failed ({percent(failed / total)})" if failed else valid


LISTED = ("run", "kind", "model", "started", "how it ended", "result")


def listing(store: Store, runs: Iterable[RunRecord]) -> list[tuple[str, ...]]:
    """A row for each run, under LISTED."""
    return [
        (str(run.id), run.kind, run.model, when(run.started), state(run), headline(store, run))
        for run in runs
    ]


def when(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def facts(run: RunRecord, *more: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    """Facts that every run has. Times are UTC."""
    took = "" if run.finished is None else duration((run.finished - run.started).total_seconds())
    ended = state(run) + (f", after {took}" if took else "")
    return (
        ("Run", f"{run.id} ({run.kind})"),
        ("Model", run.model or "—"),
        ("Started", f"{when(run.started)} UTC"),
        ("Ended", ended),
        *more,
    )


def failure(run: RunRecord) -> str:
    """Why there is no result; "" for a run that finished."""
    if run.status == "finished":
        return ""
    reason = f": {run.error}" if run.error else "."
    return f"This run is {state(run)}{reason}" if run.status != "failed" else f"This run failed{reason}"


def trials_section(store: Store, run: RunRecord) -> Section:
    """Number of trials that the run was the first to store."""
    counts = Counter(trial.status for trial in store.iter_trials(run.id))
    rows = tuple((status, f"{count:,}") for status, count in sorted(counts.items()))
    if not rows:
        return Section("Trials", (Notes(("this run stored no trial of its own",)),))
    caption = "Trials that this run was the first to store; others with the same inputs share them."
    return Section("Trials", (Table(("status", "trials"), rows, caption),))


def settings_section(run: RunRecord) -> Section:
    rows = tuple(flat({**run.settings, "inputs": run.inputs}))
    return Section("Settings", (Table(("setting", "value"), rows),), folded=True, in_terminal=False)


def run_values(store: Store, run: RunRecord) -> dict[str, Any]:
    """The JSON values that every run has."""
    return {
        "run": run.id,
        "kind": run.kind,
        "model": run.model,
        "status": run.status,
        "state": standing(run),
        "error": run.error,
        "started": run.started.isoformat(),
        "finished": None if run.finished is None else run.finished.isoformat(),
        "headline": headline(store, run),
    }
