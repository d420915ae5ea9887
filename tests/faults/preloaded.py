"""Imported once by the fork server (`commands.py`): all that a command imports.

One thread, no model, no file: a forked command begins as a fresh one would.
"""

import importlib
import pkgutil
from contextlib import suppress

import torch

import selfedit
import selfedit.cli

for _module in pkgutil.walk_packages(selfedit.__path__, "selfedit."):
    if not _module.name.endswith("__main__") and ".migrations" not in _module.name:
        with suppress(ImportError):  # of an optional extra
            importlib.import_module(_module.name)
torch.set_num_threads(1)
