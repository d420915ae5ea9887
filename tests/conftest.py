"""Fixtures that several rooms share."""

from __future__ import annotations

import pytest

from selfedit.model.language_model import LanguageModel
from selfedit.model.tiny import tiny_model


@pytest.fixture(scope="session")
def tiny() -> LanguageModel:
    """A random two-layer Llama in float64."""
    return tiny_model()


@pytest.fixture(autouse=True)
def _own_home(tmp_path, monkeypatch):
    """No test reads or writes the user's own library. (The embedded tests bring their own home.)"""
    monkeypatch.setenv("SELFEDIT_HOME", str(tmp_path / "home"))
