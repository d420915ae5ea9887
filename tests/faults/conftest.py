"""In a torture, every test's end is noted, and one that held with as much tried is not run again."""

from __future__ import annotations

import pytest

from tests.faults import ledger
from tests.faults.torture import TORTURE


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not TORTURE:
        return
    done = {
        row["name"]
        for row in ledger.noted("test")
        if row["outcome"] != "failed" and row["torture"] >= TORTURE
    }
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid in done])
    items[:] = [item for item in items if item.nodeid not in done]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if TORTURE and (report.when == "call" or report.outcome != "passed"):
        outcome = {"passed": "held"}.get(report.outcome, report.outcome)
        ledger.note(
            "test", report.nodeid, outcome=outcome, torture=TORTURE, seconds=round(report.duration, 1)
        )
