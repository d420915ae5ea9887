"""The real data that some tests read: SELFEDIT_DATA, or shared/data beside the repository."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

_BESIDE = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture(scope="session")
def recorded() -> Callable[[str], Any]:
    """Reads a JSON file of the data folder; skips the test where there is none."""

    def read(name: str) -> Any:
        path = Path(os.environ.get("SELFEDIT_DATA") or _BESIDE) / name
        if not path.is_file():
            pytest.skip(f"no {path}: SELFEDIT_DATA names the folder of SQuAD and recorded data")
        return json.loads(path.read_text(encoding="utf-8"))

    return read
