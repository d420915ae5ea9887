"""The report of any stored run."""

from __future__ import annotations

from collections.abc import Callable

from selfedit.domains.stored import domain_of, kind_of
from selfedit.errors import InputError
from selfedit.report.eval_run import eval_report, own_report
from selfedit.report.generate_run import generate_report
from selfedit.report.import_run import import_report
from selfedit.report.learn_run import learn_report, other_report
from selfedit.report.runs import Report
from selfedit.report.train_run import train_report
from selfedit.store import RunRecord, Store


def run_report(store: Store, run: RunRecord, context: str | None = None) -> Report:
    """context: whose self-edits are shown (`train`, `import`). Raises InputError if it is unknown."""
    kind = kind_of(run)
    match kind:
        case "train":
            return train_report(store, run, context)
        case "import":
            return import_report(store, run, context)
    if context is not None:
        raise InputError(f"--context: run {run.id} is of kind {run.kind}; it is for train and import.")
    if own := domain_of(run).own_runs().get(kind):
        return own_report(store, run, own)
    return _REPORTS.get(kind, other_report)(store, run)


_REPORTS: dict[str, Callable[[Store, RunRecord], Report]] = {
    "eval": eval_report,
    "generate": generate_report,
    "learn": learn_report,
}
