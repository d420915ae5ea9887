"""Runs that go on, as the store tells of them: a view for people, and values for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from selfedit.loops.pulse import life
from selfedit.report.runs import STATES, headline, standing, when
from selfedit.show.wording import duration, plural
from selfedit.store import RunRecord, Store

_LATEST = 50  # runs that are looked through for those that go on
_STYLES = {"good": "green", "warn": "yellow", "bad": "red"}


@dataclass(frozen=True, slots=True)
class Live:
    """A run at a moment. waves, trials: that it has stored so far. line: its result, if it has one."""

    run: RunRecord
    now: datetime
    trials: int
    waves: int
    line: str

    @property
    def state(self) -> str:
        """One of `runs.STATES`."""
        return standing(self.run)

    @property
    def goes_on(self) -> bool:
        return self.state in ("alive", "silent")

    @property
    def age(self) -> float | None:
        """Seconds since its last sign of life."""
        beat = self.run.beat
        return None if beat is None else max(0.0, (self.now - beat.updated).total_seconds())

    @property
    def left(self) -> float | None:
        """Seconds until its stage ends, at its pace so far."""
        left = self.told("left")
        if left is None or not self.goes_on:
            return None
        return max(0.0, left - (self.age or 0.0)) if self.state == "alive" else float(left)

    def told(self, name: str) -> Any:
        """What its last sign says; None: nothing."""
        return None if self.run.beat is None else self.run.beat.values.get(name)

    def summary(self) -> dict[str, Any]:
        """A JSON value: what `selfedit report --follow --json` prints of a run."""
        names = ("stage", "done", "total", "rate", "note", "workers", "host", "pid")
        return {
            "run": self.run.id,
            "kind": self.run.kind,
            "model": self.run.model,
            "state": self.state,
            "error": self.run.error,
            "started": self.run.started.isoformat(),
            "seconds": ((self.run.finished or self.now) - self.run.started).total_seconds(),
            **{name: self.told(name) for name in names},
            "left": self.left,
            "seconds_since_sign": self.age,
            "trials": self.trials,
            "waves": self.waves,
            "result": self.line,
        }


def look(store: Store, run_id: int | None = None, seen: Sequence[int] = ()) -> list[Live]:
    """A run; None: all that go on, and those of `seen`, so that an end is seen, too. Raises
    StoreError."""
    now = datetime.now(UTC)
    if run_id is not None:
        runs = [store.run(run_id)]
    else:
        latest = store.runs(_LATEST)
        runs = [run for run in latest if run.id in seen or _may_go_on(run, now)]
    return [Live(run, now, *store.count_trials(run.id), headline(store, run)) for run in runs]


def _may_go_on(run: RunRecord, now: datetime) -> bool:
    return run.status == "running" and run.beat is not None and life(run.beat, now) != "dead"


def view(found: Sequence[Live], width: int) -> RenderableType:
    """What a terminal shows."""
    if not found:
        return Text("No run is going on. Waiting for one; Ctrl-C leaves.", style="dim")
    return Group(*(_run(one, width) for one in found), Text("Ctrl-C leaves.", style="dim"))


def _run(one: Live, width: int) -> RenderableType:
    words, kind = STATES[one.state]
    title = Text.assemble(
        (f"Run {one.run.id}", "bold"), f"  {one.run.kind}  {one.run.model}  ", (words, _STYLES[kind])
    )
    rows: list[RenderableType] = [title]
    total, done = one.told("total") or 0, one.told("done") or 0.0
    if one.goes_on and one.told("stage"):
        rows.append(
            Text(f"{one.told('stage')}: {int(done):,} of {total:,}" if total else one.told("stage"))
        )
    if one.goes_on and total:
        bar = Table.grid()  # a bar by itself ends no line
        bar.add_row(ProgressBar(total=total, completed=done, width=min(60, width - 4)))
        rows.append(bar)
    table = Table.grid(padding=(0, 2))
    for name, value in facts(one):
        table.add_row(Text(name, style="dim"), Text(value))
    rows.append(table)
    return Padding(Group(*rows), (0, 0, 1, 0))


def facts(one: Live) -> list[tuple[str, str]]:
    """What is known of a run, by name."""
    rate, total = one.told("rate"), one.told("total")
    took = ((one.run.finished or one.now) - one.run.started).total_seconds()
    rows = [("started", f"{when(one.run.started)} UTC, {duration(took)} ago")]
    if one.run.finished is not None:
        rows = [("took", duration(took))]
    if one.goes_on and rate and total:
        pace = f"{rate:.2f} a second" if rate >= 0.1 else f"{rate * 60:.2f} a minute"
        left = "" if one.left is None else f", about {duration(one.left)} left of this stage"
        rows.append(("pace", pace + left))
    if one.trials:
        rows.append(("stored", f"{plural(one.trials, 'trial')} in {plural(one.waves, 'wave')}"))
    if one.told("host"):
        workers = "" if one.told("workers") is None else f"{plural(one.told('workers'), 'worker')}, "
        rows.append(("where", f"{workers}process {one.told('pid')} on {one.told('host')}"))
    if one.age is not None and one.run.finished is None:
        rows.append(("last sign", f"{duration(one.age)} ago"))
    for name, value in (
        ("note", one.told("note") if one.goes_on else ""),
        ("error", one.run.error),
        ("result", one.line),
    ):
        if value:
            rows.append((name, str(value)))
    return rows


def line(one: Live) -> str:
    """A run in one line, for logs."""
    said = [f"run {one.run.id} ({one.run.kind}): {STATES[one.state][0]}"]
    if one.goes_on and one.told("stage"):
        said.append(f"{one.told('stage')} {int(one.told('done') or 0):,} of {one.told('total'):,}")
        if (workers := one.told("workers") or 1) > 1:
            said.append(plural(workers, "worker"))
    said += [
        f"{name} {value}" for name, value in facts(one) if name in ("pace", "stored", "error", "result")
    ]
    return "; ".join(said)
