"""Kinds of tasks, each in its own folder: data, prompts, grading, settings, presets, words."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfedit.errors import InputError
from selfedit.home import expanded

if TYPE_CHECKING:
    from selfedit.domains.base import BaseDomain

# The built-in domains, by the name of their folder. Its module `options` is what their commands take.
BUILT_IN = {
    "knowledge": "selfedit.domains.knowledge.domain:Knowledge",
    "arc": "selfedit.domains.arc.domain:Arc",
}


def load_domain(name: str) -> type[BaseDomain]:
    """A built-in domain by its name, or the class of your own as `file.py:Name`.

    Raises InputError. A file is run when it is loaded: do not name one that you do not trust.
    """
    if name in BUILT_IN:
        module, _, attribute = BUILT_IN[name].partition(":")
        return _checked(name, getattr(importlib.import_module(module), attribute))
    file, colon, attribute = name.rpartition(":")
    if not colon or not file.endswith(".py"):
        known = ", ".join(BUILT_IN)
        raise InputError(f"there is no domain {name!r}; use {known}, or your own as file.py:Name.")
    module = _run_file(expanded(file))
    if not hasattr(module, attribute):
        raise InputError(f"there is no {attribute} in {file}.")
    return _checked(name, getattr(module, attribute))


def _checked(name: str, found: Any) -> type[BaseDomain]:
    from selfedit.domains.base import BaseDomain

    if not (isinstance(found, type) and issubclass(found, BaseDomain)):
        raise InputError(
            f"{name} is not a domain: derive the class from selfedit.domains.base.BaseDomain."
        )
    return found


def _run_file(path: Path) -> Any:
    if not path.is_file():
        raise InputError(f"there is no file {path}.")
    # Under the same name for the same file, so that it is run once in a process.
    name = f"selfedit_domain_{path.resolve().as_posix().encode().hex()}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None, "the name ends with .py"
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look there for their module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise InputError(f"{path} cannot be loaded: {type(error).__name__}: {error}") from error
    return module
