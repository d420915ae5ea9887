"""Self-adapting language models (SEAL, arXiv 2506.10943) as software.

>>> import selfedit
>>> library = selfedit.Library(model="smollm2-135m")
>>> result = selfedit.learn(library, "notes.md", quiz="quiz.jsonl")
>>> library.ask("What is the telescope called?")
"""

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selfedit.domains import load_domain as load_domain
    from selfedit.domains.knowledge import text_document as text_document
    from selfedit.domains.knowledge.settings import LearnSettings as LearnSettings
    from selfedit.experiments import evaluate as evaluate
    from selfedit.experiments import learn as learn
    from selfedit.experiments import train as train
    from selfedit.learning.library import Library as Library
    from selfedit.store import Store as Store
    from selfedit.types import LearnResult as LearnResult

try:
    __version__ = version("selfedit")
except PackageNotFoundError:  # a source tree that is not installed
    __version__ = "0"

__all__ = [
    "LearnResult",
    "LearnSettings",
    "Library",
    "Store",
    "__version__",
    "evaluate",
    "learn",
    "load_domain",
    "text_document",
    "train",
]

_HOMES = {
    "Library": "selfedit.learning.library",
    "LearnSettings": "selfedit.domains.knowledge.settings",
    "LearnResult": "selfedit.types",
    "learn": "selfedit.experiments",
    "text_document": "selfedit.domains.knowledge",
    "Store": "selfedit.store",
    "evaluate": "selfedit.experiments",
    "load_domain": "selfedit.domains",
    "train": "selfedit.experiments",
}


def __getattr__(name: str) -> Any:
    """Import on first use: `selfedit --help` must not wait for torch."""
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
