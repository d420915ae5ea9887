"""Where selfedit keeps things. SELFEDIT_HOME overrides both folders."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_path, user_data_path

DEFAULT_MODEL = "smollm2-135m"  # the embedded one, whose weights are in `models_folder`
STORE = "store.sqlite"  # of a library, in its folder


def models_folder() -> Path:
    """Converted models: can be deleted at any time, and is recreated when needed."""
    home = os.environ.get("SELFEDIT_HOME")
    return Path(home) / "models" if home else user_cache_path("selfedit") / "models"


def anchors_folder() -> Path:
    """The bare models' own texts (`model.anchors`): can be deleted, and are written again."""
    home = os.environ.get("SELFEDIT_HOME")
    return Path(home) / "anchors" if home else user_cache_path("selfedit") / "anchors"


def probes_folder() -> Path:
    """What bare models answer to the probe's questions: can be deleted, and is asked again."""
    home = os.environ.get("SELFEDIT_HOME")
    return Path(home) / "probes" if home else user_cache_path("selfedit") / "probes"


def library_folder() -> Path:
    """The default library: store, adapters and reports. Not a cache."""
    home = os.environ.get("SELFEDIT_HOME")
    return Path(home) / "library" if home else user_data_path("selfedit") / "library"
