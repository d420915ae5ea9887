"""Fixtures that several rooms share."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from selfedit.model.language_model import LanguageModel
from selfedit.model.tiny import tiny_model
from tests.faults.torture import TORTURE

# SQuAD contexts and runs that the paper's authors recorded. They are no part of this repository.
DATA = Path(os.environ.get("SELFEDIT_DATA") or Path(__file__).parents[2] / "shared" / "data")

# The same inputs each time, however slow the machine: what new ones find, `make torture` is to find.
hypothesis_settings.register_profile(
    "selfedit",
    deadline=None,
    derandomize=not TORTURE,
    suppress_health_check=[HealthCheck.too_slow],
)
hypothesis_settings.load_profile("selfedit")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`-m shared_data` picks the tests that read the shared data."""
    for item in items:
        if "shared_data" in getattr(item, "fixturenames", ()):
            item.add_marker("shared_data")


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """The path of a shared file; skips the test where there is no such file."""

    def find(name: str) -> Path:
        path = DATA.resolve() / name
        if not path.is_file():
            pytest.skip(f"no {path}: SELFEDIT_DATA names the folder of SQuAD and recorded data")
        return path

    return find


@pytest.fixture(scope="session")
def shared_json(shared_data: Callable[[str], Path]) -> Callable[[str], Any]:
    """Reads a shared JSON file, as `shared_data` finds it."""
    return lambda name: json.loads(shared_data(name).read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def tiny() -> LanguageModel:
    """A random two-layer Llama in float64."""
    return tiny_model()


@pytest.fixture(autouse=True)
def _own_home(tmp_path, monkeypatch):
    """No test reads or writes the user's own library. (The embedded tests bring their own home.)"""
    monkeypatch.setenv("SELFEDIT_HOME", str(tmp_path / "home"))
