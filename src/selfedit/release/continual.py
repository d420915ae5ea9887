"""The matrix of the release's continual experiment (figure 6 of the paper), as a run of the store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from selfedit.errors import InputError
from selfedit.home import whole_text
from selfedit.memory.continual_result import recorded
from selfedit.store import Store

_MOST_BYTES = 10_000_000  # a matrix of hundreds of documents has one


def import_continual(path: Path | str, store: Store) -> tuple[int, dict[str, Any]]:
    """The number of the run that it is stored as, and what it holds. A file that is there already is
    not stored twice. Raises InputError for any other file."""
    try:
        values = json.loads(whole_text(path, _MOST_BYTES))
        result = recorded(values)
    except UnicodeDecodeError as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    except (
        ValueError,
        KeyError,
        TypeError,
        ArithmeticError,
        IndexError,
        AttributeError,
        RecursionError,
    ) as error:
        raise InputError(
            f"{path} is not a recorded continual matrix (JSON with mean_over_sequences, n_datapoints "
            f"and n_sequences): {error}"
        ) from None
    result["recorded_from"] = str(values.get("dataset", Path(path).name))
    for run in store.runs(None):
        if run.kind == "continual" and run.result == result:
            return run.id, result
    inputs = {"file": str(path), "domain": "knowledge"}
    settings: dict[str, Any] = {"inner": {"knowledge": {}}}
    run_id = store.start_run("continual", result["model"], "", settings, inputs)
    store.finish_run(run_id, "finished", result)
    return run_id, result
