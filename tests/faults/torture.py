"""How much is tried: a few of each kind in `make test`, many in `make torture` ($SELFEDIT_TORTURE)."""

from __future__ import annotations

import os

import pytest

# Random points for each kind of kill, and such; 0: the quick part.
TORTURE = int(os.environ.get("SELFEDIT_TORTURE", "0"))

only_in_torture = pytest.mark.skipif(not TORTURE, reason="long: make torture")
